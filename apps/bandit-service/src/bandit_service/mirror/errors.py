"""What can go wrong between this process and the store."""

from __future__ import annotations


class StoreUnavailableError(Exception):
    """The store did not answer in time, or could not be reached."""


class StoreFullError(Exception):
    """The store refused a write because its memory limit is reached."""
