"""The two sources of data that every panel, variable, annotation and alert rule refers to by uid."""

from typing import Any, Final

from grafana_foundation_sdk.models.common import DataSourceRef

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="prometheus")
POSTGRES: Final = DataSourceRef(type_val="grafana-postgresql-datasource", uid="bandit-postgres")


def provisioning() -> dict[str, Any]:
    """Return the file that declares Postgres to Grafana, which reads the connection from its own environment.

    Prometheus is not in it: a cluster that has one has declared it, under the uid that is assumed here.
    """
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Bandit Postgres",
                "uid": POSTGRES.uid,
                "type": POSTGRES.type_val,
                "access": "proxy",
                "url": "$__env{BANDIT_GRAFANA_POSTGRES_HOST}:$__env{BANDIT_GRAFANA_POSTGRES_PORT}",
                "user": "$__env{BANDIT_GRAFANA_POSTGRES_USER}",
                "secureJsonData": {"password": "$__env{BANDIT_GRAFANA_POSTGRES_PASSWORD}"},
                "jsonData": {
                    "database": "$__env{BANDIT_GRAFANA_POSTGRES_DATABASE}",
                    "sslmode": "$__env{BANDIT_GRAFANA_POSTGRES_SSLMODE}",
                    "postgresVersion": 1500,
                    "maxOpenConns": 5,
                },
            }
        ],
    }
