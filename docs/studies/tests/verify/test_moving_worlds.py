"""Full size: who wins while rewards and weights move, and what `effect` promises and finds."""

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

from bandit_core.adaptive.power import effect_power
from studies.changes import alarms
from studies.effect_sequences import sequences
from studies.holdout_shares import false_lifts
from studies.late_failures import Counting, Lateness, late_failures
from studies.moving_values import value_winners
from studies.moving_winners import Winners, ratio, winners
from studies.moving_worlds import MOVEMENTS, Design, Kind, Movement, Rates, World
from studies.returning_units import Visits, repetition

pytestmark = pytest.mark.verify

type Record = Callable[..., None]

RUNS, PARTS, DECISIONS, LONG = 2_000, 4, 20_000, 50_000
KINDS: tuple[Kind, ...] = ("pooled", "time_robust")
EVEN_DELAY = (1 / 6,) * 6


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}%"


def shown(share: float, runs: int, digits: int = 1) -> str:
    return f"{percent(share, digits)} ± {percent(math.sqrt(share * (1 - share) / runs), digits)}"


def within(share: float, runs: int) -> float:
    """Return a share plus three standard errors."""
    return share + 3.0 * math.sqrt(share * (1.0 - share) / runs)


def of_kind(kind: Kind) -> str:
    return kind.replace("_", "-")


def regret(found: Winners) -> str:
    return f"{found.regret.mean():.1f} ± {found.regret.std(ddof=1) / math.sqrt(len(found.regret)):.1f}"


def cost(ours: Winners, theirs: Winners) -> str:
    if not theirs.regret.any():
        return "–"
    value, error = ratio(ours.regret, theirs.regret)
    return f"{value:.2f} ± {error:.2f}"


def compared(name: str, pooled: Winners, robust: Winners) -> list[list[str]]:
    rows = []
    for kind, found in (("pooled", pooled), ("time-robust", robust)):
        runs = len(found.regret)
        rows.append(
            [
                name,
                kind,
                shown(found.right, runs),
                shown(found.wrong, runs),
                percent(found.upper_wrong),
                regret(found),
                "" if found is pooled else cost(robust, pooled),
            ]
        )
    return rows


COLUMNS = ["world", "beliefs", "right winner", "wrong winner", "upper bound", "regret", "to pooled"]
PLACES: dict[str, tuple[Rates, float]] = {
    **{name: (World(name), 0.01) for name in MOVEMENTS},
    **{f"{name}, floor 0.05": (World(name), 0.05) for name in MOVEMENTS},
    "rates of 0.010 and 0.015": (World("static", base=0.01, lift=0.5), 0.01),
    "swap": (World("swap"), 0.01),
}


