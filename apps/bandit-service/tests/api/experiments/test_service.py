"""Experiments are checked, written in one transaction, then brought into force; nothing is half-applied."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from bandit_core.rules.experiment import Experiment
from bandit_core.rules.experiment_requests import (
    Because,
    ConclusionRequest,
    ExperimentChange,
    NewArm,
    NewExperiment,
    read,
)
from bandit_core.rules.problems import Conflict, Forbidden, Invalid, NotFound
from bandit_core.stopping import Condition, Verdict
from bandit_service.api.experiments.schemas import ChangesFilter, Filter
from bandit_service.api.experiments.service import RULE, Experiments
from bandit_service.domain.api_key import ANONYMOUS, Principal
from bandit_service.ledger.errors import PostgresUnavailableError
from bandit_service.ledger.experiments import ExperimentsRepository
from bandit_service.ledger.pool import Pool, make_pool
from bandit_service.mirror.errors import StoreUnavailableError

ADA = Principal("ada", "admin", "*")
CONVINCED = [
    Condition("prob_best", value=0.97, threshold=0.95, holds=True, progress=1.0, arm="b"),
    Condition("expected_loss", value=0.001, threshold=0.01, holds=True, progress=1.0, arm="b"),
]
EXPIRED = [Condition("max_duration", value=61.0, threshold=60.0, holds=True, progress=1.0)]
WINNER_B = Verdict("winner", stop=True, arm="b", conditions=tuple(CONVINCED), progress=1.0)
UNDECIDED = Verdict("undecided", stop=False, arm=None, conditions=(), progress=0.3)
TIMED_OUT = Verdict("undecided", stop=True, arm=None, conditions=tuple(EXPIRED), progress=1.0)


class Served:
    """Where definitions are brought into force: remembers them."""

    def __init__(self) -> None:
        self.published: list[Experiment] = []

    async def publish(self, experiment: Experiment) -> None:
        self.published.append(experiment)


class Beliefs:
    """A stopping rule whose verdict a test sets, and beliefs that it can take away."""

    def __init__(self) -> None:
        self.now: Verdict | None = UNDECIDED
        self.away = False

    async def verdict(self, _: Experiment) -> Verdict | None:
        if self.away:
            raise StoreUnavailableError("ConnectionError")
        return self.now


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[Pool]:
    async with make_pool(postgres_dsn) as pool:
        yield pool


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture
def beliefs() -> Beliefs:
    return Beliefs()


@pytest.fixture
def experiments(pool: Pool, served: Served, beliefs: Beliefs) -> Experiments:
    numbers = count(1)
    return Experiments(
        ExperimentsRepository(pool),
        served,
        beliefs,
        clock=lambda: 1_700_000_000.0,
        entropy=lambda size: next(numbers).to_bytes(size),
    )


async def create(experiments: Experiments, name: str = "homepage", **settings: Any) -> Experiment:
    body = {"experiment_id": name, "arms": ["a", "b", "c"], "stopping": {}, **settings}
    return await experiments.create(read(NewExperiment, body), ADA)


def because(**fields: Any) -> Because:
    return Because(reason="why", **fields)


async def test_a_new_experiment_is_written_then_published(experiments: Experiments, served: Served) -> None:
    created = await create(experiments)
    assert await experiments.read("homepage") == created
    assert served.published == [created]
    assert created.salt != created.unit_salt
    [change] = await experiments.changes("homepage", ChangesFilter())
    assert (change.who, change.why, change.change) == ("ada", "created", {"action": "create"})


async def test_a_taken_id_is_a_conflict_even_for_the_same_body(experiments: Experiments, served: Served) -> None:
    await create(experiments)
    with pytest.raises(Conflict, match="already"):
        await create(experiments)
    assert len(served.published) == 1


async def test_many_who_create_the_same_experiment_at_once_make_one(experiments: Experiments) -> None:
    results = await asyncio.gather(*(create(experiments) for _ in range(8)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 7 + ["Experiment"]


async def test_a_key_creates_in_its_own_namespace_only(experiments: Experiments) -> None:
    shopkeeper = Principal("eve", "admin", "shop")
    request = read(NewExperiment, {"experiment_id": "shop.homepage", "arms": ["a", "b"]})
    assert (await experiments.create(request, shopkeeper)).namespace == "shop"
    with pytest.raises(Forbidden):
        await experiments.create(
            read(NewExperiment, {"experiment_id": "homepage", "arms": ["a", "b"]}),
            shopkeeper,
        )


async def test_what_is_invalid_is_not_written(experiments: Experiments, served: Served) -> None:
    with pytest.raises(Invalid):
        await create(experiments, holdout=0.5)
    with pytest.raises(NotFound):
        await experiments.read("homepage")
    assert not served.published


async def test_of_two_changes_decided_on_the_same_revision_one_wins(experiments: Experiments) -> None:
    await create(experiments)
    requests = [
        read(ExperimentChange, {"reason": "why", "description": f"{number}", "expected_revision": 1})
        for number in range(8)
    ]
    results = await asyncio.gather(
        *(experiments.change("homepage", request, ADA) for request in requests), return_exceptions=True
    )
    [winner] = [result for result in results if isinstance(result, Experiment)]
    assert all(isinstance(result, Conflict) for result in results if result is not winner)
    assert await experiments.read("homepage") == winner
    assert winner.revision == 2


async def test_simultaneous_changes_without_expectations_all_happen(experiments: Experiments, served: Served) -> None:
    await create(experiments)
    arms = [f"new{number}" for number in range(8)]
    await asyncio.gather(
        *(experiments.add_arm("homepage", read(NewArm, {"id": arm, "reason": "why"}), ADA) for arm in arms)
    )
    final = await experiments.read("homepage")
    assert {arm.id for arm in final.arms} == {"a", "b", "c", *arms}
    assert [arm.index for arm in final.arms] == list(range(11))
    assert sorted(each.revision for each in served.published) == list(range(1, 10))


async def test_a_repeated_request_makes_no_second_revision(experiments: Experiments, served: Served) -> None:
    await create(experiments)
    first = await experiments.pause("homepage", because(), ADA)
    assert await experiments.pause("homepage", because(), ADA) == first
    assert len(served.published) == 2


async def test_every_change_says_who_and_why(experiments: Experiments) -> None:
    await create(experiments)
    await experiments.pause("homepage", Because(reason="a holiday"), Principal("bob", "admin", "default"))
    newest, _ = await experiments.changes("homepage", ChangesFilter())
    assert (newest.who, newest.why) == ("bob", "a holiday")
    assert newest.change == {"action": "pause", "before": {"status": "running"}, "after": {"status": "paused"}}


async def test_conclude_takes_the_arm_of_the_stopping_rule(experiments: Experiments, beliefs: Beliefs) -> None:
    await create(experiments)
    beliefs.now = WINNER_B
    after = await experiments.conclude("homepage", ConclusionRequest(reason="why"), ADA)
    assert (after.status, after.winner) == ("concluded", "b")
    assert after.conclusion is not None
    assert (after.conclusion.outcome, after.conclusion.expected_loss) == ("winner", 0.001)


@pytest.mark.parametrize("verdict", [None, UNDECIDED, TIMED_OUT])
async def test_conclude_without_a_winner_is_a_conflict_unless_one_is_named(
    verdict: Verdict | None, experiments: Experiments, beliefs: Beliefs
) -> None:
    await create(experiments)
    beliefs.now = verdict
    with pytest.raises(Conflict, match="names no winner"):
        await experiments.conclude("homepage", ConclusionRequest(reason="why"), ADA)
    after = await experiments.conclude("homepage", ConclusionRequest(reason="why", winner="c"), ADA)
    assert (after.status, after.winner) == ("concluded", "c")


async def test_conclude_does_not_guess_a_verdict(experiments: Experiments, beliefs: Beliefs) -> None:
    """A conclusion records what the evidence was; without beliefs there is none."""
    await create(experiments)
    beliefs.away = True
    with pytest.raises(StoreUnavailableError):
        await experiments.conclude("homepage", ConclusionRequest(reason="why", winner="c"), ADA)
    assert (await experiments.read("homepage")).status == "running"


async def test_the_stopping_rule_concludes_with_its_sentence(experiments: Experiments) -> None:
    created = await create(experiments)
    await experiments.conclude_by_rule(created, WINNER_B)
    after = await experiments.read("homepage")
    assert after.conclusion is not None
    assert (after.winner, after.conclusion.who, after.conclusion.why) == ("b", RULE, WINNER_B.sentence())


async def test_a_rule_that_ran_out_of_time_leaves_the_default_arm(experiments: Experiments) -> None:
    created = await create(experiments)
    await experiments.conclude_by_rule(created, TIMED_OUT)
    after = await experiments.read("homepage")
    assert (after.status, after.winner) == ("concluded", None)


async def test_the_stopping_rule_does_not_conclude_what_was_changed_since(
    experiments: Experiments, served: Served
) -> None:
    judged = await create(experiments)
    added = await experiments.add_arm("homepage", read(NewArm, {"id": "d", "reason": "why"}), ADA)
    await experiments.conclude_by_rule(judged, WINNER_B)
    assert await experiments.read("homepage") == added
    assert len(served.published) == 2


async def test_an_unknown_experiment_is_not_found(experiments: Experiments) -> None:
    for attempt in (
        experiments.read("homepage"),
        experiments.changes("homepage", ChangesFilter()),
        experiments.pause("homepage", because(), ADA),
        experiments.conclude("homepage", ConclusionRequest(reason="why", winner="a"), ADA),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_changes_before_the_first_are_none(experiments: Experiments) -> None:
    await create(experiments)
    assert await experiments.changes("homepage", ChangesFilter(before=1)) == []


async def test_a_list_shows_what_the_key_may_see(experiments: Experiments) -> None:
    for name in ("a", "shop.a", "shop.b", "blog.a"):
        await create(experiments, name)

    async def seen(principal: Principal, **wanted: Any) -> list[str]:
        found, _ = await experiments.search(Filter(**wanted), principal)
        return [each.id for each in found]

    assert await seen(ANONYMOUS) == ["a", "blog.a", "shop.a", "shop.b"]
    assert await seen(ANONYMOUS, namespace="shop") == ["shop.a", "shop.b"]
    assert await seen(Principal("eve", "reader", "shop")) == ["shop.a", "shop.b"]
    assert await seen(Principal("eve", "reader", "shop"), namespace="blog") == []


async def test_pages_follow_each_other_without_gap_or_repetition(experiments: Experiments) -> None:
    names = [f"e{number}" for number in range(5)]
    for name in names:
        await create(experiments, name)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        found, cursor = await experiments.search(Filter(limit=2, cursor=cursor), ANONYMOUS)
        seen += [each.id for each in found]
        if cursor is None:
            break
    assert seen == names


async def test_while_postgres_is_away_nothing_is_changed_or_published(
    experiments: Experiments, served: Served, pool: Pool
) -> None:
    await create(experiments)
    await pool.close()
    for attempt in (
        create(experiments, "another"),
        experiments.read("homepage"),
        experiments.pause("homepage", because(), ADA),
    ):
        with pytest.raises(PostgresUnavailableError):
            await attempt
    assert len(served.published) == 1
