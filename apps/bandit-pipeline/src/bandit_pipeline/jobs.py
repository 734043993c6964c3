"""What can be started by name."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from bandit_pipeline.conclusions.assets import conclusions
from bandit_pipeline.export.assets import decisions_export
from bandit_pipeline.monitoring.assets import monitoring
from bandit_pipeline.obd.assets import obd_raw, obd_rounds
from bandit_pipeline.ope.assets import ope
from bandit_pipeline.regret.assets import regret
from bandit_pipeline.replay.assets import replay
from bandit_pipeline.replay_live.assets import replay_live
from bandit_pipeline.retail.assets import retail_category_rates
from bandit_pipeline.snapshots.assets import posterior_snapshots


def _job(name: str, description: str, *assets: dg.AssetsDefinition) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(name, list(assets), description=description)


ingest_obp = _job("ingest_obp", "The Open Bandit Dataset, from where it lies to rounds", obd_raw, obd_rounds)
ingest_online_retail = _job("ingest_online_retail", "Category rates of Online Retail II", retail_category_rates)
obp_replay_simulator = _job("obp_replay_simulator", "Policies on the random log, offline and live", replay, replay_live)
compute_regret = _job("compute_regret", "What learning costs, in a simulation", regret)
evaluate_ope = _job("evaluate_ope", "Every estimator for every policy", ope)
snapshot_posteriors = _job("snapshot_posteriors", "Posteriors of experiments with new events", posterior_snapshots)
conclude_experiments = _job("conclude_experiments", "Ask for conclusions, record what is concluded", conclusions)
export_decisions = _job("export_decisions", "Decisions and rewards to Parquet", decisions_export)
monitor_experiments = _job("monitor_experiments", "Checks of running experiments", monitoring)

JOBS = [
    ingest_obp,
    ingest_online_retail,
    obp_replay_simulator,
    compute_regret,
    evaluate_ope,
    snapshot_posteriors,
    conclude_experiments,
    export_decisions,
    monitor_experiments,
]
