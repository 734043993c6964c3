"""Schedules of requests and faults on the real code: whatever happens, what clients were told holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .planning import make_schedule
from .run import kinds, shortened
from .schedule import Fault, Schedule
from .situations import SITUATIONS

TESTS = Path(__file__).parent.parent
SHARES = 5
IN_EVERY_TEST = 2_000
IN_VERIFY = 20_000


def simulate(*arguments: object, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    """Run the simulation as `make simulate` does."""
    return subprocess.run(
        [sys.executable, "-m", "simulation", *(str(each) for each in arguments)],
        env={"PYTHONPATH": str(TESTS), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("share", range(SHARES))
def test_what_clients_were_told_holds_whatever_fails(share: int) -> None:
    count = IN_EVERY_TEST // SHARES
    ran = simulate("--seed", share * count, "--count", count)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.verify
@pytest.mark.parametrize("share", range(SHARES))
def test_what_clients_were_told_holds_in_many_schedules(share: int) -> None:
    count = IN_VERIFY // SHARES
    ran = simulate("--seed", 1_000_000 + share * count, "--count", count)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.verify
def test_schedules_reach_what_broke_an_abstract_model() -> None:
    """All but the one about days, which are not simulated."""
    ran = simulate("--seed", 0, "--count", IN_EVERY_TEST, "--situations").stdout
    counts = {name: int(ran.rpartition(f" {name}\n")[0].split()[-1].replace(",", "")) for name in SITUATIONS}
    assert [name for name, count in counts.items() if not count] == ["day dropped"]


def test_a_seed_is_the_same_schedule_everywhere() -> None:
    """Whatever the hashes of texts are, by which sets are looked through."""
    runs = [simulate("--seed", 40, "--count", 5, "--digest", hash_seed=each).stdout for each in ("1", "2")]
    digests = [[line for line in run.splitlines() if line[:1].isdigit()][:5] for run in runs]
    assert len(digests[0]) == 5
    assert digests[0] == digests[1]


def test_schedules_differ_and_have_every_kind_of_fault() -> None:
    schedules = [make_schedule(seed) for seed in range(500)]
    faults = {step.what for schedule in schedules for step in schedule.steps if isinstance(step, Fault)}
    assert len({schedule.steps for schedule in schedules}) == 500
    assert len(faults) == 25


def test_a_schedule_is_shortened_to_what_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a schedule goes wrong whenever both of two steps are in it."""
    whole = make_schedule(3)
    guilty = {whole.steps[4], whole.steps[-3]}

    class Ran:
        def __init__(self, schedule: Schedule) -> None:
            self.wrong = ("LOST something",) if guilty <= set(schedule.steps) else ()

    monkeypatch.setattr(f"{shortened.__module__}.run", Ran)
    assert set(shortened(whole).steps) == guilty
    assert kinds(["LOST reward of d1", "NOT IN ORDER: x"]) == {"LOST", "NOT IN ORDER"}
