"""How the run looks: a live table in a terminal, a plain line every few seconds anywhere else."""

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bandit_local.experiment import ExperimentState
from bandit_sdk.results import ArmPosterior

LINE_EVERY = 3.0
SPEED_WINDOW = 3.0
BAR_WIDTH = 18


class Traffic(Protocol):
    """What the display needs to know of the visitors: answered requests, and visitors who gave up waiting."""

    @property
    def requests(self) -> int: ...

    @property
    def unserved(self) -> int: ...


class Speed:
    """Requests per second over the last few seconds."""

    def __init__(self, window: float = SPEED_WINDOW) -> None:
        self._window = window
        self._readings: deque[tuple[float, int]] = deque()

    def at(self, now: float, requests: int) -> float:
        """Take a reading of the running total and return the present speed."""
        self._readings.append((now, requests))
        while len(self._readings) > 2 and now - self._readings[1][0] >= self._window:
            self._readings.popleft()
        earlier, before = self._readings[0]
        return (requests - before) / (now - earlier) if now > earlier else 0.0


class Display:
    """Show the state of a run, as a table that stays in place when ``console`` is a terminal."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._speed = Speed()
        self._last_line = float("-inf")
        animated = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, transient=False) if animated else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, state: ExperimentState, traffic: Traffic, *, final: bool = False) -> None:
        """Show a state; without a terminal only every few seconds, and the final one always."""
        now = self._clock()
        speed = self._speed.at(now, traffic.requests)
        if self._live is not None:
            self._live.update(table(state, speed, traffic.unserved), refresh=True)
        elif final or self._is_due(now):
            self._print(line(state, speed, traffic.unserved), now)

    def wait(self, reason: str) -> None:
        """Say, every few seconds, what the run is waiting for."""
        now = self._clock()
        if self._is_due(now):
            self._print(f"Waiting: {reason}", now)

    def _is_due(self, now: float) -> bool:
        return now - self._last_line >= LINE_EVERY

    def _print(self, text: str, now: float) -> None:
        self._last_line = now
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


def table(state: ExperimentState, speed: float, unserved: int = 0) -> Group:
    """Return the table of arms with a line about the whole."""
    arms = Table(box=SIMPLE_HEAD, padding=0, collapse_padding=False, header_style="bold")
    arms.add_column("arm")
    for column in ("decisions", "rewards", "sum", "posterior mean", "95% interval", "P(best)", "weight"):
        arms.add_column(column, justify="right")
    for arm in state.posterior.arms:
        arms.add_row(*_row(arm), style="green" if arm is state.leader else None)
    return Group(arms, _summary(state, speed), *map(Text, _unserved(unserved)))


def line(state: ExperimentState, speed: float, unserved: int = 0) -> str:
    """Return the state as one plain line."""
    leader = state.leader
    parts = [
        f"{state.decisions:,} decisions",
        f"{speed:,.0f} requests/s",
        f"leader {leader.arm} (mean {leader.mean:.2%}, P(best) {_percent(leader.prob_best)})",
        f"expected loss {_loss(state)}",
        f"{state.conclusion.progress:.0%} to the stopping rule",
        *_unserved(unserved),
    ]
    return ", ".join(parts)


def _row(arm: ArmPosterior) -> tuple[str, ...]:
    low, high = arm.interval
    return (
        arm.arm,
        f"{arm.decisions:,}",
        f"{arm.rewards:,}",
        f"{arm.reward_sum:,.6g}",
        f"{arm.mean:.2%}",
        f"{low:.2%} to {high:.2%}",
        _percent(arm.prob_best),
        f"{arm.weight:.1%}",
    )


def _summary(state: ExperimentState, speed: float) -> Table:
    summary = Table.grid(padding=(0, 1))
    summary.add_row(
        Text(f" {speed:,.0f} requests/s   expected loss {_loss(state)}   stopping rule"),
        ProgressBar(total=1.0, completed=state.conclusion.progress, width=BAR_WIDTH),
        Text(f"{state.conclusion.progress:.0%}"),
    )
    return summary


def _percent(probability: float | None) -> str:
    return "-" if probability is None else f"{probability:.1%}"


def _loss(state: ExperimentState) -> str:
    loss = state.posterior.expected_loss
    return "-" if loss is None else f"{loss:.5f}"


def _unserved(visitors: int) -> list[str]:
    return [f"{visitors:,} visitors got no answer"] if visitors else []
