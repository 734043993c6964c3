"""Decision ids that carry what their reward needs, signed, so that no table of all decisions lives in memory."""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from collections.abc import Callable, Mapping
from hashlib import blake2b

from bandit_core.rules.decisions import SIGNED_PREFIX, DecisionClaims
from bandit_core.rules.selection import SlatePosition, Stratum, Vector

_STRATA: tuple[Stratum, ...] = ("bandit", "holdout", "paused", "concluded")
_VECTORS: tuple[Vector, ...] = ("published", "subset", "renormalised", "segment", "context", "slate")
_DEFERRED = 0b100
_HAS_MORE = 0b1000
# Key, flags, arm, revision of the definition, version of the weights, propensity, time, random bytes.
_HEAD = struct.Struct(">BBHIQdQ8s")
# Behind the head, for decisions that were not drawn from the published vector alone: the vector, the segment and one
# (0: none), how many arms follow in the slate, and those.
_MORE = struct.Struct(">BHB")
_SLATE_POSITION = struct.Struct(">Hd")
_SIGNATURE_BYTES = 16


class ForgedDecisionIdError(ValueError):
    """A decision id that no key of this service has signed."""


class DecisionIds:
    """Issues and reads decision ids. The first key signs; every key is accepted, so keys can be rotated.

    Args:
        keys: Secret keys of 16 to 64 bytes by their id (0 to 255), the signing one first.
        entropy: Returns that many random bytes, e.g. `secrets.token_bytes`.

    Raises:
        ValueError: no key, or one of a wrong size or id.
    """

    def __init__(self, keys: Mapping[int, bytes], entropy: Callable[[int], bytes]) -> None:
        if not keys:
            raise ValueError("at least one signing key is needed")
        for key_id, key in keys.items():
            if not 0 <= key_id <= 255 or not 16 <= len(key) <= 64:
                raise ValueError(f"signing key {key_id} must have an id of 0 to 255 and 16 to 64 bytes")
        self._keys = dict(keys)
        self._signing_id = next(iter(keys))
        self._entropy = entropy

    def issue(self, claims: DecisionClaims) -> str:
        """Return the signed id of a new decision."""
        more = _more(claims)
        flags = _STRATA.index(claims.stratum) | (_DEFERRED if claims.deferred else 0) | (_HAS_MORE if more else 0)
        head = _HEAD.pack(
            self._signing_id,
            flags,
            claims.arm_index,
            claims.revision & 0xFFFFFFFF,
            claims.weights_version,
            claims.propensity,
            claims.decision_ms,
            self._entropy(8),
        )
        body = head + more + claims.experiment_id.encode()
        signature = blake2b(body, digest_size=_SIGNATURE_BYTES, key=self._keys[self._signing_id]).digest()
        return SIGNED_PREFIX + base64.urlsafe_b64encode(body + signature).rstrip(b"=").decode()

    def read(self, decision_id: str) -> DecisionClaims:
        """Return what an id issued by this service says.

        Raises:
            ForgedDecisionIdError: it was not signed with a key of this service.
        """
        raw = _unarmored(decision_id)
        body, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
        if len(body) <= _HEAD.size or body[0] not in self._keys:
            raise ForgedDecisionIdError("not a decision id of this service")
        expected = blake2b(body, digest_size=_SIGNATURE_BYTES, key=self._keys[body[0]]).digest()
        if not hmac.compare_digest(signature, expected):
            raise ForgedDecisionIdError("the decision id's signature does not match")
        _, flags, arm_index, revision, weights_version, propensity, decision_ms, _ = _HEAD.unpack_from(body)
        vector, segment, slate, end = _read_more(body) if flags & _HAS_MORE else ("published", None, (), _HEAD.size)
        return DecisionClaims(
            experiment_id=body[end:].decode(),
            arm_index=arm_index,
            propensity=propensity,
            decision_ms=decision_ms,
            stratum=_STRATA[flags & 0b11],
            deferred=bool(flags & _DEFERRED),
            weights_version=weights_version,
            revision=revision,
            vector=vector,
            segment=segment,
            slate=slate,
        )


def _more(claims: DecisionClaims) -> bytes:
    if claims.vector == "published" and claims.segment is None and not claims.slate:
        return b""
    segment = 0 if claims.segment is None else claims.segment + 1
    places = b"".join(_SLATE_POSITION.pack(*place) for place in claims.slate)
    return _MORE.pack(_VECTORS.index(claims.vector), segment, len(claims.slate)) + places


def _read_more(body: bytes) -> tuple[Vector, int | None, tuple[SlatePosition, ...], int]:
    vector, segment, places = _MORE.unpack_from(body, _HEAD.size)
    start = _HEAD.size + _MORE.size
    end = start + places * _SLATE_POSITION.size
    slate = tuple(SlatePosition(*place) for place in _SLATE_POSITION.iter_unpack(body[start:end]))
    return _VECTORS[vector], segment - 1 if segment else None, slate, end


def _unarmored(decision_id: str) -> bytes:
    text = decision_id.removeprefix(SIGNED_PREFIX)
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ForgedDecisionIdError("not a decision id of this service") from error
    # Two spellings must not name one decision, or it could be rewarded twice.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise ForgedDecisionIdError("not a decision id of this service")
    return raw
