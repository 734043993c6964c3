"""Which segment a context falls into: every combination of the declared values is one, by its number."""

from __future__ import annotations

from collections.abc import Mapping

from bandit_core.rules.experiment import Experiment, SegmentField


class Segmentation:
    """The segments of an experiment. `names` are theirs, in the order of their numbers."""

    def __init__(self, experiment: Experiment) -> None:
        self._fields = experiment.segment_by
        self.names = experiment.segments
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def number(self, context: Mapping[str, object]) -> int:
        """Return the segment of a context; what is not declared, or not given, counts as the field's default."""
        return self._numbers["/".join(self._value(field, context) for field in self._fields)]

    @staticmethod
    def _value(field: SegmentField, context: Mapping[str, object]) -> str:
        value = context.get(field.field, field.default)
        return value if isinstance(value, str) and value in field.values else field.default
