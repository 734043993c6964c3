"""How the service in memory shows what it knows, in the shapes of the real one."""

from __future__ import annotations

from typing import Any

from bandit_sdk.testing.experiment import MemoryExperiment


def posterior(known: MemoryExperiment, now: float) -> dict[str, Any]:
    experiment = known.experiment
    record, _ = known.allocation(now)
    arms = [
        {
            "arm": arm.id,
            "index": arm.index,
            "status": arm.status,
            "alpha": each.alpha,
            "beta": each.beta,
            "mean": each.mean,
            "interval": (each.interval().low, each.interval().high),
            "prob_best": record.prob_best.get(arm.id),
            "expected_loss": record.expected_loss.get(arm.id),
            "weight": record.weights.get(arm.id, 0.0),
            "decisions": known.shown(arm.index),
            "rewards": round(each.trials),
            "reward_sum": each.successes,
        }
        for arm, each in ((arm, known.posteriors[arm.index]) for arm in experiment.arms)
    ]
    return {
        "experiment_id": experiment.id,
        "status": experiment.status,
        "weights_version": record.version,
        "leader": max(record.prob_best, key=lambda arm: record.prob_best[arm]),
        "expected_loss": min(record.expected_loss.values()),
        "decisions": sum(known.shown(arm.index) for arm in experiment.arms),
        "arms": arms,
    }


def allocation(known: MemoryExperiment, now: float) -> dict[str, Any]:
    record, found = known.allocation(now)
    return {
        "experiment_id": known.experiment.id,
        "weights_version": record.version,
        "published_at": record.published_at,
        "changed_at": record.changed_at,
        "weights": record.weights,
        "summary": found.explanation.paragraph(),
        "explanation": found.explanation.to_dict(),
    }
