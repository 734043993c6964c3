"""The way between one process and one store, as the simulated stores see it."""

from __future__ import annotations

from typing import Protocol


class ConnectionLostError(Exception):
    """The connection of a client to a store has broken.

    Args:
        is_known_to_server: False if the server does not hear of it: its session stays until a timeout ends it.
    """

    def __init__(self, *, is_known_to_server: bool = True) -> None:
        super().__init__("the connection is lost")
        self.is_known_to_server = is_known_to_server


class Link(Protocol):
    """Carries messages. Both methods take as long as the message does."""

    async def request(self) -> None:
        """Carry a message to the store.

        Raises:
            ConnectionLostError: it never arrives.
        """

    async def reply(self) -> None:
        """Carry the answer back; what the message did stays done.

        Raises:
            ConnectionLostError: the answer never arrives.
        """


class DirectLink:
    """Carries everything at once."""

    async def request(self) -> None:
        return

    async def reply(self) -> None:
        return
