"""MLflow: one run per result. A result that is computed again replaces its run, so nothing is there twice."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import dagster as dg
import httpx
import polars as pl

from bandit_pipeline.charts import Chart, html, png
from bandit_pipeline.errors import PipelineError
from bandit_sdk.connection import without_secrets
from bandit_sdk.proxies import needs_no_proxy

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

EXPERIMENT = "bandit-pipeline"
KEY = "bandit.key"
_FINISHED = "attributes.status = 'FINISHED'"
_METRICS_AT_ONCE = 1_000  # the most that one request of MLflow takes


@dataclass(frozen=True, slots=True)
class LoggedData:
    """A data set that a run has read: its name, what changes when its content does, where it is."""

    name: str
    digest: str
    uri: str


class Tracking(dg.ConfigurableResource["Tracking"]):
    """An MLflow server or store. `artifacts` is where a store without a server keeps files; empty: its own choice."""

    uri: str
    artifacts: str = ""

    @contextmanager
    def run(
        self, key: str, *, parameters: Mapping[str, Any], data: LoggedData | None = None, tags: Mapping[str, str] = {}
    ) -> Iterator["Run"]:
        """Lend a run for the result called `key`; once it is complete, earlier runs of that key are deleted.

        A run that was cut off stays unfinished and is deleted by the next complete one. Raises PipelineError when
        MLflow does not answer.
        """
        with self._explained() as client:
            experiment = self._experiment(client)
            earlier = _runs(client, experiment, f"= '{key}'")
            started = client.create_run(experiment, tags={KEY: key, **tags}, run_name=key)
            run = Run(client, started.info.run_id)
            run.describe(parameters, data)
            try:
                yield run
            except BaseException:
                client.set_terminated(run.id, "FAILED")
                raise
            client.set_terminated(run.id)
            for each in earlier:
                client.delete_run(each.info.run_id)

    def finished(self, key: str) -> list[str]:
        """Return the ids of the complete runs of a result: one, or none."""
        with self._explained() as client:
            return [run.info.run_id for run in _runs(client, self._experiment(client), f"= '{key}'", _FINISHED)]

    def finished_keys(self, prefix: str) -> set[str]:
        """Return the results that begin with `prefix` and have a complete run."""
        with self._explained() as client:
            found = _runs(client, self._experiment(client), f"LIKE '{prefix}%'", _FINISHED)
            return {run.data.tags[KEY] for run in found}

    def _experiment(self, client: "MlflowClient") -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                return str(client.create_experiment(EXPERIMENT, artifact_location=self.artifacts or None))
            except MlflowException:  # another process was faster, or the store is at fault, which shows below
                found = client.get_experiment_by_name(EXPERIMENT)
                if found is None:
                    raise
        return str(found.experiment_id)

    @contextmanager
    def _explained(self) -> Iterator["MlflowClient"]:
        if not self.uri.strip():
            raise PipelineError("BANDIT_MLFLOW_URI is empty: name a server, or a database such as sqlite:///mlflow.db.")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        _spare_proxies(self.uri)
        from mlflow import MlflowClient  # late: it takes seconds, and loading definitions need not wait for it
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield MlflowClient(tracking_uri=self.uri.strip())
        except (MlflowException, SQLAlchemyError, ImportError, OSError, ValueError) as error:
            shown = without_secrets(self.uri)
            # Where the URL holds a password, the texts of the error and its causes may hold it too.
            is_open = shown == self.uri
            reason = str(error).partition("\n")[0] if is_open else f"{type(error).__name__}, at {shown}"
            said = PipelineError(f"MLflow does not do its part ({reason}); see BANDIT_MLFLOW_URI.")
            raise said from (error if is_open else None)


def _spare_proxies(uri: str) -> None:
    """Have loopback reached directly: MLflow's library is told of proxies by the environment alone."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    with suppress(httpx.InvalidURL):
        url = httpx.URL(uri)
        if url.host and needs_no_proxy(url, "") and url.host not in known.split(","):
            os.environ["no_proxy"] = f"{known},{url.host}".strip(",")


@dataclass(frozen=True, slots=True)
class Run:
    """One run that is being written."""

    client: "MlflowClient"
    id: str

    def describe(self, parameters: Mapping[str, Any], data: LoggedData | None) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        self.client.log_batch(self.id, params=[Param(name, str(value)) for name, value in parameters.items()])
        if data is not None:
            source = json.dumps({"uri": data.uri})
            logged = Dataset(name=data.name, digest=data.digest, source_type="s3", source=source)
            self.client.log_inputs(self.id, [DatasetInput(logged, [InputTag("mlflow.data.context", "evaluation")])])

    def metrics(self, frame: pl.DataFrame, step: str) -> None:
        """Log every other column of a frame as a metric, one value per row, at the step in column `step`."""
        from mlflow.entities import Metric

        now = round(time.time() * 1_000)
        names = [name for name in frame.columns if name != step]
        values = [
            Metric(name, float(row[name]), now, int(row[step]))
            for row in frame.iter_rows(named=True)
            for name in names
            if row[name] is not None
        ]
        for some in batched(values, _METRICS_AT_ONCE):
            self.client.log_batch(self.id, metrics=list(some))

    def numbers(self, values: Mapping[str, float]) -> None:
        """Log numbers by name, without steps."""
        self.metrics(pl.DataFrame({"step": [0], **{name: [float(value)] for name, value in values.items()}}), "step")

    def figure(self, name: str, chart: Chart) -> None:
        """Keep a chart as a picture and as a page."""
        with TemporaryDirectory() as folder:
            picture, page = Path(folder) / f"{name}.png", Path(folder) / f"{name}.html"
            picture.write_bytes(png(chart))
            page.write_text(html(chart))
            self.client.log_artifact(self.id, str(picture), "figures")
            self.client.log_artifact(self.id, str(page), "figures")

    def table(self, name: str, frame: pl.DataFrame) -> None:
        """Keep a table as CSV."""
        self.client.log_text(self.id, frame.write_csv(), f"tables/{name}.csv")

    def text(self, name: str, content: str) -> None:
        self.client.log_text(self.id, content, name)


def _runs(client: "MlflowClient", experiment: str, key: str, condition: str = "") -> "list[MlflowRun]":
    filters, found, token = " and ".join(filter(None, [f"tags.`{KEY}` {key}", condition])), [], None
    while True:
        page = client.search_runs([experiment], filter_string=filters, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found
