"""The units a sticky experiment has seen, as the store keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from bandit_service.redis_store.keys import ExperimentKeys
from bandit_service.redis_store.store import RedisStore, translated


async def forget_units(store: RedisStore, experiment_id: str, hashes: Sequence[str]) -> int:
    """Take units out of an experiment's set; return how many were in it.

    Raises:
        StoreUnavailableError: the store does not answer.
    """
    with translated():
        return int(await cast("Any", store.client.srem(ExperimentKeys(experiment_id).units, *hashes)))
