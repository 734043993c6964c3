"""What a process that was forked may go on with, and what it has to make for itself."""

from __future__ import annotations

import os
from collections.abc import Callable


class PerProcess[T]:
    """A value that each process makes for itself.

    Connections that are open when a process forks belong to both processes, and either one reads the answers to the
    other. A random stream that is copied gives both the same numbers. So a child makes its own value, and lets go of
    the one it has inherited without a word to the server.

    Args:
        make: Makes the value of a process.
        made: The value of this process, where it is there already.
    """

    def __init__(self, make: Callable[[], T], made: T | None = None) -> None:
        self._make = make
        self._made: dict[int, T] = {os.getpid(): make() if made is None else made}

    def get(self) -> T:
        """Return the value of this process."""
        process = os.getpid()
        value = self._made.get(process)
        if value is None:
            # Without a lock: one that another thread held at the fork would never be released in the child.
            value = self._made.setdefault(process, self._make())
            for inherited in self._made.keys() - {process}:
                self._made.pop(inherited, None)
        return value


class OneProcess:
    """Says whether this process was forked from the one that uses something: then it must not use it too."""

    def __init__(self) -> None:
        self._process: int | None = None

    def use(self, what: str) -> None:
        """Take it for this process.

        Raises:
            RuntimeError: another process has taken it, from which this one was forked.
        """
        if self._process is None:
            self._process = os.getpid()
        elif self._process != os.getpid():
            raise RuntimeError(f"{what} was open when this process was forked: make one in each process")

    def leave(self) -> None:
        """Give it up: any process may take it."""
        self._process = None
