"""Rounds of a log as visitors of a service, by the rejection of Li, Chu, Langford and Wang 2011, algorithm 2.

The service decides. Where it serves the arm that was logged, the decision is activated and gets the logged reward;
elsewhere it is left alone: asked for with `defer_activation`, it then never counts.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import batched

import polars as pl

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.resources import Postgres
from bandit_pipeline.resources.postgres import Row, fetch
from bandit_pipeline.sql import statement
from bandit_sdk import Client
from bandit_sdk.errors import ConflictError
from bandit_sdk.requests import RewardItem, SelectItem

REWARD_WINDOW = 30 * 86_400.0
"""Seconds for which the service knows a decision, so for which a replay that was cut off can go on."""


COUNTED_WITHIN = 60.0
"""Seconds within which the service has counted what was sent."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """One logged round. `decision_id` is the same in every run: that is what makes a repetition harmless."""

    decision_id: str
    arm: str
    reward: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is sent to which experiment."""

    experiment_id: str
    arms: tuple[str, ...]
    visitors: tuple[Visitor, ...]


@dataclass(slots=True)
class Progress:
    """How far a replay has come in this run; `seen` were sent in an earlier one."""

    seen: int = 0
    sent: int = 0
    matches: int = 0
    clicks: int = 0
    ended: bool = False


def plan(log: pl.DataFrame, campaign: str, arms: int, digest: str, policy: str) -> Plan:
    """Keep the rounds of the arms that were logged most often. Other data, arms or policy are another experiment."""
    commonest = log.group_by("arm").len().sort("len", "arm", descending=[True, False]).head(arms)["arm"].sort()
    chosen = log.filter(pl.col("arm").is_in(commonest.implode()))
    names = tuple(f"item-{arm}" for arm in commonest)
    fingerprint = blake2b("|".join([digest, policy, *names]).encode(), digest_size=4).hexdigest()
    visitors = tuple(
        Visitor(f"round-{number}", f"item-{arm}", reward)
        for number, arm, reward in chosen.select("round", "arm", "reward").iter_rows()
    )
    return Plan(f"obp-replay-{campaign}-{fingerprint}", names, visitors)


def create(client: Client, plan: Plan, policy: str, min_weight: float) -> None:
    """Create the experiment unless an earlier run did."""
    with suppress(ConflictError):
        client.experiments.create(
            plan.experiment_id,
            description="Rounds of the Open Bandit Dataset, replayed",
            arms=plan.arms,
            policy={"name": policy},
            guardrails={"preset": "neutral", "min_weight": min_weight},
            stopping={"min_decisions": 100, "expected_loss": 0.01, "auto_conclude": False},
            reward_window=REWARD_WINDOW,
            update_every=0.1,
        )


def remaining(postgres: Postgres, plan: Plan) -> list[Visitor]:
    """Return the visitors whose decision, or whose outcome where one is due, is not in Postgres yet.

    Postgres is a moment behind the service: who is sent again without need is answered as the first time.
    """
    known = {row["decision_id"]: row for row in _decisions(postgres, plan)}
    return [each for each in plan.visitors if not _is_complete(each, known.get(each.decision_id))]


def _is_complete(visitor: Visitor, known: Row | None) -> bool:
    return known is not None and (known["arm"] != visitor.arm or known["closed"])


def _decisions(postgres: Postgres, plan: Plan) -> list[Row]:
    with postgres.transaction() as connection:
        return fetch(connection, statement(__package__, "events"), {"experiment_id": plan.experiment_id})


def send(
    client: Client,
    plan: Plan,
    visitors: Sequence[Visitor],
    *,
    batch: int,
    rate: float | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Progress]:
    """Send visitors in batches, at most `rate` a second, and yield the progress after each batch.

    Within a batch weights do not move. It ends early when the experiment is concluded meanwhile.
    """
    progress, opening = Progress(seen=len(plan.visitors) - len(visitors)), clock()
    for some in batched(visitors, batch):
        if rate is not None:
            sleep(max(0.0, opening + progress.sent / rate - clock()))
        progress.ended = not _send_batch(client, plan.experiment_id, some, progress)
        yield progress
        if progress.ended:
            return


def _send_batch(client: Client, experiment_id: str, some: Sequence[Visitor], progress: Progress) -> bool:
    """Send some visitors; return whether the experiment still goes on."""
    asked: list[SelectItem] = [
        {"experiment_id": experiment_id, "decision_id": each.decision_id, "defer_activation": True} for each in some
    ]
    served = [item.unwrap() for item in client.select_batch(asked)]
    matched = [
        visitor
        for visitor, decision in zip(some, served, strict=True)
        if decision.stratum == "bandit" and decision.arm == visitor.arm
    ]
    for visitor in matched:
        client.activate(visitor.decision_id, experiment_id=experiment_id)
    if matched:
        for item in client.reward_batch([_reward(experiment_id, visitor) for visitor in matched]):
            item.unwrap()
    progress.sent += len(some)
    progress.matches += len(matched)
    progress.clicks += sum(visitor.reward > 0.0 for visitor in matched)
    return all(decision.stratum == "bandit" for decision in served)


def _reward(experiment_id: str, visitor: Visitor) -> RewardItem:
    return {"experiment_id": experiment_id, "decision": visitor.decision_id, "reward": visitor.reward}


def wait_until_counted(
    postgres: Postgres,
    plan: Plan,
    progress: Progress,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until everything that was sent is in Postgres, and the outcomes of deferred decisions with it.

    Raises:
        PipelineError: it is not, after 60 seconds.
    """
    unsent = len(plan.visitors) - progress.seen - progress.sent
    deadline = clock() + COUNTED_WITHIN
    # After a conclusion the visitors of the last batch have decisions, and no rewards.
    while _waits(postgres, plan) if progress.ended else len(remaining(postgres, plan)) > unsent:
        if clock() >= deadline:
            raise PipelineError("bandit-service has not counted all rewards: is a process of it running and ready?")
        sleep(0.2)


def _waits(postgres: Postgres, plan: Plan) -> bool:
    """Whether a reward waits for the service to write its outcome."""
    return any(row["rewarded"] and not row["closed"] for row in _decisions(postgres, plan))


def standing(client: Client, plan: Plan) -> pl.DataFrame:
    """Return what the service believes after all runs: one row per arm with decisions, clicks, mean and weight."""
    return pl.DataFrame(
        [
            {
                "arm": arm.arm,
                "decisions": arm.decisions,
                "clicks": arm.reward_sum,
                "mean": arm.mean,
                "weight": arm.weight,
            }
            for arm in client.posterior(plan.experiment_id).arms
        ]
    )
