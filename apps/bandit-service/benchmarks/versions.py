"""How many versions of its weights an experiment makes, by its age: `python -m benchmarks.versions`.

Time is simulated, with the rules that a lease-holder has. The bound is what is published if every change were worth it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import ArmDefinition, Experiment, GuardrailsDefinition
from bandit_service.allocation.compute import compute, update_every
from bandit_service.allocation.watched import distance, is_worth_publishing
from bandit_service.domain.totals import Totals

START: Final = 1_790_000_000.0
AGES: Final = {"an hour": 3_600.0, "a day": 86_400.0, "30 days": 2_592_000.0, "a year": 31_536_000.0}


@dataclass(frozen=True, slots=True)
class Case:
    """An experiment of which decisions a second are rewarded, each arm at a rate of its own."""

    name: str
    rates: tuple[float, ...]
    decisions: float
    max_step: float | None = None

    @property
    def experiment(self) -> Experiment:
        arms = tuple(ArmDefinition(index, f"arm-{index}") for index in range(len(self.rates)))
        return Experiment(
            id="homepage",
            namespace="default",
            status="running",
            revision=1,
            arms=arms,
            default_arm=arms[0].id,
            created_at=START,
            guardrails=GuardrailsDefinition(max_step=self.max_step),
        )


CASES: Final = (
    Case("two arms, 5.0% and 5.5%, 1 a second", (0.05, 0.055), 1.0),
    Case("two arms, 5.0% and 5.5%, 100 a second", (0.05, 0.055), 100.0),
    Case("five arms of 5%, 100 a second", (0.05,) * 5, 100.0),
    Case("five arms of 5%, steps of 5%", (0.05,) * 5, 100.0, max_step=0.05),
)


def bound(experiment: Experiment, age: float) -> float:
    """Return how many versions there are at most: one each `update_every` seconds, later each thousandth of the age."""
    even = 1_000 * update_every(experiment)
    if age <= even:
        return age / update_every(experiment)
    return 1_000 * (1 + math.log(age / even))


def simulated(case: Case, rng: np.random.Generator) -> dict[str, int]:
    """Return how many versions were published up to each age."""
    experiment, now, versions, last = case.experiment, START, 0, None
    shown, rewarded = np.zeros(len(case.rates)), np.zeros(len(case.rates))
    found: dict[str, int] = {}
    for name, age in AGES.items():
        while now - START < age:
            record = _computed(experiment, shown, rewarded, last, now)
            if is_worth_publishing(experiment, record, last, now):
                last, versions = record, versions + 1
            seconds = distance(experiment, now)
            weights = np.array([(last or record).weights[arm.id] for arm in experiment.arms])
            decided = rng.multinomial(rng.poisson(case.decisions * seconds), weights / weights.sum())
            shown, rewarded = shown + decided, rewarded + rng.binomial(decided, case.rates)
            now += seconds
        found[name] = versions
    return found


def _computed(
    experiment: Experiment, shown: np.ndarray, rewarded: np.ndarray, last: AllocationRecord | None, now: float
) -> AllocationRecord:
    totals = Totals(
        decisions={index: int(number) for index, number in enumerate(shown)},
        rewards={index: int(number) for index, number in enumerate(shown)},
        reward_micro={index: int(number) * 1_000_000 for index, number in enumerate(rewarded)},
        as_of=now,
    )
    record, _ = compute(experiment, totals, last, now)
    return msgspec.structs.replace(record, published_at=now)


def main() -> None:
    """Simulate and print."""
    table = Table("experiment", *[f"{name}: at most" for name in AGES], *AGES, box=None)
    for case in CASES:
        found = simulated(case, np.random.default_rng(1))
        table.add_row(
            case.name,
            *[f"{bound(case.experiment, age):,.0f}" for age in AGES.values()],
            *[f"{found[name]:,}" for name in AGES],
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
