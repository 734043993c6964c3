"""What one can choose about a run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of ``bandit-local run``; the command line documents each."""

    seed: int = 0
    arms: int = 5
    rate: float | None = None
    port: int = 8000
    once: bool = False
    redis_url: str | None = None
    postgres_dsn: str | None = None
    prob_best: float = 0.95
    expected_loss: float = 0.0005
    min_decisions: int = 5_000
    data: Path = Path(".local")
