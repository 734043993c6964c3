"""Rewards by version of the weights, and the periods into which versions that are over are merged: exact integers.

A period has the sums of `bandit_core.adaptive.period_sums` of the arms; and, where there was a holdout, those of bandit
and holdout as if they were two arms, drawn with the weights 1 − share and share. Sums add, so what comes late for a
version that was merged is added to its period later.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Final, NamedTuple

from bandit_core.adaptive.period_sums import MOST_PERIODS, PeriodSums, merge_plan

# Memory, and what a merge writes, grow with the square of the arms.
_MOST_PAIRS: Final = 20_000
_FEWEST_PERIODS: Final = 2


class Rewards(NamedTuple):
    """How many rewards, their sum and that of their squares in millionths."""

    number: int = 0
    total: int = 0
    squares: int = 0

    def plus(self, other: Rewards) -> Rewards:
        return Rewards(self.number + other.number, self.total + other.total, self.squares + other.squares)


@dataclass(slots=True)
class VersionRewards:
    """The rewards of one version of the weights: of the bandit by arm index, and of the holdout, all arms together."""

    arms: dict[int, Rewards] = field(default_factory=lambda: defaultdict(Rewards))
    holdout: Rewards = field(default_factory=Rewards)

    @property
    def is_empty(self) -> bool:
        return not self.arms and not self.holdout.number

    def add(self, stratum: str, arm_index: int, rewards: Rewards) -> None:
        """Add rewards of the bandit or of the holdout; of another stratum nothing is taken."""
        if not rewards.number:
            return
        if stratum == "bandit":
            self.arms[arm_index] = self.arms[arm_index].plus(rewards)
        elif stratum == "holdout":
            self.holdout = self.holdout.plus(rewards)


@dataclass(frozen=True, slots=True)
class VersionWeights:
    """When a version of the weights was in force, and what was drawn with.

    Attributes:
        weights: By arm index; None if nobody knows them any more.
        holdout: The share of units in the holdout.
        begins: When it was published, in seconds since the epoch; None if nobody knows that either.
        ends: When the next version was; None while it is in force.
    """

    weights: Mapping[int, float] | None = None
    holdout: float = 0.0
    begins: float | None = None
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class VersionSums:
    """The sums of one version or of several: of the arms, and of bandit and holdout, None if there was no holdout."""

    arms: PeriodSums
    holdout: PeriodSums | None = None

    @classmethod
    def of(cls, rewards: VersionRewards, known: VersionWeights) -> VersionSums:
        """Return the sums of the rewards of one version."""
        weights, is_known = known.weights or {}, known.weights is not None
        arms = range(1 + max([*rewards.arms, *weights], default=0))
        by_arm = [rewards.arms.get(arm, Rewards()) for arm in arms]
        drawn_with = [weights.get(arm, 0.0) for arm in arms] if is_known else None
        holdout = None
        # By the version alone, so that it does not matter which of its rewards come first.
        if known.holdout > 0.0 or (not is_known and rewards.holdout.number):
            bandit = reduce(Rewards.plus, by_arm)
            shares = [1.0 - known.holdout, known.holdout] if is_known else None
            holdout = PeriodSums.of_version(shares, *zip(bandit, rewards.holdout, strict=True))
        return cls(PeriodSums.of_version(drawn_with, *zip(*by_arm, strict=True)), holdout)

    def __add__(self, other: VersionSums) -> VersionSums:
        arms = max(len(self.arms.count), len(other.arms.count))
        holdout = self.holdout or other.holdout
        if self.holdout is not None and other.holdout is not None:
            holdout = self.holdout + other.holdout
        return VersionSums(self.arms.padded(arms) + other.arms.padded(arms), holdout)

    def is_same(self, other: VersionSums) -> bool:
        """Say whether both hold the same, whatever arms without rewards they have."""
        arms = max(len(self.arms.count), len(other.arms.count))
        return self.arms.padded(arms) == other.arms.padded(arms) and self.holdout == other.holdout

    def encoded(self) -> str:
        """Return the sums as JSON; its integers may have any size."""
        holdout = None if self.holdout is None else self.holdout.to_record()
        return json.dumps({"arms": self.arms.to_record(), "holdout": holdout})

    @classmethod
    def decoded(cls, document: str) -> VersionSums:
        """Return the sums that were encoded."""
        found = json.loads(document)
        holdout = found["holdout"]
        return cls(PeriodSums.from_record(found["arms"]), None if holdout is None else PeriodSums.from_record(holdout))


@dataclass(frozen=True, slots=True)
class Period:
    """Versions of the weights that are over, merged. Times are seconds since the epoch.

    `document` has the sums as JSON, which takes a fraction of their memory.
    """

    first_version: int
    last_version: int
    begins: float
    ends: float
    document: str

    @property
    def sums(self) -> VersionSums:
        return VersionSums.decoded(self.document)


@dataclass(slots=True)
class _Draft:
    """A period that is being made, of periods and of sums that are added to them."""

    first_version: int
    last_version: int
    begins: float
    ends: float
    periods: list[Period] = field(default_factory=list)
    added: list[VersionSums] = field(default_factory=list)

    @classmethod
    def of(cls, period: Period) -> _Draft:
        return cls(period.first_version, period.last_version, period.begins, period.ends, [period])

    def take(self, later: _Draft) -> None:
        """Take in the one after it."""
        self.last_version, self.ends = later.last_version, max(self.ends, later.ends)
        self.periods += later.periods
        self.added += later.added

    def made(self) -> Period:
        if len(self.periods) == 1 and not self.added:
            return self.periods[0]
        sums = reduce(add, [period.sums for period in self.periods] + self.added)
        return Period(self.first_version, self.last_version, self.begins, self.ends, sums.encoded())


def folded(
    periods: Sequence[Period], rewards: Mapping[int, VersionRewards], known: Mapping[int, VersionWeights]
) -> tuple[Period, ...]:
    """Return the periods, in the order of versions, with the rewards of more versions in them.

    A version that no period contains becomes one of its own, if it has rewards. Then neighbours are merged, so that few
    enough are left. A period that nothing was done to is the same object.
    """
    drafts, arms = [_Draft.of(period) for period in periods], 1
    for version in sorted(version for version, each in rewards.items() if not each.is_empty):
        weights = known.get(version, VersionWeights())
        sums = VersionSums.of(rewards[version], weights)
        arms = max(arms, len(sums.arms.count))
        place = bisect_right(drafts, version, key=lambda draft: draft.first_version)
        if not place or drafts[place - 1].last_version < version:
            begins, ends = _times(weights, drafts[:place])
            drafts.insert(place, _Draft(version, version, begins, ends))
            place += 1
        drafts[place - 1].added.append(sums)
    most = max(_FEWEST_PERIODS, min(MOST_PERIODS, _MOST_PAIRS // arms**2))
    plan = merge_plan([each.begins for each in drafts], [each.ends for each in drafts], most)
    for group in plan:
        for place in group[1:]:
            drafts[group[0]].take(drafts[place])
    return tuple(drafts[group[0]].made() for group in plan)


def _times(known: VersionWeights, before: Sequence[_Draft]) -> tuple[float, float]:
    """Return when a version was in force; where nobody knows, it begins and ends as the period before it ends."""
    last = before[-1].ends if before else 0.0
    begins = last if known.begins is None else known.begins
    return begins, begins if known.ends is None else known.ends
