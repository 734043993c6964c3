"""The SDK's client of bandit-service, with the time that a question of the router may take."""

from __future__ import annotations

from bandit_sdk import Client, Retries


def open_client(url: str, *, timeout: float, api_key: str | None = None) -> Client:
    """Return a client that threads may share; a process that is forked later opens connections of its own.

    A connection that breaks is tried once more: a server may close it in the moment it is used again. `timeout` is the
    budget of both attempts. It covers connecting and every wait for bytes, not the look-up of a host's name.
    """
    pause = timeout / 10
    retries = Retries(attempts=2, budget=timeout, base=pause, cap=pause)
    return Client(url, api_key=api_key or None, timeout=timeout, retries=retries)
