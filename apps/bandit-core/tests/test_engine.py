"""The allocation engine: the quick start of such a library with only the import changed, and its promises."""

import subprocess
import sys
from pathlib import Path

import pytest

from bandit_core.best_arm import prob_best
from bandit_core.engine import Constraints, Engine, Observation

QUICK_START = """
from bandit_core.engine import Engine, Observation, Constraints

engine = Engine(strategy="thompson")

observations = {
    "A": Observation(trials=1_000, successes=50),   # 5%
    "B": Observation(trials=1_000, successes=120),  # 12%
    "C": Observation(trials=1_000, successes=60),   # 6%
}

previous_weights = {
    "A": 0.33,
    "B": 0.33,
    "C": 0.34,
}

constraints = Constraints(
    min_trials=500,
    max_step=0.1,
    min_weight=0.05,
)

result = engine.compute(
    observations=observations,
    previous_weights=previous_weights,
    constraints=constraints,
)

print(result.weights)
print(result.explanation)
"""


def test_the_quick_start_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    exec(QUICK_START, {})  # noqa: S102 - it is the document's own text
    weights, explanation = capsys.readouterr().out.split("\n", 1)
    assert eval(weights) == pytest.approx({"A": 0.285, "B": 0.43, "C": 0.285}, abs=1e-5)  # noqa: S307
    assert "Thompson sampling proposes over 99.99% for B" in explanation
    assert "max_step" in explanation


def test_without_limits_thompson_gives_the_chance_of_being_best() -> None:
    seen = {"a": Observation(100, 10), "b": Observation(100, 14)}
    weights = Engine().compute(observations=seen).weights
    assert list(weights.values()) == pytest.approx(prob_best([11, 15], [91, 87]).tolist())


def test_the_heuristic_shares_in_proportion_to_rates() -> None:
    seen = {"a": Observation(98, 9), "b": Observation(98, 19)}
    assert Engine("heuristic").compute(observations=seen).weights == pytest.approx({"a": 1 / 3, "b": 2 / 3})


def test_with_too_little_data_nothing_moves() -> None:
    seen = {"a": Observation(499, 0), "b": Observation(5_000, 500)}
    result = Engine().compute(
        observations=seen, previous_weights={"a": 0.5, "b": 0.5}, constraints=Constraints(min_trials=500)
    )
    assert result.weights == {"a": 0.5, "b": 0.5}
    assert result.explanation.details.holds[0].guardrail == "min_trials"
    assert result.explanation.to_dict()["strategy"] == "thompson"


def test_previous_weights_are_scaled_to_1_and_that_is_said() -> None:
    seen = {name: Observation(0, 0) for name in "abc"}
    result = Engine().compute(
        observations=seen, previous_weights=dict.fromkeys("abc", 0.33), constraints=Constraints(min_trials=1)
    )
    assert result.weights == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert str(result.explanation).endswith(" The previous weights added up to 0.99 and were scaled to 1.")
    assert result.explanation.to_dict()["previous_sum"] == pytest.approx(0.99)


@pytest.mark.parametrize("weights", [None, {"a": 0.33, "b": 0.33, "c": 0.34}, dict.fromkeys("abc", 1 / 3)])
def test_nothing_is_said_of_weights_that_were_not_scaled(weights: dict[str, float] | None) -> None:
    result = Engine().compute(observations={name: Observation(0, 0) for name in "abc"}, previous_weights=weights)
    assert result.explanation.previous_sum is None
    assert str(result.explanation) == result.explanation.details.paragraph()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"observations": {}}, "at least one variant"),
        ({"previous_weights": {"a": 0.2}}, "add up to 1"),
        ({"previous_weights": {"a": -1.0, "b": 2.0}}, "previous_weights"),
        ({"constraints": Constraints(min_weight=0.9)}, "min_weight"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"observations": {"a": Observation(1, 1), "b": Observation(1, 0)}} | fields
    with pytest.raises(ValueError, match=message):
        Engine().compute(**given)  # type: ignore[arg-type]


def test_observations_and_strategies_are_checked() -> None:
    with pytest.raises(ValueError, match="successes"):
        Observation(1, 2)
    with pytest.raises(ValueError, match="known are 'thompson' and 'heuristic'"):
        Engine("greedy")  # type: ignore[arg-type]


EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def test_the_example_of_one_window_says_what_it_decides() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "engine_one_window.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("A 28.5%\nB 43.0%\nC 28.5%\n")


def test_the_example_of_many_windows_leaves_a_table_and_a_picture(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "engine_many_windows.py", tmp_path], check=True)
    lines = (tmp_path / "weights_over_time.csv").read_text().splitlines()
    assert len(lines) == 1 + 30 * 3
    last = {line.split(",")[1]: float(line.split(",")[2]) for line in lines[-3:]}
    assert max(last, key=last.__getitem__) == "B"
    assert (tmp_path / "weights_over_time.svg").read_text().startswith("<svg")
