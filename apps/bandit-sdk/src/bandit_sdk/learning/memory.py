"""A store that forgets with its process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bandit_sdk.learning.store import ArmChange, ArmCounts, ArmKey, accept, named_observations, summed


@dataclass(slots=True)
class Ledger:
    """The counts of one learner, and the observations that are known."""

    arms: dict[ArmKey, ArmCounts] = field(default_factory=dict)
    observations: set[str] = field(default_factory=set)

    def add(self, changes: Sequence[ArmChange]) -> list[bool]:
        unknown = [name for name in named_observations(changes) if name not in self.observations]
        accepted = accept(changes, unknown)
        for key, counts in summed(changes, accepted).items():
            self.arms[key] = self.arms.get(key, ArmCounts()) + counts
        self.observations.update(unknown)
        return accepted

    def decay(self, factor: float, arm: str | None, state: str | None) -> None:
        self.arms |= {key: self.arms[key].decayed(factor) for key in self._chosen(arm, state)}

    def reset(self, arm: str | None, state: str | None) -> None:
        for key in self._chosen(arm, state):
            del self.arms[key]
        if arm is state is None:
            self.observations.clear()

    def counts(self, state: str | None) -> dict[ArmKey, ArmCounts]:
        return {key: self.arms[key] for key in self._chosen(None, state)}

    def _chosen(self, arm: str | None, state: str | None) -> list[ArmKey]:
        return [key for key in self.arms if arm in (None, key.arm) and state in (None, key.state)]


class MemoryLearningStore:
    """Keeps counts in this process, for tests and for programs that need not remember."""

    def __init__(self) -> None:
        self._learners: dict[str, Ledger] = {}

    async def initialize(self) -> None:
        """Do nothing: there is nothing to make."""

    async def add(self, learner: str, changes: Sequence[ArmChange]) -> list[bool]:
        return self._ledger(learner).add(changes)

    async def counts(self, learner: str, state: str | None = None) -> dict[ArmKey, ArmCounts]:
        return self._ledger(learner).counts(state)

    async def decay(self, learner: str, factor: float, arm: str | None = None, state: str | None = None) -> None:
        self._ledger(learner).decay(factor, arm, state)

    async def reset(self, learner: str, arm: str | None = None, state: str | None = None) -> None:
        self._ledger(learner).reset(arm, state)

    async def close(self) -> None:
        """Do nothing: the counts live as long as this object."""

    def _ledger(self, learner: str) -> Ledger:
        return self._learners.setdefault(learner, Ledger())
