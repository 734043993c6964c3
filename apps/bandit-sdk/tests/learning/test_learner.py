from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bandit_core.rewards import OutcomeMap
from bandit_sdk.learning import (
    Arm,
    ArmOutcome,
    Learner,
    LearnerConfig,
    LearningStore,
    MemoryLearningStore,
    Observed,
    TernaryReward,
)

ARMS = [Arm("a"), Arm("b"), Arm("c")]


async def learner(store: LearningStore | None = None, **config: object) -> Learner:
    made = LearnerConfig(**{"name": "prompts", **config})  # type: ignore[arg-type]
    return await Learner.create(made, store=store or MemoryLearningStore(), rng=np.random.default_rng(3))


async def test_it_learns_which_arm_is_best() -> None:
    rng = np.random.default_rng(11)
    rates = {"a": 0.2, "b": 0.8, "c": 0.4}
    async with await learner() as learning:
        chosen = []
        for _ in range(200):
            arm = (await learning.select(ARMS)).selected[0].id
            await learning.observe(ArmOutcome(arm, reward=float(rng.random() < rates[arm])))
            chosen.append(arm)
        assert chosen[-50:].count("b") > 40
        assert (await learning.top_arms(1))[0][0] == "b"


async def test_what_was_learned_is_the_prior_and_the_counts() -> None:
    learning = await learner(prior_alpha=2.0, prior_beta=3.0, seed_arms=("a",), seed_boost=4.0)
    await learning.batch_observe([ArmOutcome("a", reward=0.25), ArmOutcome("b", reward=1.0)])
    posteriors = await learning.posteriors()
    assert {arm: (each.alpha, each.beta) for arm, each in posteriors.items()} == {"a": (6.25, 3.75), "b": (3.0, 3.0)}


async def test_a_seeded_arm_is_believed_in_before_any_data() -> None:
    learning = await learner(seed_arms=["b"], seed_boost=1_000.0)
    [(arm, mean)] = await learning.top_arms()
    assert arm == "b"
    assert mean == pytest.approx(1001 / 1002)
    assert (await learning.select(ARMS)).selected == (Arm("b"),)


async def test_outcomes_are_judged_unless_they_bring_a_reward() -> None:
    learning = await learner()
    observed = await learning.batch_observe(
        [ArmOutcome("a", "accepted"), ArmOutcome("a", "rejected"), ArmOutcome("a", "rejected", reward=0.5)]
    )
    assert [(each.status, each.reward) for each in observed] == [("applied", 1.0), ("applied", 0.0), ("applied", 0.5)]


async def test_a_ternary_reward_knows_partial_outcomes() -> None:
    config = LearnerConfig(name="prompts")
    learning = await Learner.create(config, store=MemoryLearningStore(), reward_model=TernaryReward())
    assert (await learning.observe(ArmOutcome("a", "partial"))).reward == 0.5
    with pytest.raises(ValueError, match="Unknown outcome"):
        await learning.observe(ArmOutcome("a", "meh"))


async def test_a_reward_model_may_ignore_an_outcome() -> None:
    model = OutcomeMap({"click": 1, "skip": None})
    learning = await Learner.create(LearnerConfig(name="x"), store=MemoryLearningStore(), reward_model=model)
    assert (await learning.observe(ArmOutcome("a", "skip"))).status == "ignored"
    assert (await learning.metrics()).arms["a"].reward_rate is None


async def test_an_outcome_with_an_id_counts_once() -> None:
    learning = await learner()
    first, again = [await learning.observe(ArmOutcome("a", "accepted", id="request-1")) for _ in range(2)]
    assert (first, again) == (Observed("applied", 1.0), Observed("duplicate", None))
    assert (await learning.metrics()).observations == 1


async def test_a_wrong_outcome_spoils_its_batch_and_counts_nothing() -> None:
    learning = await learner()
    with pytest.raises(ValueError, match="between 0 and 1"):
        await learning.batch_observe([ArmOutcome("a", reward=1.0), ArmOutcome("a", reward=2.0)])
    assert (await learning.metrics()).observations == 0


