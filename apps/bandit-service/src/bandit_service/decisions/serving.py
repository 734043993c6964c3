"""What a process needs to answer for one experiment: its definition and the weights it draws from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bandit_core.assignment import Sampler, in_holdout, rendezvous
from bandit_core.rewards import RewardModel, make_reward_model
from bandit_service.allocator.record import AllocationRecord
from bandit_service.events.record import Stratum
from bandit_service.experiments.definition import ArmDefinition, Experiment


@dataclass(frozen=True, slots=True)
class Choice:
    """An arm for a request, how likely it was, and the stratum it belongs to."""

    arm: ArmDefinition
    propensity: float
    stratum: Stratum


class NoWeightsError(Exception):
    """No weights have been published or restored yet."""


@dataclass(frozen=True)
class Serving:
    """An experiment ready to be served. Immutable: a change of definition or weights makes a new one."""

    experiment: Experiment
    allocation: AllocationRecord | None

    @property
    def weights_version(self) -> int:
        return self.allocation.version if self.allocation else 0

    @cached_property
    def reward_window_ms(self) -> int:
        return round(self.experiment.reward_window * 1_000)

    @cached_property
    def reward_model(self) -> RewardModel | None:
        config = self.experiment.reward_model
        return None if config is None else make_reward_model(config)

    @cached_property
    def weights(self) -> dict[str, float]:
        """The weight of each active arm that has one; renormalised, since an arm may have retired meanwhile."""
        if self.allocation is None:
            raise NoWeightsError(self.experiment.id)
        published = self.allocation.weights
        active = {arm.id: published[arm.id] for arm in self.experiment.active_arms if published.get(arm.id, 0.0) > 0}
        total = sum(active.values())
        if not total:
            return {self.experiment.default_arm: 1.0}
        return active if total == 1.0 else {arm: weight / total for arm, weight in active.items()}

    def choose(self, unit: str | None, uniform: float) -> Choice:
        """Return the arm for a request, given one uniform number in [0, 1).

        Raises:
            NoWeightsError: the experiment runs, but no weights are known yet.
        """
        experiment = self.experiment
        if experiment.status == "paused":
            return Choice(self._arms[experiment.default_arm], 1.0, "paused")
        if experiment.status == "concluded":
            return Choice(self._arms[experiment.winner or experiment.default_arm], 1.0, "concluded")
        if unit is not None and self._held_out(unit):
            return Choice(self._arms[experiment.control_arm or experiment.default_arm], 1.0, "holdout")
        if experiment.assignment == "sticky" and unit is not None:
            chosen = rendezvous(self.weights, salt=self._salt, experiment=experiment.id, unit=unit)
            return Choice(self._arms[chosen], self.weights[chosen], "bandit")
        return self._choices[self._sampler.draw(uniform)]

    def _held_out(self, unit: str) -> bool:
        share = self.experiment.holdout
        return share > 0.0 and in_holdout(share, salt=self._salt, experiment=self.experiment.id, unit=unit)

    @cached_property
    def _salt(self) -> bytes:
        return bytes.fromhex(self.experiment.salt)

    @cached_property
    def _arms(self) -> dict[str, ArmDefinition]:
        return {arm.id: arm for arm in self.experiment.arms}

    @cached_property
    def _choices(self) -> tuple[Choice, ...]:
        return tuple(Choice(self._arms[arm], weight, "bandit") for arm, weight in self.weights.items())

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler([choice.propensity for choice in self._choices])
