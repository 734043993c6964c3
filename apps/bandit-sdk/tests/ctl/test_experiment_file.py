"""What an experiment's YAML file may hold: what JSON can, read as its author means it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bandit_sdk.ctl.experiment_file import read_document, read_experiment


def read(tmp_path: Path, text: str | bytes) -> dict[str, Any]:
    file = tmp_path / "experiment.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_document(file)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2026-11-28", "2026-11-28"),
        ("2026-11-28T12:30:00Z", "2026-11-28T12:30:00Z"),
        ("12:30:00", "12:30:00"),
        ("on", "on"),
        ("no", "no"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("010", 10),
        ("-7", -7),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("true", True),
        ("~", None),
        ("", None),
        ("[a, 1, 'x y']", ["a", 1, "x y"]),
        ("{a: {b: c}}", {"a": {"b": "c"}}),
        ("größe", "größe"),
    ],
)
def test_values_are_those_of_yaml_1_2(tmp_path: Path, written: str, value: object) -> None:
    assert read(tmp_path, f"experiment_id: x\nvalue: {written}\n") == {"experiment_id": "x", "value": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("experiment_id: x\nvalue: .nan", ".nan is no number that JSON has (line 2)"),
        ("experiment_id: x\nvalue: -.inf", "-.inf is no number that JSON has (line 2)"),
        ("experiment_id: x\nvalue: !!binary aGk=", "there is no !!binary in JSON"),
        ("experiment_id: x\nvalue: !!set {a, b}", "there is no !!set in JSON"),
        ("experiment_id: x\nvalue: !!timestamp 2026-11-28", "there is no !!timestamp in JSON"),
        ("experiment_id: x\nvalue: !!python/name:os.system", "in JSON: write text or numbers (line 2)"),
        ("experiment_id: x\narms: [a]\narms: [b]", "the key arms is there twice (line 3)"),
        ("experiment_id: x\nmetadata:\n  a: 1\n  a: 2", "the key a is there twice (line 4)"),
        ("experiment_id: x\nmetadata: {1: a}", "a key must be text: put it in quotes (line 2)"),
        ("experiment_id: x\nmetadata: &all {self: *all}", "an alias stands for something that it is a part of"),
        ("[1, 2]", "must hold the fields of an experiment"),
        ("", "must hold the fields of an experiment"),
        ("a: [b", "(line 1)"),
        ("a: 1\n---\nb: 2", "(line 2)"),
        (b"a: \xff\xfe", "cannot be read"),
    ],
)
def test_what_json_cannot_hold_is_refused_in_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the message follows)
        read(tmp_path, text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_merged_keys_may_be_overridden(tmp_path: Path) -> None:
    text = "experiment_id: x\nmetadata: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\n"
    assert read(tmp_path, text)["other"] == {"a": 1, "b": 3}


def test_a_folder_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read_experiment(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("experiment_id: 20261128\narms: [a, b]", "experiment_id: must be text, not a number; put it in quotes"),
        ("arms: [a, b]", "experiment_id: is required"),
        ("{experiment_id: x, arms: [a, {id: b, prior: {alpha: 0}}]}", "arms[1].prior.alpha: must be at least 1e-06"),
        ("{experiment_id: x, arms: [a, b], policy: greedy, holdout: '1'}", "holdout: must be a number, not text"),
        ("{experiment_id: x, arms: [a, b], stoping: {}}", "stoping: unknown field"),
    ],
)
def test_rules_name_the_path_of_a_field(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(text)
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the message follows)
        read_experiment(file)
    assert said in str(refused.value)


def test_the_fields_stay_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("{experiment_id: x, arms: [a, b], policy: uniform}")
    assert read_experiment(file) == ("x", {"arms": ["a", "b"], "policy": "uniform"})
