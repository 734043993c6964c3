"""Contextual decisions of bandit-core and of two other libraries, called in process after learning the same rewards.

MABWiser has LinUCB and linear Thompson sampling on disjoint models, as the service has. Vowpal Wabbit has neither:
beside LinUCB stands RegCB, which is optimistic too, and beside Thompson sampling a bag of ten bootstrapped models. Its
requests are text, as its users write them, and its models are online regressions without covariances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import process_time
from timeit import repeat
from typing import Final

import numpy as np

from bandit_core.assignment import drawn_from
from bandit_core.contextual import LinearBeliefs, linear_weights, make_contextual_policy
from bandit_core.linear import LinearPrior
from bandit_core.linear_sums import LinearSums
from benchmarks.contextual import NOISE, Shape

_SERIES: Final = 5
_LEAST_SECONDS: Final = 0.02
_EXPLORATION: Final = {"linucb": "--regcbopt", "linear_thompson": "--bag 10"}


def bandit_core_seconds(shape: Shape) -> float:
    """Return the processor seconds of a decision by bandit-core: the exact vector, and a draw from it."""
    arms, contexts, rewards = (np.array(each) for each in zip(*shape.observations(), strict=True))
    prior = LinearPrior(shape.dimension)
    models = {
        name: LinearSums.of(prior)
        .plus(
            contexts[arms == arm], (rewards[arms == arm] * 1e6).round().astype(np.int64), np.zeros((arms == arm).sum())
        )
        .model(prior, 0.0)
        for arm, name in enumerate(shape.names)
    }
    beliefs, policy = LinearBeliefs.of(models), make_contextual_policy(shape.policy, {"alpha": NOISE})
    asked, floor = np.array(shape.contexts(shape.batch)), 0.1 / shape.arms
    if shape.batch == 1:
        return _seconds(lambda: drawn_from(linear_weights(policy, beliefs, asked[0], floor).tolist(), 0.5))
    return _seconds(lambda: _drawn(linear_weights(policy, beliefs, asked, floor).tolist())) / shape.batch


def _drawn(vectors: list[list[float]]) -> list[int]:
    return [drawn_from(vector, 0.5) for vector in vectors]


def mabwiser_seconds(shape: Shape) -> float:
    """Return the processor seconds of a decision by MABWiser; a batch is asked for at once."""
    from mabwiser.mab import MAB, LearningPolicy

    policies = {
        "linucb": LearningPolicy.LinUCB(alpha=NOISE, l2_lambda=1.0),
        "linear_thompson": LearningPolicy.LinTS(alpha=NOISE, l2_lambda=1.0),
    }
    mab = MAB(shape.names, policies[shape.policy])
    arms, contexts, rewards = zip(*shape.observations(), strict=True)
    mab.fit([shape.names[arm] for arm in arms], list(rewards), np.array(contexts))
    asked = np.array(shape.contexts(shape.batch))
    return _seconds(lambda: mab.predict(asked)) / shape.batch


def vowpal_wabbit_seconds(shape: Shape) -> float:
    """Return the processor seconds of a decision by Vowpal Wabbit, which knows no batches."""
    from vowpalwabbit import Workspace

    with Workspace(f"--cb_explore_adf {_EXPLORATION[shape.policy]} -q sa --quiet") as vw:
        for arm, context, reward in shape.observations():
            labels = [f"0:{-reward}:{1 / shape.arms} " if each == arm else "" for each in range(shape.arms)]
            vw.learn(_example(shape, context, labels))
        asked = _example(shape, shape.contexts(1)[0], [""] * shape.arms)
        return _seconds(lambda: vw.predict(asked))


def _example(shape: Shape, context: Sequence[float], labels: Sequence[str]) -> str:
    features = " ".join(f"f{place}:{number}" for place, number in enumerate(context))
    actions = [f"{label}|a {name}" for label, name in zip(labels, shape.names, strict=True)]
    return "\n".join((f"shared |s {features}", *actions))


def _seconds(decide: Callable[[], object]) -> float:
    started = process_time()
    decide()
    calls = max(1, round(_LEAST_SECONDS / max(process_time() - started, 1e-5)))
    return min(repeat(decide, timer=process_time, number=calls, repeat=_SERIES)) / calls
