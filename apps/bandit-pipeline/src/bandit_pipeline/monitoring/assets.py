"""Daily checks of running experiments."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
from pydantic import Field

from bandit_core.sample_ratio import SMALL_P_VALUE
from bandit_pipeline.errors import clear_failure
from bandit_pipeline.monitoring.checks import CHECKS, Finding, Limits, Sources, Window, examine, experiments
from bandit_pipeline.owners import OWNERS
from bandit_pipeline.resources import BanditService, Postgres
from bandit_pipeline.tables import markdown


class MonitoringConfig(dg.Config):
    """From where on something is worth a look."""

    look_back_hours: float = Field(default=24.0, gt=0.0, description="What counts as recent")
    alpha: float = Field(default=SMALL_P_VALUE, gt=0.0, lt=1.0, description="p-value below which a test says something")
    missing: float = Field(default=0.2, ge=0.0, le=1.0, description="Largest share of decisions without a reward")


@dg.asset(
    group_name="experiments",
    owners=OWNERS,
    kinds={"postgres", "fastapi"},
    check_specs=[
        dg.AssetCheckSpec(name, asset="monitoring", description=check.__doc__) for name, check in CHECKS.items()
    ],
)
def monitoring(
    context: dg.AssetExecutionContext, config: MonitoringConfig, postgres: Postgres, service: BanditService
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # beside checks, Dagster reads this form only
    """Whether running experiments draw as they say, still explore, and get rewards as before."""
    limits = Limits(config.alpha, config.missing)
    window = Window(datetime.now(UTC), timedelta(hours=config.look_back_hours))
    with clear_failure(context), service.client() as client, postgres.transaction() as connection:
        known, sources = experiments(connection), Sources(connection, client.report)
        findings = [finding for each in known for finding in examine(sources, each, window, limits)]
    return dg.MaterializeResult(
        metadata={"experiments": len(known), "findings": _table(findings)}, check_results=list(_results(findings))
    )


def _results(findings: list[Finding]) -> Iterator[dg.AssetCheckResult]:
    for name in CHECKS:
        found = [finding for finding in findings if finding.check == name]
        yield dg.AssetCheckResult(
            check_name=name,
            passed=not found,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"findings": _table(found)},
        )


def _table(findings: list[Finding]) -> dg.MetadataValue:
    return markdown(pl.DataFrame(findings)) if findings else dg.MetadataValue.text("none")
