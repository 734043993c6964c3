"""Two variants, and routers in front of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from .nodes import PROGRAMS, Node, start_node

if TYPE_CHECKING:
    from conftest import Service

VARIANTS = ("worse", "better")

StartRouter = Callable[..., AbstractContextManager[Node]]


@pytest.fixture(scope="session", autouse=True)
def seldon_environment() -> None:
    if not (PROGRAMS / "seldon-core-microservice").exists():
        pytest.fail("the router's environment is missing: run `make setup`")


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    folder = tmp_path_factory.mktemp("variants")
    nodes = [
        start_node(name, "bandit_router.variant.Variant", "MODEL", {"name": name}, folder / name) for name in VARIANTS
    ]
    try:
        for node in nodes:
            node.wait()
        yield nodes
    finally:
        for node in nodes:
            node.kill()


@pytest.fixture(scope="session")
def start_router(service_process: Service, tmp_path_factory: pytest.TempPathFactory) -> StartRouter:
    """Return a function that starts a router for an experiment: `with start_router(experiment) as router`."""

    @contextmanager
    def start(experiment: str, *, grpc: bool = False, workers: int = 1, **changes: Any) -> Iterator[Node]:
        parameters = {
            "experiment_id": experiment,
            "service_url": service_process.url,
            "branches": len(VARIANTS),
            "default_arm": 1,
            # A busy machine is no outage.
            "timeout": 5.0,
        } | changes
        node = start_node(
            "bandit-router",
            "bandit_router.router.BanditRouter",
            "ROUTER",
            parameters,
            tmp_path_factory.mktemp("router") / "node",
            api_key=service_process.router_key,
            grpc=grpc,
            workers=workers,
        )
        try:
            node.wait()
            yield node
        finally:
            node.kill()

    return start
