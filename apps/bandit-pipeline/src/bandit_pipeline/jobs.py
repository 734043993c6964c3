"""What can be started by name."""

import dagster as dg

from bandit_pipeline.obd.assets import obd_raw, obd_rounds
from bandit_pipeline.regret.assets import regret
from bandit_pipeline.replay.assets import replay

ingest_obp = dg.define_asset_job("ingest_obp", [obd_raw, obd_rounds], description="The Open Bandit Dataset to rounds")
obp_replay_simulator = dg.define_asset_job("obp_replay_simulator", [replay])
compute_regret = dg.define_asset_job("compute_regret", [regret])

JOBS = [ingest_obp, obp_replay_simulator, compute_regret]
