"""banditctl experiments: create, apply, list, show, watch, pause, resume, conclude, archive."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from bandit_sdk.ctl import tables
from bandit_sdk.ctl.session import session_of
from bandit_sdk.errors import RefusedError, UnauthorizedError
from bandit_sdk.results import Experiment
from bandit_sdk.retries import Retries

app = typer.Typer(no_args_is_help=True, help="Create, look at, change and end experiments.")

Name = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="The experiment's id")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded")]


@app.command()
def create(
    context: typer.Context,
    file: Annotated[
        Path, typer.Option("--file", "-f", help="YAML, as POST /experiments takes it; - reads standard input")
    ],
) -> None:
    """Create an experiment from a file. What the rules refuse is not sent."""
    from bandit_sdk.ctl.experiment_file import read_experiment

    session = session_of(context)
    try:
        name, fields = read_experiment(file)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--file") from None
    with session.client() as client:
        _show(context, client.experiments.create(name, **fields))


@app.command()
def apply(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(exists=True, help="JSON and YAML files, or folders of them")],
    reason: Annotated[str, typer.Option(help="Recorded with every change, such as the commit")] = "applied from Git",
    patience: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a service that does not answer")] = 60.0,
) -> None:
    """Make experiments what files in Git say. What a file names, only the file changes from then on.

    Doing it again changes nothing, and the status of an experiment is never touched. The exit status is 1 if a file was
    refused; the others are applied all the same. It is 3 if the service gave no answer in time, and 4 if it did not
    know the key: then the command can be run again.
    """
    from bandit_sdk.ctl.experiment_file import files_in, read_experiment

    session, found, applied = session_of(context), list(files_in(files)), []
    retries = Retries(attempts=sys.maxsize, budget=patience)
    with session.client(timeout=min(10.0, patience), retries=retries) as client:
        for file in found:
            try:
                name, fields = read_experiment(file)
                applied.append(client.experiments.apply(name, reason=reason, **fields))
            except UnauthorizedError:
                raise
            except (RefusedError, ValueError) as error:
                typer.echo(f"{file.name} is refused: {error}", err=True)
    if session.as_json:
        session.json(applied)
    else:
        for each in applied:
            session.console.print(f"{each.experiment_id} is as its file says, at revision {each.revision}")
    if len(applied) < len(found) or not found:
        typer.echo(f"{len(found) - len(applied)} of {len(found)} files were refused.", err=True)
        raise typer.Exit(1)


@app.command("list")
def list_experiments(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="running, paused, concluded or archived")] = None,
) -> None:
    """List experiments."""
    session = session_of(context)
    wanted: Any = status
    with session.client() as client:
        found = list(client.experiments.every(status=wanted))
    if session.as_json:
        session.json(found)
    else:
        session.console.print(tables.summaries(found))


@app.command()
def show(context: typer.Context, experiment: Name) -> None:
    """Show an experiment, what is believed, and why the weights are what they are."""
    session = session_of(context)
    with session.client() as client:
        found, posterior, allocation = (
            client.experiments.get(experiment),
            client.posterior(experiment),
            client.allocation(experiment),
        )
    if session.as_json:
        session.json({"experiment": found, "posterior": posterior, "allocation": allocation})
        return
    session.console.print(tables.details(found), tables.beliefs(posterior))
    session.console.print(allocation.summary)


@app.command()
def watch(
    context: typer.Context,
    experiment: Name,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks")] = 1.0,
    times: Annotated[int | None, typer.Option(min=1, help="End after so many looks; until Ctrl-C if not given")] = None,
) -> None:
    """Watch beliefs and weights live."""
    session = session_of(context)
    with session.client() as client, Live(console=session.console, auto_refresh=False) as live:
        looks = 0
        while times is None or looks < times:
            live.update(tables.beliefs(client.posterior(experiment)), refresh=True)
            looks += 1
            if times is None or looks < times:
                time.sleep(every)


@app.command()
def pause(context: typer.Context, experiment: Name, reason: Reason = "paused by banditctl") -> None:
    """Serve the default arm only, and change no belief."""
    with session_of(context).client() as client:
        _show(context, client.experiments.pause(experiment, reason=reason))


@app.command()
def resume(context: typer.Context, experiment: Name, reason: Reason = "resumed by banditctl") -> None:
    """Go on after a pause."""
    with session_of(context).client() as client:
        _show(context, client.experiments.resume(experiment, reason=reason))


@app.command()
def conclude(
    context: typer.Context,
    experiment: Name,
    winner: Annotated[str | None, typer.Option(help="The arm to serve; the stopping rule's if not given")] = None,
    reason: Reason = "concluded by banditctl",
) -> None:
    """End an experiment and serve its winner."""
    with session_of(context).client() as client:
        _show(context, client.experiments.conclude(experiment, reason=reason, winner=winner))


@app.command()
def archive(
    context: typer.Context,
    experiment: Name,
    reason: Reason = "archived by banditctl",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,  # noqa: FBT002 - Typer's way
) -> None:
    """Serve an experiment no longer, for good."""
    if not yes:
        typer.confirm(f"Archive {experiment} for good?", abort=True)
    with session_of(context).client() as client:
        _show(context, client.experiments.archive(experiment, reason=reason))


def _show(context: typer.Context, experiment: Experiment) -> None:
    session = session_of(context)
    if session.as_json:
        session.json(experiment)
    else:
        session.console.print(tables.details(experiment))
