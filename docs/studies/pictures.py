"""Write the pictures and the table of the documentation: `PYTHONPATH=docs python -m studies.pictures [FOLDER]`.

Everything is computed from the sample in the obp wheel, with the functions and defaults of the assets; no server is
needed. FOLDER is docs/images unless given. The same sample gives the same files.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from bandit_pipeline.charts import png
from bandit_pipeline.obd.rounds import refine
from bandit_pipeline.obd.source import log_files, opened
from bandit_pipeline.ope import chart as ope_chart
from bandit_pipeline.ope.assets import OpeConfig, logged
from bandit_pipeline.ope.evaluation import evaluate
from bandit_pipeline.partitions import CAMPAIGNS, LOGGING_POLICIES
from bandit_pipeline.regret import curves as regret
from bandit_pipeline.regret.assets import RegretConfig
from bandit_pipeline.tables import as_markdown

REGRET_CAMPAIGN: Final = "men"
"""The campaign with the fewest arms, so the one in which a bandit learns soonest."""


def sample_log(campaign: str, policy: str) -> pl.DataFrame:
    """Return a log of the sample, refined as the asset does it."""
    file = log_files(campaign)[0]
    with TemporaryDirectory() as folder, opened("", campaign, policy, file) as stream:
        raw, rounds = Path(folder) / file, Path(folder) / "rounds.parquet"
        raw.write_bytes(stream.read())
        refine(raw, rounds, Path(folder) / "quarantine.parquet")
        return pl.read_parquet(rounds).sort("timestamp", "round")


def estimates(campaign: str) -> pl.DataFrame:
    """Return every estimator for every policy on a campaign of the sample."""
    random, bts = logged(*(sample_log(campaign, policy) for policy in LOGGING_POLICIES))
    config = OpeConfig()
    return evaluate(random, bts, thresholds=config.thresholds, seed=config.seed)


def readme_table(found: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return BTS from the random log: a row per method, and its estimate and relative error for each campaign."""
    columns: dict[str, list[str]] = {}
    for campaign, everything in found.items():
        rows = everything.filter(pl.col("evaluation_policy") == "bts").to_dicts()
        columns["method"] = [row["method"] for row in rows] + ["what BTS really earned"]
        earned = _percent(rows[0]["on_policy_value"], rows[0]["on_policy_std_error"])
        columns[campaign] = [_percent(row["estimate"], row["std_error"]) for row in rows] + [earned]
        columns[f"error, {campaign}"] = [f"{row['relative_error']:.0%}" for row in rows] + [""]
    return pl.DataFrame(columns)


def _percent(mean: float, std_error: float) -> str:
    return f"{mean:.2%} ± {std_error:.2%}"


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0]) if arguments else Path("docs/images")
    folder.mkdir(parents=True, exist_ok=True)
    found = {campaign: estimates(campaign) for campaign in CAMPAIGNS}
    (folder / "ope.md").write_text(as_markdown(readme_table(found)) + "\n")
    bts = found[REGRET_CAMPAIGN].filter(pl.col("evaluation_policy") == "bts")
    shown = ope_chart.chart(bts, f"BTS from the random log, campaign {REGRET_CAMPAIGN}; dashed: what it really earned")
    (folder / "ope.png").write_bytes(png(shown))
    config, rates = RegretConfig(), regret.click_rates(sample_log(REGRET_CAMPAIGN, "random"))
    size = regret.Size(config.decisions, config.every, config.runs, config.seed)
    title = f"Regret, campaign {REGRET_CAMPAIGN}: {len(rates)} arms, {config.runs} runs"
    (folder / "regret.png").write_bytes(png(regret.chart(regret.curves(rates, size), title)))


if __name__ == "__main__":
    main(sys.argv[1:])
