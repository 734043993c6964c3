"""The quick start of BanditDB, word by word as its users have it: only the address and the folder differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from bandit_core.ope import frames

if TYPE_CHECKING:
    from compat.conftest import Served

TEXTS = Path(__file__).with_name("seed")


def run(name: str, served: Served, known: dict[str, Any]) -> dict[str, Any]:
    """Run a text as it stands, with what earlier ones defined; return what it defines."""
    text = (TEXTS / f"{name}.txt").read_text()
    for theirs, here in (
        ("http://localhost:8080", f"{served.url}/banditdb"),
        ("your-secret-key", served.keys["admin"]),
        ("/data/exports", str(served.exports)),
    ):
        text = text.replace(theirs, here)
    exec(compile(text, f"{name}.txt", "exec"), known)  # noqa: S102 (that it runs is what is tested)
    return known


def test_the_quick_start_runs_with_only_the_url_changed(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    known = run("quick_start", served, {})
    assert "Tonight's intervention: decrease_" in capsys.readouterr().out
    db, context = known["db"], known["context"]
    assert db.report("sleep")["total_rewards"] == 1

    run("algorithms", served, known)
    assert {"routing": "linucb", "routing_ts": "thompson_sampling"}.items() <= {
        each["campaign_id"]: each["algorithm"] for each in db.list_campaigns()
    }.items()

    for number in range(120):
        arm, interaction_id = db.predict("sleep", [*context[:4], number / 120])
        db.reward(interaction_id, 0.75 if arm == "decrease_light" else 0.25)
    df = run("export", served, known)["df"]
    assert df.columns == [
        *("interaction_id", "arm_id", "reward", "predicted_at", "rewarded_at", "propensity"),
        *(f"feature_{place}" for place in range(5)),
    ]
    assert len(df) == 121
    assert df["propensity"].is_between(0.0, 1.0, closed="right").all()

    run("evaluation", served, known)
    printed = capsys.readouterr().out
    assert all(f"OPEResult(method='{name}'" in printed for name in ("replay", "ips", "doubly_robust"))
    assert_the_estimators_here_agree(known, df)


def assert_the_estimators_here_agree(known: dict[str, Any], df: pl.DataFrame) -> None:
    """The frame is what bandit_core takes too, and its importance weighting is the same estimator."""
    assert frames.ips(df, clip=10.0).estimate == pytest.approx(known["ips"](df, clip=10.0).estimate, rel=1e-9)
    for estimate in (frames.replay, frames.doubly_robust):
        assert 0.0 <= estimate(df).estimate <= 1.0
