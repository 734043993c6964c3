"""The way between one process and one store, as the simulated stores see it."""

from __future__ import annotations

from typing import Protocol


class ConnectionLostError(Exception):
    """The connection of a client to a store has broken."""


class Link(Protocol):
    """Carries messages. `request` and `reply` take as long as the message does."""

    async def request(self) -> None:
        """Carry a message to the store.

        Raises:
            ConnectionLostError: it never arrives.
        """

    async def reply(self, *, commits: bool = False) -> None:
        """Carry the answer back; what the message did stays done.

        Args:
            commits: It says that something is committed.

        Raises:
            ConnectionLostError: the answer never arrives.
        """

    def passes(self) -> bool:
        """Say whether messages pass now: if not, the store does not hear of a connection that its client gives up."""


class DirectLink:
    """Carries everything at once."""

    async def request(self) -> None:
        return

    async def reply(self, *, commits: bool = False) -> None:  # noqa: ARG002
        return

    def passes(self) -> bool:
        return True
