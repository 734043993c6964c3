"""What BanditDB's API does, by the services that this service's own endpoints use."""

from __future__ import annotations

import uuid

from bandit_core.rules.decisions import is_signed
from bandit_core.rules.experiment_requests import Because
from bandit_core.rules.problems import Conflict, NotFound
from bandit_core.rules.requests import RewardRequest, RewardResponse, SelectRequest
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.api.decisions.resolver import DecisionResolver
from bandit_service.api.decisions.service import Decisions
from bandit_service.api.experiments.service import Experiments
from bandit_service.api.rewards.service import Rewards
from bandit_service.compat.banditdb import requests, views
from bandit_service.compat.banditdb.export import Exports
from bandit_service.compat.banditdb.lookup import Lookup
from bandit_service.compat.banditdb.schemas import (
    AddArm,
    CampaignDiagnostics,
    CampaignHealth,
    CampaignInfo,
    CampaignReport,
    CampaignSummary,
    CreateCampaign,
    Exported,
    HealthDetail,
    Interact,
    Predict,
    Prediction,
    Reward,
    SetArmStatus,
)
from bandit_service.domain.api_key import Principal
from bandit_service.results.experiment_report import ExperimentReport, ExperimentReports

_BECAUSE = Because(reason=requests.REASON)


class BanditDb:
    """Campaigns, predictions and rewards.

    An archived campaign is a paused experiment: its models stay, but nothing is decided or rewarded here until it is
    restored. A deleted one is an archived experiment: for good, though nothing is removed.
    """

    def __init__(
        self,
        *,
        experiments: Experiments,
        lookup: ExperimentLookup,
        decisions: Decisions,
        rewards: Rewards,
        resolver: DecisionResolver,
        reports: ExperimentReports,
        exports: Exports,
    ) -> None:
        self._experiments = experiments
        self._decisions = decisions
        self._rewards = rewards
        self._resolver = resolver
        self._reports = reports
        self._exports = exports
        self._lookup = Lookup(experiments, lookup)

    async def create(self, request: CreateCampaign, principal: Principal) -> None:
        """Create a campaign.

        Raises:
            Invalid: it is wrong, or asks for what is not supported; Forbidden: another namespace; Conflict: it exists.
        """
        first, experiment_id = await self._lookup.free_id(request.campaign_id, principal)
        await self._experiments.create(requests.new_experiment(experiment_id, first, request), principal)

    async def campaigns(self, principal: Principal) -> list[CampaignSummary]:
        found = await self._lookup.all(principal)
        return [views.summary(name, experiment) for name, experiment in sorted(found.items())]

    async def info(self, campaign_id: str, principal: Principal) -> CampaignInfo:
        return views.info(campaign_id, *await self._reported(campaign_id, principal))

    async def report(self, campaign_id: str, principal: Principal) -> CampaignReport:
        served, report = await self._reported(campaign_id, principal)
        return views.campaign_report(campaign_id, served.experiment, report)

    async def diagnostics(self, campaign_id: str, principal: Principal) -> CampaignDiagnostics:
        return views.diagnostics(campaign_id, *await self._reported(campaign_id, principal))

    async def health(self, principal: Principal) -> HealthDetail:
        """Return how evenly the arms of every running campaign are chosen."""
        healths = {}
        for name, experiment in (await self._lookup.all(principal)).items():
            if experiment.status == "running":
                _, report = await self._reported(name, principal)
                healths[name] = CampaignHealth(entropy=report.selection_entropy, status=report.entropy_status)
        all_well = all(each.status == "ok" for each in healths.values())
        return HealthDetail(status="ok" if all_well else "degraded", campaigns=healths)

    async def delete(self, campaign_id: str, principal: Principal) -> None:
        experiment = await self._lookup.experiment(campaign_id, principal)
        await self._experiments.archive(experiment.id, _BECAUSE, principal)

    async def archive(self, campaign_id: str, principal: Principal) -> None:
        experiment = await self._lookup.experiment(campaign_id, principal)
        await self._experiments.pause(experiment.id, _BECAUSE, principal)

    async def restore(self, campaign_id: str, principal: Principal) -> None:
        experiment = await self._lookup.experiment(campaign_id, principal)
        await self._experiments.resume(experiment.id, _BECAUSE, principal)

    async def check_known(self, campaign_id: str, principal: Principal) -> None:
        """Return if there is such a campaign; raise NotFound if there is none."""
        await self._lookup.served(campaign_id, principal)

    async def add_arm(self, campaign_id: str, request: AddArm, principal: Principal) -> None:
        experiment = await self._lookup.experiment(campaign_id, principal)
        if experiment.status == "paused":
            raise _archived(campaign_id)
        await self._experiments.add_arm(experiment.id, requests.new_arm(request), principal)

    async def set_arm_status(self, campaign_id: str, arm_id: str, request: SetArmStatus, principal: Principal) -> None:
        experiment = await self._lookup.experiment(campaign_id, principal)
        match request.status:
            case "active":
                await self._experiments.resume_arm(experiment.id, arm_id, _BECAUSE, principal)
            case "paused":
                absence = requests.absence(experiment, arm_id)
                await self._experiments.pause_arm(experiment.id, arm_id, absence, principal)
            case "retired":
                absence = requests.absence(experiment, arm_id)
                await self._experiments.retire_arm(experiment.id, arm_id, absence, principal)

    async def predict(self, request: Predict, principal: Principal) -> Prediction:
        """Choose an arm.

        Raises:
            NotFound, Conflict (archived), Invalid (of the context or the arms), Unavailable (no models known yet).
        """
        served = await self._open(request.campaign_id, principal)
        selection = SelectRequest(
            experiment_id=served.experiment.id,
            context=request.context,
            eligible_arms=None if request.eligible_arms is None else tuple(request.eligible_arms),
            exclude_arms=None if request.exclude_arms is None else tuple(request.exclude_arms),
        )
        decided = await self._decisions.select(selection, principal)
        return Prediction(campaign_id=request.campaign_id, arm_id=decided.arm, interaction_id=decided.decision_id)

    async def reward(self, request: Reward, principal: Principal) -> RewardResponse:
        """Count a reward once, and return what became of it.

        One that is there already is no error: a client whose answer was lost sends it again.

        Raises:
            NotFound: the prediction is unknown; Conflict: its campaign is archived; Expired: its window is over;
            Invalid: the reward is not between 0 and 1; Unavailable: the store does not answer.
        """
        if not is_signed(request.interaction_id):
            raise NotFound("there is no prediction of that interaction_id")
        _, served = await self._resolver.resolve(request.interaction_id, None, principal)
        if served.experiment.status == "archived":
            raise NotFound("the prediction's campaign was deleted")
        if served.experiment.status == "paused":
            raise _archived(served.experiment.id)
        counted = RewardRequest(decision_id=request.interaction_id, reward=request.reward)
        return await self._rewards.reward(counted, principal)

    async def interact(self, campaign_id: str, request: Interact, principal: Principal) -> str:
        """Learn from a decision that was made elsewhere; return a name for it. Sent again, it counts again."""
        served = await self._open(campaign_id, principal)
        interaction_id = uuid.uuid4().hex
        await self._rewards.reward(
            RewardRequest(
                experiment_id=served.experiment.id,
                arm=request.arm_id,
                reward_id=interaction_id,
                reward=request.reward,
                context=request.context,
            ),
            principal,
        )
        return interaction_id

    async def checkpoint(self, principal: Principal) -> str:
        """Write the files of every campaign the caller may see; return what was done in words."""
        interactions = await self._exports.write(principal.namespace, lambda: self._lookup.all(principal))
        return f"Checkpoint written: {interactions} interactions exported to {self._exports.folder(principal)}"

    def exported(self, principal: Principal) -> Exported:
        return Exported(export_dir=str(self._exports.folder(principal)), shards=self._exports.files(principal))

    async def _open(self, campaign_id: str, principal: Principal) -> ServedExperiment:
        served = await self._lookup.served(campaign_id, principal)
        if served.experiment.status == "paused":
            raise _archived(campaign_id)
        return served

    async def _reported(self, campaign_id: str, principal: Principal) -> tuple[ServedExperiment, ExperimentReport]:
        served = await self._lookup.served(campaign_id, principal)
        return served, await self._reports.report(served)


def _archived(campaign_id: str) -> Conflict:
    return Conflict(f"campaign {campaign_id!r} is archived: restore it first")
