"""Everything Dagster finds here. Loading it needs no network and no secret."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from bandit_pipeline.jobs import JOBS
from bandit_pipeline.obd.assets import obd_raw, obd_rounds
from bandit_pipeline.regret.assets import regret
from bandit_pipeline.replay.assets import replay
from bandit_pipeline.resources import resources_from

ASSETS = [obd_raw, obd_rounds, replay, regret]


def build(resources: Mapping[str, Any]) -> dg.Definitions:
    """Return the code location on these resources."""
    return dg.Definitions(
        assets=ASSETS,
        jobs=JOBS,
        resources=resources,
        executor=dg.in_process_executor,
    )


defs = build(resources_from(os.environ))
