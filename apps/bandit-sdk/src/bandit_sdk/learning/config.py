"""The settings of a learner."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bandit_core.checks import check_number, check_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerConfig:
    """What a learner is called and what it believes before any data.

    Attributes:
        name: Learners of one name share what they know, and one store may hold many names.
        path: The SQLite file, when no store is given; None is a file of the user's (`default_path`).
        context_keys: The keys of a context that select posteriors of their own; others are ignored.
        prior_alpha, prior_beta: The Beta prior of every arm; both positive.
        seed_arms: Arms that are believed in from the start.
        seed_boost: Successes their prior is credited with, >= 0.
        baseline_rate: Share in [0, 1] of selections that are made evenly at random, to compare the others with.
        max_tokens: The token budget of a selection that names none; None is no limit.
    """

    name: str
    path: Path | str | None = None
    context_keys: tuple[str, ...] = ()
    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    seed_arms: tuple[str, ...] = ()
    seed_boost: float = 2.0
    baseline_rate: float = 0.0
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a learner needs a name")
        check_number("prior_alpha", self.prior_alpha, low=0.0, exclusive=True)
        check_number("prior_beta", self.prior_beta, low=0.0, exclusive=True)
        check_number("seed_boost", self.seed_boost, low=0.0)
        check_number("baseline_rate", self.baseline_rate, low=0.0, high=1.0)
        if self.max_tokens is not None:
            check_whole("max_tokens", self.max_tokens, low=0)
        object.__setattr__(self, "context_keys", tuple(self.context_keys))
        object.__setattr__(self, "seed_arms", tuple(self.seed_arms))


def default_path() -> Path:
    """Return the file that learners use when none is named, in the user's folder for data of programs."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return folder / "bandit-sdk" / "learners.db"
