"""A plain Thompson-sampling service, translated: the same keys and calls, as docs/coming-from.md says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from conftest import Api

    from bandit_service.settings import Settings

DOCUMENT = Path(__file__).parents[3] / "docs" / "coming-from.md"


async def test_a_reward_moves_the_keys_that_such_a_service_has(api: Api, module_settings: Settings) -> None:
    live = await api.create("control", "treatment_a", "treatment_b", stopping={"prob_best": 0.95})
    decision = await live.select()
    await live.reward(decision, 1)
    with redis.Redis.from_url(module_settings.redis_url.get_secret_value(), decode_responses=True) as client:
        prefix = f"experiment:{{{live.id}}}:arm:{decision['arm_index']}"

        def found() -> list[float]:
            values: list[Any] = client.mget(f"{prefix}:alpha", f"{prefix}:beta")
            return [int(value) / 1_000_000 for value in values]

        async def have_moved() -> bool:
            return found() != [1.0, 1.0]

        await api.until(have_moved)
        assert found() == [2.0, 1.0]
    assert "experiment:{homepage}:arm:" in DOCUMENT.read_text()
