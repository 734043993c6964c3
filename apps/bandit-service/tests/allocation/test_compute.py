"""From totals to weights and verdicts: pure functions of what was read."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bandit_core.guardrails import preset
from bandit_core.holdout import Side
from bandit_core.policies.base import Beliefs
from bandit_core.rules.allocation_record import AllocationRecord
from bandit_core.rules.experiment import (
    MICRO,
    ArmDefinition,
    Experiment,
    GuardrailsDefinition,
    PolicyDefinition,
    RewardsDefinition,
    SegmentField,
    StoppingDefinition,
)
from bandit_core.rules.vectors import guardrails_of
from bandit_service.allocation.compute import (
    FAST_UPDATES,
    LIMITED_UPDATES,
    beliefs_of,
    compute,
    is_material,
    judge,
    posteriors,
    sides,
    update_every,
)
from bandit_service.domain.totals import Totals

WHOLE = st.integers(1, 10**6)


def experiment(*arms: str | ArmDefinition, **fields: Any) -> Experiment:
    definitions = tuple(
        ArmDefinition(index=index, id=arm) if isinstance(arm, str) else arm for index, arm in enumerate(arms)
    )
    given: dict[str, Any] = {
        "id": "homepage",
        "namespace": "default",
        "status": "running",
        "revision": 1,
        "created_at": 1_000.0,
        "arms": definitions,
        "default_arm": definitions[0].id,
    }
    return Experiment(**given | fields)


def counts(
    *posteriors: tuple[int, int], decisions: tuple[int, ...] = (), rewards: tuple[int, ...] = (), **fields: Any
) -> Totals:
    """Return totals that leave these posteriors (alpha and beta, in millionths) of arms with the prior Beta(1, 1).

    Where they are no whole number of rewards, `rewards` says how many there were.
    """
    micro = {index: alpha - MICRO for index, (alpha, _) in enumerate(posteriors)}
    numbers = rewards or tuple((alpha + beta - 2 * MICRO) // MICRO for alpha, beta in posteriors)
    return Totals(dict(enumerate(decisions)), dict(enumerate(numbers)), micro, **fields)


def micro(alpha: float, beta: float) -> tuple[int, int]:
    return round(alpha * MICRO), round(beta * MICRO)


def test_posteriors_are_prior_and_totals_in_units() -> None:
    totals = Totals(decisions={0: 7, 1: 2}, rewards={0: 5, 1: 1}, reward_micro={0: 2 * MICRO, 1: MICRO // 2})
    first, second = posteriors(experiment("a", "b"), totals)
    assert (first.alpha, first.beta, first.decisions, first.rewards, first.reward_sum) == (3.0, 4.0, 7, 5, 2.0)
    assert (second.alpha, second.beta, second.decisions, second.rewards) == (1.5, 1.5, 2, 1)


def test_posteriors_of_gaussian_rewards_are_sums_in_units() -> None:
    gaussian = experiment("a", "b", rewards=RewardsDefinition(distribution="gaussian"))
    totals = Totals(rewards={1: 2}, reward_micro={1: -1_500_000}, square_micro={1: 4_250_000})
    first, second = posteriors(gaussian, totals)
    assert second.parameters(gaussian) == (2, -1.5, 4.25)
    assert first.parameters(gaussian) == (0, 0.0, 0.0)


@given(unit=st.floats(1e-3, 1e6), tolerance=st.floats(0.01, 5.0))
@settings(deadline=None, max_examples=25)
def test_the_unit_of_gaussian_rewards_changes_the_scale_and_nothing_else(unit: float, tolerance: float) -> None:
    totals = Totals(
        decisions={0: 40, 1: 40},
        rewards={0: 40, 1: 40},
        reward_micro={0: 80_000_000, 1: 84_000_000},
        square_micro={0: 200_000_000, 1: 230_000_000},
    )

    def with_unit(size: float) -> Experiment:
        return experiment(
            "a",
            "b",
            rewards=RewardsDefinition(distribution="gaussian", unit=size),
            stopping=StoppingDefinition(prob_best=None, expected_loss=tolerance * size, min_decisions_per_arm=0),
        )

    (plain, first), (scaled, second) = (compute(with_unit(size), totals, None, 1_000.0) for size in (1.0, unit))
    assert scaled.weights == pytest.approx(plain.weights)
    assert scaled.expected_loss == pytest.approx({arm: loss * unit for arm, loss in plain.expected_loss.items()})
    means = [[arm.mean for arm in each.explanation.arms] for each in (first, second)]
    assert means[1] == pytest.approx([mean * unit for mean in means[0]])
    one, other = (judge(with_unit(size), totals, 1_000.0) for size in (1.0, unit))
    assert one is not None
    assert other is not None
    [(loss, threshold), (scaled_loss, scaled_threshold)] = [
        (each.value, each.threshold) for verdict in (one, other) for each in verdict.conditions
    ]
    assert (scaled_loss, scaled_threshold) == pytest.approx((loss * unit, threshold * unit))
    assert scaled_loss == pytest.approx(min(scaled.expected_loss.values()))
    assert one.stop is other.stop


def test_an_arm_without_events_is_at_its_prior() -> None:
    joined = ArmDefinition(index=1, id="b", prior_alpha_micro=2 * MICRO, prior_beta_micro=20 * MICRO)
    [_, posterior] = posteriors(experiment("a", joined), counts(micro(3, 4)))
    assert (posterior.alpha, posterior.beta, posterior.decisions, posterior.rewards) == (2.0, 20.0, 0, 0)


def test_beliefs_leave_retired_arms_out() -> None:
    retired = ArmDefinition(index=1, id="b", status="retired")
    known = experiment("a", retired, "c")
    beliefs = beliefs_of(known, posteriors(known, counts(micro(2, 1), micro(9, 1), micro(1, 2))))
    assert isinstance(beliefs, Beliefs)
    assert beliefs.arms == ("a", "c")
    assert (beliefs.alpha.tolist(), beliefs.beta.tolist()) == ([2.0, 1.0], [1.0, 2.0])


@pytest.mark.parametrize("arms", [2, 5, 1_000])
def test_a_definition_replaces_limits_of_its_preset_one_by_one(arms: int) -> None:
    assert guardrails_of(GuardrailsDefinition(preset="safe"), arms) == preset("safe", arms)
    limits = guardrails_of(GuardrailsDefinition(preset="safe", max_step=0.3, cooldown=0.0), arms)
    assert (limits.max_step, limits.cooldown) == (0.3, 0.0)
    assert limits.min_trials == preset("safe", arms).min_trials


@pytest.mark.parametrize(
    ("guardrails", "chosen", "seconds"),
    [
        ({"preset": "neutral"}, None, FAST_UPDATES),
        ({"preset": "safe"}, None, LIMITED_UPDATES),
        ({"max_step": 0.5}, None, LIMITED_UPDATES),
        ({"cooldown": 1.0}, None, LIMITED_UPDATES),
        ({"preset": "safe"}, 0.5, 0.5),
    ],
)
def test_limits_per_update_slow_updates_down_unless_told_otherwise(
    guardrails: dict[str, Any], chosen: float | None, seconds: float
) -> None:
    definition = experiment("a", "b", guardrails=GuardrailsDefinition(**guardrails), update_every=chosen)
    assert update_every(definition) == seconds


@settings(deadline=None)
@given(st.lists(st.tuples(WHOLE, WHOLE), min_size=2, max_size=8))
def test_weights_are_a_probability_vector_over_the_active_arms_with_its_numbers(
    found: list[tuple[int, int]],
) -> None:
    arms = [f"arm-{index}" for index in range(len(found))]
    record, allocation = compute(experiment(*arms), counts(*(micro(*each) for each in found)), None, 2_000.0)
    assert list(record.weights) == list(record.prob_best) == list(record.expected_loss) == arms
    assert sum(record.weights.values()) == pytest.approx(1.0, abs=1e-9)
    assert min(record.weights.values()) >= preset("neutral", len(arms)).min_weight
    assert record.weights == allocation.weights


def test_a_record_says_which_definition_it_stands_for_and_comes_after_the_one_before() -> None:
    definition = experiment("a", "b", revision=4)
    first, _ = compute(definition, counts(micro(2, 1), micro(1, 2)), None, 2_000.0)
    assert (first.version, first.token, first.revision) == (1, 0, 4)
    assert (first.published_at, first.changed_at) == (2_000.0, 2_000.0)
    later, _ = compute(definition, counts(micro(2, 1), micro(1, 2)), replace(first, version=9, token=3), 2_001.0)
    assert (later.version, later.token) == (10, 0)


def test_beliefs_of_a_record_are_those_that_its_weights_came_from() -> None:
    record, _ = compute(experiment("a", "b"), counts(micro(2, 1), micro(1, 2)), None, 2_000.0)
    assert record.beliefs == {"a": (2.0, 1.0), "b": (1.0, 2.0)}


def test_segments_have_weights_of_their_own() -> None:
    field = SegmentField("country", ("de", "fr"), "de")
    totals = Totals(
        rewards={0: 100, 1: 100},
        reward_micro={0: 50 * MICRO, 1: 50 * MICRO},
        segment_rewards={("de", 0): 50, ("de", 1): 50, ("fr", 0): 50, ("fr", 1): 50, ("gone", 0): 9},
        segment_micro={("de", 0): 45 * MICRO, ("de", 1): 5 * MICRO, ("fr", 0): 5 * MICRO, ("fr", 1): 45 * MICRO},
    )
    record, _ = compute(experiment("a", "b", segment_by=(field,)), totals, None, 2_000.0)
    assert record.segments["de"]["a"] > 0.9
    assert record.segments["fr"]["b"] > 0.9


def test_the_time_of_the_last_change_stays_when_no_weight_moved() -> None:
    definition = experiment("a", "b", policy=PolicyDefinition(name="uniform"))
    first, _ = compute(definition, counts(micro(2, 1), micro(1, 2)), None, 2_000.0)
    second, _ = compute(definition, counts(micro(5, 1), micro(1, 2)), first, 3_000.0)
    assert (second.published_at, second.changed_at) == (3_000.0, 2_000.0)
    thompson = replace(definition, policy=PolicyDefinition())
    third, _ = compute(thompson, counts(micro(5, 1), micro(1, 2)), second, 4_000.0)
    assert third.changed_at == 4_000.0


def test_a_cooldown_counts_from_the_last_change_and_survives_a_clock_that_went_back() -> None:
    definition = experiment("a", "b", guardrails=GuardrailsDefinition(cooldown=60.0, min_trials=0))
    first, _ = compute(definition, counts(micro(1, 1), micro(1, 1)), None, 2_000.0)
    for now, moves in ((2_030.0, False), (1_990.0, False), (2_061.0, True)):
        later, _ = compute(definition, counts(micro(50, 1), micro(1, 50)), first, now)
        assert (later.weights != first.weights) is moves


def test_every_policy_and_preset_computes_from_no_data() -> None:
    for name in ("thompson", "top_two_thompson", "epsilon_greedy", "bayes_ucb", "uniform"):
        for limits in ("safe", "neutral", "explore"):
            definition = experiment(
                "a", "b", policy=PolicyDefinition(name=name), guardrails=GuardrailsDefinition(preset=limits)
            )
            record, _ = compute(definition, Totals(), None, 2_000.0)
            assert sum(record.weights.values()) == pytest.approx(1.0)


def a_record(**weights: float) -> AllocationRecord:
    return AllocationRecord(
        version=1,
        revision=1,
        published_at=0.0,
        changed_at=0.0,
        weights=weights,
        prob_best=weights,
        expected_loss=weights,
    )


def test_what_is_worth_keeping_is_the_first_another_definition_or_a_visible_move() -> None:
    last = a_record(a=0.5, b=0.5)
    assert is_material(last, None)
    assert is_material(replace(last, revision=2), last)
    assert is_material(a_record(a=0.5, b=0.5, c=0.0), last)
    assert is_material(a_record(a=0.52, b=0.48), last)
    assert not is_material(a_record(a=0.505, b=0.495), last)


def test_the_policy_is_compared_with_the_rewards_of_the_holdout() -> None:
    definition = experiment("a", "b", holdout=0.5, missing_reward="zero")
    totals = Totals(
        rewards={0: 10, 1: 20},
        reward_micro={0: 4 * MICRO, 1: 5 * MICRO},
        holdout_decisions={0: 99},
        holdout_rewards=50,
        holdout_reward_micro=25 * MICRO,
    )
    bandit, holdout = sides(posteriors(definition, totals), totals)
    assert (bandit, holdout) == (Side(30, 9.0), Side(50, 25.0))


RULE = StoppingDefinition(min_decisions_per_arm=100, prob_best=0.95)


def test_without_a_rule_there_is_no_verdict() -> None:
    assert judge(experiment("a", "b"), counts(micro(1, 1), micro(1, 1)), 2_000.0) is None


@pytest.mark.parametrize(("decisions", "stops"), [((100, 100), True), ((100, 99), False)])
def test_a_rule_counts_decisions_and_weighs_beliefs(decisions: tuple[int, int], stops: bool) -> None:  # noqa: FBT001
    verdict = judge(
        experiment("a", "b", stopping=RULE), counts(micro(90, 10), micro(10, 90), decisions=decisions), 2_000.0
    )
    assert verdict is not None
    assert (verdict.stop, verdict.outcome) == (stops, "winner" if stops else "undecided")


@pytest.mark.parametrize(("closed", "stops"), [((100, 100), True), ((100, 99), False)])
def test_where_missing_means_zero_a_rule_counts_only_decisions_whose_window_has_closed(
    closed: tuple[int, int],
    stops: bool,  # noqa: FBT001
) -> None:
    verdict = judge(
        experiment("a", "b", stopping=RULE, missing_reward="zero"),
        counts(micro(90, 11), micro(10, 91), decisions=(500, 500), rewards=closed),
        2_000.0,
    )
    assert verdict is not None
    assert verdict.stop is stops


def test_a_rule_looks_past_retired_arms() -> None:
    retired = ArmDefinition(index=2, id="c", status="retired")
    verdict = judge(
        experiment("a", "b", retired, stopping=RULE),
        counts(micro(90, 10), micro(10, 90), micro(1, 1), decisions=(100, 100, 0)),
        2_000.0,
    )
    assert verdict is not None
    assert (verdict.outcome, verdict.arm) == ("winner", "a")


@pytest.mark.parametrize(("now", "stops"), [(1_059.0, False), (1_060.0, True), (900.0, False)])
def test_the_longest_duration_counts_from_the_creation(now: float, stops: bool) -> None:  # noqa: FBT001
    rule = StoppingDefinition(max_duration=60.0)
    verdict = judge(experiment("a", "b", stopping=rule), counts(micro(1, 1), micro(1, 1)), now)
    assert verdict is not None
    assert (verdict.stop, verdict.outcome) == (stops, "undecided")
