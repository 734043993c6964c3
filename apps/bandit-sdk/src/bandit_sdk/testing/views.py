"""How the service in memory shows what it knows, in the shapes of the real one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bandit_sdk.testing.experiment import Decision, MemoryExperiment


def selection(experiment: MemoryExperiment, decision: Decision) -> dict[str, Any]:
    arms = list(experiment.posteriors)
    places = [
        {"arm": arm, "arm_index": arms.index(arm), "propensity": propensity}
        for arm, propensity in zip(decision.arms, decision.propensities, strict=True)
    ]
    slate = {} if decision.joint is None else {"slate": places, "slate_propensity": decision.joint}
    return {
        "decision_id": decision.id,
        "experiment_id": experiment.definition.experiment_id,
        **places[0],
        "weights_version": decision.version,
        "stratum": decision.stratum,
        "recorded": True,
        "vector": decision.vector,
        **slate,
    }


def summary(experiment: MemoryExperiment) -> dict[str, Any]:
    name = experiment.definition.experiment_id
    namespace, dot, _ = name.partition(".")
    return {
        "experiment_id": name,
        "namespace": namespace if dot else "default",
        "description": experiment.definition.description,
        "status": experiment.status,
        "revision": experiment.revision,
        "created_at": datetime.fromtimestamp(experiment.created_at, UTC),
        "active_arms": len(experiment.posteriors),
        "winner": experiment.winner,
    }


def whole(experiment: MemoryExperiment) -> dict[str, Any]:
    definition = experiment.definition
    arms = [
        {"id": arm, "index": index, "status": "active", "prior": {"alpha": each.prior_alpha, "beta": each.prior_beta}}
        for index, (arm, each) in enumerate(experiment.posteriors.items())
    ]
    return {
        **summary(experiment),
        "arms": arms,
        "default_arm": experiment.default_arm,
        "control_arm": None,
        "policy": definition.policy,
        "guardrails": definition.guardrails,
        "stopping": None,
        "reward_window": definition.reward_window,
        "missing_reward": "ignore",
        "reward_model": definition.reward_model,
        "assignment": "draw",
        "holdout": 0.0,
        "update_every": None,
        "conclusion": None,
    }


def posterior(experiment: MemoryExperiment, now: float) -> dict[str, Any]:
    weights = experiment.allocation(now).weights
    best = experiment.beliefs(experiment.posteriors).best_arm
    served = dict.fromkeys(experiment.posteriors, 0)
    for decision in experiment.decisions.values():
        for arm in decision.arms if decision.is_active and decision.stratum == "bandit" else ():
            served[arm] += 1
    rows = zip(experiment.posteriors.items(), best.prob_best.tolist(), best.expected_loss.tolist(), strict=True)
    arms = [
        {
            "arm": arm,
            "index": index,
            "status": "active",
            "alpha": each.alpha,
            "beta": each.beta,
            "mean": each.mean,
            "interval": (each.interval().low, each.interval().high),
            "prob_best": prob_best,
            "expected_loss": loss,
            "weight": weights[arm],
            "decisions": served[arm],
            "rewards": round(each.trials),
            "reward_sum": each.successes,
        }
        for index, ((arm, each), prob_best, loss) in enumerate(rows)
    ]
    return {
        "experiment_id": experiment.definition.experiment_id,
        "status": experiment.status,
        "weights_version": experiment.version,
        "leader": list(experiment.posteriors)[best.leader],
        "expected_loss": min(best.expected_loss.tolist()),
        "decisions": sum(served.values()),
        "arms": arms,
    }


def allocation(experiment: MemoryExperiment, now: float) -> dict[str, Any]:
    found = experiment.allocation(now)
    return {
        "experiment_id": experiment.definition.experiment_id,
        "weights_version": experiment.version,
        "published_at": experiment.changed_at,
        "changed_at": experiment.changed_at,
        "weights": found.weights,
        "summary": found.explanation.paragraph(),
        "explanation": found.explanation.to_dict(),
    }
