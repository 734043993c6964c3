"""What every command shares: the client, how answers are written, and how errors end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import typer
from rich.console import Console

from bandit_sdk.client import Client
from bandit_sdk.connection import without_secrets
from bandit_sdk.errors import AwayError, BanditError, UnauthorizedError
from bandit_sdk.retries import Retries

AWAY, REFUSED = 3, 4
# Wider than any table: what comes through a pipe is read by programs, which need every id whole and in one line.
_PIPE_WIDTH: Final = 100_000


@dataclass(frozen=True, slots=True)
class Session:
    """Where the service is, with which key, and whether answers are JSON."""

    url: str
    api_key: str | None
    as_json: bool
    console: Console

    @contextmanager
    def client(self, *, timeout: float = 5.0, retries: Retries | None = None) -> Iterator[Client]:
        """Yield a client; an error ends the command with one sentence that says what to do."""
        wanted = retries or Retries(budget=timeout)
        try:
            with Client(self.url, api_key=self.api_key, timeout=timeout, retries=wanted) as client:
                yield client
        except BanditError as error:
            self.fail(error)

    def fail(self, error: BanditError) -> None:
        """End the command: exit status 3 if asking later may help, else 4."""
        hint = ""
        if isinstance(error, UnauthorizedError):
            hint = " Give a key with --api-key, or in BANDIT_API_KEY."
        elif isinstance(error, AwayError):
            where = without_secrets(self.url)
            hint = f" Is bandit-service at {where}? Name another place with --url, or in BANDIT_URL."
        typer.echo(f"{str(error).rstrip('.')}.{hint}", err=True)
        raise typer.Exit(AWAY if isinstance(error, AwayError) else REFUSED)

    def json(self, value: Any) -> None:  # noqa: ANN401 - whatever the service answered
        typer.echo(json.dumps(msgspec.to_builtins(value), indent=2))


def output() -> Console:
    """Return standard output: words of people are shown as they are, and nothing is cut in a pipe."""
    return Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def session_of(context: typer.Context) -> Session:
    session = context.obj
    if not isinstance(session, Session):
        raise TypeError("the command was not started by banditctl")
    return session
