"""From the bytes of a body to a request, or to the field that is wrong in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, Final, cast

import msgspec

from bandit_core.rules import messages
from bandit_core.rules.problems import Invalid

LONGEST_PATH: Final = 200


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
