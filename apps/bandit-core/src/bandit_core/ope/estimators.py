"""The estimators, each as what a round contributes to it.

Every one of them has the form

    estimate = mean of baseline + (Σ gain) / (Σ share)

with `share` 1 in every round unless the estimator normalises by its own weights. Standard errors, intervals, the
bootstrap and sums over parts of a log therefore have one path for all. Notation: w = π(a|x) / p is a round's weight, r
its reward, q̂ the reward model's mean for the logged arm, V̂ = Σ π(a|x) q̂(x, a) over all arms. Where rounds have
positions, π, q̂ and w are those of the round's own position (the independent-position model of Saito, Aihara, Matsutani
and Narita 2021, "Open Bandit Dataset and Pipeline").
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bandit_core.checks import check_number
from bandit_core.ope.rounds import Rounds

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Contributions:
    """What m rounds contribute, as arrays (m,); None stands for 0 in `baseline`, for 1 in `share` and `weights`.

    weights: the weights as the estimator used them, after clipping or shrinking.
    """

    gain: Floats
    baseline: Floats | None = None
    share: Floats | None = None
    weights: Floats | None = None

    def columns(self) -> Floats:
        """Return baseline, gain and share, in this order, as an array (3, m)."""
        columns = np.empty((3, len(self.gain)))
        columns[0] = 0.0 if self.baseline is None else self.baseline
        columns[1] = self.gain
        columns[2] = 1.0 if self.share is None else self.share
        return columns


@dataclass(frozen=True, slots=True)
class Estimator:
    """A named estimator. `contribute` takes rounds and a threshold, infinity where there is none.

    threshold: "none" where the estimator has no such parameter, "optional" where infinity, its default, switches it
    off, and "required" where it makes the estimator what it is.
    """

    name: str
    contribute: Callable[[Rounds, float], Contributions]
    needs_q_hat: bool
    normalises: bool
    threshold: Literal["none", "optional", "required"]


def replay(rounds: Rounds, _: float) -> Contributions:
    """Replay: the mean reward of the rounds in which the evaluation policy chooses as the log did.

    Li, Chu, Langford and Wang 2011, "Unbiased offline evaluation of contextual-bandit-based news article recommendation
    algorithms", Algorithm 1, for a deterministic policy on uniformly logged arms. Otherwise a round is accepted with
    probability w / max w (rejection sampling), which for them is the same. The estimate is averaged over what chance
    accepts: Σ w r / Σ w, the number that SNIPW gives. What differs is the size of the sample that a replay would keep:
    its `ess` is the expected number of accepted rounds, Σ w / max w.
    """
    return Contributions(rounds.weights * rounds.rewards, share=rounds.weights, weights=rounds.weights)


def direct_method(rounds: Rounds, _: float) -> Contributions:
    """Direct method: the mean of V̂. As good as the reward model; its error does not shrink with the log.

    Beygelzimer and Langford 2009, "The offset tree for learning with partial labels". The standard error is that of the
    mean over rounds and says nothing about the model's own error.
    """
    expected, _predicted = _model(rounds)
    return Contributions(np.zeros_like(expected), baseline=expected)


def ipw(rounds: Rounds, threshold: float) -> Contributions:
    """Inverse propensity weighting: the mean of min(w, threshold) r.

    Horvitz and Thompson 1952; for bandits Strehl, Langford, Li and Kakade 2010, "Learning from logged implicit
    exploration data". Unbiased without clipping; clipping lowers the variance and biases rewards of one sign towards 0.
    """
    weights = _clipped(rounds, threshold)
    return Contributions(weights * rounds.rewards, weights=weights)


def snipw(rounds: Rounds, threshold: float) -> Contributions:
    """Self-normalised IPW: Σ w r / Σ w. Stays within the rewards' range; biased by a term of order 1 / n.

    Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual learning".
    """
    weights = _clipped(rounds, threshold)
    return Contributions(weights * rounds.rewards, share=weights, weights=weights)


def doubly_robust(rounds: Rounds, threshold: float) -> Contributions:
    """Doubly robust: the mean of V̂ + w (r − q̂). Unbiased when the propensities are right, or the model is.

    Dudík, Erhan, Langford and Li 2014, "Doubly robust policy evaluation and optimization", equation 3.
    """
    return _corrected(rounds, _clipped(rounds, threshold))


def sndr(rounds: Rounds, threshold: float) -> Contributions:
    """Self-normalised doubly robust: mean of V̂ + Σ w (r − q̂) / Σ w.

    Thomas and Brunskill 2016, "Data-efficient off-policy policy evaluation for reinforcement learning"; Kallus and
    Uehara 2019, "Intrinsically efficient, stable, and bounded off-policy evaluation for reinforcement learning".
    """
    weights = _clipped(rounds, threshold)
    corrected = _corrected(rounds, weights)
    return Contributions(corrected.gain, corrected.baseline, share=weights, weights=weights)


def switch_dr(rounds: Rounds, threshold: float) -> Contributions:
    """Switch-DR: doubly robust where w <= threshold, the reward model alone where it is larger.

    Wang, Agarwal and Dudík 2017, "Optimal and adaptive off-policy evaluation in contextual bandits", equation 11 with
    the doubly robust estimator in the place of IPW; the switch is decided by the logged arm's weight, as in obp.
    """
    return _corrected(rounds, np.where(rounds.weights <= threshold, rounds.weights, 0.0))


def dr_os(rounds: Rounds, threshold: float) -> Contributions:
    """Doubly robust with optimistic shrinkage: w is replaced by λ w / (w² + λ), with λ the threshold.

    Su, Dimakopoulou, Krishnamurthy and Dudík 2020, "Doubly robust off-policy evaluation with shrinkage", section 4.2.
    λ = 0 is the direct method, λ = ∞ doubly robust.
    """
    weights = rounds.weights
    if threshold < np.inf:
        shrunk = threshold * weights
        weights = np.divide(shrunk, weights * weights + threshold, out=np.zeros_like(weights), where=shrunk > 0.0)
    return _corrected(rounds, weights)


ESTIMATORS: Final = MappingProxyType(
    {
        estimator.name: estimator
        for estimator in (
            Estimator("replay", replay, needs_q_hat=False, normalises=True, threshold="none"),
            Estimator("dm", direct_method, needs_q_hat=True, normalises=False, threshold="none"),
            Estimator("ipw", ipw, needs_q_hat=False, normalises=False, threshold="optional"),
            Estimator("snipw", snipw, needs_q_hat=False, normalises=True, threshold="optional"),
            Estimator("dr", doubly_robust, needs_q_hat=True, normalises=False, threshold="optional"),
            Estimator("sndr", sndr, needs_q_hat=True, normalises=True, threshold="optional"),
            Estimator("switch-dr", switch_dr, needs_q_hat=True, normalises=False, threshold="required"),
            Estimator("dr-os", dr_os, needs_q_hat=True, normalises=False, threshold="required"),
        )
    }
)
"""Every estimator by its name."""


@dataclass(frozen=True, slots=True)
class Method:
    """An estimator by its name, and its threshold where it has one; ValueError when they do not go together.

    threshold: where weights are clipped (ipw, snipw, dr, sndr; None: nowhere), where switch-dr switches to the reward
    model, or the λ of dr-os; at least 0.
    """

    name: str
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.name not in ESTIMATORS:
            raise ValueError(f"there is no estimator {self.name!r}; there are {', '.join(ESTIMATORS)}")
        use = ESTIMATORS[self.name].threshold
        if self.threshold is None:
            if use == "required":
                raise ValueError(f"{self.name} needs a threshold, for example 10 (see bandit_core.ope.clipping)")
        elif use == "none":
            raise ValueError(f"{self.name} has no threshold: leave it out")
        elif self.threshold != np.inf:
            check_number("threshold", self.threshold, low=0.0)

    def __str__(self) -> str:
        return self.name if self.threshold is None else f"{self.name}({self.threshold:g})"

    @property
    def estimator(self) -> Estimator:
        return ESTIMATORS[self.name]

    def contribute(self, rounds: Rounds) -> Contributions:
        """Return what the rounds contribute; ValueError when the estimator needs a reward model and there is none."""
        return self.estimator.contribute(rounds, np.inf if self.threshold is None else self.threshold)


def _clipped(rounds: Rounds, threshold: float) -> Floats:
    return rounds.weights if threshold == np.inf else np.minimum(rounds.weights, threshold)


def _corrected(rounds: Rounds, weights: Floats) -> Contributions:
    expected, predicted = _model(rounds)
    return Contributions(weights * (rounds.rewards - predicted), baseline=expected, weights=weights)


def _model(rounds: Rounds) -> tuple[Floats, Floats]:
    if rounds.expected is None or rounds.predicted is None:
        raise ValueError("this estimator needs q_hat, a reward model's means (see bandit_core.ope.reward_model)")
    return rounds.expected, rounds.predicted
