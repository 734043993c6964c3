"""Contextual decisions to be measured: experiments that have learnt something, and the requests they are asked with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import msgspec
import numpy as np

BATCH: Final = 100
POLICIES: Final = ("linucb", "linear_thompson")
_DIMENSIONS: Final = (5, 32)
_ARMS: Final = (3, 10, 100)
_REWARDS_OF_AN_ARM: Final = 20
_SINGLE_BODIES: Final = 256
_BATCH_BODIES: Final = 16
_REPORTED_AT_ONCE: Final = 1_000
NOISE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Shape:
    """A policy, how many numbers its vectors have, how many arms it decides between, and how many contexts at once."""

    policy: str
    dimension: int
    arms: int
    batch: int = 1

    @property
    def name(self) -> str:
        batch = f", batches of {self.batch}" if self.batch > 1 else ""
        return f"{self.policy}, d = {self.dimension}, {self.arms} arms{batch}"

    @property
    def path(self) -> str:
        return "/select/batch" if self.batch > 1 else "/select"

    @property
    def experiment_id(self) -> str:
        return f"{self.policy}-{self.dimension}-{self.arms}"

    def experiment(self) -> dict[str, Any]:
        """Return the body that creates the experiment."""
        return {
            "experiment_id": self.experiment_id,
            "arms": self.names,
            "policy": {"name": self.policy, "params": {"alpha": NOISE}},
            "context": {"dimension": self.dimension, "intercept": False},
            "guardrails": {"preset": "neutral", "min_weight": 0.1 / self.arms},
        }

    @property
    def names(self) -> list[str]:
        return [f"arm-{index}" for index in range(self.arms)]

    def observations(self) -> Iterator[tuple[int, list[float], float]]:
        """Yield what the models learn first: arms, contexts and rewards in [0, 1] that depend on both."""
        rng = np.random.default_rng(self.dimension * self.arms)
        effects = rng.normal(scale=0.2 / np.sqrt(self.dimension), size=(self.arms, self.dimension))
        for arm in np.repeat(np.arange(self.arms), _REWARDS_OF_AN_ARM):
            context = rng.normal(size=self.dimension)
            reward = np.clip(0.5 + effects[arm] @ context + NOISE * rng.normal(), 0.0, 1.0)
            yield int(arm), context.round(4).tolist(), round(float(reward), 3)

    def rewards(self) -> list[dict[str, Any]]:
        """Return the observations as direct rewards."""
        return [
            {"experiment_id": self.experiment_id, "arm": self.names[arm], "context": context, "reward": reward}
            for arm, context, reward in self.observations()
        ]

    def contexts(self, count: int) -> list[list[float]]:
        rng = np.random.default_rng(self.arms)
        found: list[list[float]] = rng.normal(size=(count, self.dimension)).round(4).tolist()
        return found

    def bodies(self) -> Sequence[bytes]:
        """Return requests in different contexts, to be sent again and again."""
        items = [
            {"experiment_id": self.experiment_id, "context": each}
            for each in self.contexts(_SINGLE_BODIES if self.batch == 1 else _BATCH_BODIES * self.batch)
        ]
        if self.batch == 1:
            return [msgspec.json.encode(each) for each in items]
        return [
            msgspec.json.encode({"items": items[first : first + self.batch]})
            for first in range(0, len(items), self.batch)
        ]


def teach(ask: Callable[[str, dict[str, Any]], object], shapes: Iterable[Shape]) -> None:
    """Create the experiments of shapes, each once, and report what they learn."""
    for shape in {shape.experiment_id: shape for shape in shapes}.values():
        ask("/experiments", shape.experiment())
        rewards = shape.rewards()
        for first in range(0, len(rewards), _REPORTED_AT_ONCE):
            ask("/reward/batch", {"items": rewards[first : first + _REPORTED_AT_ONCE]})


SHAPES: Final = tuple(
    Shape(policy, dimension, arms, batch)
    for batch, policy, dimension, arms in product((1, BATCH), POLICIES, _DIMENSIONS, _ARMS)
)
