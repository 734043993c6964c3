"""What the store says of an experiment: where it stands, its counters, its beliefs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bandit_service.redis_store.keys import ExperimentKeys

HEAD_FIELDS = ("epoch", "seq", "committed", "version", "weights_version", "revision")


@dataclass(frozen=True, slots=True)
class Head:
    """Where an experiment stands. Without an epoch it has to be refilled; without a revision it has no definition."""

    epoch: int | None
    seq: int
    committed: int
    version: int
    weights_version: int
    revision: int

    @classmethod
    def parse(cls, values: Sequence[str | bytes | None]) -> Head:
        """Read the values of HEAD_FIELDS, None for those that are not there."""
        epoch, seq, committed, version, weights_version, revision = values
        return cls(
            epoch=None if epoch is None else int(epoch),
            seq=int(seq or 0),
            committed=int(committed or 0),
            version=int(version or 0),
            weights_version=int(weights_version or 0),
            revision=-1 if revision is None else int(revision),
        )


@dataclass(frozen=True, slots=True)
class State(Head):
    """Where an experiment stands, and its counters."""

    decisions: dict[int, int]
    rewards: dict[int, int]
    holdout_decisions: dict[int, int]
    holdout_rewards: int
    holdout_reward_micro: int

    @classmethod
    def of(cls, fields: dict[str, str]) -> State:
        """Read every field of the state."""
        head = Head.parse([fields.get(name) for name in HEAD_FIELDS])
        return cls(
            head.epoch,
            head.seq,
            head.committed,
            head.version,
            head.weights_version,
            head.revision,
            decisions=_by_arm(fields, "d:"),
            rewards=_by_arm(fields, "n:"),
            holdout_decisions=_by_arm(fields, "hd:"),
            holdout_rewards=int(fields.get("holdout_rewards", 0)),
            holdout_reward_micro=int(fields.get("holdout_reward_micro", 0)),
        )


@dataclass(frozen=True, slots=True)
class BeliefCounts:
    """One consistent picture of an experiment: its counters, and the two sums of every arm in millionths.

    They are alpha and beta, prior included; or the rewards and their squares, if gaussian. `segment_rewards` and
    `segment_micro` are how many rewards entered by (segment, arm), and their sum.
    """

    state: State
    alpha_micro: tuple[int | None, ...]
    beta_micro: tuple[int | None, ...]
    segment_rewards: Mapping[tuple[int, int], int] = field(default_factory=dict)
    segment_micro: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @staticmethod
    def keys(experiment_id: str, arms: int) -> list[str]:
        """Name the keys to be read for the first `arms` arms, in the order `parse` expects."""
        names = ExperimentKeys(experiment_id)
        alphas = [names.alpha(index) for index in range(arms)]
        return [names.state, names.segments, *alphas, *(names.beta(index) for index in range(arms))]

    @classmethod
    def parse(cls, flat: Sequence[str], segments: Sequence[str], values: Sequence[str]) -> BeliefCounts:
        """Read state and segments as flat lists of fields and values, and what stands under the other keys."""
        numbers = tuple(int(value) if value != "" else None for value in values)
        arms = len(numbers) // 2
        counts = dict(zip(segments[::2], segments[1::2], strict=True))
        return cls(
            State.of(dict(zip(flat[::2], flat[1::2], strict=True))),
            numbers[:arms],
            numbers[arms:],
            _by_segment(counts, "n:"),
            _by_segment(counts, "r:"),
        )


def _by_segment(counts: Mapping[str, str], prefix: str) -> dict[tuple[int, int], int]:
    found = {}
    for name, value in counts.items():
        if name.startswith(prefix):
            segment, arm = name[len(prefix) :].split(":")
            found[int(segment), int(arm)] = int(value)
    return found


def _by_arm(fields: dict[str, str], prefix: str) -> dict[int, int]:
    return {int(name[len(prefix) :]): int(value) for name, value in fields.items() if name.startswith(prefix)}
