"""From a log's CSV to rounds: typed, validated, and what is wrong put aside with the reason."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from bandit_pipeline.errors import PipelineError

POSITIONS: Final = 3
USER_FEATURES: Final = tuple(f"user_feature_{number}" for number in range(4))
ROUND: Final = ("timestamp", "item_id", "position", "click", "propensity_score", *USER_FEATURES)
_AFFINITY: Final = "user-item_affinity_"
_TIME: Final = "%Y-%m-%d %H:%M:%S%.f%:z"
_LAST_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Refined:
    """How many rounds a log has, and how many rows were put aside."""

    rounds: int
    quarantined: int


def refine(raw: Path, rounds: Path, quarantine: Path) -> Refined:
    """Write a log's valid rounds and, apart from them, its other rows as text with the reason; both as Parquet.

    Rounds are in the order of the file, which is that of time, and have the columns round (row of the file, from 0),
    timestamp (UTC), arm (item_id), position (from 0), reward (click), propensity, user_feature_0 to _3, and
    affinity_K for every item K. The file is streamed: it need not fit in memory.

    Raises PipelineError when the file is cut short or has not the columns of a log.
    """
    _check_end(raw)
    try:
        text = pl.scan_csv(raw, infer_schema=False).with_row_index("round")
        names = text.collect_schema().names()
        affinities = _affinities(names, raw.name)
        judged = text.with_columns(_typed(affinities)).with_columns(reason=_reason(len(affinities)))
        good = judged.filter(pl.col("reason") == "").select(_rounds(len(affinities)))
        bad = judged.filter(pl.col("reason") != "").select(*names, "reason")
        pl.collect_all([good.sink_parquet(rounds, lazy=True), bad.sink_parquet(quarantine, lazy=True)])
    except PolarsError as error:
        raise PipelineError(f"{raw.name} is no log of rounds: {str(error).partition(chr(10))[0]}.") from error
    return Refined(_rows(rounds), _rows(quarantine))


def _check_end(raw: Path) -> None:
    """Refuse a file whose last line is cut short."""
    with raw.open("rb") as file:
        header = file.readline()
        file.seek(max(0, raw.stat().st_size - _LAST_BLOCK))
        tail = file.read()
    fields, wanted = tail.rstrip(b"\n").rpartition(b"\n")[2].count(b",") + 1, header.count(b",") + 1
    if not tail.endswith(b"\n") or fields < wanted:
        raise PipelineError(
            f"{raw.name} is cut short: its last line holds {fields} of {wanted} fields; fetch it again."
        )


def _affinities(names: list[str], file: str) -> list[str]:
    missing = [name for name in ROUND if name not in names]
    affinities = [name for name in names if name.startswith(_AFFINITY)]
    numbered = [f"{_AFFINITY}{item}" for item in range(len(affinities))]
    if not affinities or missing or affinities != numbered:
        lacks = ", ".join(missing) or f"{_AFFINITY}0 and so on"
        raise PipelineError(f"{file} has another schema than a log of the Open Bandit Dataset: it lacks {lacks}.")
    return affinities


def _typed(affinities: list[str]) -> list[pl.Expr]:
    return [
        pl.col("timestamp").str.to_datetime(_TIME, strict=False, time_unit="us").alias("time"),
        pl.col("item_id").cast(pl.Int32, strict=False).alias("arm"),
        (pl.col("position").cast(pl.Int8, strict=False) - 1).alias("place"),
        pl.col("click").cast(pl.Float64, strict=False).alias("reward"),
        pl.col("propensity_score").cast(pl.Float64, strict=False).alias("propensity"),
        *(
            pl.col(name).cast(pl.Float32, strict=False).alias(name.replace(_AFFINITY, "affinity_"))
            for name in affinities
        ),
    ]


def _reason(items: int) -> pl.Expr:
    """Say in words what is wrong with a row; empty for a valid one."""
    rules = {
        "timestamp is no time with a zone": pl.col("time").is_not_null(),
        f"item_id is no whole number in [0, {items})": pl.col("arm").is_between(0, items - 1),
        f"position is no whole number in [1, {POSITIONS}]": pl.col("place").is_between(0, POSITIONS - 1),
        "click is neither 0 nor 1": pl.col("reward").is_in([0.0, 1.0]),
        "propensity_score is not in (0, 1]": (pl.col("propensity") > 0.0) & (pl.col("propensity") <= 1.0),
        "a user feature is missing": pl.all_horizontal(pl.col(USER_FEATURES).is_not_null()),
        "an affinity is not a finite number": pl.all_horizontal(
            pl.col(r"^affinity_\d+$").is_finite().fill_null(value=False)
        ),
    }
    broken = [pl.when(~rule.fill_null(value=False)).then(pl.lit(why)) for why, rule in rules.items()]
    return pl.concat_str(broken, separator="; ", ignore_nulls=True)


def _rounds(items: int) -> list[str | pl.Expr]:
    time, place = pl.col("time").alias("timestamp"), pl.col("place").alias("position")
    return [
        "round",
        time,
        "arm",
        place,
        "reward",
        "propensity",
        *USER_FEATURES,
        *(f"affinity_{k}" for k in range(items)),
    ]


def _rows(file: Path) -> int:
    return int(pl.scan_parquet(file).select(pl.len()).collect().item())
