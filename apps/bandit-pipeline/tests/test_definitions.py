"""What Dagster finds, as a list that changes only on purpose; and finding it needs nothing from outside."""

import os
import subprocess
import sys

import dagster as dg

from bandit_pipeline.definitions import build, defs
from bandit_pipeline.resources import resources_from

LOAD = """
import socket

def refuse(*_):
    raise AssertionError("loading definitions must not reach outside")

socket.socket.connect = refuse
from bandit_pipeline.definitions import defs
defs.get_repository_def().load_all_definitions()
"""


def test_assets_and_their_partitions() -> None:
    graph = defs.resolve_asset_graph()
    found = {key.to_user_string(): graph.get(key).partitions_def for key in graph.get_all_asset_keys()}
    by_log = {name for name, partitions in found.items() if isinstance(partitions, dg.MultiPartitionsDefinition)}
    by_campaign = {name for name, partitions in found.items() if isinstance(partitions, dg.StaticPartitionsDefinition)}
    assert by_log == {"obd_raw", "obd_rounds"}
    assert by_campaign == {"replay", "replay_live", "regret", "ope"}
    assert set(found) - by_log - by_campaign == {
        "conclusions",
        "decisions_export",
        "monitoring",
        "posterior_snapshots",
        "retail_category_rates",
    }


def test_every_asset_has_a_description_an_owner_and_a_group() -> None:
    graph = defs.resolve_asset_graph()
    for node in map(graph.get, graph.get_all_asset_keys()):
        assert node.description
        assert node.owners == ["team:experimentation"]
        assert node.group_name in {"obd", "evaluation", "experiments", "retail"}


def test_asset_checks() -> None:
    assert sorted(key.name for key in defs.resolve_asset_graph().asset_check_keys) == [
        "arm_dominance",
        "entropy_collapse",
        "missing_rewards",
        "reward_rate_drift",
        "sample_ratio",
    ]


def test_jobs() -> None:
    assert sorted(job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")) == [
        "compute_regret",
        "conclude_experiments",
        "evaluate_ope",
        "export_decisions",
        "ingest_obp",
        "ingest_online_retail",
        "monitor_experiments",
        "obp_replay_simulator",
        "snapshot_posteriors",
    ]


def test_schedules_and_sensors() -> None:
    repository = defs.get_repository_def()
    assert {each.name: each.cron_schedule for each in repository.schedule_defs} == {
        "export_decisions_schedule": "22 * * * *",
        "monitor_experiments_schedule": "37 4 * * *",
        "snapshot_posteriors_schedule": "7 * * * *",
    }
    assert {each.name: each.job_name for each in repository.sensor_defs} == {
        "experiments_to_conclude": "conclude_experiments",
        "experiments_with_new_events": "snapshot_posteriors",
    }


def test_definitions_load_without_network_and_settings() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BANDIT_", "DAGSTER_"))}
    subprocess.run([sys.executable, "-c", LOAD], check=True, env=environment, timeout=120)


def test_settings_are_references_so_that_no_secret_is_shown() -> None:
    resources = resources_from({"BANDIT_S3_SECRET_KEY": "hush", "BANDIT_POSTGRES_DSN": "postgresql://u:hush@h/d"})
    assert "hush" not in repr(resources)
    dg.Definitions.validate_loadable(build(resources))
