"""What starts a job because it is time."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from bandit_pipeline.jobs import export_decisions, monitor_experiments, snapshot_posteriors


def _schedule(job: UnresolvedAssetJobDefinition, cron: str) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(job=job, cron_schedule=cron, default_status=dg.DefaultScheduleStatus.RUNNING)


SCHEDULES = [
    _schedule(snapshot_posteriors, "7 * * * *"),
    _schedule(export_decisions, "22 * * * *"),
    _schedule(monitor_experiments, "37 4 * * *"),
]
