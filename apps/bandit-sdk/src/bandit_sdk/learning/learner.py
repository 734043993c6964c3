"""A bandit inside a program: it selects among arms, is told what came of it, and remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self

import numpy as np

from bandit_core.checks import check_number, check_whole
from bandit_core.policies.base import Beliefs
from bandit_core.posteriors import BetaPosterior
from bandit_core.rules.experiment import MICRO
from bandit_core.rules.problems import Invalid
from bandit_core.rules.rewards import judged_micro
from bandit_sdk.learning.arms import Arm, ArmOutcome
from bandit_sdk.learning.config import LearnerConfig, default_path
from bandit_sdk.learning.context import Context, state_of
from bandit_sdk.learning.metrics import ArmMetrics, LearnerMetrics
from bandit_sdk.learning.rewards import BinaryReward, RewardModel
from bandit_sdk.learning.selection import SelectionResult, Selector
from bandit_sdk.learning.sqlite import SqliteLearningStore
from bandit_sdk.learning.store import ArmChange, ArmCounts, ArmKey, LearningStore
from bandit_sdk.learning.strategies import Strategy, ThompsonSampling
from bandit_sdk.processes import PerProcess


@dataclass(frozen=True, slots=True)
class Observed:
    """What became of an outcome.

    applied: its reward counts. duplicate: its id was observed before, and this reward changes nothing. ignored: the
    reward model does not count it. `reward` is the number that counts by this call; None where none does.
    """

    status: Literal["applied", "duplicate", "ignored"]
    reward: float | None


class Learner:
    """Selects among arms by what came of earlier selections. Make one with `await Learner.create(…)`.

    Every arm has a Beta posterior: its prior from the configuration, and the counts in the store. A learner holds no
    state of its own, so any number of them may use one store. With `LearnerConfig.context_keys`, `select` and `observe`
    need a context, and each combination of those values has posteriors of its own. Where a method reads or changes
    posteriors, no context means all of them.
    """

    def __init__(
        self,
        config: LearnerConfig,
        store: LearningStore,
        selector: Selector,
        reward_model: RewardModel,
        *,
        owns_store: bool,
    ) -> None:
        self._config = config
        self._store = store
        # The copy of a random stream draws the same arms in every process that was forked.
        self._selector = PerProcess(lambda: replace(selector, rng=np.random.default_rng()), selector)
        self._reward_model = reward_model
        self._owns_store = owns_store

    @classmethod
    async def create(
        cls,
        config: LearnerConfig,
        *,
        store: LearningStore | None = None,
        strategy: Strategy | None = None,
        reward_model: RewardModel | None = None,
        rng: np.random.Generator | None = None,
    ) -> Self:
        """Return a learner whose store is ready.

        Args:
            config: Its name and what it believes before any data.
            store: Where the counts are; an SQLite file if not given. A store that is given stays the caller's to close.
            strategy: Thompson sampling if not given.
            reward_model: `BinaryReward` if not given.
            rng: Draws the arms; give a seeded one to repeat a run. A forked process draws from a stream of its own.
        """
        kept = SqliteLearningStore(config.path or default_path()) if store is None else store
        await kept.initialize()
        selector = Selector(strategy or ThompsonSampling(), config.baseline_rate, rng or np.random.default_rng())
        return cls(config, kept, selector, reward_model or BinaryReward(), owns_store=store is None)

    async def select(
        self, arms: Sequence[Arm], context: Context | None = None, k: int = 1, *, max_tokens: int | None = None
    ) -> SelectionResult:
        """Select up to k different arms, whose tokens together stay within the budget.

        Without `max_tokens` the configuration's applies. If no arm fits, nothing is selected.

        Raises:
            ValueError: no arms, ids that repeat, k below 1, or a declared key missing in the context.
        """
        check_whole("k", k, low=1)
        budget = self._config.max_tokens if max_tokens is None else max_tokens
        state = self._state(context)
        counts = await self._store.counts(self._config.name, state)
        known = [self._posterior(arm.id, counts.get(ArmKey(state, arm.id), ArmCounts())) for arm in arms]
        beliefs = Beliefs(
            tuple(arm.id for arm in arms),
            np.array([posterior.alpha for posterior in known]),
            np.array([posterior.beta for posterior in known]),
        )
        result = self._selector.get().select(arms, beliefs, k=k, max_tokens=budget)
        changes = [ArmChange(ArmKey(state, arm.id), ArmCounts(selections=1)) for arm in result.selected]
        await self._store.add(self._config.name, changes)
        return result

    async def observe(self, outcome: ArmOutcome) -> Observed:
        """Learn what came of an arm.

        Raises:
            ValueError: the reward is not in [0, 1], the reward model does not know the outcome, or a declared key is
                missing in the context. Nothing is counted then.
        """
        return (await self.batch_observe([outcome]))[0]

    async def batch_observe(self, outcomes: Sequence[ArmOutcome]) -> list[Observed]:
        """Learn what came of several arms, all in one step; errors as `observe`."""
        rewards = [self._reward_micro(outcome) for outcome in outcomes]
        changes = [
            ArmChange(ArmKey(self._state(outcome.context), outcome.arm_id), _observed(reward), outcome.id)
            for outcome, reward in zip(outcomes, rewards, strict=True)
        ]
        added = await self._store.add(self._config.name, changes)
        return [
            Observed("duplicate", None)
            if not counted
            else Observed("ignored", None)
            if reward is None
            else Observed("applied", reward / MICRO)
            for counted, reward in zip(added, rewards, strict=True)
        ]

    async def posteriors(self, context: Context | None = None) -> dict[str, BetaPosterior]:
        """Return the posterior of every arm that was seen or seeded, by its id."""
        counts = await self._counts(context)
        return {arm: self._posterior(arm, known) for arm, known in counts.items()}

    async def top_arms(self, k: int = 5, context: Context | None = None) -> list[tuple[str, float]]:
        """Return up to k arms with the highest posterior means, each with its mean."""
        check_whole("k", k, low=1)
        means = [(arm, posterior.mean) for arm, posterior in (await self.posteriors(context)).items()]
        return sorted(means, key=lambda ranked: (-ranked[1], ranked[0]))[:k]

    async def metrics(self, context: Context | None = None) -> LearnerMetrics:
        """Return how often each arm was selected and observed, and what is believed of it."""
        counts = await self._counts(context)
        return LearnerMetrics({arm: ArmMetrics.of(known, self._posterior(arm, known)) for arm, known in counts.items()})

    async def decay_arm(self, arm_id: str, factor: float, context: Context | None = None) -> None:
        """Let what was learned of an arm count only `factor` in [0, 1] times as much; 0 leaves the prior."""
        check_number("factor", factor, low=0.0, high=1.0)
        await self._store.decay(self._config.name, factor, arm_id, self._state_or_all(context))

    async def reset(self, arm_id: str | None = None, context: Context | None = None) -> None:
        """Forget what was learned: of one arm, in one context, or everything.

        Only when everything is forgotten are the ids of outcomes forgotten as well.
        """
        await self._store.reset(self._config.name, arm_id, self._state_or_all(context))

    async def close(self) -> None:
        """Close the store if this learner opened it."""
        if self._owns_store:
            await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _state(self, context: Context | None) -> str:
        return state_of(self._config.context_keys, context)

    def _state_or_all(self, context: Context | None) -> str | None:
        return None if context is None else self._state(context)

    async def _counts(self, context: Context | None) -> Mapping[str, ArmCounts]:
        """Return the counts of each arm, over all contexts if none is given."""
        pooled = dict.fromkeys(self._config.seed_arms, ArmCounts())
        for key, counts in (await self._store.counts(self._config.name, self._state_or_all(context))).items():
            pooled[key.arm] = pooled.get(key.arm, ArmCounts()) + counts
        return dict(sorted(pooled.items()))

    def _posterior(self, arm: str, counts: ArmCounts) -> BetaPosterior:
        boost = self._config.seed_boost if arm in self._config.seed_arms else 0.0
        return BetaPosterior(
            self._config.prior_alpha + boost,
            self._config.prior_beta,
            counts.successes / MICRO,
            counts.failures / MICRO,
        )

    def _reward_micro(self, given: ArmOutcome) -> int | None:
        judged = given.outcome if given.reward is None else None
        try:
            return judged_micro(given.reward, judged, self._reward_model.reward)
        except Invalid as error:
            raise ValueError(f"arm {given.arm_id!r}: {error}") from None


def _observed(reward_micro: int | None) -> ArmCounts:
    if reward_micro is None:
        return ArmCounts(observations=1)
    return ArmCounts(observations=1, successes=reward_micro, failures=MICRO - reward_micro)
