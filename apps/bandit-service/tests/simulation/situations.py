"""The seventeen situations in which an abstract model of the protocol lost, doubled or misjudged something.

Each is recognised in the history of a schedule, not in what the schedule was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from bandit_service.domain.event import decode_batch

from .history import Commanded, EventKey, History, Lost, inserted, redis_key
from .postgres.database import Commit
from .scale import KEPT
from .schedule import Direct, Reward
from .told import Result, Told

_REWARD: Final = "reward"


class Seen(NamedTuple):
    """A schedule that is over: what the stores saw, what clients were told, by the same clock, and who lives."""

    history: History
    told: Sequence[Told]
    living: frozenset[str]

    def rewards(self, key: EventKey, *results: Result) -> list[Told]:
        """Return the answers of some kinds about the decision and position of an event."""
        return [
            each
            for each in self.told
            if each.result in results
            and (
                (
                    isinstance(each.asked, Reward)
                    and each.shown is not None
                    and (each.experiment, each.shown.decision_id, each.asked.position) == (key[0], key[1], key[3])
                )
                or (isinstance(each.asked, Direct) and key[1] == f"direct/{each.asked.reward_id}")
            )
        ]


def _lost_events(seen: Seen) -> Iterable[tuple[Lost, EventKey, Commit]]:
    for lost in seen.history.lost:
        for key, (commit, _) in lost.events().items():
            yield lost, key, commit


def batch_on_a_former_timeline(seen: Seen) -> bool:
    """A process that has not noticed a failover sends a rival of a reward that the failover has lost."""
    for lost in seen.history.lost:
        gone = {key[:3] for key in lost.events() if key[2] == _REWARD}
        if any(each.named < lost.timeline == each.timeline and each.keys & gone for each in seen.history.stated):
            return True
    return False


def answer_of_a_former_timeline(seen: Seen) -> bool:
    """A process hears of a commit after it has gone on to another timeline."""
    return any(
        commit.heard_at is not None
        and inserted(commit, "bandit_events")
        and any(
            seen.history.goes_on_at(commit.client, lost.timeline) < commit.heard_at
            for lost in seen.history.lost
            if lost.timeline > commit.timeline
        )
        for commit in seen.history.commits
    )


def queued_rival_of_a_lost_reward(seen: Seen) -> bool:
    """A reward is queued while the one that came before it is lost and not yet written again."""
    for lost, key, _ in _lost_events(seen):
        if key[2] == _REWARD and (again := seen.history.wrote_again(lost, key)) is not None:
            queued = seen.rewards(key, "queued")
            if any(lost.at - 5.0 < each.answered_at < again.at for each in queued):
                return True
    return False


def lost_without_an_applied(seen: Seen) -> bool:
    """A recorded decision, or a queued reward, is in the ledger, lost, and written again."""
    return any(
        (key[2] == "decision" or (key[2] == _REWARD and seen.rewards(key, "queued")))
        and seen.history.wrote_again(lost, key) is not None
        for lost, key, _ in _lost_events(seen)
    )


def duplicate_of_a_lost_reward(seen: Seen) -> bool:
    """Who has only answered `duplicate` is the one that writes a lost reward again."""
    for lost, key, commit in _lost_events(seen):
        if key[2] != _REWARD:
            continue
        again = seen.history.wrote_again(lost, key)
        duplicates = [each for each in seen.rewards(key, "duplicate") if each.answered_at < lost.at]
        if (
            again is not None
            and again.client != commit.client
            and any(each.replica == again.client for each in duplicates)
        ):
            return True
    return False


def slow_to_write_again(seen: Seen) -> bool:
    """A living process is late with its lost rows, and others queue rewards until it has written them again."""
    for lost in seen.history.lost:
        clients = {commit.client for commit in lost.commits if inserted(commit, "bandit_events")}
        for client in sorted(clients):
            until = seen.history.goes_on_at(client, lost.timeline)
            if until < float("inf") and any(
                each.result == "queued"
                and isinstance(each.asked, Reward | Direct)
                and not each.asked.queued
                and each.replica != client
                and seen.history.goes_on_at(each.replica, lost.timeline) < each.answered_at < until
                for each in seen.told
            ):
                return True
    return False


def registration_lost(seen: Seen) -> bool:
    """A process is lost from the ledger together with rows that it has written."""
    for lost in seen.history.lost:
        new = {commit.client for commit in lost.commits if inserted(commit, "producers")}
        if any(commit.client in new and inserted(commit, "bandit_events") for commit in lost.commits):
            return True
    return False


def lost_when_it_was_old(seen: Seen) -> bool:
    """A failover loses what was committed longer ago than processes keep it, and it is written again."""
    return any(
        lost.at - commit.at > KEPT and seen.history.wrote_again(lost, key) is not None
        for lost, key, commit in _lost_events(seen)
    )


def tombstone_lost(seen: Seen) -> bool:
    """A failover loses an erasure."""
    return any(inserted(commit, "erased_units") for lost in seen.history.lost for commit in lost.commits)


def newer_with_a_smaller_number(seen: Seen) -> bool:
    """What a new timeline writes into the mirror has a smaller number than what stands there."""
    known: dict[tuple[bytes, bytes], tuple[int, int]] = {}
    losses = 0
    for each in seen.history.commanded:
        if each.name != "execute_command" or each.arguments[0] != "EVALSHA" or each.reply != 1:
            continue
        if each.losses != losses:
            known, losses = {}, each.losses
        count = int(each.arguments[2])
        field, token, number = each.arguments[3 + count : 6 + count]
        place = (each.arguments[3], field)
        if place in known and known[place][0] < int(token) and int(number) < known[place][1]:
            return True
        known[place] = int(token), int(number)
    return False


def batch_older_than_a_tombstone(seen: Seen) -> bool:
    """A batch with a unit began before the tombstone of it, and is committed after that."""
    buried = {key: commit.at for commit in seen.history.commits for key, _ in inserted(commit, "erased_units")}
    return any(
        row.unit_hash in buried and commit.began_at < buried[row.unit_hash] < commit.at
        for commit in seen.history.commits
        for _, row in inserted(commit, "bandit_events")
    )


def settled_without_an_answer(seen: Seen) -> bool:
    """A process does not hear that outcomes are committed, and goes on."""
    last = {commit.client: commit.at for commit in seen.history.commits}
    return any(
        commit.heard_at is None
        and last[commit.client] > commit.at
        and any(key[2] == "outcome" for key, _ in inserted(commit, "bandit_events"))
        for commit in seen.history.commits
    )


def day_dropped(_: Seen) -> bool:
    """A day is dropped that a fold has not seen whole. Days are not simulated."""
    return False


def appended_after_the_end(seen: Seen) -> bool:
    """A process appends a reward to its stream after that was taken, and the window of the decision was closed."""
    taken: dict[bytes, float] = {}
    closed: dict[tuple[object, ...], float] = {}
    for commit in seen.history.commits:
        for key, row in inserted(commit, "bandit_events"):
            if row.filled:
                closed[key[:3]] = commit.at
    for each in seen.history.commanded:
        if each.name == "renamenx" and each.reply is True:
            taken[redis_key(each)] = each.at
        elif each.name == "xadd" and each.reply is None and redis_key(each) in taken and _closed_in(each, closed):
            return True
    return False


def _closed_in(append: Commanded, closed: dict[tuple[object, ...], float]) -> bool:
    content = next(iter(append.arguments[1].values()))
    return any(
        event.kind == _REWARD
        and closed.get((event.experiment_id, event.decision_id, event.kind), float("inf")) < append.at
        for event in decode_batch(content).events
    )


def claim_outlives_its_process(seen: Seen) -> bool:
    """A process has claimed an own id and ended; another one answers from the claim, and records it."""
    for each in _claims(seen):
        if each.options.get("nx") and each.reply is True and each.client not in seen.living:
            first = next(
                (
                    commit
                    for commit in seen.history.commits
                    for key, _ in inserted(commit, "bandit_events")
                    if key[2] == "decision" and redis_key(each).endswith(f":own:{key[1]}".encode())
                ),
                None,
            )
            if first is not None and first.client != each.client:
                return True
    return False


def claimed_twice(seen: Seen) -> bool:
    """Two processes claim one own id, because Redis has lost the first claim."""
    first: dict[bytes, Commanded] = {}
    for each in _claims(seen):
        if each.options.get("nx") and each.reply is True:
            before = first.setdefault(redis_key(each), each)
            if before.client != each.client and before.losses < each.losses:
                return True
    return False


def claim_written_back(seen: Seen) -> bool:
    """A claim that was made without Redis is written back to it."""
    there: set[tuple[bytes, int]] = set()
    for each in _claims(seen):
        key = (redis_key(each), each.losses)
        if not each.options.get("nx") and key not in there:
            return True
        there.add(key)
    return False


def _claims(seen: Seen) -> list[Commanded]:
    return [each for each in seen.history.commanded if each.name == "set" and b":own:" in redis_key(each)]


# By the name that the abstract model gives to what mends it.
SITUATIONS: Final[dict[str, Callable[[Seen], bool]]] = {
    "cond": batch_on_a_former_timeline,
    "staleres": answer_of_a_former_timeline,
    "drainwait": queued_rival_of_a_lost_reward,
    "rest": lost_without_an_applied,
    "dupkeep": duplicate_of_a_lost_reward,
    "flagged": slow_to_write_again,
    "reg": registration_lost,
    "keepconf": lost_when_it_was_old,
    "erasekeep": tombstone_lost,
    "tlversion": newer_with_a_smaller_number,
    "erase2": batch_older_than_a_tombstone,
    "foldunknown": settled_without_an_answer,
    "day dropped": day_dropped,
    "fence": appended_after_the_end,
    "claimrow": claim_outlives_its_process,
    "ownledger": claimed_twice,
    "ownback": claim_written_back,
}


def reached(seen: Seen) -> list[str]:
    """Return the names of the situations that a schedule has reached."""
    return [name for name, is_reached in SITUATIONS.items() if is_reached(seen)]