async def test_declared_context_keys_select_posteriors_of_their_own() -> None:
    learning = await learner(context_keys=("task",))
    day, night = {"task": "review", "user": "x"}, {"task": "write"}
    await learning.observe(ArmOutcome("a", reward=1.0, context=day))
    await learning.observe(ArmOutcome("a", reward=0.0, context=night))
    assert (await learning.posteriors(day))["a"].mean == pytest.approx(2 / 3)
    assert (await learning.posteriors({"task": "review"})) == await learning.posteriors(day)
    assert (await learning.posteriors(night))["a"].mean == pytest.approx(1 / 3)
    assert (await learning.posteriors())["a"].mean == 0.5
    with pytest.raises(ValueError, match="task"):
        await learning.select(ARMS)
    with pytest.raises(ValueError, match="task"):
        await learning.observe(ArmOutcome("a", reward=1.0))


async def test_decay_and_reset_reach_one_context_or_all() -> None:
    learning = await learner(context_keys=("task",))
    tasks = [{"task": "x"}, {"task": "y"}]
    await learning.batch_observe([ArmOutcome("a", reward=1.0, context=task) for task in tasks])
    await learning.decay_arm("a", 0.5, tasks[0])
    assert [(await learning.posteriors(task))["a"].alpha for task in tasks] == [1.5, 2.0]
    await learning.decay_arm("a", 0.0)
    assert (await learning.posteriors())["a"].alpha == 1.0
    await learning.reset("a", tasks[0])
    assert [list(await learning.posteriors(task)) for task in tasks] == [[], ["a"]]
    await learning.reset()
    assert await learning.posteriors() == {}


async def test_metrics_count_selections_and_observations() -> None:
    learning = await learner()
    await learning.select(ARMS, k=3)
    await learning.select(ARMS[:1])
    await learning.batch_observe([ArmOutcome("a", reward=1.0), ArmOutcome("b", reward=0.5)])
    metrics = await learning.metrics()
    assert (metrics.selections, metrics.observations, metrics.reward_rate) == (4, 2, 0.75)
    assert (metrics.arms["a"].selections, metrics.arms["b"].reward_rate, metrics.arms["c"].reward_rate) == (
        2,
        0.5,
        None,
    )


async def test_the_token_budget_is_the_callers_or_the_configurations() -> None:
    learning = await learner(max_tokens=10)
    arms = [Arm("cheap", 10), Arm("dear", 30)]
    assert (await learning.select(arms, k=2)).selected == (arms[0],)
    assert (await learning.select(arms, k=2, max_tokens=40)).used_tokens == 40


async def test_what_was_learned_survives_a_restart(tmp_path: Path) -> None:
    config = LearnerConfig(name="prompts", path=tmp_path / "deep" / "learners.db")
    async with await Learner.create(config) as learning:
        await learning.observe(ArmOutcome("a", "accepted"))
    async with await Learner.create(config) as learning:
        assert (await learning.posteriors())["a"].alpha == 2.0


async def test_the_usual_file_lies_among_the_users_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with await Learner.create(LearnerConfig(name="prompts")):
        assert (tmp_path / "bandit-sdk" / "learners.db").exists()


async def test_a_closed_store_says_what_to_do(tmp_path: Path) -> None:
    learning = await Learner.create(LearnerConfig(name="prompts", path=tmp_path / "learners.db"))
    await learning.close()
    with pytest.raises(RuntimeError, match=re.escape("await store.initialize()")):
        await learning.metrics()


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"prior_alpha": 0.0}, {"seed_boost": -1.0}, {"baseline_rate": 1.5}, {"max_tokens": -1}],
)
def test_senseless_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LearnerConfig(**{"name": "x", **wrong})  # type: ignore[arg-type]


def test_an_outcome_says_something() -> None:
    with pytest.raises(ValueError, match="needs an outcome or a reward"):
        ArmOutcome("a")
