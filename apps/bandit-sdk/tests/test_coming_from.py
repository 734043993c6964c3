"""A selector of recommendation algorithms, translated: the code of docs/coming-from.md as it stands there."""

from __future__ import annotations

import ast
import types
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bandit_core.blend import Blended
from bandit_sdk.learning import Learner

DOCUMENT = Path(__file__).parents[3] / "docs" / "coming-from.md"
EVENING = datetime(2026, 6, 6, 17, 30, tzinfo=UTC).timestamp()


def recommend(algorithm: str) -> Sequence[str]:
    """Forty recommendations of each algorithm; the best ten are everybody's."""
    return [f"movie-{rank}" if rank < 10 else f"{algorithm}-{rank}" for rank in range(40)]


async def test_the_translation_runs_and_credits_the_algorithms_that_were_liked(tmp_path: Path) -> None:
    [source, *_] = [block.partition("```")[0] for block in DOCUMENT.read_text().split("```python\n")[1:]]
    names: dict[str, object] = {"path": tmp_path / "learner.db", "now": EVENING, "recommend": recommend}
    code = compile(source, str(DOCUMENT), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await types.FunctionType(code, names)()
    learner, recommendations = names["learner"], names["recommendations"]
    assert isinstance(learner, Learner)
    assert isinstance(recommendations, list)
    assert len({each.item for each in recommendations if isinstance(each, Blended)}) == 20
    assert names["context"] == {"time_period": "evening", "day_of_week": "weekend", "user_type": "power_user"}
    metrics = await learner.metrics()
    assert (metrics.selections, metrics.observations, metrics.reward_rate) == (3, 3, 2 / 3)
    await learner.close()
