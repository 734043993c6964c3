"""A schedule: what clients ask and what fails, each at its time, as data that can be shortened and printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

# How many seconds a client waits for an answer.
PATIENCE: Final = 4.0
# In place of a process's number: whoever has a lease at that time.
HOLDER: Final = -1

type ExperimentName = Literal["plain", "zero"]
# What can happen, and to what. `lasts` is how long, in seconds; `lag` how much a copy lacks.
type FaultName = Literal[
    "kill",
    "stop",
    "freeze",
    "join",
    "cut_redis",
    "cut_postgres",
    "lossy_redis",
    "lossy_postgres",
    "lossy_commits",
    "stalled_commit",
    "redis_away",
    "redis_emptied",
    "redis_rolled_back",
    "redis_fails_over",
    "redis_frozen",
    "redis_full",
    "redis_read_only",
    "postgres_away",
    "postgres_frozen",
    "postgres_read_only",
    "postgres_fails_over",
    "postgres_holds_commits",
    "postgres_slow",
    "sessions_ended",
    "postgres_clock",
]


@dataclass(frozen=True, slots=True)
class Select:
    """Ask for a decision; the others name it by its label."""

    at: float
    replica: int
    label: str
    experiment: ExperimentName
    unit: str
    own_id: str | None = None
    request_id: str | None = None
    deferred: bool = False
    places: int = 1

    def __str__(self) -> str:
        how = [
            f"under the own id {self.own_id}" if self.own_id else "",
            f"as request {self.request_id}" if self.request_id else "",
            "deferred" if self.deferred else "",
            f"a slate of {self.places}" if self.places > 1 else "",
        ]
        extra = ", ".join(each for each in how if each)
        return f"select {self.label} of {self.experiment} for {self.unit} at {self.replica}{extra and ': ' + extra}"


@dataclass(frozen=True, slots=True)
class Reward:
    """Reward a decision. Every reward has a value of its own, so that the ledger says which one counted.

    `patience` is how many seconds the client waits for an answer.
    """

    at: float
    replica: int
    label: str
    micro: int
    position: int = 0
    queued: bool = False
    patience: float = PATIENCE

    def __str__(self) -> str:
        how = ", to be queued" if self.queued else ""
        place = f" at position {self.position}" if self.position else ""
        return f"reward {self.label}{place} with {self.micro} at {self.replica}{how}"


@dataclass(frozen=True, slots=True)
class Direct:
    """Reward an arm directly, under an id of the caller's own: it counts once, with the value that came first."""

    at: float
    replica: int
    reward_id: str
    experiment: ExperimentName
    arm: int
    micro: int
    queued: bool = False

    def __str__(self) -> str:
        how = ", to be queued" if self.queued else ""
        return (
            f"reward arm {self.arm} of {self.experiment} as {self.reward_id} with {self.micro} at {self.replica}{how}"
        )


@dataclass(frozen=True, slots=True)
class Activate:
    """Say that a deferred decision was shown."""

    at: float
    replica: int
    label: str

    def __str__(self) -> str:
        return f"activate {self.label} at {self.replica}"


@dataclass(frozen=True, slots=True)
class Erase:
    """Have a unit forgotten."""

    at: float
    unit: str

    def __str__(self) -> str:
        return f"erase {self.unit}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something fails, and is mended again.

    `replica` is a process by its place, or HOLDER. With `messages` it is struck in the middle of its work: at so many
    messages that it sends or gets after that time.
    """

    at: float
    what: FaultName
    replica: int = 0
    lasts: float = 0.0
    lag: float = 0.0
    share: float = 0.0
    messages: int = 0

    def __str__(self) -> str:
        values = (("lag", self.lag), ("share", self.share), ("at message", self.messages))
        details = [f"{name} {value:g}" for name, value in values if value]
        lasts = f" for {self.lasts:.3f} s" if self.lasts else ""
        replica = "holder" if self.replica == HOLDER else self.replica
        return f"FAULT {self.what} (process {replica}){lasts} {' '.join(details)}".rstrip()


type Step = Select | Reward | Direct | Activate | Erase | Fault


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps in the order of their times; the seed decides everything else, such as delays."""

    seed: int
    replicas: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        head = f"seed {self.seed}, {self.replicas} processes, {len(self.steps)} steps"
        return "\n".join([head, *(f"  {step.at:7.3f} s  {step}" for step in self.steps)])
