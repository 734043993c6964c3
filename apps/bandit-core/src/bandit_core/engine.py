"""The allocation engine as a function: from observations and the weights in force to the next weights, explained.

For programs that assign and store by themselves and only want the decision. It is `allocate` with the vocabulary of
such programs: no second way to compute weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum
from typing import ClassVar, Final, Literal

from bandit_core.allocation import ArmState, allocate
from bandit_core.checks import check_number
from bandit_core.explanation import Explanation
from bandit_core.guardrails import Guardrails
from bandit_core.policies import make_policy
from bandit_core.policies.base import ArmBeliefs, Policy, Proposal

type Strategy = Literal["thompson", "heuristic"]

SUM_SLACK: Final = 0.05
"""How far previous weights may add up to something else than 1, as rounded ones do; they are scaled to 1."""

EXACT: Final = 1e-9
"""A sum closer to 1 than this is the arithmetic's own rounding, and not worth a sentence."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of a variant: so many trials, of which so many were successes (they need not be whole).

    ValueError unless 0 <= successes <= trials, both finite.
    """

    trials: float
    successes: float

    def __post_init__(self) -> None:
        check_number("trials", self.trials, low=0.0)
        check_number("successes", self.successes, low=0.0, high=float(self.trials))


@dataclass(frozen=True, slots=True)
class Constraints:
    """What an update has to respect; the defaults limit nothing.

    `min_trials`: with fewer trials of any variant nothing moves. `max_step`: the most a weight may change.
    `min_weight`: the least any variant gets. Values are checked as those of `Guardrails`.
    """

    min_trials: int = 0
    max_step: float = 1.0
    min_weight: float = 0.0

    def __post_init__(self) -> None:
        self.guardrails()

    def guardrails(self) -> Guardrails:
        return Guardrails(min_trials=self.min_trials, max_step=self.max_step, min_weight=self.min_weight)


@dataclass(frozen=True, slots=True)
class Result:
    """The weights of one update, which sum to 1, and the account of how they came about.

    `str(explanation)` is a paragraph; its fields say the same to programs.
    """

    weights: dict[str, float]
    explanation: "EngineExplanation"


@dataclass(frozen=True, slots=True)
class EngineExplanation:
    """An `Explanation` that reads as a paragraph when it is printed.

    `previous_sum` is what the previous weights added up to, where they had to be scaled to 1; None otherwise.
    """

    details: Explanation
    previous_sum: float | None = None

    def __str__(self) -> str:
        said = self.details.paragraph()
        if self.previous_sum is None:
            return said
        return f"{said} The previous weights added up to {self.previous_sum:g} and were scaled to 1."

    def to_dict(self) -> dict[str, object]:
        """Return the record as plain data, ready for JSON."""
        return self.details.to_dict() | {"previous_sum": self.previous_sum}


@dataclass(frozen=True, slots=True)
class Heuristic:
    """Weights in proportion to the estimated rates: simple, deterministic, slow to commit.

    A variant that does twice as well gets twice the traffic, however much or little is known. For debugging and
    controlled roll-outs; Thompson sampling learns faster.
    """

    name: ClassVar[str] = "heuristic"
    title: ClassVar[str] = "the heuristic, in proportion to estimated rates,"

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        return Proposal(beliefs.mean / beliefs.mean.sum(), {"mean": beliefs.mean})


class Engine:
    """Computes allocations; holds nothing but its strategy.

    "thompson": every variant's weight is its probability of being the best, exactly. "heuristic": see `Heuristic`.
    ValueError for another name.
    """

    def __init__(self, strategy: Strategy = "thompson") -> None:
        match strategy:
            case "thompson":
                self._policy: Policy = make_policy("thompson")
            case "heuristic":
                self._policy = Heuristic()
            case _:
                raise ValueError(f"unknown strategy {strategy!r}, known are 'thompson' and 'heuristic'")

    def compute(
        self,
        *,
        observations: Mapping[str, Observation],
        previous_weights: Mapping[str, float] | None = None,
        constraints: Constraints | None = None,
    ) -> Result:
        """Return the next weights of the variants.

        Beliefs are Beta(1 + successes, 1 + trials - successes). `previous_weights` are those in force; without them
        this is a first allocation. They may miss 1 by rounding (0.33 + 0.33 + 0.34 does not, 0.33 three times does)
        and are scaled, as the explanation says; a variant missing there joins, one only there leaves. ValueError for
        no variants, weights below 0 or that miss 1 by more than SUM_SLACK, or a `min_weight` that cannot be given to
        every variant.
        """
        if not observations:
            raise ValueError("observations must name at least one variant")
        limits = constraints or Constraints()
        total = _checked_sum(previous_weights) if previous_weights else 1.0
        allocation = allocate(
            arms=[
                ArmState(name, 1.0 + seen.successes, 1.0 + seen.trials - seen.successes, seen.trials)
                for name, seen in observations.items()
            ],
            policy=self._policy,
            guardrails=limits.guardrails(),
            previous={name: weight / total for name, weight in (previous_weights or {}).items()} or None,
            seconds_since_change=None,
        )
        previous_sum = total if abs(total - 1.0) > EXACT else None
        return Result(allocation.weights, EngineExplanation(allocation.explanation, previous_sum))


def _checked_sum(weights: Mapping[str, float]) -> float:
    for name, weight in weights.items():
        check_number(f"previous_weights[{name!r}]", weight, low=0.0)
    total = fsum(weights.values())
    if not abs(total - 1.0) <= SUM_SLACK:
        raise ValueError(f"previous_weights must add up to 1, got {total:g}")
    return total
