"""Queries of panels, variables, annotations and alert rules: SQL from named files, PromQL as written."""

from importlib.resources import files
from typing import Literal

from grafana_foundation_sdk.builders.prometheus import Dataquery as PrometheusBuilder
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery

from dashboards.datasources import POSTGRES, PROMETHEUS

type Format = Literal["table", "time_series"]


class SqlDataquery(Dataquery):
    """A query of the Postgres data source, which the SDK has no class for."""

    def __init__(self, sql: str, format_: Format, ref_id: str) -> None:
        self.sql = sql
        self.format = format_
        self.ref_id = ref_id

    def to_json(self) -> dict[str, object]:
        return {
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": self.format,
            "rawQuery": True,
            "rawSql": self.sql,
            "refId": self.ref_id,
        }


class SqlQuery(Builder[SqlDataquery]):
    """A query by the name of its file in `sql/`. It reads the service's documented views and computes nothing."""

    def __init__(self, name: str, *, format_: Format = "table", ref_id: str = "A") -> None:
        self._dataquery = SqlDataquery(sql(name), format_, ref_id)

    def build(self) -> SqlDataquery:
        return self._dataquery


def sql(name: str) -> str:
    """Return the statement in the file of that name."""
    return files("dashboards").joinpath("sql", f"{name}.sql").read_text().rstrip("\n")


def series(expr: str, legend: str, ref_id: str = "A") -> PrometheusBuilder:
    """Return a query for the series of an expression over the dashboard's range."""
    return PrometheusBuilder().datasource(PROMETHEUS).expr(expr).legend_format(legend).ref_id(ref_id).range()


def latest(expr: str, legend: str) -> PrometheusBuilder:
    """Return a query for the newest value of each series of an expression."""
    return PrometheusBuilder().datasource(PROMETHEUS).expr(expr).legend_format(legend).ref_id("A").instant()
