"""Property-based tests of the HTTP contract: whatever is sent, the answer is one that the document describes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

if TYPE_CHECKING:
    from conftest import Serve

    from bandit_service.settings import Settings

with as_file(files("bandit_service").joinpath("openapi.json")) as committed:
    CONTRACT = schemathesis.openapi.from_path(committed)


@pytest.fixture(scope="module")
def url(serve: Serve, module_settings: Settings) -> Iterator[str]:
    with serve(module_settings) as url:
        yield url


@CONTRACT.parametrize()
@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_answer_is_one_that_the_contract_describes(case: Case, url: str) -> None:
    case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance])
