"""`python -m simulation`: run the schedules of some seeds, over some workers; a seed that goes wrong is shortened."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

# Sets and dictionaries of the product are looked through in an order that hangs on the hashes of texts.
_HASH_SEED = "0"


def main() -> int:
    options = _options()
    if os.environ.get("PYTHONHASHSEED") != _HASH_SEED:
        # What the interpreter was started with cannot be changed afterwards.
        os.execve(sys.executable, _again(sys.argv[1:]), os.environ | {"PYTHONHASHSEED": _HASH_SEED})  # noqa: S606
    if options.workers > 1 and options.count > 1:
        return _spread(options)
    return _run(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--workers", type=int, default=1, help="over how many processes they are spread")
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that goes wrong")
    parser.add_argument("--whole", action="store_true", help="do not shorten what goes wrong")
    parser.add_argument("--digest", action="store_true", help="print what is the same wherever a seed is run")
    parser.add_argument("--situations", action="store_true", help="print in how many schedules each is reached")
    parser.add_argument("--only", default="", help="count a seed only if it goes wrong in this way")
    return parser.parse_args()


def _again(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", __package__ or "", *arguments]


def _spread(options: argparse.Namespace) -> int:
    """Give each worker every so-manieth seed."""
    share = -(-options.count // options.workers)
    rest = [flag for flag in ("--stop", "--whole", "--digest", "--situations") if getattr(options, flag[2:])]
    workers = [
        subprocess.Popen(
            _again(
                [
                    *("--seed", str(options.seed + number * share)),
                    *("--count", str(min(share, options.count - number * share))),
                    *("--only", options.only),
                    *rest,
                ]
            )
        )
        for number in range(options.workers)
        if number * share < options.count
    ]
    return max(worker.wait() for worker in workers)


def _run(options: argparse.Namespace) -> int:
    from .planning import make_schedule
    from .run import failures, kinds, run, shortened
    from .situations import SITUATIONS
    from .world import Outcome

    begun, used = time.perf_counter(), time.process_time()
    lasted = 0.0
    situations = Counter[str]()

    def note(seed: int, outcome: Outcome) -> None:
        nonlocal lasted
        lasted += outcome.lasted
        situations.update(outcome.situations)
        if options.digest:
            _say(seed, outcome.digest, len(outcome.told))

    found = 0
    done = 0
    seeds = range(options.seed, options.seed + options.count)
    for failure in failures(seeds, note, with_history=options.situations):
        if options.only and options.only not in kinds(failure.wrong):
            continue
        found += 1
        done = failure.seed - options.seed + 1
        _say(f"\nseed {failure.seed}: {len(failure.wrong)} wrong", *failure.wrong[:10], sep="\n  ")
        if not options.whole:
            shorter = shortened(make_schedule(failure.seed))
            _say(shorter, *run(shorter).wrong[:5], sep="\n")
        if options.stop:
            break
    else:
        done = options.count
    if options.situations:
        _say(
            "", "schedules that reach a situation:", *(f"{situations[each]:7,} {each}" for each in SITUATIONS), sep="\n"
        )
    _say(
        f"{done} schedules of {lasted / max(1, done):.1f} s from seed {options.seed}: {found} went wrong; "
        f"{time.perf_counter() - begun:.1f} s, {(time.process_time() - used) / max(1, done) * 1_000:.0f} ms of "
        "processor time each"
    )
    return 1 if found else 0


def _say(*words: object, sep: str = " ") -> None:
    sys.stdout.write(sep.join(str(word) for word in words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if not __package__:
        sys.exit(f"run `python -m {Path(__file__).parent.name}` instead")
    sys.exit(main())
