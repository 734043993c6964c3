"""Finds the experiment that a request is about."""

from __future__ import annotations

import asyncio
from typing import Final

from bandit_core.rules.problems import NotFound, Unavailable
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.domain.api_key import Principal
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.serving.experiment_cache import ExperimentCache

_FIRST_WEIGHTS_SECONDS: Final = 1.0


class ExperimentLookup:
    """Finds experiments for callers."""

    def __init__(self, cache: ExperimentCache) -> None:
        self._cache = cache

    async def served(self, experiment_id: str, principal: Principal) -> ServedExperiment:
        """Return the experiment if the caller may use it.

        Raises:
            NotFound: there is none of that id, or it belongs to a namespace the key may not see.
            Unavailable: neither store answers.
        """
        served = self._cache.get(experiment_id)
        if served is None:
            try:
                served = await self._cache.find(experiment_id)
            except PostgresUnavailableError:
                raise Unavailable(
                    "neither the store nor Postgres can be asked for the experiment", retry_after=1
                ) from None
        if served is None or not principal.sees(served.experiment.namespace):
            raise NotFound(f"there is no experiment {experiment_id!r}")
        return served if served.allocation is not None else await self._with_weights(served)

    async def _with_weights(self, served: ServedExperiment) -> ServedExperiment:
        """Wait a moment for the first weights of an experiment that was created just now, maybe elsewhere."""
        deadline = asyncio.get_running_loop().time() + _FIRST_WEIGHTS_SECONDS
        while served.allocation is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_FIRST_WEIGHTS_SECONDS / 20)
            served = self._cache.get(served.experiment.id) or served
        return served

    async def with_arm(self, served: ServedExperiment, arm_index: int) -> ServedExperiment:
        """Return the experiment with that arm: it may have joined since this process last looked.

        Raises:
            Unavailable: the newer definition cannot be had yet.
        """
        if arm_index < len(served.experiment.arms):
            return served
        try:
            newer = await self._cache.refresh(served.experiment.id)
        except PostgresUnavailableError:
            newer = None
        if newer is None or arm_index >= len(newer.experiment.arms):
            raise Unavailable("the decision's arm is not known here yet", retry_after=1)
        return newer
