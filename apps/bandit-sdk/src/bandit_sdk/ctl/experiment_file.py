"""An experiment in a file of JSON or YAML. YAML is read by the rules of 1.2: `on` is text, and so is a date."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node

from bandit_core.rules.experiment_requests import NewExperiment, read
from bandit_core.rules.problems import Invalid

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
_KINDS: Final = (".json", ".yaml", ".yml")


def files_in(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield files; a folder stands for the JSON and YAML files in it, in the order of their names."""
    for path in paths:
        yield from sorted(each for each in path.iterdir() if each.suffix in _KINDS) if path.is_dir() else [path]


def read_experiment(file: Path) -> tuple[str, dict[str, Any]]:
    """Return the id of the experiment in a file, and its other fields as they are written; - is standard input.

    Raises:
        ValueError: the file cannot be read, or the service would refuse it by the rules of bandit_core; each field that
            is wrong is named by its path.
    """
    document = read_document(file)
    try:
        read(NewExperiment, document)
    except Invalid as problem:
        raise ValueError("; ".join(f"{each.field}: {each.message}" for each in problem.errors)) from None
    return document.pop("experiment_id"), document


def read_document(file: Path) -> dict[str, Any]:
    """Return the fields that a file holds; - is standard input.

    Raises:
        ValueError: the file cannot be read, or holds what JSON does not; it says in one sentence what to do.
    """
    try:
        if file.suffix == ".json":
            document = json.loads(file.read_bytes(), object_pairs_hook=_object, parse_constant=_no_constant)
        else:
            document = _Loader(_content(file)).get_single_data()
            json.dumps(document)
    except yaml.YAMLError as error:
        raise ValueError(f"{file} cannot be read: {_in_one_line(error)}") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ValueError(f"{file} cannot be read: it is nested too deeply") from None
    except ValueError as error:
        why = "an alias stands for something that it is a part of" if "Circular" in str(error) else error
        raise ValueError(f"{file} cannot be read: {why}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{file} must hold the fields of an experiment, as POST /experiments takes them")  # noqa: TRY004 (callers know one)
    return document


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in members:
        if name in found:
            raise ValueError(f"the key {name} is there twice")
        found[name] = value
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number that JSON has")


def _content(file: Path) -> bytes:
    return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()


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
