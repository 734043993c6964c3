"""Choices for requests that ask for more than an arm: in a context, among some of the arms, or for several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import numpy as np

from bandit_core.contextual import linear_weights
from bandit_core.slates import Slate, draw_slate
from bandit_service.domain.decision_id import Place
from bandit_service.domain.event import Context
from bandit_service.domain.vectors import has_only_floors, subset_weights
from bandit_service.serving.choice import Choice, Demand, DemandError, WeightVector
from bandit_service.serving.served_experiment import NoWeightsError, ServedExperiment

_MOST_SUBSETS = 256
_SLATE_POLICIES = ("thompson", "uniform")


class Chooser:
    """Chooses for demands. What is asked for again and again is computed once for each version of the weights."""

    def __init__(self, *, uniform: Callable[[], float], generator: np.random.Generator) -> None:
        self._uniform = uniform
        self._generator = generator
        self._computing: set[asyncio.Task[None]] = set()

    def choose(self, serving: ServedExperiment, demand: Demand, unit: str | None) -> Choice:
        """Return the arm or the slate for a request.

        Raises:
            DemandError: it cannot be served as it is; NoWeightsError: no weights are known yet.
        """
        eligible = serving.eligible(demand)
        context = logged_context(serving, demand.context)
        if demand.k > 1:
            return self._slate(serving, demand, unit, eligible, context)
        settled = serving.settled(unit, eligible)
        if settled is not None:
            return Choice(*settled, context=context)
        vector = self._vector(serving, demand, eligible, context)
        arm = serving.draw(vector, unit, self._uniform())
        return Choice(arm, vector.weights[arm.id], serving.stratum, vector.kind, vector.segment, context)

    def _vector(
        self, serving: ServedExperiment, demand: Demand, eligible: frozenset[str] | None, context: Context | None
    ) -> WeightVector:
        if serving.experiment.is_contextual:
            return _context_vector(serving, context, eligible)
        if serving.experiment.segment_by:
            vector = serving.segment_vector(serving.segmentation.number(_categories(demand)))
            return vector if eligible is None else vector.among(eligible)
        return serving.published if eligible is None else self._subset_vector(serving, eligible)

    def _subset_vector(self, serving: ServedExperiment, eligible: frozenset[str]) -> WeightVector:
        """Return the exact vector of a subset, or the published one renormalised while that is being computed."""
        subsets = serving.subsets
        known = subsets.get(eligible)
        if known is None and eligible not in subsets and len(subsets) < _MOST_SUBSETS:
            subsets[eligible] = None
            task = asyncio.create_task(_compute(serving, eligible))
            self._computing.add(task)
            task.add_done_callback(self._computing.discard)
        return known or serving.published.among(eligible)

    def _slate(
        self,
        serving: ServedExperiment,
        demand: Demand,
        unit: str | None,
        eligible: frozenset[str] | None,
        context: Context | None,
    ) -> Choice:
        arms = _rankable(serving, eligible)
        settled = serving.settled(unit, eligible)
        if settled is not None:
            arm, _, stratum = settled
            order = sorted((name for name in arms if name != arm.id), key=lambda name: -_weight(serving, name))
            places = tuple(Place(serving.arms[name].index, 1.0) for name in (arm.id, *order[: demand.k - 1]))
            return Choice(arm, 1.0, stratum, "slate", None, context, places, 1.0)
        slate = self._drawn(serving, arms, demand.k)
        places = tuple(
            Place(serving.arms[arms[chosen]].index, propensity)
            for chosen, propensity in zip(slate.arms, slate.marginals, strict=True)
        )
        arm = serving.arms[arms[slate.arms[0]]]
        return Choice(arm, places[0].propensity, serving.stratum, "slate", None, context, places, slate.joint)

    def _drawn(self, serving: ServedExperiment, arms: list[str], k: int) -> Slate:
        experiment = serving.experiment
        epsilon = min(1.0, len(arms) * serving.floor)
        if experiment.policy.name == "uniform":
            return draw_slate(np.ones(len(arms)), np.ones(len(arms)), k, 1.0, self._generator)
        if serving.allocation is None or not all(name in serving.allocation.beliefs for name in arms):
            raise NoWeightsError(experiment.id)
        parameters = np.array([serving.allocation.beliefs[name] for name in arms])
        return draw_slate(parameters[:, 0], parameters[:, 1], k, epsilon, self._generator)


def _rankable(serving: ServedExperiment, eligible: frozenset[str] | None) -> list[str]:
    """Return the arms a slate may consist of.

    Raises:
        DemandError: the experiment's settings are for one arm at a time.
    """
    experiment = serving.experiment
    reason = None
    if experiment.policy.name not in _SLATE_POLICIES:
        reason = f"slates need one of the policies {', '.join(_SLATE_POLICIES)}, not {experiment.policy.name}"
    elif experiment.is_gaussian or experiment.segment_by:
        reason = "slates need rewards between 0 and 1, and no segments"
    elif experiment.assignment == "sticky":
        reason = "an experiment with sticky assignment gives one arm at a time"
    elif not has_only_floors(experiment):
        reason = "of the guardrails only min_weight can hold for slates"
    if reason is not None:
        raise DemandError("k", reason)
    return [arm.id for arm in experiment.active_arms if eligible is None or arm.id in eligible]


def _context_vector(
    serving: ServedExperiment, context: Context | None, eligible: frozenset[str] | None
) -> WeightVector:
    if serving.linear is None or serving.features is None:
        raise NoWeightsError(serving.experiment.id)
    beliefs = serving.linear.beliefs
    # Arms that joined since the models were published are drawn from the next publication on.
    wanted = [name for name in beliefs.arms if serving.is_active(name) and (eligible is None or name in eligible)]
    if not wanted:
        raise NoWeightsError(serving.experiment.id)
    if len(wanted) < len(beliefs.arms):
        beliefs = beliefs.subset(wanted)
    x = serving.features.vector(context or [])
    weights = linear_weights(serving.contextual_policy, beliefs, x, serving.floor)
    positive = {name: weight for name, weight in zip(beliefs.arms, weights.tolist(), strict=True) if weight > 0.0}
    return WeightVector(positive, "context")


def logged_context(
    serving: ServedExperiment, context: Mapping[str, float | str] | list[float] | None
) -> Context | None:
    """Return the context as it is kept: numbers in the order of the declared features, else as it was given.

    Raises:
        DemandError: it is not what the experiment declares.
    """
    features = serving.features
    if features is None:
        return dict(context) if isinstance(context, Mapping) else context
    if context is None:
        if serving.experiment.is_contextual:
            raise DemandError("context", f"needed: the policy {serving.experiment.policy.name} decides by it")
        return None
    try:
        numbers: list[float] = features.vector(context).tolist()
    except ValueError as error:
        raise DemandError("context", str(error)) from None
    return numbers[: features.given]


def _categories(demand: Demand) -> Mapping[str, object]:
    return demand.context if isinstance(demand.context, Mapping) else {}


def _weight(serving: ServedExperiment, name: str) -> float:
    return serving.allocation.weights.get(name, 0.0) if serving.allocation else 0.0


async def _compute(serving: ServedExperiment, eligible: frozenset[str]) -> None:
    weights = await asyncio.to_thread(subset_weights, serving.experiment, serving.allocation, eligible)
    if weights is not None:
        serving.subsets[eligible] = WeightVector(weights, "subset")
