"""What to expect of an experiment before it starts: how it ends, when, and what it costs beside an even split.

The experiment is simulated many times at once, twice: with one arm better than the others by the smallest lift that
matters, and with equal arms. Thompson sampling allocates on time-robust beliefs, within the floor, the steps, the
cooldown and the least number of trials of the guardrails. Weights are published, and the stopping rule is looked at, in
steps that grow with time. P(best) is that of normal distributions with the mean and variance of each arm's beliefs; a
run in which the rule may hold is judged by the rule itself, on the exact beliefs.

It is assumed that rewards are 0 or 1, that rates do not move, and that rewards are known before the next step.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bandit_core.adaptive.effect import effects
from bandit_core.adaptive.pair_sums import PairSums
from bandit_core.adaptive.robust_beliefs import rate_parameters
from bandit_core.checks import check_number, check_whole
from bandit_core.guardrails import Guardrails
from bandit_core.normal_arms import normal_prob_best
from bandit_core.policies.base import Beliefs
from bandit_core.stopping import Outcome, StoppingRule

type Array = NDArray[np.float64]

DAY: Final = 86_400.0
STEPS: Final = 120
FIRST: Final = 100
MOST_ARMS: Final = 20
MOST_RUNS: Final = 5_000
_NODES: Final = 96
_BISECTIONS: Final = 50


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is planned for.

    Attributes:
        arms: How many, 2 to 20.
        rate: Success rate of all arms but the better one, in (0, 1).
        lift: By how much the better arm's rate is higher, relative to `rate`: the smallest difference that matters.
        traffic: Decisions a day.
        days: The longest the experiment may take.
        rule: When it ends. It must not ask for `prob_better`, which needs a holdout.
        guardrails: What limits the weights.
        even: Whether traffic is split evenly all the time, instead of by Thompson sampling.

    Raises:
        ValueError: a number is out of range, or the limits cannot be met by so many arms.
    """

    arms: int
    rate: float
    lift: float
    traffic: float
    days: float
    rule: StoppingRule
    guardrails: Guardrails
    even: bool = False

    def __post_init__(self) -> None:
        check_whole("arms", self.arms, low=2)
        check_number("arms", self.arms, low=2.0, high=MOST_ARMS)
        check_number("rate", self.rate, low=0.0, high=1.0, exclusive=True)
        check_number("lift", self.lift, low=0.0, high=1.0 / self.rate - 1.0)
        check_number("traffic", self.traffic, low=1.0, high=1e10)
        check_number("days", self.days, low=0.0, high=3_660.0, exclusive=True)
        self.guardrails.check_feasible(self.arms)
        if self.rule.prob_better is not None:
            raise ValueError("prob_better cannot be planned for: it compares the bandit with a holdout")

    @property
    def decisions(self) -> int:
        """How many decisions there are until the end, at least 1."""
        days = self.days if self.rule.max_duration is None else min(self.days, self.rule.max_duration / DAY)
        return max(1, round(self.traffic * days))


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the runs with its standard error."""

    value: float
    std_error: float

    @classmethod
    def of(cls, among: NDArray[np.bool_]) -> "Share":
        value = float(among.mean())
        return cls(value, float(np.sqrt(value * (1.0 - value) / len(among))))


@dataclass(frozen=True, slots=True)
class Expectation:
    """How runs of one kind end.

    Attributes:
        right: A winner is announced, and it is the better arm; with equal arms no arm is.
        wrong: A winner is announced, and it is not.
        practically_equal: The rule ends it because choosing costs next to nothing.
        undecided: It reaches the last day.
        median_days: When half of all runs have ended by the rule; None if fewer do.
        slow_days: When nine in ten have; None if fewer do.
        lost: Rewards lost until the last day beside the better arm, mean over runs. From its end on, a run gives all
            traffic to the arm that it has announced; one without goes on as it was.
        lost_std_error: Its standard error.
        lost_evenly: What an even split loses in the same time.
    """

    right: Share
    wrong: Share
    practically_equal: Share
    undecided: Share
    median_days: float | None
    slow_days: float | None
    lost: float
    lost_std_error: float
    lost_evenly: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What to expect if one arm is better by the lift, and if all are equal, from so many simulated runs of each."""

    better: Expectation
    equal: Expectation
    runs: int


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """How each run ended (runs,): the outcome, the arm, −1 if none, and after how many decisions; and what was lost."""

    outcome: NDArray[np.object_]
    arm: NDArray[np.int64]
    ended: NDArray[np.int64]
    lost: Array


