"""Plans are simulated by a process of their own, so that requests do not wait for them."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from typing import Final

import msgspec

from bandit_core.rules.planning import PlanReport, PlanRequest, check_plan
from bandit_core.rules.problems import TooMany

_LONGEST: Final = 120.0
_COMMAND: Final = (sys.executable, "-m", "bandit_core.rules.planning")
# None of the service's settings, which hold secrets; and one thread, since pods have few processors.
_KEPT: Final = ("PATH", "PYTHONPATH", "HOME", "LANG")
_THREADS: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Planner:
    """Answers /plan, one request at a time."""

    def __init__(self) -> None:
        self._busy = asyncio.Lock()

    async def plan(self, request: PlanRequest) -> PlanReport:
        """Return what to expect. The process is killed if the client leaves, or after two minutes.

        Raises:
            Invalid: the request makes no sense; TooMany: another plan is being made, or this one takes too long.
        """
        check_plan(request)
        if self._busy.locked():
            raise TooMany("another plan is being made; try again", retry_after=2)
        async with self._busy:
            environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
            process = await asyncio.create_subprocess_exec(
                *_COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment | _THREADS
            )
            try:
                async with asyncio.timeout(_LONGEST):
                    answer, _ = await process.communicate(msgspec.json.encode(request))
            except TimeoutError:
                raise TooMany("the plan takes too long: ask for fewer runs or arms", retry_after=60) from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode:
            raise RuntimeError(f"the planner ended with status {process.returncode}")
        return msgspec.json.decode(answer, type=PlanReport)
