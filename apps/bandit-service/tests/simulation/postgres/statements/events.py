"""Writing batches of events, and reading what was there before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..transaction import Transaction
from .registry import models


@models("timeline")
def timeline(transaction: Transaction, _: Mapping[str, Any]) -> list[tuple[str]]:
    return [(transaction.database.timeline(),)]
