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


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """The options of ``bandit-local pipeline``; the command line documents each."""

    ui_port: int = 3000
    port: int = 8000
    once: bool = False
    campaign: tuple[str, ...] = ()
    redis_url: str | None = None
    postgres_dsn: str | None = None
    data: Path = Path(".local")

    @property
    def stack(self) -> Options:
        """The options of what the pipeline stands on."""
        return Options(port=self.port, redis_url=self.redis_url, postgres_dsn=self.postgres_dsn, data=self.data)
