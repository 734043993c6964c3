"""From a context to the posteriors it selects.

A context here is a label, not a feature vector: each combination of values of the declared keys has posteriors of its
own, which learn nothing from each other. Keys that are not declared are ignored. Values are hashed, so the store holds
none of them; the same values always lead to the same posteriors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from bandit_sdk.plain import plain

type Feature = str | bool | int | float
type Context = Mapping[str, Feature]

SHARED = ""
"""The state of a learner that declares no keys."""


def state_of(keys: Sequence[str], context: Context | None) -> str:
    """Return the name of the posteriors that a context selects by these keys.

    Raises:
        ValueError: a declared key is missing, or its value is no text, flag or finite number.
    """
    if not keys:
        return SHARED
    given = context or {}
    missing = [key for key in keys if key not in given]
    if missing:
        raise ValueError(f"the context must hold {', '.join(missing)}: LearnerConfig.context_keys declares it")
    values = [[key, _plain(key, given[key])] for key in sorted(keys)]
    return blake2b(json.dumps(values, separators=(",", ":")).encode(), digest_size=16).hexdigest()


def _plain(key: str, value: object) -> Feature:
    value = plain(value)
    match value:
        case str() | bool() | int():
            return value
        case float() if math.isfinite(value):
            # 3.0 and 3 are one number, however they arrive.
            return int(value) if value.is_integer() else value
    raise ValueError(f"the context's {key} must be text, a flag or a finite number, got {value!r}")
