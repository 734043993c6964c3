"""Checkpoints: what was decided and rewarded, in files that are whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from bandit_core.rules.experiment import Experiment
from bandit_core.rules.experiment_requests import NewExperiment, read
from bandit_core.rules.transitions import created
from bandit_service.compat.banditdb.export import Exports
from bandit_service.domain.api_key import Principal
from bandit_service.ledger.interactions import Interactions
from bandit_service.ledger.pool import make_pool
from bandit_service.ledger.producers import Producers

if TYPE_CHECKING:
    from conftest import Api, LiveExperiment, RunReplica

    from bandit_service.settings import Settings

LINEAR: dict[str, Any] = {"policy": {"name": "linear_thompson"}, "context": {"dimension": 2, "intercept": False}}
EVERYBODY = Principal("a test", "admin", "*")
SHOP = Principal("a test", "admin", "shop")


@pytest.fixture
async def exports(module_settings: Settings, tmp_path: Path) -> AsyncIterator[Exports]:
    """Exports of the replica that the module shares, two rows a file."""
    async with make_pool(module_settings.postgres_dsn.get_secret_value()) as pool:
        yield Exports(
            tmp_path / "export",
            interactions=Interactions(pool),
            producers=Producers(pool),
            clock=time.time,
            rows_per_file=2,
        )


def known(live: LiveExperiment) -> Experiment:
    fields: dict[str, Any] = {"experiment_id": live.id, "arms": ["a", "b"], **LINEAR}
    return created(read(NewExperiment, fields), now=0.0, salt="")


async def written(exports: Exports, *campaigns: LiveExperiment) -> int:
    async def find() -> dict[str, Experiment]:
        return {live.id: known(live) for live in campaigns}

    return await exports.write("*", find)


async def rewarded(live: LiveExperiment, number: int) -> list[dict[str, Any]]:
    decisions = [await live.select(context=[float(place), 0.5]) for place in range(number)]
    for place, decision in enumerate(decisions):
        await live.reward(decision, place / 10)
    return decisions


async def test_every_rewarded_decision_is_a_row_at_once(api: Api, exports: Exports) -> None:
    live = await api.create(**LINEAR)
    await live.select(context=[9.0, 9.0])
    decisions = await rewarded(live, 2)
    assert await written(exports, live) == 2
    df = pl.read_parquet(exports.folder(EVERYBODY) / f"{live.id}.parquet").sort("feature_0")
    assert df["interaction_id"].to_list() == [each["decision_id"] for each in decisions]
    assert df["arm_id"].to_list() == [each["arm"] for each in decisions]
    assert df["propensity"].to_list() == [each["propensity"] for each in decisions]
    assert df["reward"].to_list() == [0.0, 0.1]
    assert df["feature_0"].to_list() == [0.0, 1.0]
    assert (df["rewarded_at"] >= df["predicted_at"]).all()


async def test_what_was_decided_elsewhere_has_no_propensity(api: Api, exports: Exports) -> None:
    live = await api.create(**LINEAR)
    await live.report("b", 1, context=[0.5, 0.5])
    await written(exports, live)
    df = pl.read_parquet(exports.folder(EVERYBODY) / f"{live.id}.parquet")
    assert df.select("arm_id", "reward", "propensity").rows() == [("b", 1.0, None)]


async def test_a_long_campaign_goes_on_in_further_files_which_go_when_it_is_short_again(
    api: Api, exports: Exports
) -> None:
    live, short = await api.create(**LINEAR), await api.create(**LINEAR)
    await rewarded(live, 5)
    assert await written(exports, live, short) == 5
    names = [f"{live.id}.parquet", f"{live.id}@2.parquet", f"{live.id}@3.parquet"]
    assert exports.files(EVERYBODY) == {live.id: names, short.id: [f"{short.id}.parquet"]}
    assert [len(pl.read_parquet(exports.folder(EVERYBODY) / name)) for name in names] == [2, 2, 1]
    frame = pl.read_parquet(exports.folder(EVERYBODY) / f"{short.id}.parquet")
    assert (len(frame), frame.columns[-1]) == (0, "feature_1")
    for name in names[1:]:
        (exports.folder(EVERYBODY) / name).rename(exports.folder(EVERYBODY) / name.replace(live.id, short.id))
    await written(exports, short)
    assert exports.files(EVERYBODY)[short.id] == [f"{short.id}.parquet"]


async def test_a_namespace_has_a_folder_and_knows_of_no_other(api: Api, exports: Exports) -> None:
    there, here = await api.create(experiment_id="shop.front", **LINEAR), await api.create(**LINEAR)
    await written(exports, there, here)
    assert exports.files(EVERYBODY) == {here.id: [f"{here.id}.parquet"], "shop.front": ["shop/front.parquet"]}
    assert exports.files(SHOP) == {"front": ["front.parquet"]}
    assert (exports.folder(SHOP) / "front.parquet").exists()


async def test_nothing_unfinished_is_left_and_readers_never_see_half_a_file(api: Api, exports: Exports) -> None:
    live = await api.create(**LINEAR)
    await rewarded(live, 1)
    await asyncio.gather(*(written(exports, live) for _ in range(5)))
    assert [path.name for path in exports.folder(EVERYBODY).iterdir()] == [f"{live.id}.parquet"]


async def test_a_folder_that_cannot_be_written_is_named(
    api: Api, module_settings: Settings, run_replica: RunReplica, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    await api.create(**LINEAR)
    async with run_replica(module_settings.model_copy(update={"export_dir": tmp_path / "file"})) as http:
        answer = await http.post("/banditdb/checkpoint")
    assert (answer.status_code, "BANDIT_EXPORT_DIR" in answer.text) == (503, True)
