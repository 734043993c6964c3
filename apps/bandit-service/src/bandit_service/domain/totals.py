"""What an experiment's events add up to: exact integers, whatever their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from bandit_core.rules.experiment import MICRO, Experiment
from bandit_core.rules.treatment import LEARNT_STRATA
from bandit_service.domain.weight_periods import Period, Rewards, VersionRewards


class Sums(NamedTuple):
    """What the events of one arm, stratum and segment add up to; segment '' where there are none.

    `version` is that of the weights they were drawn with. At 0 there are none, and at -1 the rewards are in a period.
    """

    arm_index: int
    stratum: str
    segment: str
    version: int
    decisions: int
    rewards: int
    reward_micro: int
    square_micro: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums by arm index. Amounts are in millionths.

    Attributes:
        decisions: Of the bandit, counted when they were shown.
        rewards: How many rewards entered the beliefs: the bandit's and direct ones.
        reward_micro: Their sum.
        square_micro: The sum of their squares.
        holdout_decisions: Decisions of the holdout.
        holdout_rewards: Rewards of the holdout, all arms together.
        holdout_reward_micro: Their sum.
        segment_rewards: As `rewards`, by name of the segment and arm index.
        segment_micro: As `reward_micro`, by name of the segment and arm index.
        as_of: When they were read, in seconds since the epoch.
        versions: The rewards of each version of the weights that no period has: of the bandit and of the holdout.
        periods: Those of versions that are over, in the order of versions; empty unless they were asked for.
    """

    decisions: dict[int, int] = field(default_factory=dict)
    rewards: dict[int, int] = field(default_factory=dict)
    reward_micro: dict[int, int] = field(default_factory=dict)
    square_micro: dict[int, int] = field(default_factory=dict)
    holdout_decisions: dict[int, int] = field(default_factory=dict)
    holdout_rewards: int = 0
    holdout_reward_micro: int = 0
    segment_rewards: dict[tuple[str, int], int] = field(default_factory=dict)
    segment_micro: dict[tuple[str, int], int] = field(default_factory=dict)
    as_of: float = 0.0
    versions: Mapping[int, VersionRewards] = field(default_factory=dict, compare=False)
    periods: tuple[Period, ...] = field(default=(), compare=False)

    def alpha_micro(self, experiment: Experiment, arm_index: int) -> int:
        """Return alpha of an arm's Beta posterior; or the sum of its rewards, if they are gaussian."""
        prior, _ = experiment.priors[arm_index]
        return prior + self.reward_micro.get(arm_index, 0)

    def beta_micro(self, experiment: Experiment, arm_index: int) -> int:
        """Return beta of an arm's Beta posterior; or the sum of its rewards' squares, if they are gaussian."""
        if experiment.is_gaussian:
            return self.square_micro.get(arm_index, 0)
        _, prior = experiment.priors[arm_index]
        return prior + self.rewards.get(arm_index, 0) * MICRO - self.reward_micro.get(arm_index, 0)


def totals_of(sums: Iterable[Sums], as_of: float) -> Totals:
    """Return what these sums add up to, without decisions that were made while the experiment was paused or over."""
    decisions, rewards, reward_micro, square_micro, holdout_decisions = (defaultdict[int, int](int) for _ in range(5))
    segment_rewards, segment_micro = (defaultdict[tuple[str, int], int](int) for _ in range(2))
    holdout_rewards = holdout_reward_micro = 0
    versions: dict[int, VersionRewards] = defaultdict(VersionRewards)
    for each in sums:
        arm = each.arm_index
        if each.stratum == "bandit":
            decisions[arm] += each.decisions
        if each.stratum in LEARNT_STRATA:
            rewards[arm] += each.rewards
            reward_micro[arm] += each.reward_micro
            square_micro[arm] += each.square_micro
            if each.segment:
                segment_rewards[each.segment, arm] += each.rewards
                segment_micro[each.segment, arm] += each.reward_micro
        if each.stratum == "holdout":
            holdout_decisions[arm] += each.decisions
            holdout_rewards += each.rewards
            holdout_reward_micro += each.reward_micro
        if each.version > 0:
            counted = Rewards(each.rewards, each.reward_micro, each.square_micro)
            versions[each.version].add(each.stratum, arm, counted)
    return Totals(
        dict(decisions),
        dict(rewards),
        dict(reward_micro),
        dict(square_micro),
        dict(holdout_decisions),
        holdout_rewards,
        holdout_reward_micro,
        dict(segment_rewards),
        dict(segment_micro),
        as_of,
        dict(versions),
    )


class _Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """Totals as JSON: sums of squares as text, since they may exceed 64 bits; segments as lists."""

    decisions: dict[int, int]
    rewards: dict[int, int]
    reward_micro: dict[int, int]
    square_micro: dict[int, str]
    holdout_decisions: dict[int, int]
    holdout_rewards: int
    holdout_reward_micro: int
    as_of: float
    segment_rewards: list[tuple[str, int, int]] = []
    segment_micro: list[tuple[str, int, int]] = []


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Document).decode


def encode_totals(totals: Totals) -> bytes:
    return _encode(
        _Document(
            decisions=totals.decisions,
            rewards=totals.rewards,
            reward_micro=totals.reward_micro,
            square_micro={arm: str(square) for arm, square in totals.square_micro.items()},
            holdout_decisions=totals.holdout_decisions,
            holdout_rewards=totals.holdout_rewards,
            holdout_reward_micro=totals.holdout_reward_micro,
            as_of=totals.as_of,
            segment_rewards=[(*key, value) for key, value in totals.segment_rewards.items()],
            segment_micro=[(*key, value) for key, value in totals.segment_micro.items()],
        )
    )


def decode_totals(document: bytes) -> Totals:
    """Return the totals that were encoded; msgspec.DecodeError for anything else."""
    found = _decode(document)
    return Totals(
        decisions=found.decisions,
        rewards=found.rewards,
        reward_micro=found.reward_micro,
        square_micro={arm: int(square) for arm, square in found.square_micro.items()},
        holdout_decisions=found.holdout_decisions,
        holdout_rewards=found.holdout_rewards,
        holdout_reward_micro=found.holdout_reward_micro,
        segment_rewards={(segment, arm): value for segment, arm, value in found.segment_rewards},
        segment_micro={(segment, arm): value for segment, arm, value in found.segment_micro},
        as_of=found.as_of,
    )
