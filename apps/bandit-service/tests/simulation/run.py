"""Run schedules by their seeds, and shorten one that goes wrong."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from .history import History
from .planning import make_schedule
from .scale import shorten
from .schedule import Schedule
from .world import Outcome, World

# What the collector has to look at again and again is what a schedule made, and not what was imported.
_COLLECTED_EVERY = 20


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed whose schedule went wrong, and what was wrong."""

    seed: int
    wrong: tuple[str, ...]


def run(schedule: Schedule, history: History | None = None) -> Outcome:
    """Run one schedule from its beginning to its end."""
    shorten()
    return World(schedule, history).run()


def failures(
    seeds: Iterable[int], note: Callable[[int, Outcome], None] = lambda _, __: None, *, with_history: bool = False
) -> Iterator[Failure]:
    """Run the schedules of seeds, and yield those that went wrong."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for number, seed in enumerate(seeds, 1):
            outcome = run(make_schedule(seed), History() if with_history else None)
            note(seed, outcome)
            if outcome.wrong:
                yield Failure(seed, outcome.wrong)
            if number % _COLLECTED_EVERY == 0:
                gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()


def kinds(wrong: Iterable[str]) -> frozenset[str]:
    """Return which kinds of wrong there are: the words in capitals that a sentence begins with."""
    return frozenset(_kind(each) for each in wrong)


def _kind(sentence: str) -> str:
    words = []
    for word in sentence.split():
        if not word.rstrip(":").isupper():
            break
        words.append(word.rstrip(":"))
    return " ".join(words)


def shortened(schedule: Schedule, *, most_runs: int = 300) -> Schedule:
    """Leave parts of a schedule out as long as it goes wrong in a way in which the whole does."""
    wanted = kinds(run(schedule).wrong)
    runs = 0
    size = max(1, len(schedule.steps) // 2)
    while size and runs < most_runs:
        start, is_shorter = 0, False
        while start < len(schedule.steps) and runs < most_runs:
            rest = replace(schedule, steps=schedule.steps[:start] + schedule.steps[start + size :])
            runs += 1
            if kinds(run(rest).wrong) & wanted:
                schedule, is_shorter = rest, True
            else:
                start += size
        if not (is_shorter and size == 1):
            size //= 2
    return schedule
