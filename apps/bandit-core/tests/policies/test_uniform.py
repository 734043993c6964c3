"""The uniform split."""

import numpy as np

from bandit_core.policies.base import Beliefs
from bandit_core.policies.uniform import Uniform


def test_every_arm_gets_the_same_whatever_the_data_say() -> None:
    beliefs = Beliefs(("a", "b", "c", "d"), np.array([1.0, 900.0, 5.0, 20.0]), np.array([9.0, 100.0, 5.0, 1.0]))
    assert Uniform().propose(beliefs).weights.tolist() == [0.25, 0.25, 0.25, 0.25]
