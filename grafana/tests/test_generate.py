"""The files that are loaded are what the code says, and whole."""

import re

import pytest
from loaded import BOARDS, document, panels, references

from dashboards.datasources import POSTGRES, PROMETHEUS
from dashboards.generate import FOLDER, generated

DECLARED = {PROMETHEUS.uid, POSTGRES.uid}
EVERY_PANEL = [pytest.param(panel, id=f"{board}: {panel['title']}") for board, panel in panels()]


def test_the_generated_files_are_current() -> None:
    there = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*.*")}
    assert there == generated(), "run `make dashboards`"


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_panel_has_a_title_and_says_what_it_shows(panel: dict[str, object]) -> None:
    assert panel["title"]
    assert str(panel["description"]).endswith(".")


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_panel_asks_something(panel: dict[str, object]) -> None:
    assert panel["targets"]


@pytest.mark.parametrize("name", BOARDS)
def test_titles_are_not_used_twice_on_a_dashboard(name: str) -> None:
    titles = [panel["title"] for panel in BOARDS[name]["panels"]]
    assert len(titles) == len(set(titles))


def test_every_dashboard_has_a_uid_of_its_own() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_every_reference_is_to_a_declared_data_source(name: str) -> None:
    used = [reference["uid"] for reference in references(BOARDS[name])]
    assert used
    assert set(used) <= DECLARED


def test_every_query_names_its_data_source() -> None:
    for _, panel in panels():
        for target in panel["targets"]:
            assert target["datasource"]["uid"] in DECLARED


def test_the_alert_rules_of_grafana_use_postgres_and_its_own_expressions() -> None:
    (group,) = document("grafana-alerts.yaml")["groups"]
    used = {step["datasourceUid"] for rule in group["rules"] for step in rule["data"]}
    assert used == {POSTGRES.uid, "__expr__"}


def test_postgres_is_declared_under_the_uid_that_is_used_and_without_a_password() -> None:
    (source,) = document("datasources.yaml")["datasources"]
    assert source["uid"] == POSTGRES.uid
    assert source["secureJsonData"]["password"].startswith("$__env{")


def test_only_shares_are_shown_as_percent() -> None:
    """A mean reward is one where rewards are 0 or 1, and not where they are amounts of money."""
    of_rewards = re.compile(r"\b(mean|low|high|loss|reward)", re.IGNORECASE)
    for board, panel in panels():
        overrides = panel["fieldConfig"]["overrides"]
        shares = [each["matcher"]["options"] for each in overrides if "percentunit" in str(each["properties"])]
        shares += [panel["title"]] if panel["fieldConfig"]["defaults"].get("unit") == "percentunit" else []
        assert not [name for name in shares if of_rewards.search(name)], board
