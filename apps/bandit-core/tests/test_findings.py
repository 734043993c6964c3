"""What is said about an experiment follows from its numbers."""

import pytest

from bandit_core.findings import ArmNumbers, find, selection_entropy


def arm(name: str, decisions: int = 500, **fields: object) -> ArmNumbers:
    given: dict[str, object] = {
        "recent": decisions // 5,
        "earlier": decisions // 5,
        "rewards": decisions,
        "mean": 0.1,
        "interval": (0.05, 0.15),
        "prob_best": 0.5,
    }
    return ArmNumbers(name, decisions, **(given | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "entropy"),
    [([5, 5], 1.0), ([10, 0], 0.0), ([3], 1.0), ([0, 0], None), ([9, 1], 0.469), ([1, 1, 1, 1], 1.0)],
)
def test_entropy_is_1_when_all_get_the_same_and_0_when_one_gets_all(counts: list[int], entropy: float | None) -> None:
    assert selection_entropy(counts) == (None if entropy is None else pytest.approx(entropy, abs=1e-3))


def test_an_arm_that_dominates_without_being_better_is_named() -> None:
    found = find([arm("a", recent=6), arm("b", recent=94)], window=7_200.0)
    assert (
        found.sentences[0]
        == "Arm b has taken 94% of traffic in the last 2 hours while its interval still overlaps arm a's."
    )
    assert (found.status, found.likely_cause) == ("warning", "recent_collapse")


def test_an_arm_that_has_won_may_take_all() -> None:
    found = find(
        [arm("a", recent=1), arm("b", recent=99, mean=0.3, interval=(0.2, 0.4), prob_best=1.0)], window=3_600.0
    )
    assert (found.status, found.converged, found.likely_cause) == ("ok", True, None)
    assert "Arm b has won: its interval lies above all others." in found.sentences


def test_an_arm_that_dominates_though_another_is_better_is_an_alarm() -> None:
    better = arm("a", recent=2, earlier=2, mean=0.3, interval=(0.2, 0.4), prob_best=1.0)
    found = find([better, arm("b", recent=98, earlier=98)], window=7_200.0)
    assert (
        found.sentences[0]
        == "Arm b has taken 98% of traffic in the last 2 hours while its interval lies below arm a's."
    )
    assert (found.status, found.converged, found.likely_cause) == ("critical", True, "traffic_to_a_worse_arm")


def test_a_handful_of_recent_decisions_is_no_collapse() -> None:
    found = find([arm("a", recent=0), arm("b", recent=29)], window=7_200.0)
    assert (found.trend, found.status, found.recent_entropy) == ("unknown", "ok", 0.0)
    assert not any("has taken" in sentence for sentence in found.sentences)
    assert find([arm("a", recent=0), arm("b", recent=30)], window=7_200.0).status == "critical"


def test_without_enough_recent_decisions_the_status_is_that_of_all() -> None:
    found = find([arm("a", 10, rewards=5, recent=0), arm("b", 990, recent=3)], window=7_200.0)
    assert (found.status, found.likely_cause) == ("critical", "early_lock_in")
    assert find([arm("a", 0, rewards=0), arm("b", 29, rewards=0)], window=7_200.0).status == "ok"


@pytest.mark.parametrize(
    ("recent", "earlier", "trend"), [(5, 50, "falling"), (50, 5, "recovering"), (50, 45, "stable")]
)
def test_the_trend_compares_two_windows(recent: int, earlier: int, trend: str) -> None:
    found = find([arm("a", recent=recent, earlier=earlier), arm("b", recent=100 - recent, earlier=100 - earlier)], 60.0)
    assert found.trend == trend


def test_without_decisions_nothing_is_known_and_nothing_is_wrong() -> None:
    found = find([arm("a", 0, rewards=0), arm("b", 0, rewards=0)], window=60.0)
    assert (found.trend, found.status, found.converged, found.recent_entropy) == ("unknown", "ok", None, None)


def test_few_rewards_and_no_variety_is_an_early_lock_in() -> None:
    found = find([arm("a", 20, rewards=5, recent=1, earlier=1), arm("b", recent=99, earlier=99)], window=60.0)
    assert (found.status, found.likely_cause) == ("critical", "early_lock_in")


def test_a_contextual_experiment_has_no_winner_for_everybody() -> None:
    best = arm("b", mean=0.3, interval=(0.2, 0.4))
    assert find([arm("a"), best], window=60.0, is_contextual=True).converged is None


def test_silence_is_noticed() -> None:
    assert "No reward has come in" in find([arm("a", rewards=0), arm("b", rewards=0)], window=60.0).sentences[0]
    assert "Arm b has decisions but no rewards yet." in find([arm("a"), arm("b", rewards=0)], window=60.0).sentences
    assert "all coefficients are 0" in find([arm("a", coefficients=0.0)], window=60.0).sentences[-1]
