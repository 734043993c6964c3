"""What is shown of an experiment: everything but its salts."""

import msgspec
from msgspec.structs import replace

from bandit_core.rules import transitions
from bandit_core.rules.experiment import Experiment
from bandit_core.rules.experiment_requests import NewExperiment, read
from bandit_core.rules.views import ExperimentSummary, ExperimentView


def experiment() -> Experiment:
    document = {
        "experiment_id": "shop.homepage",
        "arms": ["a", {"id": "b", "prior": {"alpha": 0.25, "beta": 3}}],
        "stopping": {"prob_best": 0.9},
        "reward_model": {"type": "threshold", "success": 4, "failure": 2},
    }
    request = read(NewExperiment, document)
    return replace(transitions.created(request, now=1_700_000_000.5, salt="5a17"), unit_salt="0b57")


def test_a_view_shows_the_definition_in_the_words_of_requests() -> None:
    shown = msgspec.to_builtins(ExperimentView.of(experiment()))
    assert shown["experiment_id"] == "shop.homepage"
    assert shown["namespace"] == "shop"
    assert shown["created_at"] == "2023-11-14T22:13:20.500000Z"
    assert shown["arms"][1] == {"id": "b", "index": 1, "status": "active", "prior": {"alpha": 0.25, "beta": 3.0}}
    assert shown["stopping"]["prob_best"] == 0.9
    assert shown["reward_model"] == {"type": "threshold", "success": 4, "failure": 2}


def test_no_salt_is_shown() -> None:
    for view in (ExperimentView.of(experiment()), ExperimentSummary.of(experiment())):
        shown = msgspec.json.encode(view).decode()
        assert not [secret for secret in ("salt", "5a17", "0b57") if secret in shown]


def test_every_field_but_the_salts_is_shown() -> None:
    shown = set(ExperimentView.__struct_fields__)
    assert set(Experiment.__struct_fields__) - shown == {"id", "salt", "unit_salt"}


def test_what_is_shown_can_be_sent_back() -> None:
    """So a definition can be copied from one place to another."""
    shown = msgspec.to_builtins(ExperimentView.of(experiment()))
    arms = [{"id": arm["id"], "prior": arm["prior"]} for arm in shown["arms"]]
    fields = {name: shown[name] for name in NewExperiment.__struct_fields__ if name != "arms"}
    again = read(NewExperiment, fields | {"arms": arms})
    copied = transitions.created(again, now=1_700_000_000.5, salt="5a17")
    assert replace(copied, unit_salt="0b57") == experiment()


def test_a_summary_counts_the_arms_that_are_served() -> None:
    assert ExperimentSummary.of(experiment()).active_arms == 2
