"""What stopping rules do over many experiments: whether they stop, whom they announce, and what it costs."""

import math

import numpy as np
import pytest

from bandit_core.policies.thompson import Thompson
from bandit_core.policies.uniform import Uniform
from bandit_core.simulation import BernoulliEnvironment, Published
from bandit_core.stopping import StoppingRule, Verdict
from studies.operating_characteristics import Ending, endings, summarise

CLEAR_ARMS = BernoulliEnvironment(np.array([0.1, 0.5, 0.1]))
EQUAL_ARMS = BernoulliEnvironment(np.array([0.3, 0.3]))


def play(
    environment: BernoulliEnvironment, *rules: StoppingRule, decisions: int = 600, runs: int = 20
) -> tuple[list[Ending], ...]:
    strategy = Published(Thompson(), every=100, min_weight=0.05)
    return endings(environment, strategy, rules, decisions=decisions, runs=runs, rng=np.random.default_rng(1))


def ending(outcome: str, decisions: int, loss: float | None, *, stop: bool = True) -> Ending:
    arm = None if loss is None else "0"
    record = {"outcome": outcome, "stop": stop, "arm": arm, "conditions": (), "progress": float(stop)}
    return Ending(Verdict.from_dict(record), decisions, loss)


def test_a_clear_winner_is_found_and_costs_nothing() -> None:
    [ended] = play(CLEAR_ARMS, StoppingRule(min_decisions_per_arm=10))
    assert {(run.verdict.outcome, run.verdict.arm, run.loss) for run in ended} == {("winner", "1", 0.0)}


def test_equal_arms_are_announced_as_practically_equal_when_the_tolerance_allows() -> None:
    [ended] = play(EQUAL_ARMS, StoppingRule(min_decisions_per_arm=10, prob_best=None, expected_loss=0.05))
    assert {(run.verdict.outcome, run.loss) for run in ended} == {("practically_equal", 0.0)}


def test_a_run_that_nothing_stops_ends_undecided_at_the_last_look() -> None:
    [ended] = play(CLEAR_ARMS, StoppingRule(min_decisions=10_000), decisions=250)
    assert {(run.verdict.outcome, run.verdict.stop, run.decisions, run.loss) for run in ended} == {
        ("undecided", False, 250, None)
    }


def test_time_passes_at_one_decision_per_second() -> None:
    [ended] = play(EQUAL_ARMS, StoppingRule(prob_best=None, max_duration=350.0))
    assert {(run.verdict.stop, run.decisions) for run in ended} == {(True, 400)}


def test_all_rules_judge_the_same_runs_so_a_stricter_one_never_stops_earlier() -> None:
    lax, strict = (StoppingRule(min_decisions_per_arm=10, prob_best=level) for level in (0.8, 0.99))
    ended = play(BernoulliEnvironment(np.array([0.3, 0.4])), lax, strict)
    assert [len(of_rule) for of_rule in ended] == [20, 20]
    assert all(early.decisions <= late.decisions for early, late in zip(*ended, strict=True))
    assert any(early.decisions < late.decisions for early, late in zip(*ended, strict=True))


def test_the_word_of_a_rule_is_worth_what_it_says_when_arms_are_drawn_from_the_prior() -> None:
    """However often one looks, wrong winners are as many as the sum of 1 - P(best) at the stops (4 deviations)."""
    rng, prior, runs = np.random.default_rng(2), (2.0, 2.0), 400
    environment = BernoulliEnvironment(rng.beta(*prior, (runs, 3)))
    rule, strategy = StoppingRule(min_decisions_per_arm=1, prob_best=0.8), Published(Uniform(), every=20)
    [ended] = endings(environment, strategy, [rule], decisions=400, runs=runs, rng=rng, prior=prior)
    announced = [run for run in ended if run.verdict.outcome == "winner"]
    promised = np.array([run.verdict.conditions[0].value for run in announced])
    wrong = sum(run.loss != 0.0 for run in announced)
    assert len(announced) > 0.8 * runs
    assert abs(wrong - (1.0 - promised).sum()) < 4 * math.sqrt((promised * (1.0 - promised)).sum())


def test_a_summary_counts_and_averages_the_endings() -> None:
    summary = summarise(
        [
            ending("winner", 100, 0.0),
            ending("winner", 200, 0.02),
            ending("practically_equal", 300, 0.01),
            ending("undecided", 400, None),
            ending("undecided", 500, None, stop=False),
        ]
    )
    assert summary.runs == 5
    assert summary.stop_rate == 0.8
    assert summary.winner_rate == 0.4
    assert summary.practically_equal_rate == 0.2
    assert summary.wrong_winner_rate == 0.2
    assert summary.loss_when_wrong == 0.02
    assert summary.mean_loss == pytest.approx(0.01)
    assert summary.median_decisions == 250
    assert summary.ninth_decile_decisions == pytest.approx(370)


def test_a_summary_says_nothing_where_there_is_nothing() -> None:
    summary = summarise([ending("undecided", 500, None, stop=False)])
    assert summary.stop_rate == summary.winner_rate == summary.wrong_winner_rate == 0.0
    assert summary.loss_when_wrong is summary.mean_loss is summary.median_decisions is None
