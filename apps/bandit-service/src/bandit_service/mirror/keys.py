"""Names of the keys of one experiment. The braces are a cluster hash tag: all of them live in one slot."""

from __future__ import annotations

from typing import Final

API_KEYS: Final = "bandit:api_keys"
EXPERIMENTS: Final = "bandit:experiments"
MARK: Final = "bandit:mirror"
CHANGED: Final = "bandit:changed"
TOUCHED: Final = "bandit:touched"


class ExperimentKeys:
    """Every key of one experiment. `written` is a hash that says how new what stands under the others is."""

    __slots__ = ("definition", "explanation", "linear", "prefix", "totals", "weights", "written")

    def __init__(self, experiment_id: str) -> None:
        self.prefix = f"experiment:{{{experiment_id}}}:"
        self.definition = f"{self.prefix}definition"
        self.weights = f"{self.prefix}weights"
        self.explanation = f"{self.prefix}explanation"
        self.linear = f"{self.prefix}linear"
        self.totals = f"{self.prefix}totals"
        self.written = f"{self.prefix}written"

    def alpha(self, arm_index: int) -> str:
        return f"{self.prefix}arm:{arm_index}:alpha"

    def beta(self, arm_index: int) -> str:
        return f"{self.prefix}arm:{arm_index}:beta"

    def own(self, own_id: str) -> str:
        """Name the claim of an id of a caller's own."""
        return f"{self.prefix}own:{own_id}"

    def request(self, request_id: str) -> str:
        """Name the answer to a request, kept for retries of it."""
        return f"{self.prefix}request:{request_id}"
