"""Finds the experiment that a campaign is."""

from __future__ import annotations

from bandit_core.rules.experiment import Experiment, namespace_of
from bandit_core.rules.problems import Conflict, NotFound
from bandit_core.rules.served_experiment import ServedExperiment
from bandit_service.api.decisions.lookup import ExperimentLookup
from bandit_service.api.experiments.schemas import Filter
from bandit_service.api.experiments.service import Experiments
from bandit_service.compat.banditdb.names import (
    campaign_of,
    check_new,
    experiment_name,
    first_of,
    generation,
    unknown,
)
from bandit_service.domain.api_key import Principal

_PAGE = 1_000


class Lookup:
    """Campaigns by name. An experiment that is archived is a campaign that was deleted; a paused one is archived."""

    def __init__(self, experiments: Experiments, lookup: ExperimentLookup) -> None:
        self._experiments = experiments
        self._lookup = lookup
        # Archived for good, or another campaign's: what was passed over once need not be looked at again.
        self._generations: dict[str, int] = {}

    async def served(self, campaign_id: str, principal: Principal) -> ServedExperiment:
        """Return the campaign as it is served, whether Postgres answers or not.

        Raises:
            NotFound: there is none; Unavailable: neither store answers.
        """
        name = experiment_name(campaign_id, principal)
        number = self._generations.get(name, 1)
        while True:
            try:
                served = await self._lookup.served(generation(name, number), principal)
            except NotFound:
                raise unknown(campaign_id) from None
            if served.experiment.status != "archived" and first_of(served.experiment) == name:
                break
            number += 1
        if not served.experiment.is_contextual:
            raise unknown(campaign_id)
        if number > 1:
            self._generations[name] = number
        return served

    async def experiment(self, campaign_id: str, principal: Principal) -> Experiment:
        """Return the campaign as Postgres has it; NotFound if there is none."""
        name = experiment_name(campaign_id, principal)
        found, _ = await self._last(name)
        if found is None or not found.is_contextual or not principal.sees(found.namespace):
            raise unknown(campaign_id)
        return found

    async def free_id(self, campaign_id: str, principal: Principal) -> tuple[str, str]:
        """Return the id of the first experiment of a new campaign, and the id for its own.

        Raises:
            Invalid: no campaign may have that name; Forbidden: another namespace; Conflict: there is such a campaign.
        """
        check_new(campaign_id)
        name = experiment_name(campaign_id, principal)
        principal.require("admin", namespace_of(name))
        found, free = await self._last(name)
        if found is not None:
            raise Conflict(f"there is a campaign {campaign_id!r} already")
        return name, free

    async def all(self, principal: Principal) -> dict[str, Experiment]:
        """Return every campaign that the caller may see, by name."""
        found: dict[str, Experiment] = {}
        cursor = None
        while True:
            page, cursor = await self._experiments.search(Filter(limit=_PAGE, cursor=cursor), principal)
            for each in page:
                if each.is_contextual and each.status != "archived":
                    found[campaign_of(each, principal)] = each
            if cursor is None:
                return found

    async def _last(self, name: str) -> tuple[Experiment | None, str]:
        """Return the experiment of that name that is not archived, or the first id that is free."""
        number = self._generations.get(name, 1)
        while True:
            candidate = generation(name, number)
            try:
                experiment = await self._experiments.read(candidate)
            except NotFound:
                return None, candidate
            if experiment.status != "archived" and first_of(experiment) == name:
                return experiment, candidate
            number += 1
