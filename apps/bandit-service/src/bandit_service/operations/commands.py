"""The commands that look after an installation: doctor, partitions, retain, erase-unit."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bandit_service.ledger import migrations
from bandit_service.ledger.partitions import Partitions
from bandit_service.ledger.pool import Pool
from bandit_service.ledger.retention import RetentionStore, Retired
from bandit_service.operations.archive import FolderArchive
from bandit_service.operations.findings import Finding, few
from bandit_service.operations.partitions import PartitionKeeper
from bandit_service.operations.retention import Retention, retire
from bandit_service.operations.terminal import (
    Dsn,
    explained,
    fail,
    output,
    require_schema,
    settings_or_exit,
    with_pool,
)
from bandit_service.spool.kept import KEPT_SECONDS

_QUIET_HOUR_SECONDS = 3_600.0
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}

ExportTo = Annotated[
    Path | None,
    typer.Option(
        envvar="BANDIT_EXPORT_FOLDER",
        show_envvar=True,
        file_okay=False,
        help="The folder for what leaves the database.",
    ),
]

app = typer.Typer()


@app.command()
def doctor(
    export_to: ExportTo = None,
    disk_size: Annotated[
        int | None,
        typer.Option(min=1, envvar="BANDIT_POSTGRES_DISK_GIB", show_envvar=True, help="Of Postgres's disk, in GiB."),
    ] = None,
    *,
    compare: Annotated[bool, typer.Option(help="Compare totals with events, and Redis with totals.")] = True,
) -> None:
    """Look at everything the service depends on, and say what to do.

    The exit code is 1 if something is wrong, 0 if all is well or merely doubtful. Settings come from BANDIT_…
    variables, as for `serve`. Comparing reads all events of recent days.
    """
    from bandit_service.operations.doctor import Examination, examine

    settings = settings_or_exit({})
    size = None if disk_size is None else disk_size * 2**30
    examination = Examination(export=export_to, disk_size=size, compare=compare)
    findings = asyncio.run(examine(settings, clock=time.time, examination=examination))
    _show(findings)
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(1)


@app.command()
def partitions(dsn: Dsn) -> None:
    """Make the partitions of bandit_events of today and the next seven days.

    The service does so by itself while it runs. By hand it is needed after many events have gone to the default
    partition: they are moved, however many they are, and writers wait while Postgres reads through it.
    """

    async def run(pool: Pool) -> None:
        keeper = PartitionKeeper(Partitions(pool), clock=time.time)
        made = await keeper.make_missing(largest_default=sys.maxsize, seconds=_QUIET_HOUR_SECONDS)
        for one in made:
            detail = f", {one.moved} events moved, writers waited for {one.blocked:.2f} s" if one.moved else ""
            typer.echo(f"{one.day.partition}: {one.outcome}{detail}")
        if not made:
            typer.echo("all partitions are there")

    with explained():
        require_schema(migrations.current_revision(dsn))
        asyncio.run(with_pool(dsn, "partitions", run))


@app.command()
def retain(
    dsn: Dsn,
    events_days: Annotated[int | None, typer.Option(min=1, help="Keep events so long; whole days go.")] = None,
    allocations_days: Annotated[int | None, typer.Option(min=1, help="Keep changes of weights so long.")] = None,
    snapshots_days: Annotated[int | None, typer.Option(min=1, help="Then keep one posterior snapshot a day.")] = None,
    export_to: ExportTo = None,
    *,
    without_export: Annotated[bool, typer.Option("--without-export", help="Delete without keeping a copy.")] = False,
) -> None:
    """Export what is older to gzipped CSV, and delete it. What a sum depends on always stays."""
    if events_days is allocations_days is snapshots_days is None:
        fail("nothing to do: say --events-days, --allocations-days or --snapshots-days")
    if (export_to is None) != without_export:
        fail("say either --export-to FOLDER or --without-export")
    archive = None if export_to is None else FolderArchive(export_to)
    retention = Retention(events_days, allocations_days, snapshots_days)

    async def run(pool: Pool) -> None:
        async for done in retire(retention, Partitions(pool), RetentionStore(pool), archive, datetime.now(UTC)):
            typer.echo(_sentence(done))

    with explained():
        require_schema(migrations.current_revision(dsn))
        try:
            asyncio.run(with_pool(dsn, "retain", run))
        except OSError as error:
            fail(f"the export cannot be written: {error}; nothing of it was deleted")


@app.command("erase-unit")
def erase_unit(
    dsn: Dsn,
    namespace: Annotated[str, typer.Argument(help="`default` for experiments without one.")],
    unit_ids: Annotated[list[str], typer.Argument(help="One or more; - reads them from standard input, one a line.")],
    failover_wait: Annotated[
        float, typer.Option(min=0, help="Seconds to watch for a failover that loses the erasure; 0 without a standby.")
    ] = KEPT_SECONDS,
) -> None:
    """Forget units: their events stay and count, but nothing in them leads to the unit any more.

    One run for many units costs hardly more than for one. After a failover the command erases again.
    """
    from bandit_service.ledger.maintenance import StillRunningError
    from bandit_service.ledger.units import UnitsRepository
    from bandit_service.operations.erasure import Erased, Erasure

    names = _lines_of_input() if unit_ids == ["-"] else unit_ids

    async def pause(seconds: float) -> None:
        if seconds:
            typer.echo(f"erased; watching {seconds:g} s for a failover that would undo it", err=True)
        await asyncio.sleep(seconds)

    async def run(pool: Pool) -> Erased:
        erasure = Erasure(UnitsRepository(pool), kept_seconds=failover_wait, pause=pause)
        return await erasure.erase(namespace, [name for name in names if name])

    with explained():
        require_schema(migrations.current_revision(dsn))
        try:
            erased = asyncio.run(with_pool(dsn, "erase-unit", run))
        except ValueError as error:
            fail(str(error))
        except StillRunningError as error:
            fail(f"not finished, erase again: {error}")
    typer.echo(
        f"erased from {erased.events} events and {erased.exposures} exposures in {erased.experiments} experiments"
    )


def _lines_of_input() -> list[str]:
    """Return the lines of standard input as other programs write them: with a byte order mark, and ends of Windows."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        fail("standard input is not UTF-8: nothing was erased")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _show(findings: list[Finding]) -> None:
    table = Table("", "what", "finding", "what to do", box=None)
    for finding in findings:
        mark = Text(finding.status, style=_COLOURS[finding.status])
        table.add_row(mark, finding.subject, finding.what, finding.do)
    output().print(table)


def _sentence(done: Retired) -> str:
    if not done.needed:
        return f"{done.name}: {done.rows} rows taken out"
    reasons = "; ".join(f"{reason} ({few(names)})" if names else reason for reason, names in done.needed.items())
    return f"{done.name}: kept, because of {reasons}"
