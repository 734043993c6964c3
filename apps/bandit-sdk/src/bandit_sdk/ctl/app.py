"""The command `banditctl`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bandit_sdk.client import Client
from bandit_sdk.ctl import experiments, tables
from bandit_sdk.ctl.doctor import examine
from bandit_sdk.ctl.session import Session, output, session_of
from bandit_sdk.requests import Call
from bandit_sdk.responses import decoder

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Look after experiments of a bandit-service."
)
app.add_typer(experiments.app, name="experiments")


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[str, typer.Option(envvar="BANDIT_URL", help="Where the service is")] = "http://127.0.0.1:8000",
    api_key: Annotated[str | None, typer.Option(envvar="BANDIT_API_KEY", help="Better given by the variable")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON")] = False,  # noqa: FBT002 - Typer's way
) -> None:
    """Options that hold for every command stand before it."""
    try:
        Client(url, api_key=api_key or None).close()
    except ValueError as error:
        raise typer.BadParameter(f"{error}. See --url, --api-key, BANDIT_URL and BANDIT_API_KEY.") from None
    context.obj = Session(url.rstrip("/"), api_key or None, as_json, output())


@app.command()
def select(
    context: typer.Context,
    experiment: str,
    unit: Annotated[str | None, typer.Option(help="The unit, for sticky experiments and holdouts")] = None,
    feature: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of the context; may be repeated")] = None,
    k: Annotated[int, typer.Option(min=1, max=20, help="How many arms, in order")] = 1,
) -> None:
    """Ask which arm to serve. It is a real decision, and counts."""
    session = session_of(context)
    options: dict[str, Any] = {"unit_id": unit, "context": _features(feature), "k": k if k > 1 else None}
    with session.client() as client:
        found = client.select(experiment, **{name: value for name, value in options.items() if value is not None})
    if session.as_json:
        session.json(found)
        return
    for place in found.slate or (found,):
        session.console.print(f"{place.arm}  propensity {place.propensity:.4g}")
    # An id that is broken into lines cannot be copied.
    session.console.print(f"decision {found.decision_id}", soft_wrap=True)


@app.command()
def reward(
    context: typer.Context,
    experiment: str,
    decision: Annotated[str, typer.Argument(help="The decision's id")],
    value: Annotated[float, typer.Argument(metavar="REWARD")],
    position: Annotated[int, typer.Option(min=0, help="The place in a slate")] = 0,
) -> None:
    """Say what came of a decision."""
    session = session_of(context)
    options: dict[str, Any] = {"position": position} if position else {}
    with session.client() as client:
        found = client.reward(decision, experiment_id=experiment, reward=value, **options)
    if session.as_json:
        session.json(found)
    else:
        told = found.status if found.arm is None else f"{found.status}: arm {found.arm}"
        session.console.print(told if found.reward is None else f"{told}, reward {found.reward:g} counts")


@app.command()
def plan(
    context: typer.Context,
    rate: Annotated[float, typer.Option(min=0.0, max=1.0, help="Success rate of all arms but the better one")],
    lift: Annotated[float, typer.Option(min=0.0, help="Smallest difference that matters: 0.1 is 10% better")],
    traffic: Annotated[float, typer.Option(min=1.0, help="Decisions a day")],
    arms: Annotated[int, typer.Option(min=2, max=20, help="How many arms")] = 2,
    days: Annotated[float, typer.Option(min=0.0, help="Days that it may take at most")] = 30.0,
    policy: Annotated[str, typer.Option(help="thompson, or uniform for an even split")] = "thompson",
    preset: Annotated[str, typer.Option(help="Guardrails: safe, neutral or explore")] = "neutral",
    file: Annotated[
        Path | None, typer.Option(exists=True, help="An experiment's file: its arms, policy, guardrails and stopping")
    ] = None,
    runs: Annotated[int, typer.Option(min=10, max=5_000, help="Simulated experiments of each kind")] = 300,
) -> None:
    """Say what to expect of an experiment before it starts: how it ends, when, and what it costs. Creates nothing."""
    session = session_of(context)
    fields: dict[str, Any] = {"arms": arms, "policy": policy, "guardrails": {"preset": preset}}
    if file is not None:
        fields |= _planned(file)
    wanted = {"rate": rate, "lift": lift, "traffic": traffic, "days": days, "runs": runs}
    with session.client(timeout=120.0) as client:
        found = client.experiments.plan(**fields, **wanted)
    if session.as_json:
        session.json(found)
    else:
        session.console.print(tables.plan(found))
        session.console.print(found.summary)


@app.command()
def rebuild() -> None:
    """Say how beliefs are rebuilt: the service does it by itself."""
    typer.echo(
        "Beliefs are rebuilt from Postgres by the service itself, whenever the store lacks them or is older. To have "
        "it done: stop every service process, empty its Redis database (FLUSHDB), and start them again; the log says "
        "'refilled', and the numbers are the same. See docs/operations.md."
    )


@app.command()
def export(context: typer.Context) -> None:
    """Have the service write completed decisions of contextual experiments as Parquet, and say where."""
    session = session_of(context)
    with session.client(timeout=60.0) as client:
        said = client.send(Call("POST", "/banditdb/checkpoint", decoder(str)))
        files = client.send(Call("GET", "/banditdb/export", decoder(dict[str, Any]), repeatable=True))
    if session.as_json:
        session.json(files)
    else:
        session.console.print(said)
        session.console.print(files)


@app.command()
def doctor(
    context: typer.Context, experiment: Annotated[str | None, typer.Argument(help="One to look at as well")] = None
) -> None:
    """See whether this machine can work with the service. Exit status 1 if something fails."""
    session = session_of(context)
    findings = list(examine(session.url, session.api_key, experiment))
    if session.as_json:
        session.json([{"name": each.name, "status": each.status, "text": each.text} for each in findings])
    else:
        for each in findings:
            session.console.print(f"{each.status:<5} {each.name}: {each.text}")
    if any(each.status == "fail" for each in findings):
        raise typer.Exit(1)


def _planned(file: Path) -> dict[str, Any]:
    """Return what a plan takes from the file of an experiment."""
    from bandit_sdk.ctl.experiment_file import read_experiment

    try:
        _, found = read_experiment(file)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--file") from None
    fields = {name: found[name] for name in ("policy", "guardrails", "stopping") if found.get(name) is not None}
    return fields | {"arms": len(found["arms"])}


def _features(given: list[str] | None) -> dict[str, float | str] | None:
    if not given:
        return None
    features: dict[str, float | str] = {}
    for each in given:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE", param_hint="--feature")
        try:
            features[name] = float(value)
        except ValueError:
            features[name] = value
    return features
