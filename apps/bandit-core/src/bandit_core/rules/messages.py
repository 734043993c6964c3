"""What the validation libraries say about a request, in words for the person who sent it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from bandit_core.rules.names import in_words

_QUOTE_IT: Final = "; put it in quotes"
_KINDS: Final = {
    "str": "text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_EXPECTED: Final = {
    "string_type": "text",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
NOT_JSON: Final = "must be a JSON object, sent with Content-Type: application/json"
_BEGINNINGS: Final = ("Input should", "String should", "List should", "Dictionary should")
_PLACE: Final = re.compile(r" - at (?:`(?:key|\.\.\.)` in )?`\$(?P<path>.*)`$", re.DOTALL)
_WRONG_TYPE: Final = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`")
_PATTERN: Final = re.compile(r"Expected `str` matching regex (?P<pattern>'.*'|\".*\")", re.DOTALL)
_BOUND: Final = re.compile(r"Expected `(?P<kind>\w+)` (?P<length>of length )?(?P<sign>>=|<=|>|<) (?P<bound>\S+)")
_FIELD: Final = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_ENTRY: Final = re.compile(r"(?P<field>\w+)\[(?P<number>\d+)\]")
_SIGNS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_UNITS: Final = {"str": " characters", "array": " entries", "object": " entries"}


def of_pydantic(found: Mapping[str, Any]) -> str:
    """Return what is wrong with a field by an error of pydantic."""
    kind, value = str(found["type"]), found.get("input")
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "unknown field"
    if kind == "string_pattern_mismatch":
        return in_words(found["ctx"]["pattern"])
    if kind == "literal_error":
        return f"must be {found['ctx']['expected']}"
    if kind in ("model_attributes_type", "model_type") and len(found["loc"]) == 1:
        return NOT_JSON
    if kind in _EXPECTED:
        return wrong_type(_EXPECTED[kind], value)
    message = str(found["msg"]).removeprefix("Value error, ")
    if not message.startswith(_BEGINNINGS):
        return message
    return "must" + message.partition(" should")[2].partition(" after validation")[0]


def wrong_type(expected: str, value: object) -> str:
    """Return that a value is not what is expected of it."""
    hint = _QUOTE_IT if "text" in expected and isinstance(value, int | float) else ""
    return f"must be {expected}, not {kind_of(value)}{hint}"


def listed(values: Sequence[str]) -> str:
    """Return values in quotes, as a sentence lists them."""
    quoted = [f"'{value}'" for value in values]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}" if len(quoted) > 1 else "".join(quoted)


def kind_of(value: object) -> str:
    """Return what kind of JSON value this is. The value itself may be a secret, so no message repeats it."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "an object"
        case _:
            return "an array"


def of_msgspec(error: msgspec.ValidationError, document: object, accepts: Callable[[object], bool]) -> tuple[str, str]:
    """Return the field that an error of msgspec is about, and what is wrong with it.

    Args:
        error: As it was raised for the document.
        document: Plain JSON data.
        accepts: Whether another document would be decoded.
    """
    text = str(error)
    place = _PLACE.search(text)
    message, path = (text[: place.start()], place["path"].removeprefix(".")) if place else (text, "")
    field = _FIELD.fullmatch(message)
    if field is not None:
        name = f"{path}.{field['name']}" if path else field["name"]
        return name, "is required" if field["what"].startswith("missing") else "unknown field"
    entries = path.removesuffix("[...]")
    if entries != path or (place is not None and "`key` in" in place[0]):
        path = _wrong_entry(entries, document, accepts)
    return path or "body", _reworded(message, _value_at(path, document))


def _wrong_entry(field: str, document: object, accepts: Callable[[object], bool]) -> str:
    """Return the path of the entry that is wrong. msgspec names only the object, so each entry is tried alone."""
    entries = _value_at(field, document)
    if isinstance(document, dict) and isinstance(entries, dict) and field in document:
        for key, value in entries.items():
            if not accepts(document | {field: {key: value}}):
                return f"{field}.{key}"
    return field


def _value_at(path: str, document: object) -> object:
    """Return the value at a path such as `context.age` or `eligible_arms[2]`; the innermost one there is."""
    field, _, name = path.partition(".")
    place = _ENTRY.fullmatch(field)
    if place is not None:
        return _entry(_entry(document, place["field"]), int(place["number"]))
    value = _entry(document, field)
    return _entry(value, name) if name else value


def _entry(container: object, key: str | int) -> object:
    match container, key:
        case dict(), _ if key in container:
            return container[key]
        case list(), int() if key < len(container):
            return container[key]
        case _:
            return container


def _reworded(message: str, value: object) -> str:
    if found := _WRONG_TYPE.fullmatch(message):
        kinds = [kind.strip() for kind in found["expected"].split("|")]
        wanted = [_KINDS.get(kind, kind) for kind in kinds if kind != "null"]
        return wrong_type(" or ".join(wanted), value)
    if found := _PATTERN.fullmatch(message):
        return in_words(found["pattern"][1:-1].replace("\\\\", "\\"))
    if message.endswith("of length >= 1"):
        return "must not be empty"
    if found := _BOUND.fullmatch(message):
        verb, unit = ("must have", _UNITS.get(found["kind"], "")) if found["length"] else ("must be", "")
        return f"{verb} {_SIGNS[found['sign']]} {found['bound'].removesuffix('.0')}{unit}"
    return message
