"""How fast Thompson sampling is replayed: over the Open Bandit sample, and over many synthetic rows in chunks.

Run as `PYTHONPATH=apps/bandit-core python -m benchmarks.replay [--rows 26000000]`; it prints a table.

The reference, in the same process, is a plain Python loop that does per row what obp's `run_bandit_simulation` does
with `BernoulliTS`: draw from all posteriors, sort, compare with the logged arm, update on a match.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import polars as pl

from bandit_core.ope.logged import LoggedDecisions
from bandit_core.ope.policy_replay import replay
from bandit_core.policies.thompson import Thompson

ROWS, CHUNK, REFERENCE_ROWS, ARMS, EVERY, REPEATS = 26_000_000, 1_000_000, 100_000, 34, 100, 5
"""34 arms as in the sample's campaign for men."""

CLICK_RATES = np.geomspace(0.001, 0.02, ARMS)


@dataclass(frozen=True, slots=True)
class Seconds:
    """Time, and processor time, which depends less on what else the machine does."""

    wall: float = 0.0
    processor: float = 0.0

    @classmethod
    def now(cls) -> "Seconds":
        return cls(time.perf_counter(), time.process_time())

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall + other.wall, self.processor + other.processor)

    def __sub__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall - other.wall, self.processor - other.processor)


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows replayed in so many seconds of the replay itself, what came of it, and the process's peak memory so far."""

    what: str
    rows: int
    seconds: Seconds
    matches: int
    clicks: int
    peak_gigabytes: float

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds.wall


def sample_log(campaign: str) -> LoggedDecisions:
    """Return the sample's uniformly logged rounds of a campaign, with their three positions."""
    file = Path(str(distribution("obp").locate_file(f"obp/dataset/obd/random/{campaign}/{campaign}.csv")))
    frame = pl.read_csv(file).sort("timestamp", maintain_order=True)
    columns = frame.select(
        arm="item_id", reward="click", propensity="propensity_score", position=pl.col("position") - 1
    )
    return LoggedDecisions.from_frame(columns, n_positions=3)


def synthetic_log(rows: int, rng: np.random.Generator) -> LoggedDecisions:
    """Return uniformly logged rows of 34 arms with click rates from 0.001 to 0.02."""
    arms = rng.integers(0, ARMS, rows)
    rewards = (rng.random(rows) < CLICK_RATES[arms]).astype(np.float64)
    return LoggedDecisions(arms, rewards, np.full(rows, 1 / ARMS), ARMS)


def replay_sample(campaign: str) -> Measured:
    """Replay the sample; the fastest of a few times, since one takes milliseconds."""
    log, seconds = sample_log(campaign), []
    for seed in range(REPEATS):
        begun = Seconds.now()
        played = replay(Thompson(), log, rng=np.random.default_rng(seed), every=EVERY)
        seconds.append(Seconds.now() - begun)
    return Measured(
        f"sample, {campaign}",
        len(log),
        min(seconds, key=lambda each: each.wall),
        played.matches,
        played.clicks,
        peak_gigabytes(),
    )


def replay_synthetic(rows: int) -> Measured:
    """Replay that many synthetic rows in chunks; making them is not counted."""
    rng, making = np.random.default_rng(0), Seconds()

    def chunks() -> Iterator[LoggedDecisions]:
        nonlocal making
        for start in range(0, rows, CHUNK):
            begun = Seconds.now()
            chunk = synthetic_log(min(CHUNK, rows - start), rng)
            making += Seconds.now() - begun
            yield chunk

    begun = Seconds.now()
    played = replay(Thompson(), chunks(), rng=np.random.default_rng(1), every=EVERY)
    seconds = Seconds.now() - begun - making
    return Measured("synthetic", rows, seconds, played.matches, played.clicks, peak_gigabytes())


def replay_plainly(rows: int) -> Measured:
    """Replay synthetic rows as obp does, one by one."""
    log, rng = synthetic_log(rows, np.random.default_rng(0)), np.random.default_rng(1)
    plays, wins = np.zeros(ARMS), np.zeros(ARMS)
    matches = clicks = 0
    begun = Seconds.now()
    for arm, reward in zip(log.arms, log.rewards, strict=True):
        samples = rng.beta(a=wins + 1.0, b=(plays - wins) + 1.0)
        if samples.argsort()[::-1][:1][0] == arm:
            plays[arm] += 1
            wins[arm] += reward
            matches += 1
            clicks += int(reward)
    return Measured("plain loop, as obp", rows, Seconds.now() - begun, matches, clicks, peak_gigabytes())


def peak_gigabytes() -> float:
    """Return the most memory this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def measure(rows: int = ROWS) -> list[Measured]:
    """Measure all, the reference first; compiling is done before and not counted."""
    replay(Thompson(), synthetic_log(1_000, np.random.default_rng(0)), rng=np.random.default_rng(0))
    reference = replay_plainly(REFERENCE_ROWS)
    return [reference, *map(replay_sample, ("all", "men", "women")), replay_synthetic(rows)]


def table(measured: list[Measured]) -> str:
    """Return the figures as a Markdown table; the first row is the reference."""
    columns = ["", "rows", "seconds", "rows/s", "× plain loop", "processor seconds", "matches", "clicks", "peak GB"]
    lines = [
        f"Replay of Thompson sampling, weights anew after every {EVERY} matches",
        "",
        f"| {' | '.join(columns)} |",
        "|" + " --- |" * len(columns),
    ]
    for each in measured:
        ratio = each.rows_per_second / measured[0].rows_per_second
        lines.append(
            f"| {each.what} | {each.rows:,} | {each.seconds.wall:.3f} | {each.rows_per_second:,.0f} | {ratio:,.1f} "
            f"| {each.seconds.processor:.3f} | {each.matches:,} | {each.clicks:,} | {each.peak_gigabytes:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of replaying Thompson sampling")
    parser.add_argument("--rows", type=int, default=ROWS, help="synthetic rows")
    sys.stdout.write(table(measure(parser.parse_args().rows)) + "\n")


if __name__ == "__main__":
    main()
