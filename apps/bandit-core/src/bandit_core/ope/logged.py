"""Logged decisions: which arm was played, with which probability, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.checks import check_whole
from bandit_core.ope.columns import FrameColumns, as_numbers

type Floats = NDArray[np.float64]
type Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LoggedDecisions:
    """n >= 1 decisions of a logging policy, in the order in which they were made, as read-only arrays.

    arms (n,) are whole numbers in [0, n_arms); rewards (n,) are finite; propensities (n,) in (0, 1] are the probability
    with which the logging policy chose the arm it chose. ValueError names the first row that breaks this.

    positions (n,), where given, are whole numbers in [0, n_positions): the place on the page this row's decision was
    made for. Several decisions made at once are several rows: the independent-position model, in which a reward depends
    on the arm in its own position only (Saito, Aihara, Matsutani and Narita 2021, "Open Bandit Dataset and Pipeline").
    contexts (n, d), where given, are finite features known before each decision.

    arm_names (n_arms,), where given, are what the arms are called, in the order of their numbers.

    `adaptive` says that the logging policy learned from the rewards of this same log. Its propensities then depend on
    earlier rewards: rows are not independent, and what supposes that they are refuses or warns.
    """

    arms: Whole
    rewards: Floats
    propensities: Floats
    n_arms: int
    positions: Whole | None = None
    n_positions: int = 1
    contexts: Floats | None = None
    adaptive: bool = False
    arm_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_whole("n_arms", self.n_arms, low=1)
        check_whole("n_positions", self.n_positions, low=1)
        if self.arm_names is not None and (len(set(self.arm_names)), len(self.arm_names)) != (self.n_arms, self.n_arms):
            raise ValueError(f"arm_names must be {self.n_arms} different names, got {list(self.arm_names)}")
        n = np.size(self.arms)
        if n == 0:
            raise ValueError("a log needs at least one decision, got none")
        self._keep("arms", _indices("arms", self.arms, n, self.n_arms))
        self._keep("rewards", _numbers("rewards", self.rewards, (n,)))
        propensities = _numbers("propensities", self.propensities, (n,))
        _check_rows("propensities", propensities, (propensities > 0.0) & (propensities <= 1.0), "in (0, 1]")
        self._keep("propensities", propensities)
        if self.positions is not None:
            self._keep("positions", _indices("positions", self.positions, n, self.n_positions))
        elif self.n_positions > 1:
            raise ValueError(f"a log of {self.n_positions} positions needs the position of every row")
        if self.contexts is not None:
            shape = np.shape(self.contexts)
            if len(shape) != 2 or shape[0] != n:
                raise ValueError(f"contexts must have shape ({n}, d), got {shape}")
            self._keep("contexts", _numbers("contexts", self.contexts, shape))

    def __len__(self) -> int:
        return len(self.arms)

    def rows(self, chosen: slice | NDArray[Any]) -> Self:
        """Return the log of the chosen rows: a slice, a mask (n,) or row numbers; at least one."""
        return type(self)(
            arms=self.arms[chosen],
            rewards=self.rewards[chosen],
            propensities=self.propensities[chosen],
            n_arms=self.n_arms,
            positions=None if self.positions is None else self.positions[chosen],
            n_positions=self.n_positions,
            contexts=None if self.contexts is None else self.contexts[chosen],
            adaptive=self.adaptive,
            arm_names=self.arm_names,
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,  # noqa: ANN401 - polars or pandas
        *,
        n_arms: int | None = None,
        n_positions: int | None = None,
        contexts: Sequence[str] = (),
        adaptive: bool = False,
        arm_names: Sequence[str] | None = None,
    ) -> Self:
        """Return the log in the columns arm, reward, propensity, and position where there is one, of polars or pandas.

        Arms and positions count from 0. `n_arms` and `n_positions` are one more than the largest in the frame unless
        given; `contexts` names the feature columns. Arms may be names instead: they are numbered in the order of
        `arm_names`, which is that of the names' characters unless given. ValueError names a missing column, or a null
        with its row.
        """
        columns = FrameColumns(frame)
        positioned = "position" in columns
        for name in ("arm", "reward", "propensity", *(["position"] if positioned else []), *contexts):
            _check_complete(name, columns.missing(name))
        if not len(columns):
            raise ValueError("a log needs at least one decision, got an empty frame")
        arms, names = _arms(columns, arm_names, n_arms)
        positions = columns.whole("position") if positioned else None
        return cls(
            arms=arms,
            rewards=columns.numbers("reward"),
            propensities=columns.numbers("propensity"),
            n_arms=(len(names) if names else int(arms.max()) + 1) if n_arms is None else n_arms,
            positions=positions,
            n_positions=n_positions or (1 if positions is None else int(positions.max()) + 1),
            contexts=np.column_stack([columns.numbers(name) for name in contexts]) if contexts else None,
            adaptive=adaptive,
            arm_names=names,
        )

    def _keep(self, name: str, array: NDArray[Any]) -> None:
        view = array.view()
        view.flags.writeable = False
        object.__setattr__(self, name, view)


def _arms(
    columns: FrameColumns, names: Sequence[str] | None, n_arms: int | None
) -> tuple[Whole, tuple[str, ...] | None]:
    """Return the number of the arm in every row, and the arms' names where the column holds names."""
    if names is None and columns.is_numeric("arm"):
        return columns.whole("arm"), None
    texts = columns.texts("arm")
    _check_complete("arm", texts == "")
    if names is None:
        if not any(map(_is_name, np.unique(texts))):
            return columns.whole("arm"), None
        if n_arms is not None:
            raise ValueError(
                f"arm holds names such as {next(filter(_is_name, texts.tolist()))!r}: give arm_names, the names of all "
                f"{n_arms} arms in the order in which the target has them"
            )
        names = np.unique(texts).tolist()
    numbers = {name: number for number, name in enumerate(names)}
    arms = np.array([numbers.get(text, -1) for text in texts.tolist()], dtype=np.int64)
    if (arms < 0).any():
        row = int((arms < 0).argmax())
        raise ValueError(f"arm of row {row} is {str(texts[row])!r}, which is not among {', '.join(names)}")
    return arms, tuple(names)


def _is_name(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return True
    return False


def _check_complete(name: str, missing: NDArray[np.bool_]) -> None:
    if missing.any():
        rows = f"{missing.sum():,} of {len(missing):,} rows"
        raise ValueError(f"{name} of row {missing.argmax()} is null, as in {rows}: leave such rows out")


def _indices(name: str, values: object, n: int, end: int) -> Whole:
    given = np.asarray(values)
    if given.shape != (n,) or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers of shape ({n},), got {given.dtype} of shape {given.shape}")
    _check_rows(name, given, (given >= 0) & (given < end), f"in [0, {end})")
    return np.ascontiguousarray(given, dtype=np.int64)


def _numbers(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    numbers = as_numbers(name, values)
    if numbers.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {numbers.shape}")
    _check_rows(name, numbers, np.isfinite(numbers), "finite")
    return numbers


def _check_rows(name: str, values: NDArray[Any], valid: NDArray[np.bool_], wanted: str) -> None:
    if not valid.all():
        row = int(np.argwhere(~valid)[0, 0])
        raise ValueError(f"{name} must be {wanted}, got {values[row]} in row {row}")
