"""Packed arrays are what Postgres and its client library make of the same values."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit_service.ledger.arrays import (
    BIGINT,
    BOOL,
    FLOAT,
    HEX_BYTEA,
    INT,
    MILLISECONDS,
    SMALLINT,
    TEXT,
    ElementType,
    packed,
)
from bandit_service.ledger.pool import Pool

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_YEAR_9999 = 253_402_300_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _as_is(value: Any) -> Any:
    return value


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


# What is packed, and the type and value that psycopg dumps for the same.
CASES = {
    "text": (TEXT, _TEXTS, "text[]", _as_is),
    "bytea": (HEX_BYTEA, st.binary(max_size=20).map(bytes.hex), "bytea[]", bytes.fromhex),
    "int2": (SMALLINT, _integers(16), "int2[]", _as_is),
    "int4": (INT, _integers(32), "int4[]", _as_is),
    "int8": (BIGINT, _integers(64), "int8[]", _as_is),
    "float8": (FLOAT, st.floats(allow_nan=False), "float8[]", _as_is),
    "bool": (BOOL, st.booleans(), "bool[]", _as_is),
    "timestamptz": (MILLISECONDS, st.integers(0, _YEAR_9999), "timestamptz[]", _moment),
}
Case = tuple[ElementType, st.SearchStrategy[Any], str, Any]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_packed_array_is_what_the_client_library_makes_of_the_same_list(pool: Pool, case: Case) -> None:
    kind, values, name, of = case
    examples: list[list[Any]] = []

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.none() | values, max_size=10))
    def collect(example: list[Any]) -> None:
        examples.append(example)

    collect()
    async with pool.connection() as connection:
        for example in examples:
            same = [None if value is None else of(value) for value in example]
            comparison = f"SELECT %s IS NOT DISTINCT FROM %s::{name}".encode()  # noqa: S608 (a type named above)
            cursor = await connection.execute(comparison, [packed(kind, example), same])
            assert await cursor.fetchone() == (True,), example


@pytest.mark.parametrize(("kind", "value"), [(SMALLINT, 2**15), (INT, -(2**31) - 1), (BIGINT, 2**63)])
def test_a_number_outside_its_type_is_told_before_it_is_sent(kind: ElementType, value: int) -> None:
    with pytest.raises(struct.error):
        packed(kind, [0, value])
