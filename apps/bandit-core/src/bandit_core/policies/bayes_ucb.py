"""Optimism: the arm whose rate may be the highest, judged by an upper posterior quantile."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bandit_core.checks import check_number
from bandit_core.policies.base import ArmBeliefs, Proposal, share_among
from bandit_core.policies.registry import register


@register
@dataclass(frozen=True, slots=True)
class BayesUCB:
    """All weight goes to the arm with the highest upper quantile of its posterior; arms that tie split it.

    Kaufmann, Cappé and Garivier 2012, "On Bayesian upper confidence bounds for bandit problems", algorithm 1: in round
    t the level of the quantile is 1 - 1/(t log(n)^c); their proof asks for c >= 5, practice takes c = 0. So
    `level=None` (default) uses 1 - 1/(1 + t), t = sum of alpha + beta over the arms: the evidence the beliefs carry,
    prior included, which stays meaningful under decay, where old rounds stop counting. A `level` in [0.5, 1) is used
    as it is.
    """

    name: ClassVar[str] = "bayes_ucb"
    title: ClassVar[str] = "Bayes-UCB"

    level: float | None = None

    def __post_init__(self) -> None:
        if self.level is not None:
            check_number("bayes_ucb: level", self.level, low=0.5, high=float(np.nextafter(1.0, 0.0)))

    def propose(self, beliefs: ArmBeliefs) -> Proposal:
        # The complement of the level, because 1 - level would lose the digits that matter next to 1.
        upper = beliefs.upper_quantile(self._tail(beliefs))
        return Proposal(share_among(upper == upper.max()), {"upper_quantile": upper})

    def _tail(self, beliefs: ArmBeliefs) -> float:
        if self.level is not None:
            return 1.0 - self.level
        return 1.0 / (1.0 + beliefs.evidence)
