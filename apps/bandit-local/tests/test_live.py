import io
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console

from bandit_local.experiment import ExperimentState
from bandit_local.live import LINE_EVERY, Display, Speed, line, table
from bandit_sdk.results import ArmPosterior, Conclusion, Posterior


def arm(name: str, index: int, **numbers: Any) -> ArmPosterior:
    return ArmPosterior(arm=name, index=index, status="active", **numbers)


STATE = ExperimentState(
    Posterior(
        experiment_id="obd-women",
        status="running",
        weights_version=1,
        leader="item-3",
        expected_loss=0.00012,
        decisions=5_200,
        arms=(
            arm(
                "item-3",
                0,
                decisions=4_000,
                rewards=3_998,
                reward_sum=60.0,
                mean=0.01523,
                interval=(0.0118, 0.0192),
                prob_best=0.9714,
                weight=0.82,
            ),
            arm(
                "item-44",
                1,
                decisions=1_200,
                rewards=1_200,
                reward_sum=5.0,
                mean=0.00499,
                interval=(0.0018, 0.0097),
                weight=0.0,
            ),
        ),
    ),
    Conclusion(
        experiment_id="obd-women",
        status="running",
        winner=None,
        stop=False,
        outcome="undecided",
        arm=None,
        sentence="not yet",
        progress=0.5,
        conditions=(),
    ),
)


@dataclass
class Traffic:
    requests: int = 0
    unserved: int = 0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def rendered(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    "text", ["item-3", "4,000", "3,998", "60", "1.52%", "1.18% to 1.92%", "97.1%", "82.0%", "1,234", "0.00012", "50%"]
)
def test_the_table_shows_every_number_of_an_arm_and_of_the_whole(text: str) -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(table(STATE, 1_234.4))
    assert text in rendered(console)


def test_the_table_fits_a_terminal_of_eighty_columns() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(table(STATE, 1_234.4, unserved=2))
    assert "…" not in rendered(console)
    assert "2 visitors got no answer" in " ".join(rendered(console).split())


def test_a_retired_arm_has_no_chance_to_be_best() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(table(STATE, 0.0))
    retired = next(row for row in rendered(console).splitlines() if "item-44" in row)
    assert " - " in retired


def test_a_plain_line_says_the_same_in_short() -> None:
    assert line(STATE, 1_234.4) == (
        "5,200 decisions, 1,234 requests/s, leader item-3 (mean 1.52%, P(best) 97.1%), "
        "expected loss 0.00012, 50% to the stopping rule"
    )
    assert line(STATE, 0.0, unserved=3).endswith("50% to the stopping rule, 3 visitors got no answer")


def test_without_a_terminal_a_line_comes_every_few_seconds_and_at_the_end() -> None:
    console, clock = Console(file=io.StringIO(), width=40), Clock()
    with Display(console, clock) as display:
        for clock.now in (0.0, 1.0, LINE_EVERY - 0.1, LINE_EVERY, LINE_EVERY + 0.5):
            display.show(STATE, Traffic())
        display.show(STATE, Traffic(), final=True)
    lines = rendered(console).splitlines()
    assert len(lines) == 3
    assert all(each.endswith("stopping rule") for each in lines)
    assert "\x1b" not in rendered(console)


def test_waiting_is_said_as_rarely() -> None:
    console, clock = Console(file=io.StringIO(), width=40), Clock()
    with Display(console, clock) as display:
        for clock.now in (0.0, 1.0, LINE_EVERY):
            display.wait("The service answered 503 to /experiments/obd-women/posterior: the store is away")
    lines = rendered(console).splitlines()
    assert lines == ["Waiting: The service answered 503 to /experiments/obd-women/posterior: the store is away"] * 2


def test_in_a_terminal_the_table_stays_in_place() -> None:
    console, clock = Console(file=io.StringIO(), width=120, force_terminal=True), Clock()
    with Display(console, clock) as display:
        display.show(STATE, Traffic())
        display.show(STATE, Traffic(), final=True)
    assert "\x1b[" in rendered(console)
    assert "P(best)" in rendered(console)


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with Display(console, Clock()) as display:
        display.show(STATE, Traffic())
    assert rendered(console).endswith("to the stopping rule\n")


def test_speed_is_that_of_the_last_seconds() -> None:
    speed = Speed(window=3.0)
    assert speed.at(0.0, 0) == 0.0
    assert [speed.at(second, 100 * second) for second in (1, 2, 3, 4)] == [100.0] * 4
    assert [speed.at(second, 400) for second in (5, 6, 7)][-1] == 0.0
