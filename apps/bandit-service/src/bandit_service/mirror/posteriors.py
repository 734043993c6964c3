"""The posteriors that stand in the store, for comparing them with the ledger's."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import batched
from typing import Final

from bandit_service.mirror.connection import make_redis, translated
from bandit_service.mirror.keys import ExperimentKeys

_TIMEOUT: Final = 5.0
_PAGE: Final = 500


async def mirrored_posteriors(url: str, arms: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
    """Return alpha and beta, in millionths, of those of the arms (experiment, index) that have both.

    Raises:
        StoreUnavailableError: the store does not answer.
    """
    client = make_redis(url, timeout=_TIMEOUT)
    found: dict[tuple[str, int], tuple[int, int]] = {}
    try:
        for page in batched(sorted(arms), _PAGE):
            pipeline = client.pipeline(transaction=False)
            for name, index in page:
                keys = ExperimentKeys(name)
                pipeline.mget(keys.alpha(index), keys.beta(index))
            with translated():
                values = await pipeline.execute()
            found |= {
                arm: (int(alpha), int(beta))
                for arm, (alpha, beta) in zip(page, values, strict=True)
                if alpha is not None and beta is not None
            }
    finally:
        await client.aclose()
    return found
