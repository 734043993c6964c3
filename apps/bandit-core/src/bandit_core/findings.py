"""What the numbers of a running experiment mean, in plain words: is it still exploring, is it stuck, has it learnt?"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Final, Literal

from bandit_core.wording import duration, percent

type Status = Literal["ok", "warning", "critical"]
type Trend = Literal["stable", "falling", "recovering", "unknown"]

WARNING: Final = 0.4
CRITICAL: Final = 0.2
"""Below these the selection entropy is a warning, or critical, unless an arm has won."""

CHANGE: Final = 0.1
"""How far the entropy of two windows must be apart to be a trend."""

DOMINANT: Final = 0.9
"""The share of recent traffic from which an arm dominates."""

FEW: Final = 30
"""With fewer rewards of an arm, or decisions in a window, nothing is concluded from them."""


@dataclass(frozen=True, slots=True)
class ArmNumbers:
    """One arm that can be served: decisions in all, in the recent window and in the one before; rewards; beliefs.

    `interval` is credible, of the mean reward. `coefficients` is the norm of a linear model's, None without one.
    """

    arm: str
    decisions: int
    recent: int
    earlier: int
    rewards: int
    mean: float
    interval: tuple[float, float]
    prob_best: float
    coefficients: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What the numbers say. Entropies are of selection, normalised: 0 when one arm gets all, 1 when all get the same.

    `status` and `trend` judge windows of at least FEW decisions; with fewer recent ones the status is that of all. Low
    entropy is "ok" where the arm that has won takes the traffic, and not where another one does. `dominant` is the arm
    that has taken nearly all recent traffic. `converged`: an arm's interval lies above all others; None while some arm
    has fewer than FEW rewards.
    """

    entropy: float
    recent_entropy: float | None
    trend: Trend
    status: Status
    converged: bool | None
    sentences: tuple[str, ...]
    dominant: str | None = None
    likely_cause: str | None = None
    suggested_action: str | None = None


def selection_entropy(counts: Sequence[float]) -> float | None:
    """Return the normalised Shannon entropy of how often arms were, or are to be, selected; None without a selection.

    A single arm has nothing to choose between: 1.
    """
    total = sum(counts)
    if total == 0:
        return None
    if len(counts) == 1:
        return 1.0
    shares = [count / total for count in counts if count]
    return max(0.0, -sum(share * log(share) for share in shares) / log(len(counts)))


def find(arms: Sequence[ArmNumbers], window: float, *, is_contextual: bool = False) -> Findings:
    """Return what the numbers of all arms say. `window` is how long the recent one is, in seconds.

    A contextual experiment has no arm that is best in every context: there it is the split of traffic that tells.
    """
    entropy = selection_entropy([arm.decisions for arm in arms])
    recent = selection_entropy([arm.recent for arm in arms])
    converged = None if is_contextual and len(arms) > 1 else _converged(arms)
    trend = _trend(arms)
    status = _status(arms, converged)
    cause, action = _cause(status, trend, arms, converged)
    top = _dominant(arms)
    sentences = [*_dominance(arms, top, window), *_convergence(arms, converged), *_unheard(arms), *_coefficients(arms)]
    return Findings(
        1.0 if entropy is None else entropy,
        recent,
        trend,
        status,
        converged,
        tuple(sentences),
        None if top is None else top.arm,
        cause,
        action,
    )


def _converged(arms: Sequence[ArmNumbers]) -> bool | None:
    if any(arm.rewards < FEW for arm in arms):
        return None
    leader = _leader(arms)
    return all(leader.interval[0] > arm.interval[1] for arm in arms if arm is not leader)


def _leader(arms: Sequence[ArmNumbers]) -> ArmNumbers:
    return max(arms, key=lambda arm: arm.mean)


