"""The generated files as Grafana and Prometheus load them, and what is in them."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from dashboards.generate import DASHBOARDS, FOLDER

type Json = dict[str, Any]

BOARDS: dict[str, Json] = {
    name: json.loads((FOLDER / "dashboards" / f"{name}.json").read_text()) for name in DASHBOARDS
}


def document(name: str) -> Json:
    loaded: Json = yaml.safe_load((FOLDER / name).read_text())
    return loaded


def panels() -> Iterator[tuple[str, Json]]:
    """Yield every panel that shows something, with the name of its dashboard."""
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            if panel["type"] != "row":
                yield name, panel


def sql_queries() -> Iterator[tuple[str, str, str]]:
    """Yield where it stands, its format and its text, for every SQL query of a dashboard."""
    for name, panel in panels():
        for target in panel["targets"]:
            if "rawSql" in target:
                yield f"{name}: {panel['title']}", target["format"], target["rawSql"]
    for name, board in BOARDS.items():
        for variable in board["templating"].get("list", []):
            yield f"{name}: variable {variable['name']}", "variable", variable["query"]
        for annotation in board["annotations"].get("list", []):
            yield f"{name}: annotation {annotation['name']}", "annotation", annotation["target"]["rawSql"]


def promql_queries() -> Iterator[tuple[str, str]]:
    """Yield where it stands and its text, for every PromQL expression of dashboards and alert rules."""
    for name, panel in panels():
        for target in panel["targets"]:
            if "expr" in target:
                yield f"{name}: {panel['title']}", target["expr"]
    for group in document("prometheus-rules.yaml")["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]


def references(node: object) -> Iterator[Json]:
    """Yield every reference to a data source, however deep."""
    if isinstance(node, dict):
        if isinstance(node.get("datasource"), dict):
            yield node["datasource"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)
