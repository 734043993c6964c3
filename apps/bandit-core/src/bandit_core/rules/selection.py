"""What is chosen for a request, and the weights that it is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import msgspec

from bandit_core.assignment import Sampler, rendezvous
from bandit_core.rules.experiment import ArmDefinition

Stratum = Literal["bandit", "holdout", "paused", "concluded", "direct"]
# Which vector a decision was drawn from: the published one; one that was computed for its subset of the arms, its
# segment, its context; the published one renormalised over a subset that is not computed yet; a ranking of a sample.
Vector = Literal["published", "subset", "renormalised", "segment", "context", "slate"]
type Context = list[float] | dict[str, float | str]


class SlatePosition(NamedTuple):
    """A position of a slate: its arm, and how likely that arm was there."""

    arm_index: int
    propensity: float


class Selection(msgspec.Struct, frozen=True, gc=False):
    """An arm for a request, how likely it was, and the stratum it belongs to.

    `vector` is what it was drawn from, `segment` the number of the context's segment. A slate has all its positions in
    `slate`, the first of which is the arm, and the probability of just that slate in `slate_propensity`.
    """

    arm: ArmDefinition
    propensity: float
    stratum: Stratum
    vector: Vector = "published"
    segment: int | None = None
    context: Context | None = None
    slate: tuple[SlatePosition, ...] = ()
    slate_propensity: float | None = None


@dataclass(frozen=True)
class WeightVector:
    """Positive weights by arm, which sum to 1, and the draw of one of them."""

    weights: Mapping[str, float]
    kind: Vector = "published"
    segment: int | None = None

    def draw(self, uniform: float) -> str:
        return self._names[self._sampler.draw(uniform)]

    def assigned(self, unit: str, *, salt: bytes, experiment: str) -> str:
        """Return the arm that a unit keeps for as long as these weights stay."""
        return rendezvous(self.weights, salt=salt, experiment=experiment, unit=unit)

    def among(self, eligible: frozenset[str]) -> WeightVector:
        """Return the weights renormalised over a subset of the arms, which has at least one with a weight."""
        kept = {arm: weight for arm, weight in self.weights.items() if arm in eligible}
        total = sum(kept.values())
        return WeightVector({arm: weight / total for arm, weight in kept.items()}, "renormalised", self.segment)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.weights)

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(list(self.weights.values()))
