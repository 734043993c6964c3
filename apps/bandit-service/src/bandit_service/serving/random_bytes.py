"""Random bytes a few at a time, drawn from the system in blocks because each draw is a system call."""

from __future__ import annotations

from collections.abc import Callable


class RandomBytesPool:
    """A supply of random bytes, e.g. from `secrets.token_bytes`; no byte is handed out twice."""

    def __init__(self, source: Callable[[int], bytes], block: int = 4_096) -> None:
        self._source = source
        self._block = block
        self._bytes = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return so many bytes.

        Args:
            count: 1 to the size of a block.
        """
        if self._at + count > len(self._bytes):
            self._bytes, self._at = self._source(self._block), 0
        taken = self._bytes[self._at : self._at + count]
        self._at += count
        return taken

    def name(self) -> str:
        """Return a name of 16 hexadecimal digits."""
        return self.take(8).hex()
