"""Choices for requests that ask for more than an arm: in a context, among some of the arms, or for several at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bandit_core.contextual import linear_weights
from bandit_core.rules.problems import Invalid
from bandit_core.rules.requests import SelectRequest
from bandit_core.rules.selection import Context, Selection, SelectionRequest, SlatePosition, WeightVector
from bandit_core.rules.served_experiment import NoWeightsError, ServedExperiment
from bandit_core.rules.vectors import has_only_floors, subset_weights
from bandit_core.slates import Slate, draw_slate

_SLATE_POLICIES = ("thompson", "uniform")


type SubsetVectors = Callable[[ServedExperiment, frozenset[str]], WeightVector]


def computed_subset(served: ServedExperiment, eligible: frozenset[str]) -> WeightVector:
    """Return the exact vector of a subset of the arms; without beliefs the published one renormalised."""
    weights = subset_weights(served.experiment, served.allocation, eligible)
    return served.published.among(eligible) if weights is None else WeightVector(weights, "subset")


class ArmSelector:
    """Chooses for requests.

    Args:
        uniform: Returns a random number in [0, 1).
        generator: Draws slates.
        subset_vectors: Returns the vector over some of the arms.
    """

    def __init__(
        self,
        *,
        uniform: Callable[[], float],
        generator: np.random.Generator,
        subset_vectors: SubsetVectors = computed_subset,
    ) -> None:
        self._uniform = uniform
        self._generator = generator
        self._subset_vectors = subset_vectors

    def select(self, served: ServedExperiment, request: SelectRequest) -> Selection:
        """Return the arm or the slate for a request.

        Raises:
            Invalid: it cannot be served as it is; NoWeightsError: no weights are known yet.
        """
        if request.is_plain and served.draws_from_published:
            return served.choose(request.unit_id, self._uniform())
        eligible = None if request.eligible_arms is None else frozenset(request.eligible_arms)
        wanted = SelectionRequest(request.context, request.k, eligible, frozenset(request.exclude_arms or ()))
        return self.choose(served, wanted, request.unit_id)

    def choose(self, served: ServedExperiment, request: SelectionRequest, unit: str | None) -> Selection:
        """Return the arm or the slate for a request.

        Raises:
            Invalid: it cannot be served as it is; NoWeightsError: no weights are known yet.
        """
        eligible = served.eligible(request)
        context = logged_context(served, request.context)
        if request.k > 1:
            return self._slate(served, request, unit, eligible, context)
        predetermined = served.predetermined(unit, eligible)
        if predetermined is not None:
            return Selection(*predetermined, context=context)
        vector = self._vector(served, request, eligible, context)
        arm = served.draw(vector, unit, self._uniform())
        return Selection(arm, vector.weights[arm.id], served.stratum, vector.kind, vector.segment, context)

    def _vector(
        self,
        served: ServedExperiment,
        request: SelectionRequest,
        eligible: frozenset[str] | None,
        context: Context | None,
    ) -> WeightVector:
        if served.experiment.is_contextual:
            return _context_vector(served, context, eligible)
        if served.experiment.segment_by:
            vector = served.segment_vector(served.segmentation.number(_categories(request)))
            return vector if eligible is None else vector.among(eligible)
        return served.published if eligible is None else self._subset_vectors(served, eligible)

    def _slate(
        self,
        served: ServedExperiment,
        request: SelectionRequest,
        unit: str | None,
        eligible: frozenset[str] | None,
        context: Context | None,
    ) -> Selection:
        arms = _rankable(served, eligible)
        predetermined = served.predetermined(unit, eligible)
        if predetermined is not None:
            arm, _, stratum = predetermined
            order = sorted((name for name in arms if name != arm.id), key=lambda name: -_weight(served, name))
            places = tuple(SlatePosition(served.arms[name].index, 1.0) for name in (arm.id, *order[: request.k - 1]))
            return Selection(arm, 1.0, stratum, "slate", None, context, places, 1.0)
        slate = self._drawn(served, arms, request.k)
        places = tuple(
            SlatePosition(served.arms[arms[chosen]].index, propensity)
            for chosen, propensity in zip(slate.arms, slate.marginals, strict=True)
        )
        arm = served.arms[arms[slate.arms[0]]]
        return Selection(arm, places[0].propensity, served.stratum, "slate", None, context, places, slate.joint)

    def _drawn(self, served: ServedExperiment, arms: list[str], k: int) -> Slate:
        experiment = served.experiment
        epsilon = min(1.0, len(arms) * served.floor)
        if experiment.policy.name == "uniform":
            return draw_slate(np.ones(len(arms)), np.ones(len(arms)), k, 1.0, self._generator)
        if served.allocation is None or not all(name in served.allocation.beliefs for name in arms):
            raise NoWeightsError(experiment.id)
        parameters = np.array([served.allocation.beliefs[name] for name in arms])
        return draw_slate(parameters[:, 0], parameters[:, 1], k, epsilon, self._generator)


def _rankable(served: ServedExperiment, eligible: frozenset[str] | None) -> list[str]:
    """Return the arms a slate may consist of.

    Raises:
        Invalid: the experiment's settings are for one arm at a time.
    """
    experiment = served.experiment
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
        raise Invalid.field("k", reason)
    return [arm.id for arm in experiment.active_arms if eligible is None or arm.id in eligible]


def _context_vector(served: ServedExperiment, context: Context | None, eligible: frozenset[str] | None) -> WeightVector:
    if served.linear is None or served.features is None:
        raise NoWeightsError(served.experiment.id)
    beliefs = served.linear.beliefs
    # Arms that joined since the models were published are drawn from the next publication on.
    wanted = [name for name in beliefs.arms if served.is_active(name) and (eligible is None or name in eligible)]
    if not wanted:
        raise NoWeightsError(served.experiment.id)
    if len(wanted) < len(beliefs.arms):
        beliefs = beliefs.subset(wanted)
    x = served.features.vector(context or [])
    weights = linear_weights(served.contextual_policy, beliefs, x, served.floor)
    positive = {name: weight for name, weight in zip(beliefs.arms, weights.tolist(), strict=True) if weight > 0.0}
    return WeightVector(positive, "context")


def logged_context(served: ServedExperiment, context: Mapping[str, float | str] | list[float] | None) -> Context | None:
    """Return the context as it is kept: numbers in the order of the declared features, else as it was given.

    Raises:
        Invalid: it is not what the experiment declares.
    """
    features = served.features
    if features is None:
        return dict(context) if isinstance(context, Mapping) else context
    if context is None:
        if served.experiment.is_contextual:
            raise Invalid.field("context", f"needed: the policy {served.experiment.policy.name} decides by it")
        return None
    try:
        numbers: list[float] = features.vector(context).tolist()
    except ValueError as error:
        raise Invalid.field("context", str(error)) from None
    return numbers[: features.given]


def _categories(request: SelectionRequest) -> Mapping[str, object]:
    return request.context if isinstance(request.context, Mapping) else {}


def _weight(served: ServedExperiment, name: str) -> float:
    return served.allocation.weights.get(name, 0.0) if served.allocation else 0.0
