"""From a log's CSV to rounds: typed, validated, and what is wrong put aside with the reason."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.files import head, refuse_other_formats

POSITIONS: Final = 3
USER_FEATURES: Final = tuple(f"user_feature_{number}" for number in range(4))
ROUND: Final = ("timestamp", "item_id", "position", "click", "propensity_score", *USER_FEATURES)
_AFFINITY: Final = "user-item_affinity_"
_TIME: Final = "%Y-%m-%d %H:%M:%S%.f%:z"
_SPELLINGS: Final = {
    r"(?i)\s*(?:z|utc|gmt)$": "+00:00",
    r"\s*([+-]\d{2})(\d{2})?$": "${1}:${2}00",
    r"\s*([+-]\d{2}:\d{2})00$": "${1}",
    r"^(\d{4}-\d{2}-\d{2})[Tt]": "${1} ",
    r"^(\S+ \d{2}:\d{2})([+-])": "${1}:00${2}",
}
"""How other tools write a time, and how it is read, one after the other."""
_TRUTHS: Final = {"true": 1.0, "false": 0.0}
_SEPARATORS: Final = (",", ";", "\t")
_SHOWN: Final = 5
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

    Fields are separated by comma, semicolon or tab, and decimals may stand behind a comma. Raises PipelineError when
    the file is no text, is cut short, has no rows, or has not the columns of a log.
    """
    form = _checked_form(raw)
    try:
        text = pl.scan_csv(raw, infer_schema=False, separator=form.separator, with_column_names=_stripped)
        names = text.collect_schema().names()
        affinities = _affinities(names, raw.name)
        filled = text.filter(~pl.all_horizontal(pl.all().is_null())).with_row_index("round")
        judged = filled.with_columns(_typed(affinities, tidy=form.tidy))
        judged = judged.with_columns(reason=_reason(len(affinities)))
        good = judged.filter(pl.col("reason") == "").select(_rounds(len(affinities)))
        bad = judged.filter(pl.col("reason") != "").select("round", *names, "reason")
        pl.collect_all([good.sink_parquet(rounds, lazy=True), bad.sink_parquet(quarantine, lazy=True)])
    except PolarsError as error:
        raise PipelineError(f"{raw.name} is no log of rounds: {str(error).partition(chr(10))[0]}.") from error
    return Refined(_rows(rounds), _rows(quarantine))


@dataclass(frozen=True, slots=True)
class _Form:
    """What separates fields, and whether numbers stand in them without blanks and with a point."""

    separator: str
    tidy: bool


def _checked_form(raw: Path) -> _Form:
    """Return the form of a file; PipelineError if it is no text, has no rows, or its last line is cut short."""
    first = head(raw)
    if not first.strip():
        raise PipelineError(f"{raw.name} is empty.")
    refuse_other_formats(raw.name, first)
    with raw.open("rb") as file:
        header = file.readline().strip()
        if b"\r" in header:
            raise PipelineError(f"{raw.name} ends its lines with a carriage return alone: save it with line feeds.")
        file.seek(max(file.tell(), raw.stat().st_size - _LAST_BLOCK))
        tail = file.read()
    separator = max(_SEPARATORS, key=lambda each: len(set(_stripped(_fields(raw.name, header, each))) & set(ROUND)))
    last = tail.strip(b"\r\n").rpartition(b"\n")[2]
    if not last:
        raise PipelineError(f"{raw.name} has a header and no rows.")
    fields = _fields(raw.name, last, separator)
    _check_end(raw.name, len(_fields(raw.name, header, separator)), fields, ended=tail.endswith(b"\n"))
    return _Form(separator, tidy=not any("," in field or field != field.strip() for field in fields))


def _check_end(name: str, wanted: int, fields: list[str], *, ended: bool) -> None:
    """Refuse a last line that lacks fields, or that ends neither with a line break nor with a whole number."""
    if len(fields) < wanted:
        cut = f"its last line holds {len(fields)} of {wanted} fields"
    elif not ended and not fields[-1][-1:].isalnum():
        cut = f"its last line ends with {fields[-1]!r} and without a line break"
    else:
        return
    raise PipelineError(f"{name} is cut short: {cut}; fetch it again.")


