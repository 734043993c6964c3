"""How long rewards are taken, and the buckets of time in which decisions wait for the end of their window."""

from __future__ import annotations

from bandit_core.rules.experiment import Experiment


def window_ms(experiment: Experiment) -> int:
    """Return the length of the reward window in milliseconds."""
    return round(experiment.reward_window * 1_000)


def bucket_width_ms(experiment: Experiment) -> int:
    """Return how long a bucket is: a hundredth of the reward window, but at least a second."""
    return max(1_000, window_ms(experiment) // 100)


def bucket_of(experiment: Experiment, decision_ms: int) -> int:
    """Return the start of a decision's bucket in milliseconds since the epoch."""
    return decision_ms - decision_ms % bucket_width_ms(experiment)
