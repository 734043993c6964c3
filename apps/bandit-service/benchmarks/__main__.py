"""`make bench`: measure, print, and on request write the figures into the documentation."""

from __future__ import annotations

import asyncio
import datetime
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import psycopg
import typer
from rich.console import Console

from bandit_local.errors import LocalError
from bandit_service.mirror.inspection import inspect_store
from benchmarks import report
from benchmarks.best_arm import best_arm_table
from benchmarks.contenders import EXPERIMENT, REWARD, SELECT, SELECT_BATCH, Contender, contextual, endpoints, references
from benchmarks.contextual import SHAPES, Shape
from benchmarks.contextual_table import contextual_table
from benchmarks.cost_model import CostModel
from benchmarks.document import write_into
from benchmarks.load.bundled import bundled
from benchmarks.load.traffic import Generator, LoadError
from benchmarks.load.wrk import wrk
from benchmarks.machine import machine_table
from benchmarks.profile_table import profile, profiled_program
from benchmarks.rounds import Pace, play
from benchmarks.servers import Server, Stores, running_reference, running_stores
from benchmarks.table import Table
from benchmarks.workbench import Workbench

_WIDTH = 120
app = typer.Typer(pretty_exceptions_enable=False)

_ARMS = (2, 10, 100, 1_000)
_FEW_ARMS = (2, 10)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything to do."""

    pace: Pace
    generator: Generator
    arms: tuple[int, ...]
    profiled: tuple[str, ...]
    model_seconds: int | None
    shapes: tuple[Shape, ...] = SHAPES


@app.command()
def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="One round of a second, to see that it runs.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="How often each contender is measured.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="How long each time.")] = 4,
    own_load: Annotated[bool, typer.Option("--own-load", help="Use the bundled load generator, not wrk.")] = False,
    write: Annotated[Path | None, typer.Option(help="A document to write the figures into.")] = None,
) -> None:
    """Measure the service beside its references, in one run on one machine."""
    generator = (None if own_load else wrk()) or bundled()
    plan = (
        Plan(Pace(1, 1), generator, _FEW_ARMS, (SELECT,), None, SHAPES[:: len(SHAPES) // 2])
        if quick
        else Plan(Pace(seconds, rounds), generator, _ARMS, (SELECT, REWARD, SELECT_BATCH), seconds)
    )
    console, progress = Console(), Console(stderr=True, style="dim")
    console.width = max(console.width, _WIDTH)
    tables = []
    try:
        with tempfile.TemporaryDirectory() as folder, running_stores(Path(folder)) as stores:
            for table in _tables(plan, stores, progress):
                table.show(console)
                tables.append(table)
        if write is not None:
            write_into(write, tables, f"Measured on {datetime.datetime.now(datetime.UTC):%Y-%m-%d} (UTC).")
    except (LoadError, LocalError, ValueError) as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from None


def _tables(plan: Plan, stores: Stores, progress: Console) -> Iterator[Table]:
    yield _machine(stores)
    with ExitStack() as stack:
        service, workbench = stack.enter_context(_service(stores))
        workbench.create(EXPERIMENT)
        contenders = [*_references(stack, stores), *endpoints(service, workbench, stores)]
        results = play(contenders, plan.generator, plan.pace, progress.print)
        yield report.side_by_side(results, plan.pace, plan.generator.name)
        yield report.aims(results)
        yield report.processor_time(results)
    yield _contextual(plan, stores, progress)
    yield best_arm_table(plan.arms)
    yield from _profiles(plan, stores)
    if plan.model_seconds is not None:
        with _service(stores) as (service, workbench):
            yield from CostModel(
                stores, service, workbench, plan.generator, plan.model_seconds, progress.print
            ).tables()


def _contextual(plan: Plan, stores: Stores, progress: Console) -> Table:
    """Measure decisions in contexts, a second each time, since there are so many."""
    with _service(stores) as (service, workbench):
        workbench.teach(plan.shapes)
        plain = [each for each in endpoints(service, workbench, stores) if each.name in (SELECT, SELECT_BATCH)]
        contenders = [*plain, *contextual(service, workbench, stores, plan.shapes)]
        results = play(contenders, plan.generator, Pace(1, plan.pace.rounds), progress.print)
    return contextual_table(results, plan.shapes)


def _references(stack: ExitStack, stores: Stores) -> list[Contender]:
    naive = stack.enter_context(running_reference("naive", stores.data, {"NAIVE_REDIS_URL": stores.redis.url}))
    empty = stack.enter_context(running_reference("empty_fastapi", stores.data))
    bare = stack.enter_context(running_reference("bare_asgi", stores.data))
    return references(naive, empty, bare, stores)


def _profiles(plan: Plan, stores: Stores) -> Iterator[Table]:
    counted = stores.data / "profile.json"
    with _service(stores, profiled_program(counted)) as (service, workbench):
        for contender in endpoints(service, workbench, stores):
            if contender.name in plan.profiled:
                yield profile(contender, plan.generator, plan.pace, counted)


@contextmanager
def _service(stores: Stores, program: list[str | Path] | None = None) -> Iterator[tuple[Server, Workbench]]:
    """Run a replica, and what the benchmark asks of it beside the load."""
    with (
        stores.service(program) as service,
        httpx.Client(base_url=service.url, timeout=30.0) as client,
        psycopg.connect(stores.postgres.dsn, autocommit=True) as postgres,
    ):
        yield service, Workbench(client, postgres)


def _machine(stores: Stores) -> Table:
    store = asyncio.run(inspect_store(stores.redis.url))
    with psycopg.connect(stores.postgres.dsn) as connection:
        postgres = connection.info.server_version
    return machine_table(f"{store.server} {store.version}", f"{postgres // 10_000}.{postgres % 10_000}")


if __name__ == "__main__":
    app()
