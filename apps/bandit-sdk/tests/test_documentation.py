"""docs/sdk.md: its programs run, and its commands are typed into a terminal."""

from __future__ import annotations

import ast
import shlex
import types
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from bandit_local.servers import PostgresServer
from bandit_sdk.ctl.app import app

if TYPE_CHECKING:
    from conftest import Service

DOCUMENT = Path(__file__).parents[3] / "docs" / "sdk.md"


def blocks(language: str) -> list[str]:
    return [part.partition("```")[0] for part in DOCUMENT.read_text().split(f"```{language}\n")[1:]]


@pytest.mark.parametrize("number", range(len(blocks("python"))))
async def test_programs_run(
    number: int,
    service: Service,
    postgres_server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    program = blocks("python")[number]
    for placeholder, real in {
        "http://127.0.0.1:8000": service.url,
        'api_key="…"': f'api_key="{service.keys["admin"]}"',
        "postgresql://…": postgres_server.dsn,
    }.items():
        program = program.replace(placeholder, real)
    names: dict[str, object] = {}
    code = compile(program, f"{DOCUMENT.name}, program {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = types.FunctionType(code, names)()
    if isawaitable(running):
        await running
        await names["learner"].close()  # type: ignore[attr-defined]  # every such program makes one


def test_commands_run(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    for file in (tmp_path / "checkout.yaml", tmp_path / "experiments" / "checkout.yaml"):
        file.write_text(blocks("yaml")[0])
    monkeypatch.chdir(tmp_path)
    environment = {"BANDIT_URL": service.url, "BANDIT_API_KEY": service.keys["admin"]}
    decision = ""
    [commands] = [block for block in blocks("console") if "banditctl" in block]
    for line in commands.splitlines():
        words = [decision if word == "DECISION" else word for word in shlex.split(line.removeprefix("$ "))]
        if words[0] == "export":
            assert {word.partition("=")[0] for word in words[1:]} == environment.keys()
            continue
        assert words[0] == "banditctl"
        # It would not end by itself.
        more = ["--times", "1"] if "watch" in words else []
        done = CliRunner().invoke(app, [*words[1:], *more], env=environment)
        assert done.exit_code == 0, f"{line}: {done.output}"
        if words[1] == "select":
            decision = done.stdout.split()[-1]
