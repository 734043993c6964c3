"""From an HTTP answer to a typed result, or to the exception it stands for."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import msgspec

from bandit_sdk.errors import BanditError, Problem, UnexpectedAnswerError, error_for
from bandit_sdk.results import BatchItem

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


def batch_decoder[T](kind: type[T], number: int) -> Callable[[bytes], list[BatchItem[T]]]:
    """Return a function that decodes the answer to a batch of that many items, item by item."""
    parse, parse_item = decoder(_RawBatch), decoder(kind)

    def item(raw: _RawItem) -> BatchItem[T]:
        if content := bytes(raw.result):
            return BatchItem(result=parse_item(content))
        return BatchItem(error=error_for(raw.problem or Problem(status=raw.status)))

    def parse_all(content: bytes) -> list[BatchItem[T]]:
        items = parse(content).items
        if len(items) != number:
            raise UnexpectedAnswerError(f"{number} items were sent, and {len(items)} answered")
        return [item(raw) for raw in items]

    return parse_all
