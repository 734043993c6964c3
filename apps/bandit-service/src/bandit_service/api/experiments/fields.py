"""The types of the fields in requests: what is declared here is exactly what is accepted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bandit_core.rules.experiment import DEFAULT_NAMESPACE
from bandit_core.rules.names import ARM_ID, EXPERIMENT_ID, FEATURE, NAMESPACE, PLAIN_TEXT

LEAST_PRIOR, GREATEST_PRIOR = 1e-6, 1e6
YEAR: Final = 366 * 86_400.0
MOST_ARMS: Final = 1_000
MOST_FEATURES: Final = 128
MOST_SEGMENTS: Final = 1_000
_GREATEST_NUMBER = 1e15
_NUMBER = {"type": "number", "minimum": -_GREATEST_NUMBER, "maximum": _GREATEST_NUMBER}
_DEEPEST, _MOST_ENTRIES, _LONGEST_NAME = 4, 1_000, 200
_DEEPEST_METADATA, LONGEST_METADATA = 16, 65_536
_TEXT = re.compile(r"[^\x00\ud800-\udfff]*")


def _whole(value: object) -> object:
    """Take 3.0 for 3: JSON has one kind of number, and JSON Schema calls both an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# To stand last: what stands before it is checked, and documented, as limits of an integer.
WHOLE = BeforeValidator(_whole)
ExperimentId = Annotated[str, Field(pattern=EXPERIMENT_ID.pattern, max_length=128, examples=["homepage"])]
ArmId = Annotated[str, Field(pattern=ARM_ID.pattern, max_length=128, examples=["b"])]
Namespace = Annotated[str, Field(pattern=NAMESPACE.pattern, max_length=128, examples=[DEFAULT_NAMESPACE])]
Description = Annotated[str, Field(pattern=PLAIN_TEXT.pattern, max_length=2_000, examples=["Which headline sells"])]
Why = Annotated[
    str,
    Field(
        pattern=PLAIN_TEXT.pattern, min_length=1, max_length=500, examples=["The designers asked for a third variant"]
    ),
]
Revision = Annotated[
    int,
    Field(ge=1, le=2**53, description="Refuse with 409 unless the experiment is at this revision", examples=[3]),
    WHOLE,
]
Holdout = Annotated[
    float, Field(ge=0, lt=1, description="Share of units that always get the control arm", examples=[0.05])
]
UpdateEvery = Annotated[
    float,
    Field(ge=0.05, le=86_400, description="Seconds between updates of the weights; null: as the guardrails need"),
]
FeatureName = Annotated[str, Field(pattern=FEATURE.pattern, examples=["age"])]
SegmentValue = Annotated[str, Field(pattern=FEATURE.pattern, examples=["evening"])]
PriorParameter = Annotated[float, Field(ge=LEAST_PRIOR, le=GREATEST_PRIOR, allow_inf_nan=False)]
Parameters = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"anyOf": [_NUMBER, {"type": "object", "additionalProperties": _NUMBER}]},
        }
    ),
]
RewardModel = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"type": {"enum": ["binary", "ternary", "threshold", "map"]}},
            "required": ["type"],
            "examples": [{"type": "threshold", "success": 4, "failure": 2}],
        }
    ),
]


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata that can be stored as JSON."""
    check_plain(metadata, deepest=_DEEPEST_METADATA, longest=LONGEST_METADATA)
    if len(json.dumps(metadata).encode()) > LONGEST_METADATA:
        raise ValueError(f"must hold at most {LONGEST_METADATA} bytes as JSON")
    return metadata


Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_check_metadata),
    Field(description="What you keep with it; at most 64 KB", examples=[{"team": "search"}]),
]


class Body(BaseModel):
    """A request body: unknown fields are refused, and nothing is converted on the quiet."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def check_plain(value: object, *, deepest: int = _DEEPEST, longest: int = _LONGEST_NAME) -> None:
    """Raise ValueError unless the value is plain data that can be stored: short, shallow, finite, without NUL.

    `deepest` is how many levels it may have, `longest` how many characters a text.
    """
    match value:
        case str():
            _check_text(value, longest)
        case Mapping() | list() if deepest == 0 or len(value) > _MOST_ENTRIES:
            raise ValueError(f"it has too many levels, or more than {_MOST_ENTRIES} entries at one of them")
        case Mapping():
            for key, entry in value.items():
                _check_text(key, longest)
                check_plain(entry, deepest=deepest - 1, longest=longest)
        case list():
            for entry in value:
                check_plain(entry, deepest=deepest - 1, longest=longest)
        case int() | float():
            _check_finite(value)


def _check_text(text: str, longest: int) -> None:
    if len(text) > longest or not _TEXT.fullmatch(text):
        raise ValueError(f"text in it must be at most {longest} characters, none of them NUL")


def _check_finite(number: float) -> None:
    # Compared as it is: NaN fails the comparison, and an int may be too large to become a float.
    if not abs(number) <= _GREATEST_NUMBER:
        raise ValueError(f"numbers in it must lie between -{_GREATEST_NUMBER:g} and {_GREATEST_NUMBER:g}")
