"""Everything Dagster finds here. Loading it needs no network and no secret."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from bandit_pipeline.conclusions.assets import conclusions
from bandit_pipeline.export.assets import decisions_export
from bandit_pipeline.jobs import JOBS
from bandit_pipeline.monitoring.assets import monitoring
from bandit_pipeline.obd.assets import obd_raw, obd_rounds
from bandit_pipeline.ope.assets import ope
from bandit_pipeline.regret.assets import regret
from bandit_pipeline.replay.assets import replay
from bandit_pipeline.replay_live.assets import replay_live
from bandit_pipeline.resources import resources_from
from bandit_pipeline.retail.assets import retail_category_rates
from bandit_pipeline.schedules import SCHEDULES
from bandit_pipeline.sensors import SENSORS
from bandit_pipeline.snapshots.assets import posterior_snapshots

ASSETS = [
    obd_raw,
    obd_rounds,
    replay,
    replay_live,
    regret,
    ope,
    posterior_snapshots,
    conclusions,
    decisions_export,
    monitoring,
    retail_category_rates,
]


def build(resources: Mapping[str, Any]) -> dg.Definitions:
    """Return the code location on these resources."""
    return dg.Definitions(
        assets=ASSETS,
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources=resources,
        # Steps of one run share a process: they are short, and a process each would cost seconds and memory.
        executor=dg.in_process_executor,
    )


defs = build(resources_from(os.environ))