def plan(
    assumptions: Assumptions,
    *,
    rng: np.random.Generator,
    runs: int = 300,
    progress: Callable[[float], None] | None = None,
) -> Plan:
    """Simulate `runs` experiments of each kind; `progress` is told the share that is done.

    ValueError unless `runs` is 10 to 5,000.
    """
    check_whole("runs", runs, low=10)
    check_number("runs", runs, low=10.0, high=MOST_RUNS)
    told = progress or (lambda _: None)
    better = _simulate(assumptions, runs, rng, lambda share: told(share / 2.0))
    equal = _simulate(replace(assumptions, lift=0.0), runs, rng, lambda share: told(0.5 + share / 2.0))
    return Plan(_expectation(assumptions, better), _expectation(replace(assumptions, lift=0.0), equal), runs)


def _simulate(planned: Assumptions, runs: int, rng: np.random.Generator, told: Callable[[float], None]) -> _Runs:
    arms, total = planned.arms, planned.decisions
    means = np.full(arms, planned.rate)
    means[-1] *= 1.0 + planned.lift
    gaps = means.max() - means
    weights = np.full((runs, arms), 1.0 / arms)
    sums = PairSums.zeros(arms, (runs,))
    outcome = np.full(runs, "undecided", dtype=object)
    arm, ended, lost = np.full(runs, -1), np.full(runs, total), np.zeros(runs)
    goes_on = np.ones(runs, dtype=np.bool_)
    before = 0
    for until in _steps(total):
        chosen = rng.multinomial(until - before, weights)
        won = rng.binomial(chosen, means)
        lost += chosen @ gaps
        sums = sums + PairSums.of(weights, chosen, won, won)
        alpha, beta = rate_parameters(sums, np.ones((arms, 2)), np.ones(arms, dtype=np.bool_))
        mean, deviation = _moments(alpha, beta)
        prob_best = _prob_best(mean, deviation)
        elapsed = until / planned.traffic * DAY
        for run in np.nonzero(goes_on & _may_stop(planned.rule, sums, mean, deviation, prob_best))[0].tolist():
            judged = _judged(planned.rule, sums, alpha[run], beta[run], run, elapsed)
            if judged is not None:
                outcome[run], arm[run] = judged
                ended[run], goes_on[run] = until, False
        weights = _next_weights(planned, weights, prob_best, sums, (until - before) / planned.traffic * DAY)
        announced = ~goes_on & (arm >= 0)
        weights[announced] = np.eye(arms)[arm[announced]]
        before = until
        told(until / total)
    return _Runs(outcome, arm, ended, lost)


def _steps(decisions: int) -> list[int]:
    if decisions <= FIRST:
        return [decisions]
    return sorted({round(each) for each in np.geomspace(FIRST, decisions, STEPS).tolist()})


def _moments(alpha: Array, beta: Array) -> tuple[Array, Array]:
    strength = alpha + beta
    mean = alpha / strength
    return mean, np.sqrt(mean * (1.0 - mean) / (strength + 1.0))


def _prob_best(mean: Array, deviation: Array) -> Array:
    if mean.shape[1] > 2:
        return normal_prob_best(mean, deviation)
    first = ndtr((mean[:, 0] - mean[:, 1]) / np.sqrt((deviation**2).sum(axis=1)))
    return np.stack([first, 1.0 - first], axis=1)


def _least_loss(mean: Array, deviation: Array) -> Array:
    """Return the expected loss (runs,) of the arm that loses least, by the trapezoidal rule."""
    low, high = (mean - 6.0 * deviation).min(axis=1), (mean + 6.0 * deviation).max(axis=1)
    nodes = np.linspace(low, high, _NODES, axis=1)
    cdf = ndtr((nodes[:, None, :] - mean[:, :, None]) / deviation[:, :, None]).prod(axis=1)
    largest: Array = high - np.trapezoid(cdf, nodes, axis=1)
    return largest - mean.max(axis=1)


