"""Every SQL query runs against the migrated Postgres with data in it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
import pytest
from loaded import document, sql_queries

from dashboards.queries import sql

if TYPE_CHECKING:
    from conftest import Ask

COLUMNS = {"time_series": ["time", "metric", "value"], "annotation": ["time", "text", "tags"]}


@pytest.mark.parametrize(("form", "query"), [pytest.param(form, query, id=at) for at, form, query in sql_queries()])
def test_a_query_returns_rows_of_its_form(form: str, query: str, ask: Ask) -> None:
    rows = ask(query)
    assert rows
    assert list(rows[0]) == COLUMNS.get(form, list(rows[0]))
    if form == "variable":
        assert len(rows[0]) == 1


def test_a_reader_reads_the_documented_views_and_nothing_else(ask: Ask) -> None:
    rows = ask(
        "SELECT relname AS name, has_table_privilege(oid, 'SELECT') OR has_any_column_privilege(oid, 'SELECT') AS may"
        " FROM pg_class WHERE relnamespace = current_schema::regnamespace AND relkind IN ('r', 'p', 'v')"
    )
    readable = {row["name"] for row in rows if row["may"]}
    assert readable == {row["name"] for row in rows if row["name"].endswith("_v1")}
    assert len(readable) < len(rows)


@pytest.mark.parametrize("table", ["bandit_events", "experiments", "exposures", "api_keys", "arm_posteriors"])
def test_a_reader_is_refused_a_table(table: str, ask: Ask) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(f"TABLE {table}")


def test_a_reader_sees_no_unit_and_no_salt(ask: Ask) -> None:
    rows = ask(
        "SELECT table_name || '.' || column_name AS name FROM information_schema.columns"
        " WHERE table_schema = current_schema AND column_name ~ 'unit|salt|definition|hash'"
    )
    assert rows == []


@pytest.mark.parametrize(
    "query", [pytest.param(query, id=at) for at, form, query in sql_queries() if form == "time_series"]
)
def test_curves_over_time_come_in_order(query: str, ask: Ask) -> None:
    times = [row["time"] for row in ask(query)]
    assert times == sorted(times)


def test_the_alert_query_returns_one_number_for_each_experiment(ask: Ask) -> None:
    (group,) = document("grafana-alerts.yaml")["groups"]
    for rule in group["rules"]:
        for row in ask(rule["data"][0]["model"]["rawSql"]):
            assert [type(value) for value in row.values()] == [str, float]


def test_marks_stand_at_the_moment_of_what_they_mark(ask: Ask) -> None:
    conclusion = next(query for at, _, query in sql_queries() if at == "experiment: annotation Conclusion")
    (mark,) = ask(conclusion)
    assert isinstance(mark["time"], datetime)
    assert mark["text"] == "Concluded: a test of conclude"


def test_an_interval_is_drawn_from_end_to_end_and_an_estimate_without_one_as_a_point(ask: Ask) -> None:
    rows = ask(sql("ope_intervals"))
    drawn = {policy: [row["x"] for row in rows if row["policy"].startswith(policy)] for policy in ("bts", "uniform")}
    assert drawn == {"bts": [0.0028, 0.0045, 0.0064], "uniform": [0.0046]}
