"""What is asked of bandit-service, and what its answers mean. No I/O, and nothing of Seldon."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from bandit_sdk import Selection
from bandit_sdk.requests import SelectOptions

# A caller's own ids, and the prefix that the service keeps for the ids it signs.
_OWN_ID = re.compile(r"(?!d1\.)[A-Za-z0-9._:-]{1,128}")
_LONGEST_UNIT_ID = 256
# Above this a float stands for several whole numbers.
_WHOLE = 2.0**53


class Default(StrEnum):
    """Why the default arm serves a request."""

    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    OUT_OF_RANGE = "out_of_range"


def decision_id(puid: str) -> str:
    """Return the decision's id for a prediction's id: itself, or its hash if the service would not take it."""
    if _OWN_ID.fullmatch(puid):
        return puid
    return f"puid-{blake2b(puid.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"


def select_options(
    *, puid: str | None, unit_id: str | None = None, context: dict[str, Any] | None = None
) -> SelectOptions:
    """Return what is said about a selection. Without a prediction's id the service makes up the decision's id."""
    options: SelectOptions = {}
    if puid is not None:
        options["decision_id"] = decision_id(puid)
    if unit_id is not None:
        options["unit_id"] = unit_id
    if context is not None:
        options["context"] = context
    return options


def unit_of(tag: object) -> str | None:
    """Return the unit that a tag names, which arrives as a float where it is a whole number; None without one.

    Raises:
        ValueError: the tag is something else.
    """
    if tag is None or tag == "":
        return None
    if isinstance(tag, int | float) and not isinstance(tag, bool) and abs(tag) < _WHOLE and tag == int(tag):
        return str(int(tag))
    if not isinstance(tag, str) or len(tag) > _LONGEST_UNIT_ID:
        raise ValueError(f"must be text of at most {_LONGEST_UNIT_ID} characters or a whole number, got {tag!r:.100}")
    return tag


def branch_of(selection: Selection, branches: int) -> int | Default:
    """Return the child that a selection names, in 0 to `branches` - 1, or why there is none."""
    index = selection.arm_index
    return index if index is not None and 0 <= index < branches else Default.OUT_OF_RANGE


def context_of(features: object, names: Sequence[str]) -> dict[str, Any] | None:
    """Return one request's features by name, from a JSON object or a single row; None if they are anything else."""
    if isinstance(features, Mapping):
        return {str(name): value for name, value in features.items()}
    if not isinstance(features, list):
        return None
    row = features[0] if len(features) == 1 and isinstance(features[0], list) else features
    if not names or len(row) != len(names) or any(isinstance(value, list) for value in row):
        return None
    return dict(zip(names, row, strict=True))
