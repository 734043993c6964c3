"""What the graph tells the router: the `parameters` of its node in the SeldonDeployment."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import get_type_hints

from bandit_sdk.connection import service_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The parameters of the router.

    Attributes:
        experiment_id: The experiment whose arms are the router's children: arm 0 is the first child, and so on.
        service_url: Where bandit-service answers, such as `http://bandit-service:8000`.
        branches: How many children the router has; Seldon does not tell it, and a branch too many is a crash there.
        default_arm: The child that serves when bandit-service does not answer in time, at least 0, below `branches`.
        timeout: Seconds that a request may wait for bandit-service, above 0, at most 60.
        sends_context: Whether the features go along as the context of the decision.

    Raises:
        ValueError: A parameter has another type, or is out of its range.
    """

    experiment_id: str
    service_url: str
    branches: int
    default_arm: int = 0
    timeout: float = 0.25
    sends_context: bool = False

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for name in (field.name for field in fields(self)):
            if type(getattr(self, name)) is not types[name]:
                raise ValueError(f"parameter {name} must have the type {_SELDON_TYPES[types[name]]}")
        if not self.experiment_id:
            raise ValueError("parameter experiment_id must name an experiment of bandit-service")
        try:
            service_url(self.service_url)
        except ValueError as error:
            raise ValueError(f"parameter service_url: {error}") from None
        if self.branches < 1:
            raise ValueError("parameter branches must be the number of the router's children")
        if not 0 <= self.default_arm < self.branches:
            raise ValueError(f"parameter default_arm must be one of the children 0 to {self.branches - 1}")
        if not 0 < self.timeout <= 60:
            raise ValueError("parameter timeout must be above 0 and at most 60 seconds")


_SELDON_TYPES = {str: "STRING", int: "INT", float: "FLOAT", bool: "BOOL"}
