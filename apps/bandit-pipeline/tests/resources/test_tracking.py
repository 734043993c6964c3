"""One complete run per result, whatever happened to earlier ones."""

from traceback import format_exception

import polars as pl
import pytest

from bandit_pipeline.errors import PipelineError
from bandit_pipeline.regret.curves import chart
from bandit_pipeline.resources import Tracking
from bandit_pipeline.resources.tracking import LoggedData


def test_a_result_that_is_computed_again_replaces_its_run(tracking: Tracking) -> None:
    for mean in (0.1, 0.2):
        with tracking.run("twice", parameters={"every": 10}, data=LoggedData("log", "digest", "s3://x")) as run:
            run.metrics(pl.DataFrame({"step": [1, 2], "mean": [mean, None]}), step="step")
    assert tracking.finished("twice") == [run.id]
    kept = run.client.get_run(run.id)
    assert kept.data.params == {"every": "10"}
    assert [(each.step, each.value) for each in run.client.get_metric_history(run.id, "mean")] == [(1, 0.2)]
    assert kept.inputs is not None
    [source] = kept.inputs.dataset_inputs
    assert (source.dataset.name, source.dataset.digest) == ("log", "digest")


def test_a_run_that_fails_leaves_the_earlier_one(tracking: Tracking) -> None:
    with tracking.run("fails", parameters={}) as first:
        pass
    with pytest.raises(KeyboardInterrupt), tracking.run("fails", parameters={}):
        raise KeyboardInterrupt
    assert tracking.finished("fails") == [first.id]
    with tracking.run("fails", parameters={}) as last:
        pass
    assert tracking.finished("fails") == [last.id]


def test_figures_are_kept_as_picture_and_page(tracking: Tracking) -> None:
    points = pl.DataFrame({"policy": ["uniform"], "decisions": [1], "mean": [0.5], "low": [0.4], "high": [0.6]})
    with tracking.run("figures", parameters={}) as run:
        run.figure("regret", chart(points, "Regret"))
        run.table("regret", points)
    kept = {each.path for folder in ("figures", "tables") for each in run.client.list_artifacts(run.id, folder)}
    assert kept == {"figures/regret.png", "figures/regret.html", "tables/regret.csv"}


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("\n", "BANDIT_MLFLOW_URI is empty"),
        ("mssql://user:hidden@h/x", "MLflow does not do its part"),
        ("nonsense+x://user:hidden@h/x", "MLflow does not do its part"),
    ],
)
def test_a_place_that_cannot_be_used(uri: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said) as refused:
        Tracking(uri=uri).finished("x")
    assert "hidden" not in "".join(format_exception(refused.value))