def _may_stop(rule: StoppingRule, sums: PairSums, mean: Array, deviation: Array, prob_best: Array) -> NDArray[np.bool_]:
    """Return which runs (runs,) may meet the rule: those that are clearly below every condition do not."""
    enough = (sums.count.min(axis=1) >= rule.min_decisions_per_arm) & (sums.count.sum(axis=1) >= rule.min_decisions)
    near = np.zeros(len(mean), dtype=np.bool_)
    if rule.prob_best is not None:
        near |= 1.0 - prob_best.max(axis=1) <= 2.0 * (1.0 - rule.prob_best)
    if rule.expected_loss is not None:
        near |= _least_loss(mean, deviation) <= 2.0 * rule.expected_loss
    if rule.effect is not None:
        near |= (effects(sums).advantage(rule.effect.confidence) >= rule.effect.min_effect).any(axis=1)
    return enough & near


def _judged(
    rule: StoppingRule, sums: PairSums, alpha: Array, beta: Array, run: int, elapsed: float
) -> tuple[Outcome, int] | None:
    """Return the outcome and the arm of a run, −1 if none, or None if it goes on."""
    names = tuple(map(str, range(len(alpha))))
    decisions = dict(zip(names, map(int, sums.count[run]), strict=True))
    found = effects(_at(sums, run)) if rule.effect is not None else None
    verdict = rule.evaluate(Beliefs(names, alpha, beta), decisions, elapsed, effects=found)
    if not verdict.stop:
        return None
    return verdict.outcome, -1 if verdict.arm is None else int(verdict.arm)


def _at(sums: PairSums, run: int) -> PairSums:
    return PairSums(*(getattr(sums, name)[run] for name in PairSums.__slots__))


def _next_weights(planned: Assumptions, weights: Array, prob_best: Array, sums: PairSums, seconds: float) -> Array:
    """Return the weights (runs, K) of the next step, within what the guardrails allow in the time of this one."""
    limits = planned.guardrails
    if planned.even:
        return weights
    updates = max(1.0, np.floor(seconds / limits.cooldown)) if limits.cooldown > 0.0 else np.inf
    step = 1.0 if limits.max_step >= 1.0 else min(1.0, limits.max_step * updates)
    lower = np.maximum(limits.min_weight, weights - step)
    upper = np.minimum(1.0, weights + step)
    moved = _projected(prob_best, lower, upper)
    holds = sums.count.min(axis=1) < limits.min_trials
    return np.where(holds[:, None], weights, moved)


def _projected(target: Array, lower: Array, upper: Array) -> Array:
    """Return the nearest points (runs, K) that sum to 1 within limits: `guardrails.project` for many runs at once."""
    low, high = (target - upper).min(axis=1), (target - lower).max(axis=1)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        above = np.clip(target - middle[:, None], lower, upper).sum(axis=1) > 1.0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    weights = np.clip(target - ((low + high) / 2.0)[:, None], lower, upper)
    result: Array = weights / weights.sum(axis=1, keepdims=True)
    return result


def _expectation(planned: Assumptions, runs: _Runs) -> Expectation:
    best = planned.arms - 1 if planned.lift > 0.0 else -1
    winner = runs.outcome == "winner"
    right = winner & (runs.arm == best)
    by_rule = np.sort(np.where(runs.outcome == "undecided", np.inf, runs.ended / planned.traffic))
    gap = planned.rate * planned.lift
    return Expectation(
        right=Share.of(right),
        wrong=Share.of(winner & ~right),
        practically_equal=Share.of(runs.outcome == "practically_equal"),
        undecided=Share.of(runs.outcome == "undecided"),
        median_days=_by_share(by_rule, 0.5),
        slow_days=_by_share(by_rule, 0.9),
        lost=float(runs.lost.mean()),
        lost_std_error=float(runs.lost.std() / np.sqrt(len(runs.lost))),
        lost_evenly=gap * (planned.arms - 1) / planned.arms * planned.decisions,
    )


def _by_share(days: Array, share: float) -> float | None:
    at = float(days[int(np.ceil(share * len(days))) - 1])
    return at if np.isfinite(at) else None
