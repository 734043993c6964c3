"""Snapshots of posteriors."""

import dagster as dg
from pydantic import Field

from bandit_pipeline.errors import clear_failure
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.resources import BanditService, Postgres
from bandit_pipeline.snapshots.taking import take
from bandit_pipeline.tables import markdown


class SnapshotConfig(dg.Config):
    """When an experiment is due."""

    min_events: int = Field(default=1, ge=1, description="Counted events since the last snapshot that make one due")


@dg.asset(group_name="experiments", owners=OWNERS, kinds={"postgres", "fastapi"})
def posterior_snapshots(
    context: dg.AssetExecutionContext, config: SnapshotConfig, postgres: Postgres, service: BanditService
) -> dg.MaterializeResult[None]:
    """Posteriors of every experiment with new events, which the service keeps in the table posterior_snapshots."""
    with clear_failure(context), service.client() as client:
        taken = take(client, postgres, config.min_events)
    return dg.MaterializeResult(
        metadata={"experiments": taken["experiment_id"].n_unique(), "snapshots": markdown(taken.head(50))}
    )