def _trend(arms: Sequence[ArmNumbers]) -> Trend:
    windows = [arm.recent for arm in arms], [arm.earlier for arm in arms]
    recent, earlier = map(selection_entropy, windows)
    if recent is None or earlier is None or min(map(sum, windows)) < FEW:
        return "unknown"
    if abs(recent - earlier) < CHANGE:
        return "stable"
    return "falling" if recent < earlier else "recovering"


def _status(arms: Sequence[ArmNumbers], converged: bool | None) -> Status:  # noqa: FBT001
    counts = [arm.recent for arm in arms]
    if sum(counts) < FEW:
        counts = [arm.decisions for arm in arms]
    entropy = selection_entropy(counts)
    if entropy is None or sum(counts) < FEW or entropy >= WARNING:
        return "ok"
    if converged and counts[arms.index(_leader(arms))] == max(counts):
        return "ok"
    return "warning" if entropy >= CRITICAL else "critical"


def _cause(
    status: Status,
    trend: Trend,
    arms: Sequence[ArmNumbers],
    converged: bool | None,  # noqa: FBT001
) -> tuple[str | None, str | None]:
    if status == "ok":
        return None, None
    if converged:
        return "traffic_to_a_worse_arm", "look for what keeps traffic from the leader: fixed weights, max_step, a hold"
    if trend == "falling":
        return "recent_collapse", "look for what changed of late: a deployment, the source of rewards, the visitors"
    if any(arm.rewards < FEW for arm in arms):
        return "early_lock_in", "raise min_weight (or alpha), so that the arms that got too few rewards are tried"
    return (
        "sustained_collapse",
        "conclude if the leader is good enough, or raise min_weight (or alpha) to go on exploring",
    )


def _dominant(arms: Sequence[ArmNumbers]) -> ArmNumbers | None:
    total = sum(arm.recent for arm in arms)
    if total < FEW or len(arms) == 1:
        return None
    top = max(arms, key=lambda arm: arm.recent)
    return top if top.recent / total >= DOMINANT else None


def _dominance(arms: Sequence[ArmNumbers], top: ArmNumbers | None, window: float) -> list[str]:
    if top is None:
        return []
    share = top.recent / sum(arm.recent for arm in arms)
    said = f"Arm {top.arm} has taken {percent(share)} of traffic in the last {duration(window)}"
    if better := [arm.arm for arm in arms if arm.interval[0] > top.interval[1]]:
        return [f"{said} while its interval lies below arm {better[0]}'s{_more(len(better) - 1)}."]
    if rivals := [arm.arm for arm in arms if arm is not top and arm.interval[1] >= top.interval[0]]:
        return [f"{said} while its interval still overlaps arm {rivals[0]}'s{_more(len(rivals) - 1)}."]
    return [f"{said}, and its interval lies above all others."]


def _more(count: int) -> str:
    return "" if count == 0 else f" and {count} more"


def _convergence(arms: Sequence[ArmNumbers], converged: bool | None) -> list[str]:  # noqa: FBT001
    if converged is None or len(arms) == 1:
        return []
    leader = _leader(arms)
    if converged:
        return [f"Arm {leader.arm} has won: its interval lies above all others."]
    return [f"Arm {leader.arm} leads with a chance of {percent(leader.prob_best)} of being best."]


def _unheard(arms: Sequence[ArmNumbers]) -> list[str]:
    silent = [arm.arm for arm in arms if arm.decisions >= FEW and arm.rewards == 0]
    if silent and len(silent) == len([arm for arm in arms if arm.decisions >= FEW]):
        return ["No reward has come in: look whether they are reported, and whether their window is long enough."]
    return [f"Arm {arm} has decisions but no rewards yet." for arm in silent]


def _coefficients(arms: Sequence[ArmNumbers]) -> list[str]:
    flat = [arm.arm for arm in arms if arm.coefficients == 0.0]
    if arms and len(flat) == len(arms):
        return ["No model has learnt anything yet: all coefficients are 0."]
    return [f"The model of arm {arm} has learnt nothing yet." for arm in flat]
