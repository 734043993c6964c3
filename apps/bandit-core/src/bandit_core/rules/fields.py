"""The types of the fields in requests: what is declared here is exactly what is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import Annotated, Any, Final

from msgspec import Meta

from bandit_core.contextual import contextual_policy_fields, contextual_policy_names
from bandit_core.policies import policy_fields, policy_names
from bandit_core.rules import names

YEAR: Final = 366 * 86_400.0
MOST_ARMS: Final = 1_000
MOST_FEATURES: Final = 128
MOST_SEGMENTS: Final = 1_000

ExperimentId = Annotated[
    str,
    Meta(
        pattern=names.EXPERIMENT_ID.python_pattern,
        max_length=128,
        description="Id of the experiment, 1 to 128 characters; what stands before its first dot is its namespace",
        examples=["homepage"],
    ),
]
ArmId = Annotated[
    str,
    Meta(
        pattern=names.ARM_ID.python_pattern,
        max_length=128,
        description="Id of an arm, 1 to 128 characters",
        examples=["b"],
    ),
]
Description = Annotated[
    str,
    Meta(
        pattern=names.PLAIN_TEXT.pattern,
        max_length=2_000,
        description="What the experiment is for, at most 2,000 characters",
        examples=["Which headline sells"],
    ),
]
Why = Annotated[
    str,
    Meta(
        pattern=names.PLAIN_TEXT.pattern,
        min_length=1,
        max_length=500,
        description="Why the change is made, 1 to 500 characters; it is recorded",
        examples=["The designers asked for a third variant"],
    ),
]
Revision = Annotated[
    int,
    Meta(ge=1, le=2**53, description="Refuse with 409 unless the experiment is at this revision", examples=[3]),
]
FeatureName = Annotated[
    str, Meta(pattern=names.FEATURE.python_pattern, max_length=64, description="Name of a feature", examples=["age"])
]
SegmentValue = Annotated[
    str, Meta(pattern=names.FEATURE.python_pattern, max_length=64, description="A value", examples=["evening"])
]
PriorParameter = Annotated[float, Meta(ge=1e-6, le=1e6, description="Pseudo-counts; rounded to millionths")]
Holdout = Annotated[
    float, Meta(ge=0, lt=1, description="Share of units that always get the control arm", examples=[0.05])
]
UpdateEvery = Annotated[
    float, Meta(ge=0.05, le=86_400, description="Seconds between updates of the weights; null: as the guardrails need")
]
Metadata = Annotated[
    Mapping[str, Any], Meta(description="What its owners keep with it; at most 64 KB", examples=[{"team": "search"}])
]
RewardModel = Annotated[
    Mapping[str, Any],
    Meta(
        description="How outcomes become rewards in [0, 1]; null: rewards are sent as numbers",
        examples=[{"type": "threshold", "success": 4, "failure": 2}],
        extra_json_schema={
            "properties": {
                "type": {"type": "string", "enum": ["binary", "ternary", "threshold", "map"], "description": "Which"},
                "success": {"type": "number", "description": "Outcomes from here on are worth 1"},
                "failure": {"type": "number", "description": "Outcomes up to here are worth 0"},
                "neutral": {
                    "type": ["number", "null"],
                    "minimum": 0,
                    "maximum": 1,
                    "description": "What outcomes between are worth; null: they are ignored",
                },
                "outcomes": {
                    "type": "object",
                    "additionalProperties": True,
                    "description": "Of a map, by the outcome's name: a reward, null to ignore it, or a reward model",
                },
            },
            "required": ["type"],
            "additionalProperties": False,
        },
    ),
]


def _parameter(field: Field[Any]) -> dict[str, Any]:
    if field.name == "weights":
        return {"type": "object", "additionalProperties": {"type": "number"}, "description": "Shares by arm"}
    return {
        "type": ["number", "null"] if field.default is None else "number",
        "description": f"Parameter of the policies that have a {field.name}",
    }


_POLICY_FIELDS = {name: policy_fields(name) for name in policy_names()} | {
    name: contextual_policy_fields(name) for name in contextual_policy_names()
}
POLICIES: Final = tuple(sorted(_POLICY_FIELDS))
PolicyName = Annotated[str, Meta(description="Name of a policy", extra_json_schema={"enum": list(POLICIES)})]
PolicyParameters = Annotated[
    Mapping[str, Any],
    Meta(
        description="Parameters of the policy by name",
        examples=[{"epsilon": 0.1}],
        extra_json_schema={
            "properties": {field.name: _parameter(field) for each in _POLICY_FIELDS.values() for field in each},
            "additionalProperties": False,
        },
    ),
]