def of_parts(workers: ProcessPoolExecutor, rates: Rates, design: Design) -> Winners:
    """Play RUNS runs in parts, on all cores; the last arm of two is the better one."""
    part = partial(winners, rates, design, decisions=DECISIONS, runs=RUNS // PARTS, best=1)
    seeds = np.random.SeedSequence(1).spawn(PARTS)
    parts = [each.result() for each in [workers.submit(part, rng=np.random.default_rng(seed)) for seed in seeds]]
    right, wrong = (float(np.mean([getattr(each, name) for each in parts])) for name in ("right", "wrong"))
    return Winners(right, wrong, np.concatenate([each.regret for each in parts]))


@pytest.mark.parametrize("name", PLACES)
def test_winners(name: str, workers: ProcessPoolExecutor, record: Record) -> None:
    rates, floor = PLACES[name]
    exact = name in MOVEMENTS
    pooled, robust = (of_parts(workers, rates, Design(kind, floor, exact=exact)) for kind in KINDS)
    if name.split(",", maxsplit=1)[0] in MOVEMENTS:
        assert robust.upper_wrong <= 0.09
        assert robust.right >= 0.70
    assert ratio(robust.regret, pooled.regret)[0] <= (1.3 if name.startswith("rates") else 1.25)
    record(
        "moving_winners",
        part=list(PLACES).index(name) + 1,
        of=len(PLACES),
        columns=COLUMNS,
        rows=compared(name, pooled, robust),
    )


FOUR: dict[str, tuple[Rates, int | None]] = {
    **{f"{name}, the last 20% better": (World(name, lift=0.2, arms=4), 3) for name in MOVEMENTS},
    "equal": (World("static", lift=0.0, arms=4), None),
    "equal, rise": (World("rise", lift=0.0, arms=4), None),
    "three equal, the last .14, then .06": (
        lambda t: np.array([0.10, 0.10, 0.10, 0.14 if t < 6_000 else 0.06]),
        None,
    ),
}


@pytest.mark.parametrize("name", FOUR)
def test_winners_of_four(name: str, record: Record) -> None:
    rates, best = FOUR[name]
    pooled, robust = (
        winners(
            rates,
            Design(kind, 0.02, exact=False),
            decisions=DECISIONS,
            runs=1_000,
            best=best,
            rng=np.random.default_rng(2),
        )
        for kind in KINDS
    )
    record(
        "moving_winners_of_four",
        part=list(FOUR).index(name) + 1,
        of=len(FOUR),
        columns=COLUMNS,
        rows=compared(name, pooled, robust),
    )


VALUES = [(world, advantage, size) for advantage, size in ((0.033, 0.33), (0.2, 2.0)) for world in MOVEMENTS]


@pytest.mark.parametrize("case", VALUES)
def test_values(case: tuple[Movement, float, float], record: Record) -> None:
    world, advantage, size = case
    pooled, robust = (
        value_winners(
            world,
            size,
            kind,
            advantage=advantage,
            decisions=DECISIONS,
            runs=1_000,
            rng=np.random.default_rng(3),
        )
        for kind in KINDS
    )
    assert robust.upper_wrong <= 0.09
    assert robust.right >= 0.70
    record(
        "moving_values",
        part=VALUES.index(case) + 1,
        of=len(VALUES),
        columns=COLUMNS,
        rows=compared(f"{world}, level {size:g}, {advantage:g} better", pooled, robust),
    )


EQUAL: dict[str, Rates] = {
    **{name: World(name, LONG, lift=0.0) for name in MOVEMENTS},
    "rates of 1%": World("static", LONG, lift=0.0, base=0.01),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_arms(name: str, record: Record) -> None:
    rows = []
    for floor in (0.01, 0.02, 0.05, 0.1, 0.5):
        found = sequences(
            EQUAL[name],
            Design(floor=floor, exact=False),
            decisions=LONG,
            runs=RUNS,
            best=None,
            rng=np.random.default_rng(4),
        )
        assert found.wrong <= within(0.05, RUNS)
        assert found.width <= 1.9
        rows.append(
            [
                name,
                "even split" if floor == 0.5 else f"{floor:g}",
                shown(found.wrong, RUNS),
                percent(found.covered),
                f"{found.width:.2f}",
                shown(found.prob_best, RUNS),
            ]
        )
    record(
        "effect_equal",
        part=list(EQUAL).index(name) + 1,
        of=len(EQUAL),
        columns=["world", "floor", "winner by `effect`", "covered at all looks", "width", "winner by P(best) ≥ 0.95"],
        rows=rows,
    )


@pytest.mark.parametrize("arms", [2, 4])
def test_coverage(arms: int, record: Record) -> None:
    rows = []
    for world in MOVEMENTS:
        for late, delay in (("at once", (1.0,)), ("up to 500 late", EVEN_DELAY)):
            found = sequences(
                World(world, arms=arms),
                Design(floor=0.02, delay=delay, exact=False),
                decisions=DECISIONS,
                runs=1_000,
                best=arms - 1,
                rng=np.random.default_rng(5),
            )
            assert found.covered >= 0.95 - (within(0.05, 1_000) - 0.05)
            assert found.width <= 1.9
            rows.append(
                [
                    str(arms),
                    world,
                    late,
                    shown(found.covered, 1_000),
                    f"{found.width:.2f}",
                    shown(found.wrong, 1_000),
                ]
            )
    record(
        "effect_coverage",
        part=arms // 2,
        of=2,
        columns=["arms", "world", "rewards", "covered at all looks", "width", "wrong winner"],
        rows=rows,
    )


FLOORS = (0.01, 0.05, 0.1, 0.2, 0.5)


@pytest.mark.parametrize("floor", FLOORS)
def test_power(floor: float, record: Record) -> None:
    rows = []
    for lift in (0.1, 0.2):
        cells = []
        for decisions in (DECISIONS, LONG):
            played = sequences(
                World("static", lift=lift),
                Design(floor=floor, exact=False),
                decisions=decisions,
                runs=1_000,
                best=1,
                rng=np.random.default_rng(6),
            )
            told = effect_power(
                rate=0.1, lift=lift, floor=floor, decisions=decisions, rng=np.random.default_rng(6), runs=1_000
            )
            assert abs(told.right - played.right) <= 0.08
            cells += [shown(played.right, 1_000), percent(told.right)]
        rows.append(["even split" if floor == 0.5 else f"{floor:g}", f"+{100 * lift:.0f}%", *cells])
    record(
        "effect_power",
        part=FLOORS.index(floor) + 1,
        of=len(FLOORS),
        columns=["floor", "better by", "by 20,000", "`effect_power`", "by 50,000", "`effect_power`"],
        rows=rows,
    )


UNITS = [
    (visits, floor) for visits in (Visits(), Visits(spread=True), Visits(40, spread=True)) for floor in (0.01, 0.05)
]


@pytest.mark.parametrize("case", UNITS)
def test_units_that_come_back(case: tuple[Visits, float], record: Record) -> None:
    visits, floor = case
    found = repetition(visits, decisions=DECISIONS, runs=1_000, rng=np.random.default_rng(7), floor=floor)
    assert found.effect_corrected <= within(0.05, 1_000)
    record(
        "returning_units",
        part=UNITS.index(case) + 1,
        of=len(UNITS),
        columns=[
            "visits of a unit",
            "floor",
            "`effect` without",
            "`effect` with the design effect",
            "P(best) without",
            "P(best) with it",
            "design effect",
        ],
        rows=[
            [
                f"{visits.visits}, {'over the whole time, sticky' if visits.spread else 'in one version'}",
                f"{floor:g}",
                shown(found.effect, 1_000),
                shown(found.effect_corrected, 1_000),
                shown(found.prob_best, 1_000),
                shown(found.prob_best_corrected, 1_000),
                f"{found.design_effect:.2f}",
            ]
        ],
    )


HALF_LIVES = (1_000, 2_500, 5_000, 10_000)


def test_half_lives(record: Record) -> None:
    rows = []
    places = {name: World(name) for name in (*MOVEMENTS, "swap")}
    for name, rates in places.items():
        found = {
            half_life: winners(
                rates,
                Design(half_life=half_life, exact=False),
                decisions=DECISIONS,
                runs=RUNS,
                best=1,
                rng=np.random.default_rng(8),
            )
            for half_life in (None, *HALF_LIVES)
        }
        rows.append([name, regret(found[None]), *(cost(found[each], found[None]) for each in HALF_LIVES)])
        limit = {"swap": 0.67, "static": 1.6}.get(name)
        if limit is not None:
            assert ratio(found[2_500].regret, found[None].regret)[0] <= limit
    record(
        "half_lives",
        part=1,
        of=1,
        columns=["world", "regret without", *(f"half-life {each:,}" for each in HALF_LIVES)],
        rows=rows,
    )


LATE = {
    "10% better": ((0.10, 0.11), (1.0, 1.0)),
    "10% better and slower": ((0.10, 0.11), (0.5, 1.5)),
    "equal, the first faster": ((0.10, 0.10), (0.5, 1.5)),
    "0.05 and 0.10": ((0.05, 0.10), (1.0, 1.0)),
}
COUNTINGS: tuple[tuple[str, Counting, Kind], ...] = (
    ("as they come, pooled", "ignore", "pooled"),
    ("as they come", "ignore", "time_robust"),
    ("closed", "closed", "time_robust"),
    ("closed; open by their age", "share", "time_robust"),
    ("closed; open as failures", "failures", "time_robust"),
)


@pytest.mark.parametrize("name", LATE)
def test_late_failures(name: str, record: Record) -> None:
    rates, paces = LATE[name]
    rows = []
    for window in (1_000, 5_000):
        for said, counting, beliefs in COUNTINGS:
            found = late_failures(
                rates,
                Lateness(window, paces=paces),
                counting,
                decisions=DECISIONS,
                runs=1_000,
                rng=np.random.default_rng(9),
                beliefs=beliefs,
            )
            assert found.found == 1.0
            spent = f"{found.regret.mean():.1f} ± {found.regret.std(ddof=1) / math.sqrt(1_000):.1f}"
            equal = rates[0] == rates[1]
            rows.append(
                [
                    name,
                    f"{window:,}",
                    said,
                    shown(found.second, 1_000),
                    shown(found.first, 1_000),
                    "–" if equal else spent,
                ]
            )
    record(
        "late_failures",
        part=list(LATE).index(name) + 1,
        of=len(LATE),
        columns=["second arm", "window", "what counts", "second arm wins", "first arm wins", "regret"],
        rows=rows,
    )


@pytest.mark.parametrize("floor", [0.01, 0.05, 0.1])
def test_changes(floor: float, record: Record) -> None:
    rows = []
    places = {name: World(name) for name in (*MOVEMENTS, "swap")}
    for name, rates in places.items():
        found = alarms(
            rates, Design(floor=floor, exact=False), decisions=DECISIONS, runs=1_000, rng=np.random.default_rng(10)
        )
        if name != "swap":
            assert found.change <= 0.05
        if name == "static":
            assert found.disagreement <= 0.05
        rows.append([f"{floor:g}", name, shown(found.change, 1_000), shown(found.disagreement, 1_000)])
    record(
        "changes",
        part=(0.01, 0.05, 0.1).index(floor) + 1,
        of=3,
        columns=["floor", "world", "a change is found", "pooled and time-robust means disagree"],
        rows=rows,
    )


def test_holdout_shares(record: Record) -> None:
    rows = []
    for shares, rates in (((0.1, 0.1), (0.10, 0.14)), ((0.1, 0.5), (0.10, 0.14)), ((0.5, 0.02), (0.10, 0.14))):
        found = false_lifts(shares, rates, size=5_000, runs=20_000, rng=np.random.default_rng(11))
        assert found.overlap <= 0.06
        assert found.sequence <= 0.05
        rows.append(
            [
                f"{shares[0]:g}, then {shares[1]:g}",
                percent(found.pooled),
                percent(found.overlap),
                percent(found.sequence),
            ]
        )
    record(
        "holdout_shares",
        part=1,
        of=1,
        columns=["share of the holdout", "pooled, 95% interval", "same share, 95% interval", "same share, sequence"],
        rows=rows,
    )
