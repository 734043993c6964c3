"""Hold every answer against the events: nothing acknowledged is missing, and nothing was judged otherwise than told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ..schedule import Activate, Direct, Reward, Select
from ..told import Told
from .found import Found, Place, Row, direct_place

_REWARDED = frozenset({"applied", "duplicate", "queued"})


def check_answers(found: Found) -> Iterator[str]:
    yield from _decisions(found)
    yield from _own_ids(found)
    yield from _request_ids(found)
    yield from _rewards(found)
    yield from _activations(found)


def _decisions(found: Found) -> Iterator[str]:
    for told in found.told:
        asked, shown = told.asked, told.shown
        if not isinstance(asked, Select) or told.result != "recorded" or shown is None:
            continue
        for position, (arm, propensity) in enumerate(shown.places):
            row = found.one("decision", (told.experiment, shown.decision_id, position))
            what = f"{asked.label} ({told.replica}, {told.answered_at:.3f} s)"
            if row is None:
                yield f"LOST decision {what}"
                continue
            if row["filled"]:
                yield f"RESTORED decision {what}: its row came from a reward"
            if row["arm_index"] != arm or row["propensity"] != propensity:
                yield f"DIFFERS decision {what}: {row['arm_index']} {row['propensity']}, told {arm} {propensity}"
            if row["deferred"] != asked.deferred and asked.own_id is None:
                yield f"DIFFERS decision {what}: deferred {row['deferred']}"
            if position == 0 and asked.own_id is None:
                yield from _unit(found, asked, row, what)


def _unit(found: Found, asked: Select, row: Row, what: str) -> Iterator[str]:
    if row["unit_hash"] is None:
        if asked.unit not in found.erasing:
            yield f"UNIT of decision {what} is lost"
    elif row["unit_hash"] != found.units[asked.unit]:
        yield f"UNIT of decision {what} is another one"


def _own_ids(found: Found) -> Iterator[str]:
    """An own id is one decision, whoever was asked."""
    told: dict[tuple[str, str], dict[object, list[str]]] = defaultdict(dict)
    for each in found.told:
        if isinstance(each.asked, Select) and each.asked.own_id and each.shown is not None:
            answer = (each.shown.places, each.shown.weights_version)
            told[each.experiment, each.asked.own_id].setdefault(answer, []).append(each.asked.label)
    for key, answers in told.items():
        if len(answers) > 1:
            yield f"OWN ID {key} was given twice: {answers}"


def _request_ids(found: Found) -> Iterator[str]:
    """A retry gets the first answer, while Redis keeps it; without Redis nothing is promised."""
    if not found.keeps_request_ids:
        return
    told: dict[str, set[str]] = defaultdict(set)
    for each in found.told:
        if isinstance(each.asked, Select) and each.asked.request_id and each.shown is not None:
            told[each.asked.request_id].add(each.shown.decision_id)
    for request_id, ids in told.items():
        if len(ids) > 1:
            yield f"REQUEST {request_id} has {len(ids)} answers"


def _rewards(found: Found) -> Iterator[str]:
    sent = _sent(found)
    for place, answers in _by_place(found).items():
        row = found.one("reward", place)
        acknowledged = [told for told in answers if told.result in _REWARDED]
        if row is None:
            for told in acknowledged:
                yield f"LOST reward: {_said(told)}"
            continue
        for told in acknowledged:
            if told.result != "queued" and told.micro != row["reward_micro"]:
                yield f"ANSWER of a reward: {_said(told)}, the ledger has {row['reward_micro']}"
            if told.result != "duplicate" and row["filled"]:
                yield f"OVERTAKEN by the end of its window: {_said(told)}"
        if not row["filled"]:
            yield from _in_its_window(found, row, sent.get(row["reward_micro"]))
    yield from _late(found)


def _by_place(found: Found) -> dict[Place, list[Told]]:
    """Return what was told of rewards, by the place of the one that counts."""
    by_place: dict[Place, list[Told]] = defaultdict(list)
    for told in found.told:
        if isinstance(told.asked, Reward) and told.shown is not None:
            by_place[told.experiment, told.shown.decision_id, told.asked.position].append(told)
        elif isinstance(told.asked, Direct):
            by_place[direct_place(told.experiment, told.asked.reward_id)].append(told)
    return by_place


def _sent(found: Found) -> dict[int, list[Told]]:
    """Return the attempts by their value, which no two rewards share."""
    sent: dict[int, list[Told]] = defaultdict(list)
    for told in found.told:
        if isinstance(told.asked, Reward | Direct):
            sent[told.asked.micro].append(told)
    return sent


def _in_its_window(found: Found, row: Row, attempts: Sequence[Told] | None) -> Iterator[str]:
    if attempts is None:
        yield f"UNKNOWN reward {row['reward_micro']} of {row['decision_id'][:16]}"
        return
    end = row["decision_time"] / 1e6 + found.window - found.epoch
    first = min(told.sent_at for told in attempts)
    if first > end + found.tolerance:
        yield f"TOO LATE: {attempts[0].asked} counted, sent {first - end:.3f} s after its window"


def _late(found: Found) -> Iterator[str]:
    """What was refused as late was late by the time at which it was received."""
    for told in found.told:
        if told.result != "late" or not isinstance(told.asked, Reward | Activate):
            continue
        made = _made_at(found, told)
        if made is not None and told.answered_at < made + found.window - found.tolerance:
            yield f"TOO EARLY refused: {told.asked}, {made + found.window - told.answered_at:.3f} s before"


def _made_at(found: Found, told: Told) -> float | None:
    """Return the true time of the decision that an answer was about."""
    label = told.asked.label if isinstance(told.asked, Reward | Activate) else ""
    for each in found.told:
        if isinstance(each.asked, Select) and each.asked.label == label and each.shown is not None:
            row = found.one("decision", (each.experiment, each.shown.decision_id, 0))
            return None if row is None else row["decision_time"] / 1e6 - found.epoch
    return None


def _activations(found: Found) -> Iterator[str]:
    for told in found.told:
        if not isinstance(told.asked, Activate) or told.result not in ("activated", "duplicate") or told.shown is None:
            continue
        row = found.one("activation", (told.experiment, told.shown.decision_id, 0))
        if row is None:
            yield f"LOST activation: {_said(told)}"
        elif told.result == "activated" and not row["counted"]:
            yield f"OVERTAKEN by the end of its window: {_said(told)}"


def _said(told: Told) -> str:
    value = "" if told.micro is None else f" {told.micro}"
    return f"{told.asked}: {told.replica} answered {told.result}{value} at {told.answered_at:.3f} s"
