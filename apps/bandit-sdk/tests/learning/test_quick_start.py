"""The quick start of the learner that users come from, with only the import changed."""

from __future__ import annotations

import ast
import types
from pathlib import Path

import pytest

from bandit_sdk.learning import Learner, SelectionResult

THEIRS = """
from qortex.learning import Learner, LearnerConfig, Arm, ArmOutcome
# Create a learner with SQLite persistence (default)
learner = await Learner.create(LearnerConfig(name="prompts"))
# Define candidates
candidates = [
Arm(id="concise-v1", token_cost=10),
Arm(id="detailed-v2", token_cost=15),
Arm(id="structured-v3", token_cost=20),
]
# Select the best arm via Thompson Sampling
result = await learner.select(candidates, context={"task": "type-check"}, k=1)
print(f"Selected: {result.selected[0].id}")
# Observe the outcome
await learner.observe(ArmOutcome(
arm_id="detailed-v2",
outcome="accepted",
reward=1.0,
))
"""


async def test_the_quick_start_runs_and_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    ours = THEIRS.replace("from qortex.learning import", "from bandit_sdk.learning import")
    names: dict[str, object] = {}
    code = compile(ours, "quick_start", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await types.FunctionType(code, names)()
    learner, result = names["learner"], names["result"]
    assert isinstance(learner, Learner)
    assert isinstance(result, SelectionResult)
    assert capsys.readouterr().out == f"Selected: {result.selected[0].id}\n"
    # What was observed without a context is what a selection with one believes: no keys were declared.
    assert (await learner.posteriors())["detailed-v2"].alpha == 2.0
    await learner.close()
