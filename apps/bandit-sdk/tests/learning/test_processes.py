"""Two processes on one file."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from bandit_sdk.learning import JsonLearningStore, LearningStore, SqliteLearningStore
from bandit_sdk.learning.store import ArmCounts, ArmKey

WRITER = """
import asyncio, sys
from bandit_sdk.learning import Arm, ArmOutcome, JsonLearningStore, Learner, LearnerConfig, SqliteLearningStore

async def main(kind, path, times):
    store = {"sqlite": SqliteLearningStore, "json": JsonLearningStore}[kind](path)
    learner = await Learner.create(LearnerConfig(name="prompts"), store=store)
    for number in range(int(times)):
        await learner.select([Arm("a")])
        await learner.observe(ArmOutcome("a", reward=0.25))
        await learner.observe(ArmOutcome("b", reward=1.0, id=f"request-{number}"))
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""
LEFT_OPEN = """
import asyncio, sys
from bandit_sdk.learning import Arm, Learner, LearnerConfig

learner = asyncio.run(Learner.create(LearnerConfig(name="prompts", path=sys.argv[1])))
"""


@pytest.mark.parametrize(("kind", "times"), [("sqlite", 60), ("json", 20)])
async def test_two_processes_lose_nothing_and_count_nothing_twice(kind: str, times: int, tmp_path: Path) -> None:
    path = tmp_path / "learners"
    command = [sys.executable, "-c", WRITER, kind, str(path), str(times)]
    writers = [await asyncio.create_subprocess_exec(*command) for _ in range(2)]
    assert [await writer.wait() for writer in writers] == [0, 0]
    store: LearningStore = SqliteLearningStore(path) if kind == "sqlite" else JsonLearningStore(path)
    await store.initialize()
    counts = await store.counts("prompts")
    await store.close()
    assert counts[ArmKey("", "a")] == ArmCounts(2 * times, 2 * times, times * 500_000, times * 1_500_000)
    # Both report the same requests.
    assert counts[ArmKey("", "b")] == ArmCounts(0, times, times * 1_000_000, 0)


def test_a_program_ends_although_it_leaves_its_learner_open(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LEFT_OPEN, str(tmp_path / "learners.db")], check=True, timeout=30)


FORKING = """
import asyncio, os, sys
from bandit_sdk.learning import Arm, JsonLearningStore, Learner, LearnerConfig, MemoryLearningStore, SqliteLearningStore

async def draws(learner):
    return "".join([(await learner.select([Arm(name) for name in "abcdefgh"])).selected[0].id for _ in range(16)])

kind, path, used = sys.argv[1:]
kinds = {"sqlite": SqliteLearningStore, "json": JsonLearningStore, "memory": lambda _: MemoryLearningStore()}
store = kinds[kind](path)
learner = asyncio.run(Learner.create(LearnerConfig(name="prompts"), store=store))
if used == "used":
    asyncio.run(draws(learner))
for _ in range(2):
    if os.fork() == 0:
        try:
            said = asyncio.run(draws(learner))
        except RuntimeError as error:
            said = str(error)
        os.write(1, f"{said}\\n".encode())
        os._exit(0)
for _ in range(2):
    os.wait()
"""


def after_fork(kind: str, path: Path, used: str) -> list[str]:
    """Return what two children of a process with a learner draw, or why they are refused."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, kind, str(path), used]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(("kind", "used"), [("json", "used"), ("memory", "used"), ("sqlite", "unused")])
def test_forked_processes_draw_arms_of_their_own(kind: str, used: str, tmp_path: Path) -> None:
    one, other = after_fork(kind, tmp_path / "learners", used)
    assert len(one) == len(other) == 16
    assert one != other


def test_an_open_sqlite_file_is_refused_after_a_fork(tmp_path: Path) -> None:
    path = tmp_path / "learners"
    refused = f"{path} was open when this process was forked: make one in each process"
    assert after_fork("sqlite", path, "used") == [refused, refused]
