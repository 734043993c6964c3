"""Three quick estimates from an exported frame: what a policy that chooses at random, or another, would have earned.

A frame (polars or pandas) has a row for each decision with a reward, as the export writes it: interaction_id | arm_id |
reward | predicted_at | rewarded_at | propensity | feature_0 …, of which arm_id, reward, propensity and the features are
used. Rows without an arm, a reward or a propensity are left out: the result says how many, and its coverage shows them.
The arms are those that the frame names. `target` is None for the policy that chooses uniformly; a function from the K
arms and the features (N, d) to the probabilities (N, K) of another; or the name of a column with that policy's
probability of the row's own arm.

They estimate what the functions of these names in `banditdb.eval` do, and differ in this: `ips` is the same number, its
standard error lacks their factor √(n / (n − 1)); `replay` keeps rows by weight / largest weight, since cutting the
probability at 1, as there, favours what was logged often; `doubly_robust` has a model for each arm, and never judges a
row with a model that has seen it.

For intervals, diagnostics and data in parts use the rest of this package.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit_core.checks import check_number
from bandit_core.ope.columns import FrameColumns, Mask

type Floats = NDArray[np.float64]
type Target = Callable[[list[str], Floats], Floats] | str | None

_REPLAY: Final = 1


@dataclass(frozen=True, slots=True, repr=False)
class OPEResult:
    """An estimate of the target's mean reward and its standard error, in units of reward.

    `n_used` of the frame's `n_total` rows had a weight above 0. `n_incomplete` rows were left out because they have no
    arm, no reward or no propensity.
    """

    method: str
    estimate: float
    std_error: float
    n_used: int
    n_total: int
    n_incomplete: int = 0

    def __repr__(self) -> str:
        coverage = 100.0 * self.n_used / self.n_total
        left_out = f", incomplete={self.n_incomplete}" if self.n_incomplete else ""
        return (
            f"OPEResult(method={self.method!r}, estimate={self.estimate:.4f}, std_error={self.std_error:.4f}, "
            f"coverage={coverage:.1f}% [{self.n_used}/{self.n_total}]{left_out})"
        )


def replay(df: Any, target: Target = None, seed: int = 0) -> OPEResult:  # noqa: ANN401 - polars or pandas
    """Return the mean reward of rows kept so that they are as if the target had chosen them.

    A row is kept with a probability in proportion to target / propensity (rejection sampling; Li et al. 2011 for a log
    made uniformly). Few rows are: a check, not the estimate to report. ValueError for a frame that cannot be used.
    """
    log = _Log.of(df, target)
    # A stream of its own: a log that was simulated from the same seed would be kept by the chance that made it.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_REPLAY,)))
    kept = rng.random(len(log.rewards)) < log.weights / log.weights.max()
    rewards = log.rewards[kept]
    if len(rewards) < 2:
        raise ValueError("replay kept fewer than two rows: the log is too short, or too far from the target")
    error = float(rewards.std(ddof=1) / np.sqrt(len(rewards)))
    return log.result("replay", float(rewards.mean()), error, len(rewards))


def ips(df: Any, clip: float = 10.0, target: Target = None) -> OPEResult:  # noqa: ANN401
    """Return the self-normalised importance-weighted mean, SNIPS, with weights cut at `clip`.

    Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual learning" (NeurIPS). The cut
    keeps the variance bounded and biases towards what was logged. The standard error is that of the ratio (delta
    method). ValueError for a frame that cannot be used, or a clip that is not positive.
    """
    check_number("clip", clip, low=0.0, exclusive=True)
    log = _Log.of(df, target)
    weights = np.minimum(log.weights, clip)
    estimate = float(weights @ log.rewards / weights.sum())
    return log.result("ips", estimate, _ratio_error(weights, log.rewards - estimate), _used(weights))


def doubly_robust(df: Any, clip: float = 10.0, target: Target = None) -> OPEResult:  # noqa: ANN401
    """Return the doubly robust estimate (Dudík, Langford and Li 2011) with a ridge regression of rewards on features.

    Each half of the rows is judged with the model of the other half, so that a model that fits its own noise does no
    harm (cross-fitting). Weights are cut at `clip`. ValueError as `ips`, for missing features, and for a target that is
    a column: the probabilities of all arms are needed.
    """
    check_number("clip", clip, low=0.0, exclusive=True)
    if isinstance(target, str):
        raise ValueError("doubly_robust needs the target's probabilities of all arms: give a function, not a column")  # noqa: TRY004
    log = _Log.of(df, target, model=True)
    if not np.isfinite(log.features).all():
        raise ValueError("features must be finite in every row with a reward and a propensity: drop the other rows")
    weights = np.minimum(log.weights, clip)
    predicted = log.predictions()
    rows = np.arange(len(weights))
    values = (log.probabilities * predicted).sum(axis=1) + weights * (log.rewards - predicted[rows, log.arms])
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return log.result("doubly_robust", float(values.mean()), error, _used(weights))


@dataclass(frozen=True, slots=True, eq=False)
class _Log:
    """N usable rows of `n_total`: arm by number, reward, importance weight, features (N, d).

    `probabilities` (N, K) are the target's; where only those of the rows' own arms are known, the others are nan.
    """

    arms: NDArray[np.int64]
    rewards: Floats
    weights: Floats
    features: Floats
    probabilities: Floats
    n_total: int

    @classmethod
    def of(cls, df: Any, target: Target, *, model: bool = False) -> "_Log":  # noqa: ANN401
        """Read the complete rows; the features only where a target or a model needs them."""
        frame = FrameColumns(df)
        usable = ~(frame.missing("reward") | frame.missing("propensity"))
        named = frame.texts("arm_id")
        usable &= named != ""
        if usable.sum() < 2:
            raise ValueError("fewer than two rows have an arm, a reward and a propensity")
        propensity, reward = frame.numbers("propensity"), frame.numbers("reward")
        _check(usable, (propensity > 0.0) & (propensity <= 1.0), "propensities must lie in (0, 1]", propensity)
        _check(usable, np.isfinite(reward), "rewards must be finite", reward)
        names, arms = np.unique(named[usable], return_inverse=True)
        needed = model or callable(target)
        features = _features(frame)[usable] if needed else np.empty((len(arms), 0))
        rows = np.arange(len(arms))
        if isinstance(target, str):
            probabilities = np.full((len(arms), len(names)), np.nan)
            probabilities[rows, arms] = _own_probabilities(frame, target, usable)
        else:
            probabilities = _probabilities(names.tolist(), features, target)
        weights = probabilities[rows, arms] / propensity[usable]
        if not weights.any():
            raise ValueError("the target chooses none of the logged arms: the log says nothing about it")
        return cls(arms.astype(np.int64), reward[usable], weights, features, probabilities, len(frame))

    def result(self, method: str, estimate: float, std_error: float, n_used: int) -> OPEResult:
        return OPEResult(method, estimate, std_error, n_used, self.n_total, self.n_total - len(self.rewards))

    def predictions(self) -> Floats:
        """Return the reward expected of every arm in every row (N, K), each half from a model of the other."""
        rows = np.arange(len(self.rewards))
        x = np.column_stack([self.features, np.ones(len(rows))])
        predicted = np.empty_like(self.probabilities)
        for half in (0, 1):
            learn = rows % 2 != half
            for arm in range(self.probabilities.shape[1]):
                own = learn & (self.arms == arm)
                theta = np.linalg.solve(x[own].T @ x[own] + np.eye(x.shape[1]), x[own].T @ self.rewards[own])
                predicted[~learn, arm] = x[~learn] @ theta
        return predicted


def _check(usable: Mask, valid: Mask, wanted: str, values: Floats) -> None:
    bad = usable & ~valid
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"{wanted}, got {values[row]} in row {row}")


def _features(frame: FrameColumns) -> Floats:
    columns = [frame.numbers(name) for name in frame.names if name.startswith("feature_")]
    return np.column_stack(columns) if columns else np.empty((len(frame), 0))


def _own_probabilities(frame: FrameColumns, column: str, usable: Mask) -> Floats:
    if column not in frame:
        raise ValueError(f"the frame has no column {column!r}, which should hold the target's probabilities")
    probabilities = frame.numbers(column)
    valid = (probabilities >= 0.0) & (probabilities <= 1.0)
    _check(usable, valid, f"column {column!r} must hold probabilities, between 0 and 1", probabilities)
    return probabilities[usable]


def _probabilities(arms: list[str], features: Floats, target: Callable[[list[str], Floats], Floats] | None) -> Floats:
    if target is None:
        return np.full((len(features), len(arms)), 1.0 / len(arms))
    probabilities = np.asarray(target(arms, features), dtype=np.float64)
    shaped = probabilities.shape == (len(features), len(arms))
    if not shaped or not (probabilities >= 0.0).all() or not np.allclose(probabilities.sum(axis=1), 1.0):
        raise ValueError(f"the target must give {len(arms)} probabilities that sum to 1 for each row")
    return probabilities


def _ratio_error(weights: Floats, residuals: Floats) -> float:
    return float(np.sqrt(((weights * residuals) ** 2).sum()) / weights.sum())


def _used(weights: Floats) -> int:
    return int(np.count_nonzero(weights))
