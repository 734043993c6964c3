"""Seldon's wrapper, made to end: `python -m bandit_router.serve` takes what `seldon-core-microservice` takes.

After SIGTERM the wrapper finishes its requests, and then waits indefinitely for the gRPC process, which it has not told
to stop. Here that process is ended too. What it started itself goes with the container.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os

from seldon_core.microservice import main


def end_children_at_exit() -> None:
    """End the processes that this one has started as soon as it exits; a fork of it leaves them alone."""
    starter = os.getpid()

    def end_children() -> None:
        # Workers of gunicorn are forks, and come by here whenever one is replaced.
        if os.getpid() == starter:
            for child in multiprocessing.active_children():
                child.terminate()

    atexit.register(end_children)


if __name__ == "__main__":
    end_children_at_exit()
    main()
