"""An experiment in a YAML file, read by the rules of YAML 1.2: `on` is text, and so is a date."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node

_STR: Final = "tag:yaml.org,2002:str"
# What a plain scalar is when it says no tag: the core schema. YAML 1.1 would make 12:30:00 a number and `on` a boolean.
_PLAIN: Final = {
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?[0-9]+", [*"-+0123456789"]),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
    "merge": (r"<<", ["<"]),
}


def read_experiment(file: Path) -> tuple[str, dict[str, Any]]:
    """Return the id of the experiment in a file, and its other fields; - is standard input.

    Raises:
        ValueError: the file cannot be read, or holds what JSON does not; it says in one sentence what to do.
    """
    try:
        document = _Loader(file.read_bytes()).get_single_data()
        json.dumps(document)
    except yaml.YAMLError as error:
        raise ValueError(f"{file} cannot be read: {_in_one_line(error)}") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{file} cannot be read: an alias stands for something that it is a part of") from None
    if not isinstance(document, dict):
        raise ValueError(f"{file} must hold the fields of an experiment, as POST /experiments takes them")  # noqa: TRY004 (callers know one)
    if "experiment_id" not in document:
        raise ValueError(f"{file} needs an experiment_id")
    name = document.pop("experiment_id")
    if not isinstance(name, str):
        hint = ": put it in quotes" if isinstance(name, int | float) else ""
        raise ValueError(f"experiment_id in {file} must be text{hint}")  # noqa: TRY004
    return name, document


class _Loader(yaml.SafeLoader):
    """Makes what JSON can hold, and refuses the rest with its line."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (it is filled by the library's own method below)
    yaml_constructors = {  # noqa: RUF012 (the library's way)
        f"tag:yaml.org,2002:{kind}": SafeConstructor.yaml_constructors[f"tag:yaml.org,2002:{kind}"]
        for kind in ("null", "bool", "str", "seq", "map")
    }

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 (the library's signature)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != _STR:
                raise _refused(key, "a key must be text: put it in quotes")
            if key.value in seen:
                raise _refused(key, f"the key {key.value} is there twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    try:
        return float(loader.construct_scalar(node))
    except ValueError:
        raise _refused(node, f"{node.value} is no number that JSON has") from None


def _unknown(_: _Loader, node: Node) -> None:
    raise _refused(node, f"there is no {node.tag.replace('tag:yaml.org,2002:', '!!')} in JSON: write text or numbers")


def _refused(node: Node, problem: str) -> ConstructorError:
    return ConstructorError(problem=problem, problem_mark=node.start_mark)


def _in_one_line(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    return f"{problem} (line {mark.line + 1})"


for _kind, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor(None, _unknown)
