"""What a process needs to answer for one experiment: its definition and what it draws from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandit_core.assignment import in_holdout
from bandit_core.contextual import ContextualPolicy, linear_weights
from bandit_core.features import FeatureMap
from bandit_core.rewards import RewardModel, make_reward_model
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import ArmDefinition, Experiment
from bandit_core.rules.linear_record import LinearRecord
from bandit_core.rules.problems import Invalid, Unavailable
from bandit_core.rules.requests import SelectRequest
from bandit_core.rules.reward_window import window_ms
from bandit_core.rules.segments import Segmentation
from bandit_core.rules.selection import Selection, Stratum, WeightVector
from bandit_core.rules.vectors import contextual_policy_of, floor_of


class NoWeightsError(Unavailable):
    """No weights have been published or restored yet."""

    def __init__(self, experiment_id: str) -> None:
        super().__init__(f"experiment {experiment_id!r} has no weights yet", retry_after=1)


@dataclass(frozen=True)
class ServedExperiment:
    """An experiment in memory. Immutable: a change of definition or weights makes a new one."""

    experiment: Experiment
    allocation: AllocationRecord | None
    linear: LinearRecord | None = None

    @cached_property
    def weights_version(self) -> int:
        return self.allocation.version if self.allocation else 0

    @property
    def published_at(self) -> float:
        """When the weights were published; 0 without any."""
        return self.allocation.published_at if self.allocation else 0.0

    @cached_property
    def reward_window_ms(self) -> int:
        return window_ms(self.experiment)

    @cached_property
    def reward_model(self) -> RewardModel | None:
        config = self.experiment.reward_model
        return None if config is None else make_reward_model(config)

    @cached_property
    def segmentation(self) -> Segmentation:
        return Segmentation(self.experiment)

    @cached_property
    def features(self) -> FeatureMap | None:
        """How a context becomes a vector; None if the experiment declares no features."""
        context = self.experiment.context
        if context is None:
            return None
        declared = context.features if context.features is not None else context.dimension
        return FeatureMap(declared or 0, intercept=context.intercept)

    @cached_property
    def contextual_policy(self) -> ContextualPolicy:
        return contextual_policy_of(self.experiment)

    @cached_property
    def floor(self) -> float:
        """The least weight of an arm, which is the only limit of vectors that are computed for a request."""
        return floor_of(self.experiment)

    @cached_property
    def is_gaussian(self) -> bool:
        return self.experiment.is_gaussian

    @cached_property
    def unit(self) -> float:
        return self.experiment.unit

    @property
    def stratum(self) -> Stratum:
        """Where its draws belong: to the bandit, or to the time after its end."""
        return "concluded" if self.experiment.goes_on else "bandit"

    @cached_property
    def draws_from_published(self) -> bool:
        """Whether a request that asks for nothing special is a draw from the published vector."""
        return not (self.experiment.is_contextual or self.experiment.segment_by)

    @cached_property
    def published(self) -> WeightVector:
        """The weight of each active arm that has one; renormalised, since an arm may have retired meanwhile."""
        if self.allocation is None:
            raise NoWeightsError(self.experiment.id)
        return self._active(WeightVector(self.allocation.weights))

    def segment_vector(self, segment: int) -> WeightVector:
        """Return the weights of a segment; the published ones while none are known for it."""
        name = self.segmentation.names[segment]
        weights = self.allocation.segments.get(name) if self.allocation is not None else None
        if weights is None:
            return WeightVector(self.published.weights, "published", segment)
        return self._active(WeightVector(weights, "segment", segment))

    def weights_in(
        self, contexts: list[float] | Sequence[list[float]], eligible: frozenset[str] | None = None
    ) -> tuple[Sequence[ArmDefinition], NDArray[np.float64]]:
        """Return active arms, and how likely each is in a context (K,), or in each of many (N, K).

        Contexts are numbers as the features return them. Arms that joined since the models were published are drawn
        from the next publication on.

        Raises:
            NoWeightsError: no models are known yet, or none of an eligible arm.
        """
        if self.linear is None or self.features is None:
            raise NoWeightsError(self.experiment.id)
        places = [place for place, name in self._modelled if eligible is None or name in eligible]
        if not places:
            raise NoWeightsError(self.experiment.id)
        beliefs, x = self.linear.beliefs, self.features.of(contexts)
        among = None if len(places) == len(beliefs.arms) else places
        weights = linear_weights(self.contextual_policy, beliefs, x, self.floor, among)
        return [self.arms[beliefs.arms[place]] for place in places], weights

    def choose(self, unit: str | None, uniform: float) -> Selection:
        """Return the arm for a request that asks for nothing special, given one uniform number in [0, 1).

        Raises:
            NoWeightsError: the experiment runs, but no weights are known yet.
        """
        predetermined = self.predetermined(unit)
        if predetermined is not None:
            return Selection(*predetermined)
        if self.experiment.assignment == "sticky" and unit is not None:
            return self._choices[self.published.assigned(unit, salt=self._salt, experiment=self.experiment.id)]
        return self._choices[self.published.draw(uniform)]

    def draw(self, vector: WeightVector, unit: str | None, uniform: float) -> ArmDefinition:
        """Return the arm that a vector gives a unit or, without sticky assignment, a uniform number."""
        if self.experiment.assignment == "sticky" and unit is not None:
            return self.arms[vector.assigned(unit, salt=self._salt, experiment=self.experiment.id)]
        return self.arms[vector.draw(uniform)]

    def predetermined(
        self, unit: str | None, eligible: frozenset[str] | None = None
    ) -> tuple[ArmDefinition, float, Stratum] | None:
        """Return the choice that is no draw: the experiment is paused or over, or the unit is held out."""
        experiment = self.experiment
        wanted: str
        stratum: Stratum
        if experiment.status == "paused":
            wanted, stratum = experiment.default_arm, "paused"
        elif experiment.status == "concluded" and not experiment.goes_on:
            wanted, stratum = experiment.winner or experiment.default_arm, "concluded"
        elif unit is not None and experiment.status == "running" and self._held_out(unit):
            wanted, stratum = experiment.control_arm or experiment.default_arm, "holdout"
        else:
            return None
        if eligible is not None and wanted not in eligible:
            wanted = experiment.default_arm if experiment.default_arm in eligible else self._first(eligible)
        return self.arms[wanted], 1.0, stratum

    def eligible(self, request: SelectRequest) -> frozenset[str] | None:
        """Return the active arms a request may be given; None if that is all of them.

        Raises:
            Invalid: it names an arm that there is not, or leaves none or too few.
        """
        active = eligible = self._active_ids
        if request.eligible_arms is not None or request.exclude_arms is not None:
            asked = active if request.eligible_arms is None else frozenset(request.eligible_arms)
            excluded = frozenset(request.exclude_arms or ())
            for field, names in (("eligible_arms", asked), ("exclude_arms", excluded)):
                if strangers := sorted(names - self.arms.keys()):
                    raise Invalid.field(field, f"there is no arm {strangers[0]!r}")
            eligible = (asked & active) - excluded
        if not eligible:
            raise Invalid.field("eligible_arms", "no active arm is left to choose from")
        if request.k > len(eligible):
            raise Invalid.field("k", f"only {len(eligible)} arms can be chosen from")
        return None if eligible == active else eligible

    @cached_property
    def subsets(self) -> dict[frozenset[str], WeightVector | None]:
        """Vectors over subsets of the arms that were asked for; None while one is being computed."""
        return {}

    @cached_property
    def arms(self) -> dict[str, ArmDefinition]:
        return {arm.id: arm for arm in self.experiment.arms}

    def _first(self, eligible: frozenset[str]) -> str:
        return next(arm.id for arm in self.experiment.active_arms if arm.id in eligible)

    def _held_out(self, unit: str) -> bool:
        share = self.experiment.holdout
        return share > 0.0 and in_holdout(share, salt=self._salt, experiment=self.experiment.id, unit=unit)

    def _active(self, vector: WeightVector) -> WeightVector:
        weights = vector.weights
        active = {arm.id: weights[arm.id] for arm in self.experiment.active_arms if weights.get(arm.id, 0.0) > 0}
        total = sum(active.values())
        if not total:
            active = {self.experiment.default_arm: 1.0}
        elif total != 1.0:
            active = {arm: weight / total for arm, weight in active.items()}
        return WeightVector(active, vector.kind, vector.segment)

    @cached_property
    def _modelled(self) -> list[tuple[int, str]]:
        """The active arms that the published models know, by their places in these."""
        known = () if self.linear is None else self.linear.arms
        return [(place, name) for place, name in enumerate(known) if name in self._active_ids]

    @cached_property
    def _active_ids(self) -> frozenset[str]:
        return frozenset(arm.id for arm in self.experiment.active_arms)

    @cached_property
    def _salt(self) -> bytes:
        return bytes.fromhex(self.experiment.salt)

    @cached_property
    def _choices(self) -> dict[str, Selection]:
        return dict(self._made())

    def _made(self) -> Iterator[tuple[str, Selection]]:
        for arm, weight in self.published.weights.items():
            yield arm, Selection(self.arms[arm], weight, self.stratum)
