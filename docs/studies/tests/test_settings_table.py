"""The page of settings is current, and names every variable that the code reads."""

from __future__ import annotations

import re
from pathlib import Path

from studies.settings_table import page

ROOT = Path(__file__).parents[3]
NOT_SETTINGS = {
    "BANDIT_SERVICE_UNAVAILABLE",  # reasons that the router gives to Seldon
    "BANDIT_REWARD_REFUSED",
    "BANDIT_S3_",
}


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "write it anew: make schema"


def test_every_variable_of_the_code_is_named() -> None:
    sources = [file.read_text() for file in ROOT.glob("apps/*/src/**/*.py")]
    read = {name for text in sources for name in re.findall(r"BANDIT_[A-Z0-9_]+", text)} - NOT_SETTINGS
    assert read - set(re.findall(r"BANDIT_[A-Z0-9_]+", page())) == set()


def test_every_setting_says_what_it_is_for() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.rstrip("| ").count("|") < 4] == []
