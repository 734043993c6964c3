"""Who may see beliefs, weights and verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import NewApiKey, StartApi

VIEWS = ["posterior", "allocation", "conclusion"]


@pytest.mark.parametrize("view", VIEWS)
async def test_a_reader_of_the_namespace_may_and_nobody_else(
    start_api: StartApi, new_api_key: NewApiKey, view: str
) -> None:
    admin = await new_api_key("admin")
    inside, outside = await new_api_key("reader", "shop"), await new_api_key("reader", "blog")
    async with start_api(auth_required=True) as api:
        path = f"/experiments/shop.homepage/{view}"
        api.http.headers["X-Api-Key"] = admin
        await api.create(experiment_id="shop.homepage")
        for key, status in ((inside, 200), (outside, 404), ("bandit_0_wrong", 401)):
            api.http.headers["X-Api-Key"] = key
            await api.get(path, status)
        del api.http.headers["X-Api-Key"]
        await api.get(path, 401)
        # A stranger learns nothing, not even that a path is wrong.
        await api.get(f"/experiments/no%20where/{view}", 401)
