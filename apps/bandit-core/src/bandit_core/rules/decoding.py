"""From the bytes of a body to a request, or to the field that is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any, Final, cast

import msgspec
from msgspec import inspect

from bandit_core.rules import messages
from bandit_core.rules.problems import FieldError, Invalid

LONGEST_PATH: Final = 200
MOST_FIELD_ERRORS: Final = 20


def decode_document[T: msgspec.Struct](kind: type[T], document: dict[str, Any]) -> T:
    """Return a plain document as a value, or raise Invalid naming every field that is wrong."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError:
        errors = list(_wrong_fields(kind, document))[:MOST_FIELD_ERRORS]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Invalid(f"{errors[0].field}: {errors[0].message}{more}", errors=errors) from None


def _wrong_fields(kind: type[msgspec.Struct], document: dict[str, Any]) -> Iterator[FieldError]:
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    for name, field in known.items():
        if name not in document:
            if field.required:
                yield FieldError(name, "is required")
            continue
        alone = msgspec.defstruct("Alone", [(name, field.type)])
        try:
            msgspec.convert({name: document[name]}, alone)
        except msgspec.ValidationError as error:
            path, message = messages.of_msgspec(error, {name: document[name]}, partial(_accepts, alone))
            if message.startswith("Invalid enum value"):
                message = "must be " + messages.listed(
                    _choices(inspect.type_info(alone), re.split(r"\[\d+\]\.|\.", path))
                )
            yield FieldError(_shortened(path), _shortened(message))
    for name in document.keys() - known.keys():
        yield FieldError(_shortened(name), "unknown field")


def _choices(kind: inspect.Type, steps: Sequence[str]) -> Sequence[str]:
    """Return the values that a type allows at a place in it."""
    match kind:
        case inspect.Metadata(type=inner):
            return _choices(inner, steps)
        case inspect.UnionType(types=types):
            return next((found for each in types if (found := _choices(each, steps))), ())
        case inspect.VarTupleType(item_type=item):
            return _choices(item, steps)
        case inspect.StructType(fields=fields) if steps:
            return next((_choices(each.type, steps[1:]) for each in fields if each.encode_name == steps[0]), ())
        case inspect.LiteralType(values=values) if not steps:
            return [str(value) for value in values]
        case _:
            return ()


def decode_item[T: msgspec.Struct](kind: type[T], raw: Sequence[int]) -> T:
    """Return a request body, or raise Invalid naming the field that is wrong."""
    try:
        try:
            return cast("T", _decoder(kind).decode(cast("bytes", raw)))
        except msgspec.ValidationError as error:
            # Behind the wrong field there may be no JSON.
            document = msgspec.json.decode(cast("bytes", raw))
            name, message = messages.of_msgspec(error, document, partial(_accepts, kind))
            raise Invalid.field(_shortened(name), _shortened(message)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid.field("body", f"not valid JSON: {error}") from None
    except RecursionError:
        raise Invalid.field("body", "is nested too deeply") from None


@cache
def _decoder(kind: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _shortened(text: str) -> str:
    # A client may send a field name of any length.
    return text if len(text) <= LONGEST_PATH else text[:LONGEST_PATH] + "…"


def _accepts(kind: type[msgspec.Struct], document: object) -> bool:
    try:
        msgspec.convert(document, kind)
    except msgspec.ValidationError:
        return False
    return True
