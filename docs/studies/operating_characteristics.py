"""How a stopping rule behaves over many simulated experiments: when it stops, and what its word is then worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit_core.policies.base import Beliefs
from bandit_core.simulation import BernoulliEnvironment, RunState, Strategy, arm_ids, run
from bandit_core.stopping import StoppingRule, Verdict


@dataclass(frozen=True, slots=True)
class Ending:
    """How one run ended: the verdict that stopped it, or the one at its last look.

    `loss` is what the announced arm truly costs per decision, the best arm's mean minus its mean; None when no arm was
    announced.
    """

    verdict: Verdict
    decisions: int
    loss: float | None


@dataclass(frozen=True, slots=True)
class OperatingCharacteristics:
    """What a stopping rule did in `runs` runs. Rates are shares of all runs.

    `winner_rate` and `practically_equal_rate`: runs that announced an arm, by verdict. `wrong_winner_rate`: runs that
    announced a winner whose mean is not the highest; `loss_when_wrong` is the mean loss of those (None without any).
    `mean_loss` is the mean loss over all runs that announced an arm, wrongly or not. `median_decisions` and
    `ninth_decile_decisions` are over runs that stopped (None without any).
    """

    runs: int
    stop_rate: float
    winner_rate: float
    practically_equal_rate: float
    wrong_winner_rate: float
    loss_when_wrong: float | None
    mean_loss: float | None
    median_decisions: float | None
    ninth_decile_decisions: float | None


def endings(
    environment: BernoulliEnvironment,
    strategy: Strategy,
    rules: Sequence[StoppingRule],
    *,
    decisions: int,
    runs: int,
    rng: np.random.Generator,
    prior: tuple[float, float] = (1.0, 1.0),
) -> tuple[list[Ending], ...]:
    """Play `runs` independent experiments until every rule has stopped, at most `decisions` decisions each.

    All rules judge the same runs, at every look of the strategy at the beliefs; each gets a list of its endings, one
    per run. Time passes at one decision per second (for `max_duration`).
    """
    ended: list[dict[int, Ending]] = [{} for _ in rules]
    gaps = np.broadcast_to(environment.gaps, (runs, len(environment.arms)))
    for snapshot in run(environment, strategy, decisions=decisions, runs=runs, rng=rng, prior=prior):
        unfinished = [number for number in range(runs) if any(number not in of_rule for of_rule in ended)]
        for number in unfinished:
            going_on = [(rule, of_rule) for rule, of_rule in zip(rules, ended, strict=True) if number not in of_rule]
            beliefs, tried = _state(snapshot, number, prior)
            for rule, of_rule in going_on:
                verdict = rule.evaluate(beliefs, tried, elapsed=float(snapshot.decisions))
                if verdict.stop or snapshot.decisions == decisions:
                    of_rule[number] = Ending(verdict, snapshot.decisions, _loss(verdict, beliefs, gaps[number]))
        if not unfinished:
            break
    return tuple([of_rule[number] for number in range(runs)] for of_rule in ended)


def summarise(ended: Sequence[Ending]) -> OperatingCharacteristics:
    """Return the rates, losses and durations of at least one ending."""
    stopped = [ending.decisions for ending in ended if ending.verdict.stop]
    losses = [ending.loss for ending in ended if ending.loss is not None]
    winners = [ending.loss or 0.0 for ending in ended if ending.verdict.outcome == "winner"]
    wrong = [loss for loss in winners if loss > 0.0]
    return OperatingCharacteristics(
        runs=len(ended),
        stop_rate=len(stopped) / len(ended),
        winner_rate=len(winners) / len(ended),
        practically_equal_rate=(len(losses) - len(winners)) / len(ended),
        wrong_winner_rate=len(wrong) / len(ended),
        loss_when_wrong=float(np.mean(wrong)) if wrong else None,
        mean_loss=float(np.mean(losses)) if losses else None,
        median_decisions=float(np.median(stopped)) if stopped else None,
        ninth_decile_decisions=float(np.quantile(stopped, 0.9)) if stopped else None,
    )


def _state(snapshot: RunState, number: int, prior: tuple[float, float]) -> tuple[Beliefs, dict[str, int]]:
    trials, successes = snapshot.trials[number], snapshot.successes[number]
    arms = arm_ids(len(trials))
    beliefs = Beliefs(arms, prior[0] + successes, prior[1] + (trials - successes))
    return beliefs, dict(zip(arms, trials.tolist(), strict=True))


def _loss(verdict: Verdict, beliefs: Beliefs, gaps: NDArray[np.float64]) -> float | None:
    return None if verdict.arm is None else float(gaps[beliefs.arms.index(verdict.arm)])
