"""Raw rows become typed rounds, or are put aside with the reason; a broken file is refused."""

import bz2
import gzip
from pathlib import Path

import polars as pl
import pytest

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.obd.rounds import Refined, refine
from bandit_pipeline.obd.source import opened

HEADER = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3,"
    "user-item_affinity_0,user-item_affinity_1"
)
ROW = "0,2019-11-24 00:03:24.688993+00:00,1,2,0,0.5,a,b,c,d,0.0,1.5"


@pytest.fixture
def refined(tmp_path: Path) -> "Refine":
    return Refine(tmp_path)


class Refine:
    """Refine a CSV given as text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, text: str | bytes) -> Refined:
        raw = self.folder / "men.csv"
        raw.write_bytes(text if isinstance(text, bytes) else text.encode())
        return refine(raw, self.folder / "rounds.parquet", self.folder / "quarantine.parquet")

    @property
    def rounds(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "rounds.parquet")

    @property
    def quarantine(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "quarantine.parquet")


def test_the_sample_is_valid_as_a_whole(refined: Refine) -> None:
    with opened("", "men", "bts", "men.csv") as stream:
        assert refined(stream.read()) == Refined(10_000, 0)
    rounds = refined.rounds
    assert rounds.columns[:6] == ["round", "timestamp", "arm", "position", "reward", "propensity"]
    assert rounds["reward"].sum() == 69
    assert rounds["arm"].n_unique() == 34
    assert rounds["position"].unique().sort().to_list() == [0, 1, 2]
    assert rounds["timestamp"].is_sorted()
    assert rounds["propensity"].to_numpy().min() == pytest.approx(0.000165)


def test_a_row_becomes_a_typed_round(refined: Refine) -> None:
    refined(f"{HEADER}\n{ROW}\n")
    [row] = refined.rounds.iter_rows(named=True)
    assert str(row["timestamp"]) == "2019-11-24 00:03:24.688993+00:00"
    assert (row["arm"], row["position"], row["reward"], row["propensity"]) == (1, 1, 0.0, 0.5)
    assert (row["user_feature_3"], row["affinity_0"], row["affinity_1"]) == ("d", 0.0, 1.5)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (ROW.replace("2019-11-24", "2019-13-24"), "timestamp is no time with a zone"),
        (ROW.replace(",1,2,0,", ",2,2,0,"), r"item_id is no whole number in [0, 2)"),
        (ROW.replace(",1,2,0,", ",1,4,0,"), "position is no whole number in [1, 3]"),
        (ROW.replace(",1,2,0,", ",1,2,2,"), "click is neither 0 nor 1"),
        (ROW.replace(",0.5,", ",0.0,"), "propensity_score is not in (0, 1]"),
        (ROW.replace(",0.5,", ",nan,"), "propensity_score is not in (0, 1]"),
        (ROW.replace(",a,", ",,"), "a user feature is missing"),
        (ROW.replace(",a,", ',"",'), "a user feature is missing"),
        (ROW.replace(",1,2,0,", ",0.5,2,0,"), r"item_id is no whole number in [0, 2)"),
        (ROW.replace(",1.5", ",x"), "an affinity is not a finite number"),
        (ROW.replace(",1,2,0,", ",1,4,7,"), "position is no whole number in [1, 3]; click is neither 0 nor 1"),
    ],
)
def test_a_bad_row_is_put_aside_as_it_came_with_the_reason(refined: Refine, wrong: str, reason: str) -> None:
    assert refined(f"{HEADER}\n{ROW}\n{wrong}\n{ROW}\n") == Refined(2, 1)
    assert refined.rounds["round"].to_list() == [0, 2]
    [row] = refined.quarantine.iter_rows(named=True)
    assert row["reason"] == reason
    assert row["propensity_score"] == wrong.split(",")[5]


TIME = "2019-11-24 00:03:24.688993+00:00"


@pytest.mark.parametrize(
    "spelling",
    [
        "2019-11-24T00:03:24.688993Z",
        "2019-11-24 00:03:24.688993z",
        "2019-11-24T00:03:24.688993+0000",
        "2019-11-24 00:03:24.688993+00",
        "2019-11-24 00:03:24.688993 UTC",
        "2019-11-24 00:03:24.688993 +00:00",
        "2019-11-24 00:03:24.688993000+00:00",
        "2019-11-24 05:33:24.688993+0530",
        " 2019-11-23T16:03:24.688993-08 ",
    ],
)
def test_a_time_may_be_written_as_other_tools_do(refined: Refine, spelling: str) -> None:
    assert refined(f"{HEADER}\n{ROW.replace(TIME, spelling)}\n") == Refined(1, 0)
    assert str(refined.rounds["timestamp"][0]) == TIME


@pytest.mark.parametrize("spelling", ["2019-11-24 00:03:24", "2019-11-24", "1574553804", "", "2019-11-24 00:03:24 CET"])
def test_a_time_without_a_zone_is_not_taken_for_one(refined: Refine, spelling: str) -> None:
    assert refined(f"{HEADER}\n{ROW.replace(TIME, spelling)}\n") == Refined(0, 1)
    assert refined.quarantine["reason"][0] == "timestamp is no time with a zone"


@pytest.mark.parametrize(
    "row",
    [
        ROW.replace(",1,2,0,", ",1.0,2.0,0.0,"),
        ROW.replace(",1,2,0,", ", 1,2 , 0,"),
        ROW.replace(",1,2,0,", ",1,2,False,"),
        ROW.replace("0.5", '"0,5"').replace("1.5", '"1,5"'),
    ],
)
def test_a_number_may_be_written_as_other_tools_do(refined: Refine, row: str) -> None:
    refined(f"{HEADER}\n{ROW}\n")
    expected = refined.rounds
    assert refined(f"{HEADER}\n{row}\n") == Refined(1, 0)
    assert refined.rounds.equals(expected)


def test_affinities_may_stand_in_any_order(refined: Refine) -> None:
    items = 12
    names = [f"user-item_affinity_{item}" for item in range(items)]
    head, start = HEADER.partition(",user-item")[0], ROW.removesuffix(",0.0,1.5")
    for order in (sorted(names), names[::-1]):
        numbers = ",".join(name.rpartition("_")[2] for name in order)
        assert refined(f"{head},{','.join(order)}\n{start},{numbers}\n") == Refined(1, 0)
        assert refined.rounds.columns[-items:] == [f"affinity_{item}" for item in range(items)]
        assert refined.rounds.row(0)[-items:] == tuple(range(items))


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{ROW}\n{ROW}",
        f"{HEADER}\r\n{ROW}\r\n{ROW}",
        f"{HEADER}\r\n{ROW}\r\n{ROW}\r\n\r\n",
        f"\ufeff{HEADER}\n{ROW}\n{ROW}\n",
        f"{HEADER}\n{ROW}\n{ROW}\n".replace(",", ";"),
        f"{HEADER}\n{ROW}\n{ROW}\n".replace(",", "\t"),
        f"{HEADER}\n{ROW}\n{ROW}\n".replace(",", ", "),
    ],
    ids=[
        "no last line break",
        "Windows, none",
        "Windows, blank lines",
        "mark in front",
        "semicolons",
        "tabs",
        "blanks",
    ],
)
def test_a_whole_file_of_other_tools_is_taken(refined: Refine, text: str) -> None:
    assert refined(text) == Refined(2, 0)


@pytest.mark.parametrize("cut", [2, 5, 30])
def test_a_file_that_is_cut_short_is_refused(refined: Refine, cut: int) -> None:
    with pytest.raises(PipelineError, match=r"men\.csv is cut short"):
        refined(f"{HEADER}\n{ROW}\n{ROW}\n"[:-cut])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (f"{HEADER}\n".encode(), "has a header and no rows"),
        (gzip.compress(f"{HEADER}\n{ROW}\n".encode(), mtime=0), "is compressed with gzip: unpack it"),
        (f"{HEADER}\r{ROW}\r".encode(), "ends its lines with a carriage return alone"),
        (f"{HEADER}\n{'x' * 200_000}\n".encode(), "is no log of rounds: field larger than"),
        (bz2.compress(f"{HEADER}\n{ROW}\n".encode()), "is compressed with bzip2: unpack it"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "is a web page or XML, not CSV"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(refined: Refine, content: bytes, said: str) -> None:
    with pytest.raises(PipelineError, match=rf"men\.csv {said}"):
        refined(content)


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        (HEADER.replace("click", "clicked"), "it lacks click"),
        (HEADER.replace("position,", "place,").replace("item_id", "item"), "it lacks item_id, position"),
        (HEADER.replace("affinity_1", "affinity_7"), "it lacks user-item_affinity_1"),
    ],
)
def test_a_file_of_another_schema_is_refused(refined: Refine, header: str, missing: str) -> None:
    with pytest.raises(PipelineError, match=missing):
        refined(f"{header}\n{ROW}\n")


@pytest.mark.parametrize("content", ["", "\n", "PK\x03\x04 not a table at all\n"])
def test_a_file_that_is_no_table_is_refused(refined: Refine, content: str) -> None:
    with pytest.raises(PipelineError, match=r"men\.csv"):
        refined(content)


def test_a_row_with_too_many_fields_is_refused(refined: Refine) -> None:
    with pytest.raises(PipelineError, match=r"men\.csv is no log of rounds"):
        refined(f"{HEADER}\n{ROW},7\n{ROW}\n")
