"""Every setting of every part, as docs/settings.md shows it: read from the code, so that none is missing.

Usage: python -m studies.settings_table, which writes the page to standard output.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bandit_local.cli import app as bandit_local
from bandit_pipeline.resources import VARIABLES
from bandit_router.parameters import Parameters
from bandit_sdk.ctl.app import app as banditctl
from bandit_service.cli import app as bandit_service
from bandit_service.settings import PREFIX, Settings

_NAMES: Final = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "Path": "path",
    "path": "path",
    "list[str]": "texts",
}
_BOUNDS: Final = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "min_length": "characters: at least"}
_INTRODUCTION: Final = """# Settings

Written by `make schema` from the code. Variables are read when a program starts. An option given on the command line
comes before its variable.
"""


class Setting(NamedTuple):
    """One setting: its name, what it may be, what it is if it is not set, and what it is for."""

    name: str
    kind: str
    default: str
    meaning: str


def page() -> str:
    """Return the page as Markdown."""
    tables = {
        "bandit-service": ("Environment variables of `bandit-service serve`.", list(_service())),
        "Commands of bandit-service": ("Options that are also variables.", list(_variables(bandit_service))),
        "Pipeline": ("Environment variables of the Dagster code location.", list(_pipeline())),
        "Router": ("Parameters of the node in a SeldonDeployment; `BANDIT_API_KEY` is its API key.", list(_router())),
        "banditctl and bandit-mcp": ("Options of both; of banditctl before the command.", list(_variables(banditctl))),
        "bandit-local": ("Options of `bandit-local run` and `bandit-local pipeline`.", list(_options(bandit_local))),
    }
    sections = [f"## {title}\n\n{text}\n\n{_table(settings)}" for title, (text, settings) in tables.items()]
    return "\n".join([_INTRODUCTION, *sections])


def _table(settings: list[Setting]) -> str:
    rows = [("setting", "value", "default", "what it is for"), ("---",) * 4, *settings]
    return "".join(f"| {' | '.join(cell.replace('|', '\\|') for cell in row)} |\n" for row in rows)


def _service() -> Iterator[Setting]:
    for name, field in Settings.model_fields.items():
        kind = " ".join([_kind(field.annotation), *_bounds(field)])
        default = "required" if field.default is PydanticUndefined else _shown(field.default)
        yield Setting(f"`{PREFIX}{name.upper()}`", kind, default, field.description or "")


def _bounds(field: FieldInfo) -> Iterator[str]:
    for each in field.metadata:
        for name, words in _BOUNDS.items():
            if (bound := getattr(each, name, None)) is not None:
                yield f"{words} {bound:,}"


def _kind(annotation: Any) -> str:  # noqa: ANN401 (a type as it was written)
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if annotation is SecretStr:
        return "secret text"
    if parts := [each for each in get_args(annotation) if each is not type(None)]:
        return ", ".join(_kind(each) if isinstance(each, type) else str(each) for each in parts)
    return _NAMES[annotation.__name__]


def _pipeline() -> Iterator[Setting]:
    for name, (default, meaning) in VARIABLES.items():
        yield Setting(f"`{name}`", "text", _shown(default), meaning)


def _router() -> Iterator[Setting]:
    described = inspect.getdoc(Parameters) or ""
    for field in fields(Parameters):
        meaning = re.search(rf"^    {field.name}: (.*)\.$", described, re.MULTILINE)
        default = "required" if field.default is MISSING else _shown(field.default)
        yield Setting(
            f"`{field.name}`", _kind(get_type_hints(Parameters)[field.name]), default, meaning[1] if meaning else ""
        )


def _variables(app: typer.Typer) -> Iterator[Setting]:
    """Return the options of a program that are environment variables as well, each once."""
    seen = set()
    for option in _parameters(typer.main.get_command(app)):
        if isinstance(option.envvar, str) and option.envvar not in seen:
            seen.add(option.envvar)
            yield Setting(
                f"`{option.envvar}`, `{option.opts[0]}`", _option_kind(option), _default(option), option.help or ""
            )


def _options(app: typer.Typer) -> Iterator[Setting]:
    seen = set()
    for option in _parameters(typer.main.get_command(app)):
        if option.opts[0] not in seen and option.name != "help":
            seen.add(option.opts[0])
            yield Setting(f"`{option.opts[0]}`", _option_kind(option), _default(option), option.help or "")


def _parameters(command: Any) -> Iterator[Any]:  # noqa: ANN401 (typer brings a click of its own, without types)
    yield from (each for each in command.params if each.param_type_name == "option")
    for each in getattr(command, "commands", {}).values():
        yield from _parameters(each)


def _option_kind(option: Any) -> str:  # noqa: ANN401
    bounds = [f"{words} {bound:,}" for words, bound in (("at least", option.min), ("at most", option.max)) if bound]
    return " ".join(["flag" if option.is_flag else _NAMES[option.bare_type()], *bounds])


def _default(option: Any) -> str:  # noqa: ANN401
    if isinstance(option.show_default, str):
        return option.show_default
    return "required" if option.required else _shown(option.default)


def _shown(default: object) -> str:
    return "not set" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 (what the command is for)
