"""From an HTTP answer to a typed result, or to the exception it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import httpx
import msgspec

from bandit_sdk.errors import BanditError, Problem, UnexpectedAnswerError, error_for
from bandit_sdk.plain import as_text
from bandit_sdk.results import BatchItem

_NAMES: Final = ("experiment_id", "decision_id")
_decode_problem = msgspec.json.Decoder(Problem).decode


class _RawItem(msgspec.Struct, frozen=True):
    status: int
    result: msgspec.Raw = msgspec.Raw()  # empty if there is none
    problem: Problem | None = None


class _RawBatch(msgspec.Struct, frozen=True):
    items: list[_RawItem]


def is_success(response: httpx.Response) -> bool:
    return 200 <= response.status_code < 300


def error_in(response: httpx.Response) -> BanditError:
    """Return the exception for an answer that is no success."""
    status = response.status_code
    try:
        problem = _decode_problem(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # A proxy in between describes its errors in its own way.
        problem = Problem(status=status, title=response.reason_phrase)
    if status < 400:
        return UnexpectedAnswerError(f"bandit-service does not answer {status}: check the URL")
    return error_for(msgspec.structs.replace(problem, status=status))


def decoder[T](kind: type[T]) -> Callable[[bytes], T]:
    """Return a function that decodes an answer's body.

    It raises UnexpectedAnswerError for what is no answer of that kind.
    """
    decode = msgspec.json.Decoder(kind).decode

    def parse(content: bytes) -> T:
        try:
            return decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"the answer is not one of bandit-service ({error}): check the URL, and the versions of both"
            raise UnexpectedAnswerError(message) from None

    return parse


def answer_to[T](asked: Mapping[str, Any], parse: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """Return a function that decodes the answer to a request, and refuses what names another experiment or decision.

    Such an answer comes where connections or caches are shared by mistake: it must not be taken for one's own.
    """

    def checked(content: bytes) -> T:
        result = parse(content)
        for name in _NAMES:
            sent, named = asked.get(name), getattr(result, name, None)
            if sent is not None and named is not None and as_text(sent) != named:
                raise UnexpectedAnswerError(f"the answer has another {name} than the request: it is for another one")
        return result

    return checked


def batch_decoder[T](kind: type[T], asked: Sequence[Mapping[str, Any]]) -> Callable[[bytes], list[BatchItem[T]]]:
    """Return a function that decodes the answer to a batch of these items, item by item."""
    parse, parse_item = decoder(_RawBatch), decoder(kind)

    def item(raw: _RawItem, of: Mapping[str, Any]) -> BatchItem[T]:
        if content := bytes(raw.result):
            return BatchItem(result=answer_to(of, parse_item)(content))
        return BatchItem(error=error_for(raw.problem or Problem(status=raw.status)))

    def parse_all(content: bytes) -> list[BatchItem[T]]:
        items = parse(content).items
        if len(items) != len(asked):
            raise UnexpectedAnswerError(f"{len(asked)} items were sent, and {len(items)} answered")
        return [item(raw, of) for raw, of in zip(items, asked, strict=True)]

    return parse_all
