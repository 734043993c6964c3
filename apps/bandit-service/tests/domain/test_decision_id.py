"""A decision id says what its reward needs, and nobody but the service can have written it."""

import base64
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.rules.decisions import SIGNED_PREFIX, DecisionClaims, is_signed
from bandit_core.rules.selection import Stratum
from bandit_service.domain.decision_id import DecisionIds, ForgedDecisionIdError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
STRATA: tuple[Stratum, ...] = ("bandit", "holdout", "paused", "concluded")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

TICKETS = st.builds(
    DecisionClaims,
    experiment_id=st.from_regex(r"\A[A-Za-z0-9._-]{1,128}\Z"),
    arm_index=st.integers(0, 2**16 - 1),
    propensity=st.floats(0.0, 1.0, exclude_min=True),
    decision_ms=st.integers(0, 2**48),
    stratum=st.sampled_from(STRATA),
    deferred=st.booleans(),
    weights_version=st.integers(0, 2**32 - 1),
)


def issuer(*keys: int) -> DecisionIds:
    known = {1: OLD, 2: NEW}
    return DecisionIds({number: known[number] for number in keys}, secrets.token_bytes)


def an_id(**fields: Any) -> str:
    given: dict[str, Any] = {"experiment_id": "homepage", "arm_index": 1, "propensity": 0.3} | fields
    return issuer(1).issue(DecisionClaims(**given))


@given(TICKETS)
def test_what_was_issued_is_read_back_exactly(claims: DecisionClaims) -> None:
    ids = issuer(1)
    assert ids.read(ids.issue(claims)) == claims


@given(TICKETS)
def test_an_id_fits_what_a_reward_accepts(claims: DecisionClaims) -> None:
    issued = issuer(1).issue(claims)
    assert is_signed(issued)
    assert len(issued) <= 400
    assert set(issued.removeprefix(SIGNED_PREFIX)) <= set(ALPHABET)


def test_the_same_ticket_gets_another_id_each_time() -> None:
    assert an_id(decision_ms=1) != an_id(decision_ms=1)


@given(st.data())
def test_no_character_can_be_changed(data: st.DataObject) -> None:
    issued = an_id(decision_ms=1)
    at = data.draw(st.integers(len(SIGNED_PREFIX), len(issued) - 1))
    other = data.draw(st.sampled_from(ALPHABET.replace(issued[at], "")))
    with pytest.raises(ForgedDecisionIdError):
        issuer(1).read(issued[:at] + other + issued[at + 1 :])


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_anything_else_is_no_decision_id(text: str) -> None:
    with pytest.raises(ForgedDecisionIdError):
        issuer(1).read(SIGNED_PREFIX + text)


@pytest.mark.parametrize("spelling", [lambda text: text + "=", lambda text: text + "\n", lambda text: text + "A"])
def test_a_decision_has_one_spelling_only(spelling: Any) -> None:
    """Otherwise it could be rewarded twice."""
    with pytest.raises(ForgedDecisionIdError):
        issuer(1).read(spelling(an_id(decision_ms=1)))


def test_spare_bits_of_base64_make_no_second_spelling() -> None:
    # Of this length the last character carries bits that decoding ignores.
    issued = an_id(experiment_id="homepage-12", decision_ms=1)
    spellings = [issued[:-1] + letter for letter in ALPHABET]
    raw = {text: base64.urlsafe_b64decode(text.removeprefix(SIGNED_PREFIX) + "==") for text in spellings}
    same = [text for text in spellings if raw[text] == raw[issued]]
    assert len(same) > 1
    assert [text for text in same if _is_read(text)] == [issued]


def _is_read(decision_id: str) -> bool:
    try:
        issuer(1).read(decision_id)
    except ForgedDecisionIdError:
        return False
    return True


def test_after_a_rotation_the_new_key_signs_and_ids_of_the_old_one_stay_valid() -> None:
    before = issuer(1).issue(DecisionClaims("homepage", 0, 0.5, 1))
    rotated = issuer(2, 1)
    assert rotated.read(before).experiment_id == "homepage"
    with pytest.raises(ForgedDecisionIdError):
        issuer(1).read(rotated.issue(DecisionClaims("homepage", 0, 0.5, 1)))


def test_ids_of_a_withdrawn_key_are_refused() -> None:
    with pytest.raises(ForgedDecisionIdError):
        issuer(2).read(issuer(1).issue(DecisionClaims("homepage", 0, 0.5, 1)))


def test_a_weights_version_of_a_later_timeline_is_kept_whole() -> None:
    assert issuer(1).read(an_id(decision_ms=1, weights_version=5_000_000_007)).weights_version == 5_000_000_007


@pytest.mark.parametrize("keys", [{}, {1: b"short"}, {1: bytes(65)}, {256: bytes(32)}, {-1: bytes(32)}])
def test_unfit_keys_are_refused(keys: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        DecisionIds(keys, secrets.token_bytes)
