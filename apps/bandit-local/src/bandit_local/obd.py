"""Items of the Open Bandit sample as arms: real click rates from the data files of the obp wheel.

Source: Saito, Aihara, Matsutani and Narita, "Open Bandit Dataset and Pipeline" (2021); small sample of 10,000 rounds in
which items of a fashion shop were shown uniformly at random. The package stays unimported: importing it needs torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import polars as pl

from bandit_local.errors import LocalError

MIN_IMPRESSIONS = 150
MIN_ARMS = 2


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the shop and what the log says about it."""

    item_id: int
    impressions: int
    clicks: int

    @property
    def arm(self) -> str:
        return f"item-{self.item_id}"

    @property
    def click_rate(self) -> float:
        return self.clicks / self.impressions


def sample_log(policy: str = "random", campaign: str = "women") -> Path:
    """Return the log of one logging policy and campaign; LocalError when the sample is not installed."""
    try:
        wheel = distribution("obp")
    except PackageNotFoundError:
        raise LocalError(
            "The Open Bandit sample (package obp) is not installed: run `make run`, or `make setup`."
        ) from None
    return Path(str(wheel.locate_file(f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv")))


def read_items(log: Path) -> list[Item]:
    """Return every item of a log with its impressions and clicks, in the order of item ids."""
    counts = (
        pl.read_csv(log, columns=["item_id", "click"])
        .group_by("item_id")
        .agg(impressions=pl.len(), clicks=pl.col("click").sum())
        .sort("item_id")
    )
    return [Item(**row) for row in counts.iter_rows(named=True)]


def choose_arms(items: Sequence[Item], number: int) -> list[Item]:
    """Choose ``number`` items evenly by rank, from the highest observed click rate to the lowest above zero.

    Items shown fewer than 150 times are left out. Ranks lie at least two apart, so that two neighbours, such as the
    nearly tied two at the top of this sample, are never both taken; LocalError when that leaves too few.
    """
    known = [item for item in items if item.impressions >= MIN_IMPRESSIONS and item.clicks > 0]
    ranked = sorted(known, key=lambda item: (-item.click_rate, item.item_id))
    most = (len(ranked) + 1) // 2
    if not MIN_ARMS <= number <= most:
        raise LocalError(f"The sample gives {MIN_ARMS} to {most} arms, not {number}.")
    return [ranked[round(rank * (len(ranked) - 1) / (number - 1))] for rank in range(number)]
