"""What a dashboard asks its reader to choose, and the moments it marks."""

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, QueryVariable
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, VariableRefresh

from dashboards.datasources import POSTGRES
from dashboards.queries import SqlQuery, sql


def new_dashboard(uid: str, title: str, description: str, *, since: str) -> Dashboard:
    """Return a dashboard without panels."""
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["bandit"])
        .time(since, "now")
        .timezone("browser")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )


def namespace(*, several: bool) -> QueryVariable:
    """Return the choice of one or several namespaces."""
    return query_variable("namespace", "Namespace", "Experiments of this namespace", "namespaces", several=several)


def experiment(*, several: bool) -> QueryVariable:
    """Return the choice of one or several experiments of the chosen namespaces."""
    return query_variable(
        "experiment", "Experiment", "The newest first, archived ones last", "experiments", several=several
    )


def moments(name: str, query: str, colour: str, *, shown: bool = True) -> AnnotationQuery:
    """Return marks on every curve over time, from a query that answers time, text and tags."""
    return AnnotationQuery().name(name).datasource(POSTGRES).enable(shown).icon_color(colour).target(SqlQuery(query))


def query_variable(name: str, label: str, description: str, query: str, *, several: bool = False) -> QueryVariable:
    """Return a choice of one, or one or several, of what a query answers."""
    return (
        QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(POSTGRES)
        .query(sql(query))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(several)
        .include_all(several)
    )
