from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import httpx

from .nodes import PROGRAMS, start_node

SERVE = (PROGRAMS / "python", "-m", "bandit_router.serve")


def test_a_node_with_grpc_ends_when_it_is_told_to(tmp_path: Path) -> None:
    node = start_node(
        "a", "bandit_router.variant.Variant", "MODEL", {"name": "a"}, tmp_path / "a", grpc=True, program=SERVE
    )
    try:
        node.wait()
        answer = httpx.post(f"{node.url}/predict", json={"data": {"ndarray": [[1]]}}).json()
        assert answer["jsonData"] == {"variant": "a"}
        assert node.process.stop(timeout=20) == 0, node.process.log_tail()
    finally:
        with suppress(ProcessLookupError):
            node.kill()
