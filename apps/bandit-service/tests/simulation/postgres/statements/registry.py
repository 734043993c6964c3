"""Which text is which statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from bandit_service.ledger.pool import numbered_statement, statement


class Result(NamedTuple):
    """What a statement returns; `rows` is None for one that returns none."""

    rows: Sequence[tuple[Any, ...]] | None
    rowcount: int
    columns: tuple[str, ...] = ()


class UnmodelledStatementError(NotImplementedError):
    """The simulated Postgres has no model of a statement."""


class Model(NamedTuple):
    """A statement.

    Attributes:
        name: Of its file, or its text.
        run: Does it: given a transaction and the parameters, it returns rows, the number of rows that it changed, or
            steps that return one of these. The steps begin with everything that the statement reads, because that is
            read as of its beginning; then they yield once, and write, and wait.
        writes: Whether a read-only server refuses it.
        columns: The names of what it returns, where somebody asks for them.
        names: Of the parameters, for those who give them as a list.
    """

    name: str
    run: Callable[[Any, Mapping[str, Any]], Any]
    writes: bool
    columns: tuple[str, ...]
    names: tuple[str, ...]

    def named(self, parameters: Mapping[str, Any] | Sequence[Any] | None) -> Mapping[str, Any]:
        if parameters is None:
            return {}
        # Asking whether something is a Mapping costs more than many a statement.
        if isinstance(parameters, dict):
            return parameters
        return dict(zip(self.names, parameters, strict=True))

    def result(self, found: Any) -> Result:
        if isinstance(found, Result):
            return found
        if isinstance(found, int):
            return Result(None, found)
        return Result(found, len(found), self.columns)


_models: dict[str, Model] = {}

type _Function = Callable[..., Any]


def model_of(text: str) -> Model:
    """Return the model of a statement.

    Raises:
        UnmodelledStatementError: it has none.
    """
    found = _models.get(text)
    if found is None:
        raise UnmodelledStatementError(f"the simulated Postgres has no model of {_name_of(text)}")
    return found


def models(name: str, *, writes: bool = False, columns: tuple[str, ...] = ()) -> Callable[[_Function], _Function]:
    """Make a function the model of a named statement."""
    numbered = numbered_statement(name)

    def register(function: _Function) -> _Function:
        model = Model(name, function, writes, columns, numbered.names)
        _models[statement(name)] = _models[numbered.text] = model
        return function

    return register


def models_text(text: str, *names: str, writes: bool = False) -> Callable[[_Function], _Function]:
    """Make a function the model of a statement that has no name, given the names of its parameters."""

    def register(function: _Function) -> _Function:
        _models[text] = Model(text, function, writes, (), names)
        return function

    return register


def _name_of(text: str) -> str:
    for file in files("bandit_service.ledger.sql").iterdir():
        name = file.name.removesuffix(".sql")
        if file.name.endswith(".sql") and text in (statement(name), numbered_statement(name).text):
            return f"the statement {name}"
    return repr(text)
