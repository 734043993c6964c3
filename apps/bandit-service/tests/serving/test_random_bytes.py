"""Random bytes come from the source, in order, each once."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from bandit_service.serving.random_bytes import RandomBytesPool

BLOCK = 16


@given(st.lists(st.integers(1, BLOCK), max_size=12))
def test_no_byte_is_handed_out_twice(sizes: list[int]) -> None:
    numbers = count()
    entropy = RandomBytesPool(lambda size: bytes(next(numbers) for _ in range(size)), block=BLOCK)
    taken = [entropy.take(size) for size in sizes]
    assert [len(each) for each in taken] == sizes
    handed_out = list(b"".join(taken))
    assert len(set(handed_out)) == len(handed_out)


def test_the_source_is_asked_for_a_block_at_a_time() -> None:
    asked: list[int] = []

    def source(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    entropy = RandomBytesPool(source, block=BLOCK)
    for _ in range(5):
        entropy.take(4)
    assert asked == [BLOCK, BLOCK]
    assert RandomBytesPool(source, block=BLOCK).name() == "0" * 16
