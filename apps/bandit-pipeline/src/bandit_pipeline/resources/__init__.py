"""What assets reach outside for, made from environment variables that begin with BANDIT_."""

from collections.abc import Mapping

import dagster as dg

from bandit_pipeline.resources.grafana import Grafana
from bandit_pipeline.resources.postgres import Postgres
from bandit_pipeline.resources.s3 import Bucket
from bandit_pipeline.resources.service import BanditService
from bandit_pipeline.resources.tracking import Tracking

__all__ = ["BanditService", "Bucket", "Grafana", "Postgres", "Tracking", "resources_from"]

LOCAL_FILES = ".local/mlflow"


def resources_from(environment: Mapping[str, str]) -> dict[str, dg.ConfigurableResource]:  # type: ignore[type-arg]
    """Return the resources: what the environment names is read when a run starts, the rest is the local stack.

    A value that is set stays a reference (EnvVar), so that no secret is shown in the UI.
    """

    def setting(name: str, default: str) -> str:
        return dg.EnvVar(name) if name in environment else default

    return {
        "bucket": Bucket(
            endpoint=setting("BANDIT_S3_ENDPOINT", "http://127.0.0.1:9000"),
            region=setting("BANDIT_S3_REGION", "us-east-1"),
            name=setting("BANDIT_S3_BUCKET", "bandit"),
            access_key=setting("BANDIT_S3_ACCESS_KEY", ""),
            secret_key=setting("BANDIT_S3_SECRET_KEY", ""),
            session_token=setting("BANDIT_S3_SESSION_TOKEN", ""),
            addressing_style=setting("BANDIT_S3_ADDRESSING_STYLE", "path"),
        ),
        "postgres": Postgres(dsn=setting("BANDIT_POSTGRES_DSN", "postgresql://bandit@127.0.0.1:5432/bandit")),
        "service": BanditService(
            url=setting("BANDIT_SERVICE_URL", "http://127.0.0.1:8000"), api_key=setting("BANDIT_API_KEY", "")
        ),
        "tracking": Tracking(
            uri=setting("BANDIT_MLFLOW_URI", "sqlite:///.local/mlflow.db"),
            # A server has a place of its own for files; a database would leave them wherever the process was started.
            artifacts=setting("BANDIT_MLFLOW_ARTIFACTS", "" if "BANDIT_MLFLOW_URI" in environment else LOCAL_FILES),
        ),
        "grafana": Grafana(url=setting("BANDIT_GRAFANA_URL", ""), token=setting("BANDIT_GRAFANA_TOKEN", "")),
    }
