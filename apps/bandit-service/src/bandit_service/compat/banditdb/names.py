"""Which experiment a campaign is.

A campaign's name is the experiment's, without the namespace of the caller's API key. A deleted campaign's experiment is
archived, and its id stays taken; so the campaign of the same name that comes after it is `NAME--2`, then `NAME--3`.
Its metadata say so: an experiment that is called `NAME--2` by itself is another campaign.
"""

from __future__ import annotations

import re
from typing import Final

from bandit_core.rules.experiment import DEFAULT_NAMESPACE, Experiment
from bandit_core.rules.names import EXPERIMENT_ID
from bandit_core.rules.problems import Invalid, NotFound
from bandit_service.domain.api_key import ALL_NAMESPACES, Principal

# Leaves room for the namespace and the generation in an experiment's id.
LONGEST_NAME = 100
FIRST: Final = "banditdb_first_experiment"
"""Where the metadata of a later experiment of a campaign hold the id of the first one."""
_GENERATION: Final = re.compile(r"(?P<first>.+)--[0-9]+")


def experiment_name(campaign_id: str, principal: Principal) -> str:
    """Return the id of a campaign's first experiment.

    Raises:
        NotFound: no campaign can have that name.
    """
    if not re.fullmatch(EXPERIMENT_ID.pattern, campaign_id):
        raise unknown(campaign_id)
    if principal.namespace in (ALL_NAMESPACES, DEFAULT_NAMESPACE):
        return campaign_id
    return f"{principal.namespace}.{campaign_id}"


def check_new(campaign_id: str) -> None:
    """Return if a new campaign may have that name; raise Invalid if it may not."""
    if len(campaign_id) > LONGEST_NAME or not re.fullmatch(EXPERIMENT_ID.pattern, campaign_id):
        raise Invalid.field("campaign_id", f"must be 1 to {LONGEST_NAME} letters, digits, hyphens or underscores")


def generation(name: str, number: int) -> str:
    """Return the id of the experiment that is the campaign of that name for the n-th time."""
    return name if number == 1 else f"{name}--{number}"


def first_of(experiment: Experiment) -> str:
    """Return the id of the first experiment of the campaign that an experiment is."""
    later = _GENERATION.fullmatch(experiment.id)
    if later is None or experiment.metadata.get(FIRST) != later["first"]:
        return experiment.id
    return later["first"]


def campaign_of(experiment: Experiment, principal: Principal) -> str:
    """Return what a caller calls the campaign that an experiment is."""
    return first_of(experiment).removeprefix(f"{principal.namespace}.")


def unknown(campaign_id: str) -> NotFound:
    return NotFound(f"there is no campaign {campaign_id[:LONGEST_NAME]!r}")
