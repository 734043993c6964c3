"""The schema comes from numbered SQL files, whole or not at all, from any number of processes at once."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from bandit_service.ledger import migrations

TABLES = {
    "alembic_version",
    "allocations",
    "api_keys",
    "arm_posteriors",
    "arm_totals",
    "bandit_events",
    "bandit_events_default",
    "dropped_totals",
    "erased_units",
    "experiment_arms",
    "experiment_changes",
    "experiments",
    "exposures",
    "folded_days",
    "folded_events",
    "kept_from",
    "leases",
    "linear_checkpoints",
    "namespaces",
    "ope_results",
    "open_buckets",
    "own_ids",
    "posterior_snapshots",
    "producers",
    "refused_events",
    "sample_ratios",
    "timelines",
    "unsettled",
    "weight_periods",
    "weights",
}

VIEWS = {
    "allocations_v1",
    "arms_v1",
    "changes_v1",
    "decisions_v1",
    "events_v1",
    "experiments_v1",
    "ope_results_v1",
    "outcomes_v1",
    "posterior_snapshots_v1",
    "posteriors_v1",
    "rewards_v1",
    "sample_ratios_v1",
    "snapshot_progress_v1",
    "stopping_conditions_v1",
    "stopping_v1",
}


def tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        return {name for (name,) in rows}


def test_an_empty_database_has_no_revision(empty_postgres_dsn: str) -> None:
    assert migrations.current_revision(empty_postgres_dsn) is None


def test_upgrade_brings_an_empty_database_to_the_newest_revision(empty_postgres_dsn: str) -> None:
    assert migrations.upgrade(empty_postgres_dsn) == migrations.head_revision()
    assert migrations.current_revision(empty_postgres_dsn) == migrations.head_revision()
    assert tables(empty_postgres_dsn) == TABLES | VIEWS


def test_upgrading_again_changes_nothing(empty_postgres_dsn: str) -> None:
    migrations.upgrade(empty_postgres_dsn)
    with psycopg.connect(empty_postgres_dsn) as connection:
        connection.execute("INSERT INTO namespaces (name, unit_salt) VALUES ('shop', 'x')")
    migrations.upgrade(empty_postgres_dsn)
    with psycopg.connect(empty_postgres_dsn) as connection:
        assert connection.execute("SELECT name FROM namespaces").fetchall() == [("shop",)]


def test_processes_that_migrate_at_once_wait_for_each_other(empty_postgres_dsn: str) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as processes:
        revisions = list(processes.map(migrations.upgrade, [empty_postgres_dsn] * 2))
    assert revisions == [migrations.head_revision()] * 2


def test_a_migration_that_fails_leaves_nothing_behind(empty_postgres_dsn: str) -> None:
    """Something else in the database is in the way of the last table of the first file."""
    with psycopg.connect(empty_postgres_dsn) as connection:
        connection.execute("CREATE TABLE allocations (mine int)")
    with pytest.raises(DBAPIError, match="allocations"):
        migrations.upgrade(empty_postgres_dsn)
    assert migrations.current_revision(empty_postgres_dsn) is None
    assert tables(empty_postgres_dsn) == {"allocations"}


def test_any_form_of_connection_string_works(empty_postgres_dsn: str) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(empty_postgres_dsn)
    assert migrations.current_revision(psycopg.conninfo.make_conninfo("", **parts)) is None


def test_an_unreachable_postgres_is_an_error_of_the_driver() -> None:
    with pytest.raises(DBAPIError) as caught:
        migrations.upgrade("postgresql://nobody@127.0.0.1:1/nothing")
    assert isinstance(caught.value.orig, psycopg.OperationalError)


def test_every_revision_comes_with_its_sql() -> None:
    versions = files("bandit_service.ledger.migrations").joinpath("versions")
    names = {file.name for file in versions.iterdir()}
    scripts = {name.removesuffix(".py") for name in names if name[0].isdigit() and name.endswith(".py")}
    assert scripts
    assert all(f"{script}.sql" in names for script in scripts)
