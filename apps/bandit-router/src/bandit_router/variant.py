"""A model that says which variant it is: `seldon-core-microservice bandit_router.variant.Variant`.

It stands where a team's own models will, so that the example deployment answers.
"""

from __future__ import annotations

from seldon_core.user_model import SeldonResponse


class Variant:
    """A variant by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def predict(self, *_: object, **__: object) -> SeldonResponse:
        return SeldonResponse({"variant": self._name})

    def send_feedback(self, *_: object, **__: object) -> SeldonResponse:
        """Count the feedback, whatever its reward: the wrapper's own counters leave out zeros."""
        return SeldonResponse(
            [], metrics=[{"key": "bandit_variant_feedback", "type": "COUNTER", "value": 1, "tags": {}}]
        )
