"""The bodies of the management endpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bandit_core.rules.decoding import decode_document
from bandit_core.rules.experiment import (
    ExperimentSettings,
    GuardrailsDefinition,
    PolicyDefinition,
    StoppingDefinition,
    Value,
)
from bandit_core.rules.fields import (
    MOST_ARMS,
    ArmId,
    Description,
    ExperimentId,
    Holdout,
    Metadata,
    PriorParameter,
    Revision,
    UpdateEvery,
    Why,
)
from bandit_core.rules.messages import wrong_type
from bandit_core.rules.problems import Invalid


class Prior(Value, frozen=True):
    """The Beta distribution believed before any data."""

    alpha: PriorParameter = 1.0
    beta: PriorParameter = 1.0


class Arm(Value, frozen=True):
    """A variant."""

    id: ArmId
    prior: Annotated[Prior, Meta(description="What is believed of it before any data")] | UnsetType = UNSET


class NewExperiment(ExperimentSettings, frozen=True, kw_only=True):
    """An experiment to create. Its namespace is what stands before the first dot of its id."""

    experiment_id: ExperimentId
    arms: Annotated[
        tuple[Arm, ...],
        Meta(min_length=2, max_length=MOST_ARMS, description="The variants, 2 to 1,000, numbered in this order"),
    ]
    default_arm: Annotated[ArmId, Meta(description="Arm served while paused; null: the first one")] | None = None


class Because(Value, frozen=True, kw_only=True):
    """Why a change is made, and the revision it was decided on."""

    reason: Why
    expected_revision: Revision | None = None


class ExperimentChange(Because, frozen=True, kw_only=True):
    """Settings to replace; what is left out stays as it is."""

    description: Description | UnsetType = UNSET
    default_arm: ArmId | UnsetType = UNSET
    control_arm: ArmId | UnsetType | None = UNSET
    policy: PolicyDefinition | UnsetType = UNSET
    guardrails: GuardrailsDefinition | UnsetType = UNSET
    stopping: StoppingDefinition | UnsetType | None = UNSET
    holdout: Holdout | UnsetType = UNSET
    update_every: UpdateEvery | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are named, by name."""
        names = self.__struct_fields__[len(Because.__struct_fields__) :]
        return {name: value for name in names if (value := getattr(self, name)) is not UNSET}


class NewArm(Because, frozen=True, kw_only=True):
    """An arm to add."""

    id: ArmId
    prior: Prior = Prior()


class Absence(Because, frozen=True, kw_only=True):
    """Why an arm is paused or retires, and who replaces it if it is the default or the control arm."""

    default_arm: Annotated[ArmId, Meta(description="Default arm from then on; null: it stays")] | None = None
    control_arm: Annotated[ArmId, Meta(description="Control arm from then on; null: it stays")] | None = None


class ConclusionRequest(Because, frozen=True, kw_only=True):
    """How to end an experiment."""

    winner: Annotated[ArmId, Meta(description="Arm to serve; null: the one of the stopping rule")] | None = None
    by_rule: Annotated[
        bool,
        Meta(
            description="Conclude only if the stopping rule says so now and `auto_conclude` is set. Otherwise, and in "
            "an experiment that is over, nothing changes. `winner` and `reason` are those of the rule."
        ),
    ] = False


def read[T: msgspec.Struct](kind: type[T], document: Mapping[str, Any]) -> T:
    """Return a plain document as a request, or raise Invalid naming every field that is wrong."""
    return decode_document(kind, normalised(document))


def normalised(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment's document with its short forms written out: an arm as its id, a policy as its name."""
    for name, value in document.items():
        _check_text(name, value)
    whole = {name: value if name == "metadata" else _whole(value) for name, value in document.items()}
    if isinstance(whole.get("policy"), str):
        whole["policy"] = {"name": whole["policy"]}
    if isinstance(whole.get("arms"), list):
        whole["arms"] = [_arm(place, arm) for place, arm in enumerate(whole["arms"])]
    return whole


def _check_text(name: str, value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Invalid.field(name, "holds half a surrogate pair, which is no text") from None
    except RecursionError:
        raise Invalid.field(name, "is nested too deeply") from None


def _arm(place: int, arm: object) -> object:
    if isinstance(arm, str):
        return {"id": arm}
    if not isinstance(arm, Mapping | list):
        raise Invalid.field(f"arms[{place}]", wrong_type("text, or an object with an id", arm))
    return arm


def _whole(value: Any) -> Any:  # noqa: ANN401 (plain JSON data)
    """Take 3.0 for 3: JSON has one kind of number, and JSON Schema calls both an integer."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case dict():
            return {name: _whole(each) for name, each in value.items()}
        case list():
            return [_whole(each) for each in value]
        case _:
            return value
