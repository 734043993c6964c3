"""Every PromQL expression parses, and asks for metrics and labels that a running service has."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

import promql_parser
import pytest
from loaded import promql_queries
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from conftest import Platform

ADDED_BY_PROMETHEUS = {"instance"}
ALL = [pytest.param(expression, id=at) for at, expression in promql_queries()]


@pytest.fixture(scope="module")
def exported(platform: Platform) -> dict[str, set[str]]:
    """The labels of every metric that the service exports."""
    labels = defaultdict[str, set[str]](set)
    for family in text_string_to_metric_families(platform.metrics()):
        for sample in family.samples:
            labels[sample.name] |= sample.labels.keys()
    return dict(labels)


def parsed(expression: str) -> promql_parser.Expr:
    filled = expression.replace("$__rate_interval", "1m").replace("$experiment", "shop.banner")
    assert "$" not in filled
    return promql_parser.parse(filled)


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(parsed(expression), visit)
    return found


@pytest.mark.parametrize("expression", ALL)
def test_an_expression_asks_for_metrics_and_labels_that_exist(expression: str, exported: dict[str, set[str]]) -> None:
    asked = selectors(expression)
    assert asked
    for selector in asked:
        assert selector.name in exported
        assert {matcher.name for matcher in selector.matchers.matchers} <= exported[selector.name] | ADDED_BY_PROMETHEUS


@pytest.mark.parametrize("expression", ALL)
def test_an_expression_groups_by_labels_that_exist(expression: str, exported: dict[str, set[str]]) -> None:
    known = set[str]().union(*(exported[str(each.name)] for each in selectors(expression))) | ADDED_BY_PROMETHEUS
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= known
