"""The service under the sampler: SIGUSR1 begins, SIGUSR2 ends and writes what was counted to the file it was given."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from bandit_service import cli
from benchmarks.sampler import Sampler


def main(report: Path) -> None:
    sampler = Sampler()

    def begin(*_: object) -> None:
        sampler.start()

    def end(*_: object) -> None:
        sampler.stop()
        counted = json.dumps({"groups": dict(sampler.groups), "functions": dict(sampler.functions)})
        unfinished = report.with_suffix(".part")
        unfinished.write_text(counted)
        unfinished.rename(report)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    cli.serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
