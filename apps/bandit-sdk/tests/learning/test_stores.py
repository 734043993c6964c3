"""The contract that every store keeps."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg_pool import AsyncConnectionPool

from bandit_local.testing.cancellation import Moment, cancelled_at_each_wait
from bandit_sdk.learning import LearningStore, SqliteLearningStore
from bandit_sdk.learning.postgres import PostgresLearningStore
from bandit_sdk.learning.store import ArmChange, ArmCounts, ArmKey

if TYPE_CHECKING:
    from .conftest import OpenStore

A, B = ArmKey("", "a"), ArmKey("", "b")
ELSEWHERE = ArmKey("evening", "a")
ONE = ArmCounts(selections=1, observations=1, successes=700_000, failures=300_000)
STEPS: dict[str, Callable[[LearningStore], Awaitable[object]]] = {
    "initialize": lambda store: store.initialize(),
    "add": lambda store: store.add("prompts", [ArmChange(A, ONE), ArmChange(B, ONE)]),
    "counts": lambda store: store.counts("prompts"),
    "decay": lambda store: store.decay("prompts", 0.5),
    "reset": lambda store: store.reset("prompts"),
}


class TestEveryStore:
    async def test_what_was_never_added_has_no_counts(self, store: LearningStore) -> None:
        assert await store.counts("prompts") == {}

    async def test_counts_add_up(self, store: LearningStore) -> None:
        assert await store.add("prompts", [ArmChange(A, ONE), ArmChange(B, ONE), ArmChange(A, ONE)]) == [True] * 3
        await store.add("prompts", [ArmChange(A, ArmCounts(selections=5))])
        assert await store.counts("prompts") == {A: ArmCounts(7, 2, 1_400_000, 600_000), B: ONE}

    async def test_adding_nothing_changes_nothing(self, store: LearningStore) -> None:
        assert await store.add("prompts", []) == []
        assert await store.counts("prompts") == {}

    async def test_learners_do_not_see_each_other(self, store: LearningStore) -> None:
        await store.add("prompts", [ArmChange(A, ONE, "same")])
        assert await store.add("models", [ArmChange(B, ONE, "same")]) == [True]
        await store.reset("prompts")
        assert await store.counts("models") == {B: ONE}

    async def test_states_are_kept_apart(self, store: LearningStore) -> None:
        await store.add("prompts", [ArmChange(A, ONE), ArmChange(ELSEWHERE, ONE + ONE)])
        assert await store.counts("prompts", "evening") == {ELSEWHERE: ONE + ONE}
        assert await store.counts("prompts", "") == {A: ONE}
        assert await store.counts("prompts") == {A: ONE, ELSEWHERE: ONE + ONE}

    async def test_an_observation_with_an_id_counts_once(self, store: LearningStore) -> None:
        changes = [ArmChange(A, ONE, "x"), ArmChange(A, ONE, "x"), ArmChange(A, ONE, "y"), ArmChange(A, ONE)]
        assert await store.add("prompts", changes) == [True, False, True, True]
        assert await store.add("prompts", [ArmChange(B, ONE, "y"), ArmChange(B, ONE, "z")]) == [False, True]
        assert await store.counts("prompts") == {A: ONE + ONE + ONE, B: ONE}

    async def test_decay_shrinks_what_was_learned_and_keeps_what_happened(self, store: LearningStore) -> None:
        await store.add("prompts", [ArmChange(A, ONE), ArmChange(B, ONE), ArmChange(ELSEWHERE, ONE)])
        await store.decay("prompts", 0.5, "a", "")
        assert await store.counts("prompts", "") == {A: ArmCounts(1, 1, 350_000, 150_000), B: ONE}
        await store.decay("prompts", 0.0)
        assert set((await store.counts("prompts")).values()) == {ArmCounts(1, 1, 0, 0)}

    @pytest.mark.parametrize(
        ("value", "factor", "decayed"), [(3, 0.5, 2), (5, 0.5, 3), (1, 0.5, 1), (999_999, 0.3, 300_000)]
    )
    async def test_decay_rounds_half_up_in_every_store(
        self, store: LearningStore, value: int, factor: float, decayed: int
    ) -> None:
        await store.add("prompts", [ArmChange(A, ArmCounts(successes=value))])
        await store.decay("prompts", factor)
        assert (await store.counts("prompts"))[A].successes == decayed

    async def test_decay_of_what_is_not_there_makes_nothing(self, store: LearningStore) -> None:
        await store.decay("prompts", 0.5, "a")
        assert await store.counts("prompts") == {}

    async def test_one_arm_or_one_state_can_be_forgotten(self, store: LearningStore) -> None:
        await store.add("prompts", [ArmChange(A, ONE), ArmChange(B, ONE), ArmChange(ELSEWHERE, ONE)])
        await store.reset("prompts", "a", "")
        assert await store.counts("prompts") == {B: ONE, ELSEWHERE: ONE}
        await store.reset("prompts", state="evening")
        assert await store.counts("prompts") == {B: ONE}

    async def test_only_forgetting_everything_forgets_observations(self, store: LearningStore) -> None:
        await store.add("prompts", [ArmChange(A, ONE, "x")])
        await store.reset("prompts", "a")
        assert await store.add("prompts", [ArmChange(A, ONE, "x")]) == [False]
        await store.reset("prompts")
        assert await store.add("prompts", [ArmChange(A, ONE, "x")]) == [True]

    async def test_names_may_be_any_text(self, store: LearningStore) -> None:
        odd = ArmKey("späť ' \" % ?", "🂡\n;--")
        await store.add("le'arner", [ArmChange(odd, ONE, "id '%s'")])
        assert await store.counts("le'arner", odd.state) == {odd: ONE}

    async def test_it_can_be_initialized_again(self, open_store: OpenStore) -> None:
        store, again = open_store(), open_store()
        await asyncio.gather(store.initialize(), again.initialize())
        await store.add("prompts", [ArmChange(A, ONE)])
        await store.initialize()
        assert await again.counts("prompts") == {A: ONE}

    async def test_tasks_and_openings_that_add_at_once_lose_nothing(self, open_store: OpenStore) -> None:
        stores = [open_store(), open_store()]
        for store in stores:
            await store.initialize()
        work = [
            store.add("prompts", [ArmChange(key, ONE, f"{round_}") for key in order])
            for round_ in range(10)
            for store in stores
            for order in ([A, B], [B, A])
        ]
        added = await asyncio.gather(*work)
        # Each round names one observation eight times.
        assert sum(map(sum, added)) == 10
        counts = await stores[0].counts("prompts")
        assert sum(each.observations for each in counts.values()) == 10

    async def test_adding_decaying_and_forgetting_at_once_ends(self, open_store: OpenStore) -> None:
        stores = [open_store(), open_store()]
        for store in stores:
            await store.initialize()
        keys = [ArmKey("", name) for name in ("B", "a", "_c", "é")]
        await asyncio.gather(
            *(store.add("prompts", [ArmChange(key, ONE) for key in keys]) for store in stores for _ in range(5)),
            *(store.decay("prompts", 1.0) for store in stores for _ in range(5)),
            *(store.reset("prompts", "nobody") for store in stores for _ in range(5)),
        )
        assert await stores[0].counts("prompts") == dict.fromkeys(keys, ArmCounts(10, 10, 7_000_000, 3_000_000))

    @pytest.mark.parametrize("moment", ["while it waits", "when it gets its answer"])
    @pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
    async def test_a_cancelled_step_is_done_as_a_whole_or_not_at_all(
        self, open_store: OpenStore, step: Callable[[LearningStore], Awaitable[object]], moment: Moment
    ) -> None:
        store, other = open_store(), open_store()
        await store.initialize()
        await other.initialize()
        async for number in cancelled_at_each_wait(lambda: step(store), moment):
            added = [ArmChange(A, ONE, f"{number} a"), ArmChange(B, ONE, f"{number} b")]
            # Neither this store nor the file or the database is locked.
            assert await other.add("once", added) == [True, True]
            assert await store.add("once", added) == [False, False]
            counts = await store.counts("prompts")
            assert counts.get(A) == counts.get(B)


async def test_a_call_that_is_cancelled_while_another_process_writes(tmp_path: Path) -> None:
    store = SqliteLearningStore(tmp_path / "learners.db")
    await store.initialize()
    other = sqlite3.connect(tmp_path / "learners.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.add("prompts", [ArmChange(A, ONE, "x")]), 0.1)
    other.execute("COMMIT")
    await store.add("prompts", [ArmChange(A, ONE, "x")])
    assert await store.counts("prompts") == {A: ONE}
    other.execute("BEGIN IMMEDIATE")
    other.close()
    await store.close()


async def test_a_database_that_cannot_hold_every_text_is_refused(odd_database: str) -> None:
    async with AsyncConnectionPool(odd_database, min_size=1, open=False) as pool:
        with pytest.raises(RuntimeError, match="use one in UTF8"):
            await PostgresLearningStore(pool).initialize()
