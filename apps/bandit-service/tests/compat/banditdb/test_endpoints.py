"""Who may call what below /banditdb, and what its clients are told when something is away."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from starlette.routing import Route

from bandit_local.servers import PostgresServer, RedisServer
from bandit_service.compat.banditdb.endpoints import PATH, mount
from bandit_service.domain.api_key import Role, new_key
from bandit_service.ledger.api_keys import ApiKeysRepository
from bandit_service.ledger.pool import make_pool

if TYPE_CHECKING:
    from conftest import RunReplica, SettingsOn

    from bandit_service.settings import Settings

OWN, FOREIGN, ALL = "shop", "blog", "*"
ROLES: tuple[Role, ...] = ("reader", "writer", "admin")
SLEEPING = {"campaign_id": "sleep", "context": [0.5]}
PREDICTION = {"campaign_id": "{id}", "context": [0.5]}
# Every path below /banditdb: the role it needs, and a body that succeeds.
NEEDS: dict[str, tuple[Role, Any]] = {
    "GET /health/detail": ("reader", None),
    "GET /campaigns": ("reader", None),
    "GET /campaign/{campaign_id}": ("reader", None),
    "GET /campaign/{campaign_id}/report": ("reader", None),
    "GET /campaign/{campaign_id}/diagnostics": ("reader", None),
    "GET /campaign/{campaign_id}/pacing": ("reader", None),
    "GET /export": ("reader", None),
    "POST /predict": ("writer", PREDICTION),
    "POST /batch_predict": ("writer", {"predictions": [PREDICTION]}),
    "POST /reward": ("writer", {"interaction_id": "{interaction}", "reward": 1.0}),
    "POST /campaign/{campaign_id}/interact": ("writer", {"arm_id": "a", "context": [0.5], "reward": 1.0}),
    "POST /campaign": ("admin", {"campaign_id": "{id}-2", "arms": ["a", "b"], "feature_dim": 1}),
    "POST /campaign/{campaign_id}/archive": ("admin", None),
    "POST /campaign/{campaign_id}/restore": ("admin", None),
    "POST /campaign/{campaign_id}/arms": ("admin", {"arm_id": "c"}),
    "POST /campaign/{campaign_id}/arms/{arm_id}/status": ("admin", {"status": "paused"}),
    "POST /checkpoint": ("admin", None),
    "DELETE /campaign/{campaign_id}": ("admin", None),
}


@dataclass
class Door:
    """A service that needs keys, and a key of each role in two namespaces and in all of them."""

    http: httpx.AsyncClient
    keys: dict[tuple[Role, str], str]
    numbers: itertools.count[int]

    async def campaign(self) -> tuple[str, str]:
        """Create a campaign with a prediction that waits for its reward."""
        name = f"campaign-{next(self.numbers)}"
        body = {"campaign_id": name, "arms": ["a", "b"], "feature_dim": 1}
        assert (await self.send("POST", "/campaign", body, ("admin", OWN))).json() == "Campaign Created"
        answer = await self.send("POST", "/predict", {"campaign_id": name, "context": [0.5]}, ("writer", OWN))
        return name, answer.json()["interaction_id"]

    async def call(self, operation: str, campaign: tuple[str, str], who: tuple[Role, str] | None) -> httpx.Response:
        method, path = operation.replace("{campaign_id}", campaign[0]).replace("{arm_id}", "b").split()
        return await self.send(method, path, filled(NEEDS[operation][1], *campaign), who)

    async def send(self, method: str, path: str, body: Any, who: tuple[Role, str] | None) -> httpx.Response:
        headers = {} if who is None else {"X-Api-Key": self.keys[who]}
        return await self.http.request(method, PATH + path, json=body, headers=headers)


def filled(body: Any, name: str, interaction: str) -> Any:
    """Return a body with the names of a campaign and a prediction put in."""
    match body:
        case dict():
            return {key: filled(value, name, interaction) for key, value in body.items()}
        case list():
            return [filled(each, name, interaction) for each in body]
        case str():
            return body.replace("{id}", name).replace("{interaction}", interaction)
    return body


@pytest.fixture(scope="module")
async def door(
    module_settings: Settings, run_replica: RunReplica, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    keys = {}
    async with make_pool(module_settings.postgres_dsn.get_secret_value()) as pool:
        for role, namespace in itertools.product(ROLES, (OWN, FOREIGN, ALL)):
            keys[role, namespace], key = new_key(role, role, namespace, secrets.token_bytes)
            await ApiKeysRepository(pool).add(key)
    changes = {"auth_required": True, "export_dir": tmp_path_factory.mktemp("exports")}
    async with run_replica(module_settings.model_copy(update=changes)) as http:
        yield Door(http, keys, itertools.count())


def test_every_path_stands_in_the_table() -> None:
    nobody = cast("Any", None)
    served = {
        f"{method} {route.path}"
        for route in mount(nobody, nobody, nobody).routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert served - {"GET /health"} == NEEDS.keys()


@pytest.mark.parametrize("operation", NEEDS)
async def test_each_path_serves_its_role_and_the_ones_above(door: Door, operation: str) -> None:
    campaign = await door.campaign()
    assert (await door.call(operation, campaign, None)).status_code == 401
    for role in ROLES:
        if ROLES.index(role) < ROLES.index(NEEDS[operation][0]):
            answer = await door.call(operation, campaign, (role, OWN))
            assert (answer.status_code, role in answer.json()["detail"]) == (403, True)
        else:
            if role != NEEDS[operation][0] and not operation.startswith("GET"):
                campaign = await door.campaign()
            assert (await door.call(operation, campaign, (role, OWN))).status_code == 200


@pytest.mark.parametrize("operation", [name for name in NEEDS if "{campaign_id}" in name])
async def test_a_campaign_of_another_namespace_is_not_there(door: Door, operation: str) -> None:
    campaign = await door.campaign()
    answer = await door.call(operation, campaign, ("admin", FOREIGN))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_nothing_is_told_to_another_namespace(door: Door) -> None:
    name, interaction = await door.campaign()
    stranger: tuple[Role, str] = ("admin", FOREIGN)
    assert (await door.send("GET", "/campaigns", None, stranger)).json() == []
    assert (await door.call("POST /reward", (name, interaction), stranger)).status_code == 404
    assert (await door.call("POST /predict", (name, interaction), stranger)).status_code == 404
    [item] = (await door.call("POST /batch_predict", (name, interaction), stranger)).json()
    assert "no campaign" in item["error"]


async def test_two_namespaces_have_a_campaign_of_one_name_each(door: Door) -> None:
    name, _ = await door.campaign()
    body = {"campaign_id": name, "arms": ["x", "y"], "feature_dim": 2}
    assert (await door.send("POST", "/campaign", body, ("admin", FOREIGN))).status_code == 200
    info = [(await door.send("GET", f"/campaign/{name}", None, ("reader", each))).json() for each in (OWN, FOREIGN)]
    assert [sorted(each["arms"]) for each in info] == [["a", "b"], ["x", "y"]]
    assert (await door.send("DELETE", f"/campaign/{name}", None, ("admin", FOREIGN))).status_code == 200


async def test_experiments_called_like_later_ones_are_campaigns_of_their_own(door: Door) -> None:
    admin: tuple[Role, str] = ("admin", OWN)
    for name in ("camp", "camp--2"):
        body: dict[str, Any] = {
            "experiment_id": f"{OWN}.{name}",
            "arms": [f"{name}-a", f"{name}-b"],
            "policy": {"name": "linucb"},
            "context": {"dimension": 1},
        }
        answer = await door.http.post("/experiments", json=body, headers={"X-Api-Key": door.keys[admin]})
        assert answer.status_code == 201

    async def arms() -> dict[str, list[str]]:
        listed = (await door.send("GET", "/campaigns", None, admin)).json()
        names = [each["campaign_id"] for each in listed if each["campaign_id"].startswith("camp")]
        infos = {name: (await door.send("GET", f"/campaign/{name}", None, admin)).json() for name in names}
        return {name: sorted(info["arms"]) for name, info in infos.items() if "arms" in info}

    both = {"camp": ["camp-a", "camp-b"], "camp--2": ["camp--2-a", "camp--2-b"]}
    assert {name: found for name, found in (await arms()).items() if name in both} == both
    await door.send("DELETE", "/campaign/camp", None, admin)
    body = {"campaign_id": "camp", "arms": ["new-a", "new-b"], "feature_dim": 1, "metadata": {"owner": "me"}}
    assert (await door.send("POST", "/campaign", body, admin)).status_code == 200
    assert {name: found for name, found in (await arms()).items() if name in both} == both | {
        "camp": ["new-a", "new-b"]
    }
    assert (await door.send("GET", "/campaign/camp", None, admin)).json()["metadata"] == {"owner": "me"}


async def test_a_key_for_all_namespaces_names_the_namespace(door: Door) -> None:
    name, _ = await door.campaign()
    listed = (await door.send("GET", "/campaigns", None, ("reader", ALL))).json()
    assert f"{OWN}.{name}" in {each["campaign_id"] for each in listed}
    answer = await door.send("POST", "/predict", {"campaign_id": f"{OWN}.{name}", "context": [1]}, ("writer", ALL))
    assert answer.json()["campaign_id"] == f"{OWN}.{name}"


async def test_an_experiment_that_does_not_decide_by_features_is_no_campaign(door: Door) -> None:
    body = {"experiment_id": f"{OWN}.plain", "arms": ["a", "b"]}
    await door.http.post("/experiments", json=body, headers={"X-Api-Key": door.keys["admin", OWN]})
    answer = await door.send("POST", "/predict", {"campaign_id": "plain", "context": [1]}, ("writer", OWN))
    assert (answer.status_code, "plain" in answer.json()["detail"]) == (404, True)
    listed = (await door.send("GET", "/campaigns", None, ("reader", OWN))).json()
    assert "plain" not in {each["campaign_id"] for each in listed}


async def test_an_experiment_with_named_features_is_a_campaign_with_named_features(door: Door) -> None:
    body = {
        "experiment_id": f"{OWN}.named",
        "arms": ["a", "b"],
        "policy": {"name": "linear_thompson"},
        "context": {"features": ["age", "is_mobile"]},
    }
    await door.http.post("/experiments", json=body, headers={"X-Api-Key": door.keys["admin", OWN]})
    info = (await door.send("GET", "/campaign/named", None, ("reader", OWN))).json()
    assert (info["feature_dim"], info["algorithm"]) == (2, "thompson_sampling")
    assert info["metadata"] == {"features": ["age", "is_mobile"], "context": {"bias": False, "normalize": False}}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/predict", {"campaign_id": "x"}, "context"),
        ("/predict", {"campaign_id": "x", "context": [1], "arms": ["a"]}, "arms"),
        ("/reward", {"interaction_id": "a b", "reward": 1}, "interaction_id"),
        ("/batch_predict", {"predictions": [{}] * 101}, "predictions"),
        ("/campaign", {"campaign_id": "x", "arms": ["a", "b"], "feature_dim": "five"}, "feature_dim"),
        ("/campaign/x/arms/a/status", {"status": "sleeping"}, "status"),
    ],
)
async def test_a_wrong_body_is_refused_with_the_field_named(door: Door, path: str, body: Any, field: str) -> None:
    answer = await door.send("POST", path, body, ("admin", OWN))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_paths_that_are_not_there_are_problems_too(door: Door) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/predict", 405)):
        answer = await door.send(method, path, None, ("admin", OWN))
        assert (answer.status_code, answer.json()["status"]) == (status, status)


async def test_the_door_can_stay_closed(module_settings: Settings, run_replica: RunReplica) -> None:
    closed = module_settings.model_copy(update={"banditdb": False, "mcp": False})
    async with run_replica(closed) as http:
        assert (await http.get(f"{PATH}/health")).status_code == 404
        assert (await http.post("/mcp", json={})).status_code == 404


async def test_without_redis_arms_are_chosen_and_rewards_count(
    tmp_path: Path, settings_on: SettingsOn, run_replica: RunReplica
) -> None:
    redis_server = RedisServer(tmp_path / "redis", options={"appendonly": "no"})
    with redis_server, settings_on(redis_server) as settings:
        async with run_replica(settings.model_copy(update={"redis_timeout": 0.3})) as http:
            before = await predicted(http)
            redis_server.stop()
            after = await http.post(f"{PATH}/predict", json=SLEEPING)
            assert after.json()["arm_id"] in ("a", "b")
            for prediction in (before, after.json()):
                reward = {"interaction_id": prediction["interaction_id"], "reward": 1.0}
                answer = await http.post(f"{PATH}/reward", json=reward)
                assert (answer.status_code, answer.json()) == (200, "OK")
            health = await http.get(f"{PATH}/health")
            assert (health.status_code, health.json()["status"]) == (200, "degraded")


async def test_without_postgres_a_reward_waits_and_without_redis_as_well_it_is_to_be_sent_again(
    tmp_path: Path, settings_on: SettingsOn, run_replica: RunReplica, postgres_server: PostgresServer
) -> None:
    """A client of BanditDB takes any answer but 200 for a failure. It repeats what is answered 503 after a while."""
    redis_server = RedisServer(tmp_path / "redis", options={"appendonly": "no"})
    with redis_server, settings_on(redis_server) as settings:
        async with run_replica(settings.model_copy(update={"redis_timeout": 0.3})) as http:
            prediction = await predicted(http)
            reward = {"interaction_id": prediction["interaction_id"], "reward": 1.0}
            with unreachable(postgres_server, settings):
                for _ in range(2):
                    answer = await http.post(f"{PATH}/reward", json=reward)
                    assert (answer.status_code, answer.json()) == (200, "OK")
                body = {"arm_id": "b", "context": [0.5], "reward": 1.0}
                answer = await http.post(f"{PATH}/campaign/sleep/interact", json=body)
                assert (answer.status_code, answer.json().keys()) == (200, {"interaction_id"})
                redis_server.stop()
                answer = await http.post(f"{PATH}/reward", json=reward)
                assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)

            async with asyncio.timeout(20.0):
                while (report := await http.get(f"{PATH}/campaign/sleep/report")).is_error or (
                    report.json()["total_rewards"] < 2
                ):
                    await asyncio.sleep(0.05)
            assert report.json()["total_rewards"] == 2


async def predicted(http: httpx.AsyncClient) -> dict[str, str]:
    body = {"campaign_id": "sleep", "arms": ["a", "b"], "feature_dim": 1}
    assert (await http.post(f"{PATH}/campaign", json=body)).status_code == 200
    answer = await http.post(f"{PATH}/predict", json=SLEEPING)
    assert answer.status_code == 200
    prediction: dict[str, str] = answer.json()
    return prediction


@contextmanager
def unreachable(server: PostgresServer, settings: Settings) -> Iterator[None]:
    """Have Postgres refuse every connection to a replica's database."""
    name = conninfo_to_dict(settings.postgres_dsn.get_secret_value())["dbname"]
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        database = sql.Identifier(str(name))
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))
