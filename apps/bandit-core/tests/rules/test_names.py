"""Names are taken as people write them, and refused where they would mean something else."""

from __future__ import annotations

import re

import pytest

from bandit_core.rules.names import ARM_ID, EXPERIMENT_ID, NameRule, in_words

MODELS = ["org/model", "model:8b", "@cf/meta/llama-2-7b", "gpt-4o@2024-05-13", "claude-3+tools", "ft:gpt:org::id"]


def is_taken(rule: NameRule, name: str) -> bool:
    return re.search(rule.python_pattern, name) is not None


@pytest.mark.parametrize("name", [*MODELS, "a", "-", "x" * 128])
def test_an_arm_may_be_called_like_a_language_model(name: str) -> None:
    assert is_taken(ARM_ID, name)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "/a", "a/", "..", "é", "x" * 129, "a?b", "a#b", "a%2fb"])
def test_other_arms_are_refused(name: str) -> None:
    assert not is_taken(ARM_ID, name)


@pytest.mark.parametrize("name", MODELS)
def test_an_experiment_is_a_part_of_a_path(name: str) -> None:
    assert not is_taken(EXPERIMENT_ID, name)


def test_a_pattern_is_told_in_words() -> None:
    assert in_words(ARM_ID.python_pattern) == in_words(ARM_ID.pattern) == ARM_ID.words
    assert in_words("^x$") == "must match ^x$"
