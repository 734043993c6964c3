"""What hostile and careless clients send: bytes, JSON of any shape, and requests that are almost right."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

type Bodies = st.SearchStrategy[bytes]

_TEXT = st.text(max_size=12) | st.sampled_from(["", "\x00", "\ud800", "a" * 300, "../..", "💥", "null", "d1.AAAA"])
_NUMBERS = st.integers() | st.floats() | st.sampled_from([-0.0, 1e-7, 0.9999999, 1.0000001, 2**53 + 1, 10**400, 1e308])
SCALARS = st.none() | st.booleans() | _NUMBERS | _TEXT
JSON = st.recursive(
    SCALARS,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(_TEXT, values, max_size=4),
    max_leaves=10,
)
FIELDS = (
    "experiment_id",
    "arm",
    "reward",
    "outcome",
    "reward_id",
    "decision_id",
    "unit_id",
    "defer_activation",
    "items",
    "context",
    "k",
    "eligible_arms",
    "exclude_arms",
    "position",
)


@st.composite
def nearly(draw: st.DrawFn, valid: dict[str, Any]) -> dict[str, Any]:
    """Draw a request with a field too many, too few or of the wrong kind; sometimes one with nothing wrong."""
    body = dict(valid)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from((*valid, *FIELDS)))
        match draw(st.sampled_from(["drop", "change", "misname"])):
            case "drop":
                body.pop(name, None)
            case "change":
                body[name] = draw(JSON)
            case _:
                body[draw(_TEXT)] = body.pop(name, None)
    return body


@st.composite
def mangled(draw: st.DrawFn, body: Any) -> bytes:
    """Draw the encoding of a body, in one piece, cut off, with a byte changed or something behind it."""
    text = json.dumps(body).encode()
    match draw(st.sampled_from(["whole", "whole", "cut", "changed", "longer"])):
        case "cut":
            return text[: draw(st.integers(0, len(text)))]
        case "changed":
            at = draw(st.integers(0, len(text) - 1))
            return text[:at] + bytes([draw(st.integers(0, 255))]) + text[at + 1 :]
        case "longer":
            return text + draw(st.binary(max_size=5))
        case _:
            return text


def bodies(valid: dict[str, Any]) -> Bodies:
    """Return a strategy for bodies around a valid one."""
    requests = nearly(valid)
    batches = st.lists(requests | JSON, max_size=4).map(lambda items: {"items": items})
    return st.binary(max_size=60) | (requests | batches | JSON).flatmap(mangled)
