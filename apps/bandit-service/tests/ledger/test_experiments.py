"""Experiments in Postgres: every change is one transaction, with its reason, arms and revision in step."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from bandit_core.rules.experiment import ArmDefinition, Experiment, PolicyDefinition
from bandit_service.ledger.experiments import (
    AlreadyExistsError,
    ExperimentsRepository,
    Page,
    Reason,
)
from bandit_service.ledger.pool import make_pool

REASON = Reason("ada", "because", 1_700_000_000.25)
SALT = b"0123456789abcdef"


@pytest.fixture
async def repository(postgres_dsn: str) -> AsyncIterator[ExperimentsRepository]:
    async with make_pool(postgres_dsn) as pool:
        yield ExperimentsRepository(pool)


def experiment(name: str = "homepage", **changes: Any) -> Experiment:
    arms = (
        ArmDefinition(index=0, id="a"),
        ArmDefinition(index=1, id="b", prior_alpha_micro=1, prior_beta_micro=10**12),
    )
    values = {
        "id": name,
        "namespace": "default",
        "status": "running",
        "revision": 1,
        "arms": arms,
        "default_arm": "a",
        "created_at": 1_700_000_000.123456,
        "description": 'quotes " and snow ☃',
        "policy": PolicyDefinition(name="fixed", params={"weights": {"a": 0.1, "b": 1e-9}}),
        "reward_model": {"type": "map", "outcomes": {"click": 1, "skip": None}},
        "salt": "00ff",
    }
    return Experiment(**{**values, **changes})


async def created(repository: ExperimentsRepository, name: str = "homepage", **changes: Any) -> Experiment:
    return await repository.create(experiment(name, **changes), REASON, unit_salt=SALT)


def describe(before: Experiment, after: Experiment) -> dict[str, Any]:
    return {"from": before.status, "to": after.status}


def pause(experiment: Experiment) -> Experiment:
    return replace(experiment, status="paused")


def append(experiment: Experiment) -> Experiment:
    return replace(experiment, description=experiment.description + "x")


async def test_an_experiment_comes_back_exactly_as_it_was_written(repository: ExperimentsRepository) -> None:
    written = await created(repository)
    assert await repository.get("homepage") == written
    assert written == replace(experiment(), unit_salt=SALT.hex())


async def test_an_unknown_experiment_is_none(repository: ExperimentsRepository) -> None:
    assert await repository.get("homepage") is None
    assert await repository.change("homepage", pause, describe, REASON) is None


async def test_an_id_can_be_taken_once(repository: ExperimentsRepository) -> None:
    first = await created(repository)
    with pytest.raises(AlreadyExistsError):
        await created(repository, description="another")
    assert await repository.get("homepage") == first


async def test_experiments_of_a_namespace_share_its_salt(repository: ExperimentsRepository) -> None:
    """So a unit has one name in all of them."""
    one = await created(repository, "shop.one", namespace="shop")
    two = await repository.create(experiment("shop.two", namespace="shop"), REASON, unit_salt=b"something else..")
    other = await repository.create(experiment("blog.one", namespace="blog"), REASON, unit_salt=b"blog's own salt.")
    assert one.unit_salt == two.unit_salt == SALT.hex()
    assert other.unit_salt == b"blog's own salt.".hex()


async def test_creation_makes_every_row_that_others_rely_on(
    repository: ExperimentsRepository, postgres_dsn: str
) -> None:
    await created(repository)
    with psycopg.connect(postgres_dsn) as connection:
        assert connection.execute("SELECT experiment_id, holder, turn FROM leases").fetchall() == [
            ("homepage", None, 0)
        ]
        assert connection.execute(
            "SELECT arm_index, arm, prior_alpha_micro, prior_beta_micro, status FROM experiment_arms ORDER BY 1"
        ).fetchall() == [(0, "a", 1_000_000, 1_000_000, "active"), (1, "b", 1, 10**12, "active")]


async def test_a_change_raises_the_revision_and_is_recorded(repository: ExperimentsRepository) -> None:
    await created(repository)
    after, has_changed = await repository.change("homepage", pause, describe, REASON) or (None, None)
    assert has_changed
    assert after == await repository.get("homepage")
    assert after is not None
    assert (after.revision, after.status) == (2, "paused")
    newest, oldest = await repository.changes("homepage", limit=10)
    assert (newest.revision, newest.who, newest.why) == (2, "ada", "because")
    assert newest.change == {"from": "running", "to": "paused"}
    assert newest.changed_at.timestamp() == REASON.at
    assert oldest.revision == 1


async def test_a_transition_to_the_same_state_writes_nothing(repository: ExperimentsRepository) -> None:
    before = await created(repository)
    assert await repository.change("homepage", lambda experiment: experiment, describe, REASON) == (before, False)
    assert [change.revision for change in await repository.changes("homepage", limit=10)] == [1]


async def test_a_transition_that_raises_leaves_everything_untouched(repository: ExperimentsRepository) -> None:
    before = await created(repository)

    def refuse(_: Experiment) -> Experiment:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await repository.change("homepage", refuse, describe, REASON)
    assert await repository.get("homepage") == before


async def test_a_change_that_cannot_be_recorded_leaves_everything_untouched(
    repository: ExperimentsRepository,
) -> None:
    before = await created(repository)
    with pytest.raises(psycopg.DataError):
        await repository.change("homepage", pause, describe, Reason("ada", "a NUL \x00", 1.0))
    assert await repository.get("homepage") == before


async def test_arms_are_kept_in_step(repository: ExperimentsRepository, postgres_dsn: str) -> None:
    await created(repository)

    def swap(experiment: Experiment) -> Experiment:
        first, second = experiment.arms
        return replace(experiment, arms=(replace(first, status="retired"), second, ArmDefinition(index=2, id="c")))

    await repository.change("homepage", swap, describe, REASON)
    with psycopg.connect(postgres_dsn) as connection:
        rows = connection.execute("SELECT arm, status FROM experiment_arms ORDER BY arm_index").fetchall()
    assert rows == [("a", "retired"), ("b", "active"), ("c", "active")]


async def test_simultaneous_changes_happen_one_after_the_other(repository: ExperimentsRepository) -> None:
    await created(repository, description="")

    await asyncio.gather(*(repository.change("homepage", append, describe, REASON) for _ in range(20)))
    final = await repository.get("homepage")
    assert final is not None
    assert (final.description, final.revision) == ("x" * 20, 21)


async def test_a_list_is_filtered_and_comes_in_pages(repository: ExperimentsRepository) -> None:
    for name in ("b", "a", "shop.a", "shop.b", "c"):
        await created(repository, name, namespace="shop" if "." in name else "default")
    await repository.change("a", pause, describe, REASON)

    async def names(**wanted: Any) -> list[str]:
        return [each.id for each in await repository.search(Page(**{"limit": 10, **wanted}))]

    assert await names() == ["a", "b", "c", "shop.a", "shop.b"]
    assert await names(limit=2) == ["a", "b"]
    assert await names(limit=2, after="b") == ["c", "shop.a"]
    assert await names(namespace="shop") == ["shop.a", "shop.b"]
    assert await names(status="paused") == ["a"]
    assert await names(status="paused", namespace="shop") == []


async def test_changes_come_newest_first_and_in_pages(repository: ExperimentsRepository) -> None:
    await created(repository)
    for _ in range(3):
        await repository.change("homepage", append, describe, REASON)
    assert [change.revision for change in await repository.changes("homepage", limit=2)] == [4, 3]
    assert [change.revision for change in await repository.changes("homepage", limit=2, before=3)] == [2, 1]


async def test_revisions_tell_which_mirrors_are_behind(repository: ExperimentsRepository) -> None:
    await created(repository)
    await created(repository, "checkout")
    await repository.change("checkout", pause, describe, REASON)
    assert await repository.revisions() == {"homepage": 1, "checkout": 2}
