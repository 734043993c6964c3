"""Campaigns as BanditDB shows them, from what the service reports about experiments."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bandit_core.rules.experiment import Experiment
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.compat.banditdb.names import FIRST
from bandit_service.compat.banditdb.schemas import (
    ALGORITHMS,
    HOUR,
    Algorithm,
    ArmDiagnostics,
    ArmInfo,
    ArmStats,
    CampaignDiagnostics,
    CampaignInfo,
    CampaignReport,
    CampaignSummary,
)
from bandit_service.results.experiment_report import ArmReport, ExperimentReport

_FEW_FOR_A_LEADER, _FEW_FOR_A_WINNER = 10, 30


class Model(NamedTuple):
    """An arm's coefficients, and the diagonal of the inverse of its precision (d,)."""

    theta: np.ndarray[Any, np.dtype[np.float64]]
    variances: np.ndarray[Any, np.dtype[np.float64]]

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.theta))


def summary(campaign_id: str, experiment: Experiment) -> CampaignSummary:
    return CampaignSummary(
        campaign_id=campaign_id,
        alpha=alpha(experiment),
        algorithm=algorithm(experiment),
        arm_count=len(experiment.arms),
        archived=experiment.status == "paused",
        metadata=metadata(experiment),
    )


def info(campaign_id: str, served: ServedExperiment, report: ExperimentReport) -> CampaignInfo:
    experiment, models = served.experiment, _models(served)
    context, half_life = experiment.context, experiment.policy.params.get("half_life")
    intercept = context is not None and context.intercept
    return CampaignInfo(
        campaign_id=campaign_id,
        alpha=alpha(experiment),
        algorithm=algorithm(experiment),
        feature_dim=experiment.dimension - intercept,
        decay_half_life_hours=half_life / HOUR if isinstance(half_life, int | float) else None,
        archived=experiment.status == "paused",
        metadata=metadata(experiment),
        total_predictions=report.decisions,
        total_rewards=report.rewards,
        arms={arm.arm: _arm_info(arm, models.get(arm.arm)) for arm in report.arms},
    )


def campaign_report(campaign_id: str, experiment: Experiment, report: ExperimentReport) -> CampaignReport:
    return CampaignReport(
        campaign_id=campaign_id,
        archived=experiment.status == "paused",
        algorithm=algorithm(experiment),
        alpha=alpha(experiment),
        total_predictions=report.decisions,
        total_rewards=report.rewards,
        overall_reward_rate=_overall(report) or 0.0,
        arms={arm.arm: _arm_stats(arm) for arm in report.arms},
        leading_arm=_leading(report),
        converged=_converged(report),
    )


def diagnostics(campaign_id: str, served: ServedExperiment, report: ExperimentReport) -> CampaignDiagnostics:
    experiment, models = served.experiment, _models(served)
    return CampaignDiagnostics(
        campaign_id=campaign_id,
        archived=experiment.status == "paused",
        algorithm=algorithm(experiment),
        alpha=alpha(experiment),
        arm_count=len(experiment.arms),
        active_arm_count=len(experiment.active_arms),
        total_predictions=report.decisions,
        total_rewards=report.rewards,
        overall_avg_reward=_overall(report),
        arm_stats={arm.arm: _arm_diagnostics(arm, models[arm.arm]) for arm in report.arms if arm.arm in models},
        selection_entropy=report.selection_entropy,
        entropy_status=report.entropy_status,
        entropy_trend=report.entropy_trend,
        converged=_converged(report),
        likely_cause=report.likely_cause,
        suggested_action=report.suggested_action,
    )


def alpha(experiment: Experiment) -> float:
    given = experiment.policy.params.get("alpha", 1.0)
    return float(given) if isinstance(given, int | float) else 1.0


def algorithm(experiment: Experiment) -> Algorithm:
    return ALGORITHMS[experiment.policy.name]


def metadata(experiment: Experiment) -> dict[str, Any] | None:
    """Return what was stored with a campaign; of an experiment with named features, what lets clients name them too."""
    if stored := {key: value for key, value in experiment.metadata.items() if key != FIRST}:
        return stored
    context = experiment.context
    if context is None or context.features is None:
        return None
    return {"features": list(context.features), "context": {"bias": False, "normalize": False}}


def _models(served: ServedExperiment) -> dict[str, Model]:
    """Return the models of the arms that have not retired; none while they are not published."""
    if served.linear is None:
        return {}
    beliefs = served.linear.beliefs
    variances = np.diagonal(beliefs.covariance, axis1=1, axis2=2)
    return {arm: Model(*model) for arm, *model in zip(beliefs.arms, beliefs.theta, variances, strict=True)}


def _arm_info(arm: ArmReport, model: Model | None) -> ArmInfo:
    return ArmInfo(
        status=arm.status,
        theta=None if model is None else model.theta.tolist(),
        theta_norm=None if model is None else model.norm,
        prediction_count=arm.decisions,
        reward_count=arm.rewards,
        avg_reward=_observed(arm),
    )


def _arm_stats(arm: ArmReport) -> ArmStats:
    low, high = arm.interval
    return ArmStats(
        status=arm.status,
        predictions=arm.decisions,
        rewards=arm.rewards,
        traffic_share=arm.traffic_share or 0.0,
        mean_reward=_observed(arm),
        reward_rate=_observed(arm),
        lower_ci=low,
        upper_ci=high,
        ci_lower=low,
        ci_upper=high,
    )


def _arm_diagnostics(arm: ArmReport, model: Model) -> ArmDiagnostics:
    return ArmDiagnostics(
        status=arm.status,
        predictions=arm.decisions,
        rewards=arm.rewards,
        avg_reward=_observed(arm),
        theta_norm=model.norm,
        a_inv_diag_min=float(model.variances.min()),
        a_inv_diag_max=float(model.variances.max()),
    )


def _observed(arm: ArmReport) -> float | None:
    return arm.reward_sum / arm.rewards if arm.rewards else None


def _overall(report: ExperimentReport) -> float | None:
    return sum(arm.reward_sum for arm in report.arms) / report.rewards if report.rewards else None


def _leading(report: ExperimentReport) -> str | None:
    heard = [arm for arm in report.arms if arm.status == "active" and arm.rewards >= _FEW_FOR_A_LEADER]
    return max(heard, key=lambda arm: arm.reward_sum / arm.rewards).arm if heard else None


def _converged(report: ExperimentReport) -> bool | None:
    """Return whether an arm's interval lies above all others; None while one of them has few rewards."""
    arms = [arm for arm in report.arms if arm.status == "active"]
    if any(arm.rewards < _FEW_FOR_A_WINNER for arm in arms):
        return None
    leader = max(arms, key=lambda arm: arm.mean)
    return all(leader.interval[0] > arm.interval[1] for arm in arms if arm is not leader)
