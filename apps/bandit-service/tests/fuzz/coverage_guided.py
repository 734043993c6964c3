"""Feeds the decoders of the fast endpoints what coverage makes interesting, until something else than a refusal comes.

Run as a program, since `atheris.Fuzz` never returns: `python coverage_guided.py [options of libFuzzer] [folder]`.
"""

from __future__ import annotations

import contextlib
import secrets
import sys

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["bandit_service.http.fast_path", "bandit_service.domain.decision_id"]):
    from bandit_core.rules.decoding import decode_item
    from bandit_core.rules.requests import BatchRequest
    from bandit_service.domain.decision_id import DecisionIds, ForgedDecisionIdError

import msgspec

from bandit_core.rules.problems import Invalid
from bandit_core.rules.requests import ActivateRequest, RewardRequest, SelectRequest

IDS = DecisionIds({1: bytes(range(128, 160))}, secrets.token_bytes)


def decode(data: bytes) -> None:
    """Decode a body as every kind of request: each is refused, or means what its encoding means."""
    for kind in (SelectRequest, RewardRequest, ActivateRequest, BatchRequest):
        with contextlib.suppress(Invalid):
            request = decode_item(kind, data)
            if not isinstance(request, BatchRequest) and decode_item(kind, msgspec.json.encode(request)) != request:
                raise RuntimeError(f"{request} is not what it is encoded to")
    with contextlib.suppress(ForgedDecisionIdError):
        IDS.read(data.decode("latin-1"))
        raise RuntimeError("a decision id was forged")


atheris.Setup(sys.argv, decode)
atheris.Fuzz()
