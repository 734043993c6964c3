"""Names of the keys of one experiment. The braces are a cluster hash tag: all of them live in one slot."""

from __future__ import annotations

API_KEYS = "bandit:api_keys"
EXPERIMENTS = "bandit:experiments"


class ExperimentKeys:
    """Every key of one experiment."""

    __slots__ = (
        "allocation",
        "definition",
        "events",
        "explanation",
        "lease",
        "linear",
        "pending",
        "prefix",
        "producers",
        "refill",
        "segments",
        "state",
        "units",
    )

    def __init__(self, experiment_id: str) -> None:
        self.prefix = f"experiment:{{{experiment_id}}}:"
        self.state = f"{self.prefix}state"
        self.events = f"{self.prefix}events"
        self.pending = f"{self.prefix}pending"
        self.units = f"{self.prefix}units"
        self.producers = f"{self.prefix}producers"
        self.definition = f"{self.prefix}definition"
        self.allocation = f"{self.prefix}allocation"
        self.explanation = f"{self.prefix}explanation"
        self.lease = f"{self.prefix}lease"
        self.refill = f"{self.prefix}refill"
        self.segments = f"{self.prefix}segments"
        self.linear = f"{self.prefix}linear"

    @property
    def committed_by_script(self) -> tuple[str, ...]:
        """The keys every commit declares, in the order the script expects."""
        return (self.state, self.events, self.pending, self.units, self.producers, self.segments)

    def alpha(self, arm_index: int) -> str:
        return f"{self.prefix}arm:{arm_index}:alpha"

    def beta(self, arm_index: int) -> str:
        return f"{self.prefix}arm:{arm_index}:beta"

    def rewarded(self, decision_id: str, position: int = 0) -> str:
        """Name the marker that a position of a decision has its reward, which makes rewards exactly-once."""
        # A slate's id is one of the service's own, and those have no colon.
        return f"{self.prefix}rewarded:{decision_id}:{position}" if position else f"{self.prefix}rewarded:{decision_id}"

    def activated(self, decision_id: str) -> str:
        """Name the marker that a deferred decision was shown."""
        return f"{self.prefix}activated:{decision_id}"

    def context(self, decision_id: str) -> str:
        """Name the context a decision was made in, for the time its reward may take."""
        return f"{self.prefix}context:{decision_id}"

    def own_decision(self, decision_id: str) -> str:
        """Name the record of a decision that carries an id of its caller's."""
        return f"{self.prefix}decision:{decision_id}"
