"""What an evaluation says: an estimate, how sure it is, and when not to trust it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """low <= high, held to contain the true value with probability `level`; `kind` names how it was found."""

    low: float
    high: float
    level: float
    kind: str

    def __post_init__(self) -> None:
        check_level(self.level)
        if not self.low <= self.high:
            raise ValueError(f"an interval needs low <= high, got [{self.low}, {self.high}]")

    @property
    def width(self) -> float:
        return self.high - self.low

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, repr=False)
class OPEResult:
    """What the evaluation policy is estimated to earn per decision, in units of the reward.

    std_error: of the estimate, by the delta method where the estimator is a ratio; nan when n is 1.
    n: logged decisions. ess: how many decisions made by the evaluation policy itself would tell as much, by the weights
    the estimator used: (Σw)² / Σw²; 0 when no logged decision counts, n for the direct method, which has no weights.
    coverage: the share, in [0, 1], of the evaluation policy's probability that lies on arms the log has played at least
    once (in the same position, where there are positions), averaged over the logged decisions. What is below 1 is
    probability about which the log says nothing.
    warnings: reasons in plain words why the estimate or the interval should not be trusted; empty when there are none.
    """

    method: str
    estimate: float
    std_error: float
    n: int
    ess: float
    coverage: float
    interval: ConfidenceInterval | None = None
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"OPEResult(method={self.method!r}, estimate={self.estimate:.6g}, std_error={self.std_error:.3g}, "
            f"ess={self.ess:.1f}, coverage={self.coverage:.3f})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the result as one flat row of a table: plain strings and numbers, warnings joined by '; '."""
        return {
            "method": self.method,
            "estimate": self.estimate,
            "std_error": self.std_error,
            "n": self.n,
            "ess": self.ess,
            "coverage": self.coverage,
            "low": None if self.interval is None else self.interval.low,
            "high": None if self.interval is None else self.interval.high,
            "level": None if self.interval is None else self.interval.level,
            "interval": None if self.interval is None else self.interval.kind,
            "warnings": "; ".join(self.warnings),
        }


def check_level(level: float) -> None:
    """Raise ValueError unless `level` lies strictly between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, for example 0.95, got {level}")
