"""Uniform numbers come from the Generator that was passed in, each used once."""

import numpy as np

from bandit_service.serving.uniform_stream import UniformStream


def test_every_number_of_the_generator_is_used_once() -> None:
    uniforms = UniformStream(np.random.default_rng(1), block=8)
    expected = np.random.default_rng(1).random(24)
    assert sorted(uniforms.next() for _ in range(24)) == sorted(expected.tolist())


def test_they_lie_in_the_half_open_unit_interval() -> None:
    uniforms = UniformStream(np.random.default_rng(2))
    assert all(0.0 <= uniforms.next() < 1.0 for _ in range(10_000))
