"""The command `bandit-local`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bandit_local.errors import local_error
from bandit_local.options import Options, PipelineOptions
from bandit_sdk.commands import end_in_one_line

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

INTERRUPTED = 130


@app.callback()
def commands() -> None:
    """Run the bandit platform on one machine, on real servers and real click rates."""


@app.command()
def run(
    *,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the visitors.")] = 0,
    arms: Annotated[int, typer.Option(min=2, help="Number of items to choose as arms.")] = 5,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Visitors per second.", show_default="as fast as the service answers")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the service on 127.0.0.1.")] = 8000,
    once: Annotated[bool, typer.Option("--once", help="Exit after the verdict instead of serving on.")] = False,
    redis_url: Annotated[
        str | None, typer.Option(help="Use this Redis, Valkey or Dragonfly.", show_default="start one")
    ] = None,
    postgres_dsn: Annotated[str | None, typer.Option(help="Use this Postgres.", show_default="start one")] = None,
    prob_best: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="Stop when P(best) of an arm is this high.")
    ] = 0.95,
    expected_loss: Annotated[
        float, typer.Option(min=0.0, help="Stop when the expected loss of an arm (reward per decision) is this low.")
    ] = 0.0005,
    min_decisions: Annotated[int, typer.Option(min=1, help="Do not stop before this many decisions.")] = 5_000,
    data: Annotated[Path, typer.Option(help="Folder of everything that survives a restart.")] = Path(".local"),
) -> None:
    """Start Valkey, Postgres and the service; let an experiment learn from simulated visitors; keep serving."""
    from bandit_local import job  # late: help and wrong options need not wait for everything it imports

    options = Options(
        seed=seed,
        arms=arms,
        rate=rate,
        port=port,
        once=once,
        redis_url=redis_url,
        postgres_dsn=postgres_dsn,
        prob_best=prob_best,
        expected_loss=expected_loss,
        min_decisions=min_decisions,
        data=data,
    )
    with _said_in_one_line():
        decided = job.run(options, Console())
    if once and not decided:
        raise typer.Exit(INTERRUPTED)


@app.command()
def pipeline(
    *,
    ui_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the Dagster UI on 127.0.0.1.")] = 3000,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the service on 127.0.0.1.")] = 8000,
    once: Annotated[bool, typer.Option("--once", help="Materialize everything, then exit, without the UI.")] = False,
    campaign: Annotated[
        list[str] | None, typer.Option(help="With --once, only this campaign (repeatable).", show_default="all")
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="Use this Redis, Valkey or Dragonfly.", show_default="start one")
    ] = None,
    postgres_dsn: Annotated[str | None, typer.Option(help="Use this Postgres.", show_default="start one")] = None,
    data: Annotated[Path, typer.Option(help="Folder of everything that survives a restart.")] = Path(".local"),
) -> None:
    """Start the service, S3 and the Dagster UI with all assets of the pipeline."""
    from bandit_local import pipeline as job

    options = PipelineOptions(
        ui_port=ui_port,
        port=port,
        once=once,
        campaign=tuple(campaign or ()),
        redis_url=redis_url,
        postgres_dsn=postgres_dsn,
        data=data,
    )
    with _said_in_one_line():
        succeeded = job.run(options, Console())
    if not succeeded:
        raise typer.Exit(1)


@contextmanager
def _said_in_one_line() -> Iterator[None]:
    """Show what is known to go wrong without a traceback, and end orderly on Ctrl-C and SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an orderly end also before an event loop listens
    try:
        yield
    except Exception as error:
        known = local_error(error)
        if known is None:
            raise
        typer.echo(f"bandit-local: {known}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def main() -> None:
    end_in_one_line("bandit-local", app)
