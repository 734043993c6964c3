"""Choices for requests that ask for more than an arm: in a context, among some of the arms, or for several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np

from bandit_core.assignment import drawn_from
from bandit_core.rules.experiment import ArmDefinition
from bandit_core.rules.problems import Invalid, OrProblem, Problem
from bandit_core.rules.requests import SelectRequest
from bandit_core.rules.selection import Context, Selection, SlatePosition, WeightVector
from bandit_core.rules.served_experiment import NoWeightsError, ServedExperiment
from bandit_core.rules.vectors import has_only_floors, subset_weights
from bandit_core.slates import Slate, draw_slate

_SLATE_POLICIES = ("thompson", "uniform")

type SubsetVectors = Callable[[ServedExperiment, frozenset[str]], WeightVector]


def computed_subset(served: ServedExperiment, eligible: frozenset[str]) -> WeightVector:
    """Return the exact vector of a subset of the arms; without beliefs the published one renormalised."""
    weights = subset_weights(served.experiment, served.allocation, eligible)
    return served.published.among(eligible) if weights is None else WeightVector(weights, "subset")


class _InContext(NamedTuple):
    """A request for an arm that is drawn from the vector of its context, anew for each request of a unit."""

    served: ServedExperiment
    eligible: frozenset[str] | None
    context: list[float]


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
        chosen = self._chosen(served, request)
        if isinstance(chosen, Selection):
            return chosen
        arms, weights = served.weights_in(chosen.context, chosen.eligible)
        return self._drawn_in_context(chosen, arms, weights.tolist())

    def select_all(self, asked: Sequence[tuple[ServedExperiment, SelectRequest]]) -> list[OrProblem[Selection]]:
        """Return for each of many requests what `select` returns or raises.

        Where one experiment is asked in several contexts for the same arms, all vectors are computed in one product.
        """
        found: dict[int, OrProblem[Selection]] = {}
        alike: dict[tuple[int, frozenset[str] | None], dict[int, _InContext]] = {}
        for place, (served, request) in enumerate(asked):
            try:
                chosen = self._chosen(served, request)
            except Problem as problem:
                found[place] = problem
                continue
            if isinstance(chosen, Selection):
                found[place] = chosen
            else:
                alike.setdefault((id(served), chosen.eligible), {})[place] = chosen
        for group in alike.values():
            found.update(zip(group, self._all_in_context(list(group.values())), strict=True))
        return [found[place] for place in range(len(asked))]

    def _chosen(self, served: ServedExperiment, request: SelectRequest) -> Selection | _InContext:
        """Return what is chosen for a request, unless that is drawn from the vector of its context."""
        unit = request.unit_id
        if request.is_plain and served.draws_from_published:
            return served.choose(unit, self._uniform())
        eligible = served.eligible(request)
        context = logged_context(served, request.context)
        if request.k > 1:
            return self._slate(served, request, eligible, context)
        predetermined = served.predetermined(unit, eligible)
        if predetermined is not None:
            return Selection(*predetermined, context=context)
        if served.experiment.is_contextual:
            # It declares features, so these are numbers.
            return _InContext(served, eligible, cast("list[float]", context))
        vector = self._vector(served, request, eligible)
        arm = served.draw(vector, unit, self._uniform())
        return Selection(arm, vector.weights[arm.id], served.stratum, vector.kind, vector.segment, context)

    def _all_in_context(self, group: Sequence[_InContext]) -> Iterator[OrProblem[Selection]]:
        """Yield the choices for requests to one experiment for the same arms."""
        served, eligible, _ = group[0]
        try:
            arms, weights = served.weights_in([each.context for each in group], eligible)
        except NoWeightsError as error:
            yield from [error] * len(group)
        else:
            for each, row in zip(group, weights.tolist(), strict=True):
                yield self._drawn_in_context(each, arms, row)

    def _drawn_in_context(self, asked: _InContext, arms: Sequence[ArmDefinition], weights: list[float]) -> Selection:
        drawn = drawn_from(weights, self._uniform())
        return Selection(arms[drawn], weights[drawn], asked.served.stratum, "context", None, asked.context)

    def _vector(
        self, served: ServedExperiment, request: SelectRequest, eligible: frozenset[str] | None
    ) -> WeightVector:
        if served.experiment.segment_by:
            vector = served.segment_vector(served.segmentation.number(_categories(request)))
            return vector if eligible is None else vector.among(eligible)
        return served.published if eligible is None else self._subset_vectors(served, eligible)

    def _slate(
        self,
        served: ServedExperiment,
        request: SelectRequest,
        eligible: frozenset[str] | None,
        context: Context | None,
    ) -> Selection:
        arms = _rankable(served, eligible)
        predetermined = served.predetermined(request.unit_id, eligible)
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
        return features.numbers(context)
    except ValueError as error:
        raise Invalid.field("context", str(error)) from None


def _categories(request: SelectRequest) -> Mapping[str, object]:
    return request.context if isinstance(request.context, Mapping) else {}


def _weight(served: ServedExperiment, name: str) -> float:
    return served.allocation.weights.get(name, 0.0) if served.allocation else 0.0
