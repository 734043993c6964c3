"""What can go wrong between this process and the store."""

from __future__ import annotations


class StoreUnavailableError(Exception):
    """The store did not answer in time, or could not be reached."""


class StoreFullError(Exception):
    """The store refused a write because its memory limit is reached."""


def means_full(error: Exception) -> bool:
    """Say whether an error answer means that the memory limit is reached; out of a script it comes as another kind."""
    return "command not allowed when used memory > 'maxmemory'" in str(error)


def means_read_only(error: Exception) -> bool:
    """Say whether an error answer means that the server is a replica; out of a script it comes as another kind."""
    return "You can't write against a read only replica" in str(error)
