"""What a process has besides the parts that the simulation is about: here it does nothing."""

from __future__ import annotations

from functools import cache

from bandit_core.rules.experiment import Experiment
from bandit_core.stopping import Verdict
from bandit_service.metrics import Metrics


class Aside:
    """Stands for snapshots, sample ratios, partitions, retention and conclusions, which have tests of their own."""

    async def take_due(self, experiment_ids: list[str], seconds: float) -> None:
        """Keep no picture of posteriors."""

    async def update(self, experiment_ids: list[str]) -> None:
        """Test no sample ratio."""

    async def keep_ahead(self) -> None:
        """Create no partition."""

    async def keep(self) -> None:
        """Drop nothing."""

    async def conclude(self, experiment: Experiment, verdict: Verdict) -> None:
        """End no experiment: none of the simulation has a stopping rule."""


@cache
def shared_metrics() -> Metrics:
    """Return metrics that nobody looks at; to make them takes longer than many a schedule's second."""
    return Metrics()