def _fields(name: str, line: bytes, separator: str) -> list[str]:
    text = line.decode(errors="replace").removeprefix("\ufeff")
    try:
        return next(csv.reader([text], delimiter=separator), [])
    except csv.Error as error:
        raise PipelineError(f"{name} is no log of rounds: {error}.") from error


def _stripped(names: list[str]) -> list[str]:
    return [name.strip() for name in names]


def _affinities(names: list[str], file: str) -> list[str]:
    """Return the columns of the items' affinities in the order of the items, wherever they stand in the file."""
    missing = [name for name in ROUND if name not in names]
    affinities = sum(name.startswith(_AFFINITY) for name in names)
    numbered = [f"{_AFFINITY}{item}" for item in range(max(affinities, 1))]
    missing += [name for name in numbered if name not in names]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        raise PipelineError(f"{file} has another schema than a log of the Open Bandit Dataset: it lacks {shown}.")
    return numbered


def _typed(affinities: list[str], *, tidy: bool) -> list[pl.Expr]:
    """Read what rounds are made of. Affinities are many: they are only tidied up where the file needs it."""
    return [
        _time().alias("time"),
        _number("item_id").alias("arm"),
        (_number("position") - 1).alias("place"),
        pl.coalesce(_number("click"), _truth("click")).alias("reward"),
        _number("propensity_score").alias("propensity"),
        *(
            (pl.col(name).cast(pl.Float32, strict=False) if tidy else _number(name, pl.Float32)).alias(
                name.replace(_AFFINITY, "affinity_")
            )
            for name in affinities
        ),
    ]


def _number(name: str, dtype: type[pl.DataType] = pl.Float64) -> pl.Expr:
    text = pl.col(name).str.strip_chars().str.replace(",", ".", literal=True)
    return text.cast(dtype, strict=False)


def _truth(name: str) -> pl.Expr:
    return pl.col(name).str.strip_chars().str.to_lowercase().replace_strict(_TRUTHS, default=None)


def _time() -> pl.Expr:
    """Read a time of ISO 8601: T or a space, with or without seconds; the zone Z, UTC, +00, +0000 or +00:00."""
    text = pl.col("timestamp").str.strip_chars()
    for spelling, usual in _SPELLINGS.items():
        text = text.str.replace(spelling, usual)
    return text.str.to_datetime(_TIME, strict=False, time_unit="us")


def _reason(items: int) -> pl.Expr:
    """Say in words what is wrong with a row; empty for a valid one."""
    rules = {
        "timestamp is no time with a zone": pl.col("time").is_not_null(),
        f"item_id is no whole number in [0, {items})": _is_whole("arm", items - 1),
        f"position is no whole number in [1, {POSITIONS}]": _is_whole("place", POSITIONS - 1),
        "click is neither 0 nor 1": pl.col("reward").is_in([0.0, 1.0]),
        "propensity_score is not in (0, 1]": (pl.col("propensity") > 0.0) & (pl.col("propensity") <= 1.0),
        "a user feature is missing": pl.all_horizontal(pl.col(USER_FEATURES).str.strip_chars() != ""),
        "an affinity is not a finite number": pl.all_horizontal(
            pl.col(r"^affinity_\d+$").is_finite().fill_null(value=False)
        ),
    }
    broken = [pl.when(~rule.fill_null(value=False)).then(pl.lit(why)) for why, rule in rules.items()]
    return pl.concat_str(broken, separator="; ", ignore_nulls=True)


def _is_whole(name: str, greatest: int) -> pl.Expr:
    return pl.col(name).is_between(0, greatest) & (pl.col(name) == pl.col(name).floor())


def _rounds(items: int) -> list[str | pl.Expr]:
    return [
        "round",
        pl.col("time").alias("timestamp"),
        pl.col("arm").cast(pl.Int32),
        pl.col("place").cast(pl.Int8).alias("position"),
        "reward",
        "propensity",
        *USER_FEATURES,
        *(f"affinity_{k}" for k in range(items)),
    ]


def _rows(file: Path) -> int:
    return int(pl.scan_parquet(file).select(pl.len()).collect().item())
