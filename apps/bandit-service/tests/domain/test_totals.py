"""What sums add up to, and how they travel as JSON."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_core.rules.experiment import MICRO, ArmDefinition, Experiment, RewardsDefinition
from bandit_service.domain.totals import Sums, Totals, decode_totals, encode_totals, totals_of

COUNTS = st.dictionaries(st.integers(0, 999), st.integers(0, 2**62), max_size=4)
BY_SEGMENT = st.dictionaries(st.tuples(st.text(), st.integers(0, 9)), st.integers(0, 2**62), max_size=4)


def experiment(**fields: Any) -> Experiment:
    return Experiment(
        id="homepage",
        namespace="default",
        status="running",
        revision=1,
        arms=(ArmDefinition(0, "a"), ArmDefinition(1, "b", 2 * MICRO, 20 * MICRO)),
        default_arm="a",
        created_at=0.0,
        **fields,
    )


def test_beliefs_are_of_the_bandit_and_of_direct_rewards() -> None:
    totals = totals_of(
        [
            Sums(0, "bandit", "de", 0, 3, 2, 10, 1),
            Sums(0, "bandit", "", 0, 1, 1, 5, 1),
            Sums(0, "direct", "de", 0, 7, 1, 4, 1),
            Sums(1, "holdout", "de", 0, 2, 1, 6, 1),
            Sums(0, "holdout", "", 0, 4, 2, 7, 1),
            Sums(0, "paused", "", 0, 9, 0, 0, 0),
            Sums(1, "concluded", "", 0, 9, 0, 0, 0),
        ],
        12.5,
    )
    assert totals == Totals(
        decisions={0: 4},
        rewards={0: 4},
        reward_micro={0: 19},
        square_micro={0: 3},
        holdout_decisions={1: 2, 0: 4},
        holdout_rewards=3,
        holdout_reward_micro=13,
        segment_rewards={("de", 0): 3},
        segment_micro={("de", 0): 14},
        as_of=12.5,
    )


def test_alpha_and_beta_are_the_prior_with_what_was_rewarded_and_what_was_missing_to_it() -> None:
    totals = Totals(rewards={1: 3}, reward_micro={1: 1_250_000}, square_micro={1: 900_000})
    known = experiment()
    assert (totals.alpha_micro(known, 0), totals.beta_micro(known, 0)) == (MICRO, MICRO)
    assert (totals.alpha_micro(known, 1), totals.beta_micro(known, 1)) == (3_250_000, 21_750_000)


def test_of_gaussian_rewards_they_are_sums_without_a_prior() -> None:
    known = experiment(rewards=RewardsDefinition(distribution="gaussian"))
    totals = Totals(rewards={1: 3}, reward_micro={1: -1_250_000}, square_micro={1: 900_000})
    assert (totals.alpha_micro(known, 1), totals.beta_micro(known, 1)) == (-1_250_000, 900_000)
    assert (totals.alpha_micro(known, 0), totals.beta_micro(known, 0)) == (0, 0)


@given(st.builds(Totals, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, segment_rewards=BY_SEGMENT, segment_micro=BY_SEGMENT))
def test_json_brings_back_every_number(totals: Totals) -> None:
    assert decode_totals(encode_totals(totals)) == totals


def test_sums_of_squares_may_exceed_64_bits() -> None:
    totals = Totals(square_micro={0: 2**80}, as_of=1.5)
    assert decode_totals(encode_totals(totals)) == totals


@pytest.mark.parametrize("document", [b"", b"{}", b'{"decisions": 3}'])
def test_what_is_no_totals_is_refused(document: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_totals(document)
