"""Numbers per arm - an evaluation policy's probabilities, a reward model's means - given once, by position or by round.

One convention for all of them: the last axis is the arms.

    (n_arms,)               the same in every round
    (n_positions, n_arms)   by position, the same in every round
    (n, n_arms)             by round; where rounds have positions, a row belongs to its own round's position

If the log has names of arms, a mapping from names to numbers is accepted as (n_arms,), in any order.

An array (n, n_arms, n_positions), as obp has it, is brought to the last form by `array[np.arange(n), :, positions]`.
Where a log has as many rounds as positions, an array of that shape could be either: an `ArmTable` says which.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.ope.columns import as_numbers
from bandit_core.ope.logged import LoggedDecisions

SUM_TOLERANCE = 1e-6
"""How far the probabilities of one round may add up to something else than 1."""


@dataclass(frozen=True, eq=False)
class ArmTable:
    """values (rows, n_arms): row i belongs to round i where `by_round`, else to position i."""

    values: NDArray[np.float64]
    by_round: bool

    def rounds(self, chosen: slice) -> "ArmTable":
        """Return the table of the chosen rounds."""
        return ArmTable(self.values[chosen], by_round=True) if self.by_round else self


type ArmValues = ArrayLike | ArmTable | Mapping[str, float]


def arm_table(name: str, values: ArmValues, log: LoggedDecisions) -> ArmTable:
    """Return the table of any of the three shapes; ValueError, naming the parameter, for another or an unclear one."""
    if isinstance(values, ArmTable):
        return _checked(name, values, log)
    given = as_numbers(name, _in_order(name, values, log) if isinstance(values, Mapping) else values)
    n, positions, arms = len(log), log.n_positions, log.n_arms
    if given.shape == (arms,):
        return ArmTable(np.tile(given, (positions, 1)), by_round=False)
    if given.shape == (n, arms) == (positions, arms) and positions > 1:
        raise ValueError(
            f"{name} of shape {given.shape} could be by round or by position in a log of {n} rounds and as many "
            "positions: pass ArmTable(values, by_round=…)"
        )
    by_round = given.shape == (n, arms)
    if by_round or given.shape == (positions, arms):
        return ArmTable(given, by_round=by_round)
    shapes = [f"({arms},)", *([f"({positions}, {arms})"] if positions > 1 else []), f"({n}, {arms})"]
    raise ValueError(f"{name} must have shape {' or '.join(shapes)}, arms last, got {given.shape}")


def _checked(name: str, table: ArmTable, log: LoggedDecisions) -> ArmTable:
    shape = (len(log) if table.by_round else log.n_positions, log.n_arms)
    if table.values.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, arms last, got {table.values.shape}")
    return ArmTable(as_numbers(name, table.values), table.by_round)


def _in_order(name: str, values: Mapping[str, float], log: LoggedDecisions) -> list[float]:
    """Return the numbers of a mapping in the order of the log's arms."""
    if log.arm_names is None:
        raise ValueError(f"{name} names arms, but the log numbers them: give the numbers in the order of the arms")
    if differing := set(values).symmetric_difference(log.arm_names):
        raise ValueError(f"{name} must name every arm of the log and no other; {min(differing)!r} is not in both")
    return [values[arm] for arm in log.arm_names]
