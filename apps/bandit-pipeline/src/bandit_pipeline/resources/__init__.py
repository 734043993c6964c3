"""What assets reach outside for, made from environment variables that begin with BANDIT_."""

from collections.abc import Mapping
from typing import Final

import dagster as dg

from bandit_pipeline.resources.grafana import Grafana
from bandit_pipeline.resources.postgres import Postgres
from bandit_pipeline.resources.s3 import Bucket
from bandit_pipeline.resources.service import BanditService
from bandit_pipeline.resources.tracking import Tracking

__all__ = ["BanditService", "Bucket", "Grafana", "Postgres", "Tracking", "resources_from"]

# By name: the default, which is the local stack, and what it is for.
VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    "BANDIT_POSTGRES_DSN": ("postgresql://bandit@127.0.0.1:5432/bandit", "Postgres of the service, which is read"),
    "BANDIT_URL": ("http://127.0.0.1:8000", "Where the service is"),
    "BANDIT_API_KEY": ("", "API key of an admin, where the service asks for one"),
    "BANDIT_S3_ENDPOINT": ("http://127.0.0.1:9000", "S3 in which logs and exports are kept"),
    "BANDIT_S3_REGION": ("us-east-1", "Region of S3"),
    "BANDIT_S3_BUCKET": ("bandit", "Bucket in S3"),
    "BANDIT_S3_ACCESS_KEY": ("", "Access key of S3; not set: the credentials that the machine has"),
    "BANDIT_S3_SECRET_KEY": ("", "Secret key of S3"),
    "BANDIT_S3_SESSION_TOKEN": ("", "Session token of S3, for temporary keys"),
    "BANDIT_S3_ADDRESSING_STYLE": ("path", "How S3 is told the bucket: `path`, `virtual` or `auto`"),
    "BANDIT_MLFLOW_URI": ("sqlite:///.local/mlflow.db", "MLflow, where runs and curves go"),
    "BANDIT_MLFLOW_ARTIFACTS": (".local/mlflow", "Where MLflow keeps files; with BANDIT_MLFLOW_URI its own place"),
    "BANDIT_GRAFANA_URL": ("", "Grafana, for annotations; not set: there are none"),
    "BANDIT_GRAFANA_TOKEN": ("", "Token of Grafana"),
    "BANDIT_OBD_SOURCE": ("", "Folder, zip file or URL of the Open Bandit data; not set: the sample that obp brings"),
    "BANDIT_RETAIL_FILE": ("", "The .xlsx or .csv file of retail data; not set: its assets are empty"),
}


def resources_from(environment: Mapping[str, str]) -> dict[str, dg.ConfigurableResource]:  # type: ignore[type-arg]
    """Return the resources: what the environment names is read when a run starts, the rest is the local stack.

    A value that is set stays a reference (EnvVar), so that no secret is shown in the UI.
    """

    def setting(name: str, default: str | None = None) -> str:
        return dg.EnvVar(name) if name in environment else VARIABLES[name][0] if default is None else default

    return {
        "bucket": Bucket(
            endpoint=setting("BANDIT_S3_ENDPOINT"),
            region=setting("BANDIT_S3_REGION"),
            name=setting("BANDIT_S3_BUCKET"),
            access_key=setting("BANDIT_S3_ACCESS_KEY"),
            secret_key=setting("BANDIT_S3_SECRET_KEY"),
            session_token=setting("BANDIT_S3_SESSION_TOKEN"),
            addressing_style=setting("BANDIT_S3_ADDRESSING_STYLE"),
        ),
        "postgres": Postgres(dsn=setting("BANDIT_POSTGRES_DSN")),
        "service": BanditService(url=setting("BANDIT_URL"), api_key=setting("BANDIT_API_KEY")),
        "tracking": Tracking(
            uri=setting("BANDIT_MLFLOW_URI"),
            # A server has a place of its own for files; a database would leave them wherever the process was started.
            artifacts=setting("BANDIT_MLFLOW_ARTIFACTS", "" if "BANDIT_MLFLOW_URI" in environment else None),
        ),
        "grafana": Grafana(url=setting("BANDIT_GRAFANA_URL"), token=setting("BANDIT_GRAFANA_TOKEN")),
    }
