"""Probes say whether the process is alive and whether it can serve, and what it goes on without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from conftest import Api, StartApi

NO_REDIS = SecretStr("redis://127.0.0.1:1/0")
NO_POSTGRES = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")


async def test_a_process_that_serves_is_alive_and_ready(api: Api) -> None:
    assert await api.get("/health") == {"status": "alive"}

    async def ready() -> bool:
        answer = await api.http.get("/ready")
        return answer.text == '{"status":"ready","degraded":[]}'

    await api.until(ready)


async def test_probes_and_metrics_need_no_key(start_api: StartApi) -> None:
    async with start_api(auth_required=True) as api:
        for path in ("/health", "/metrics", "/openapi.json", "/docs"):
            assert (await api.http.get(path)).status_code == 200
        assert (await api.http.get("/ready")).status_code in (200, 503)


async def test_metrics_with_a_token_are_for_those_who_send_it(start_api: StartApi) -> None:
    async with start_api(metrics_token=SecretStr("of-prometheus-alone")) as api:
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Bearer "}):
            assert (await api.http.get("/metrics", headers=headers)).status_code == 401
        assert (
            await api.http.get("/metrics", headers={"Authorization": "Bearer of-prometheus-alone"})
        ).status_code == 200
        assert (await api.http.get("/health")).status_code == 200


async def test_head_gets_the_status_of_get(api: Api) -> None:
    for path in ("/health", "/ready", "/metrics", "/docs", "/openapi.json"):
        assert (await api.http.head(path)).status_code == (await api.http.get(path)).status_code


async def test_a_path_in_front(start_api: StartApi) -> None:
    async with start_api(root_path="/bandit") as api:
        document = await api.get("/openapi.json")
        assert document["servers"] == [{"url": "/bandit"}]
        # Whether or not the proxy takes the path away.
        assert (await api.http.get("/bandit/health")).status_code == 200
        assert (await api.http.get("/bandit/docs")).status_code == 200


async def test_without_redis_a_process_that_can_ask_postgres_is_ready_and_says_what_is_away(
    start_api: StartApi,
) -> None:
    async with start_api(redis_url=NO_REDIS) as api:

        async def ready() -> bool:
            answer = await api.http.get("/ready")
            return answer.status_code == 200 and answer.json()["degraded"] == ["redis"]

        await api.until(ready)


async def test_without_postgres_a_process_that_can_ask_redis_is_ready_and_says_what_is_away(
    start_api: StartApi,
) -> None:
    async with start_api(postgres_dsn=NO_POSTGRES) as api:

        async def ready() -> bool:
            answer = await api.http.get("/ready")
            return answer.status_code == 200 and answer.json()["degraded"] == ["postgres"]

        await api.until(ready, seconds=15.0)


async def test_without_either_a_process_is_alive_but_cannot_serve(start_api: StartApi) -> None:
    async with start_api(redis_url=NO_REDIS, postgres_dsn=NO_POSTGRES) as api:
        assert (await api.http.get("/health")).status_code == 200
        answer = await api.http.get("/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "starting")
        assert (await api.http.post("/select", json={"experiment_id": "homepage"})).status_code == 503
