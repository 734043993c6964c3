"""Replay: what a policy that learns would have done and earned, from decisions that were logged at random.

Li, Chu, Langford and Wang 2011, "Unbiased offline evaluation of contextual-bandit-based news article recommendation
algorithms" (WSDM), algorithm 2: walk through the log, let the policy choose, and keep a row only when it chooses the
logged arm; the policy learns from what is kept. Where arms were logged uniformly, the rows kept are distributed as the
rounds the policy would have lived through itself (theorem 1).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandit_core.checks import check_number, check_whole
from bandit_core.ope.logged import LoggedDecisions
from bandit_core.policies.base import Beliefs, Policy
from bandit_core.simulation import arm_ids

type Floats = NDArray[np.float64]
type Whole = NDArray[np.int64]

ROWS_AT_ONCE = 2**20
"""Rows per call of the compiled loop: bounds the random numbers and buffers in memory."""

SAME_PROPENSITY = 1e-9
"""Relative difference up to which propensities count as equal."""


@dataclass(frozen=True, eq=False, repr=False)
class Replay:
    """The rows that a replay kept, the matches (m,), in the order of the log, and what is needed to judge them.

    rows: row numbers in the log, counted across chunks. arms, rewards, positions: as logged (position 0 where the log
    has none). propensities: the evaluated policy's probability of the arm at that moment. log_rows: rows of the log.
    arm_means (n_positions, n_arms): mean reward of every arm in the whole log, weighted by 1 / propensity; nan for an
    arm that was never logged.
    """

    policy: str
    log_rows: int
    rows: Whole
    arms: Whole
    rewards: Floats
    propensities: Floats
    positions: Whole
    arm_means: Floats

    @property
    def matches(self) -> int:
        return len(self.rows)

    @property
    def clicks(self) -> int:
        """Matches with a reward above 0: what any conclusion from a replay rests on."""
        return int(np.count_nonzero(self.rewards))

    @property
    def mean_reward(self) -> float:
        """Reward per match; nan without matches."""
        return float(self.rewards.mean()) if self.matches else math.nan

    @property
    def reward_curve(self) -> Floats:
        """Cumulative reward (m,) after each match."""
        return np.cumsum(self.rewards)

    def regret_curve(self, means: ArrayLike | None = None) -> Floats:
        """Cumulative pseudo-regret (m,) after each match: Σ (the best arm's mean − the matched arm's mean).

        `means` (n_arms,) or (n_positions, n_arms) are the arms' true mean rewards. Without them the log's own
        `arm_means` are taken. Those are estimates, and the largest of noisy estimates is too large: with few clicks per
        arm such a curve overstates the regret.
        """
        table = self.arm_means if means is None else np.broadcast_to(means, self.arm_means.shape)
        best = np.nanmax(table, axis=1)
        regret: Floats = np.cumsum(best[self.positions] - table[self.positions, self.arms])
        return regret

    def __repr__(self) -> str:
        return (
            f"Replay(policy={self.policy!r}, matches={self.matches:,}, clicks={self.clicks:,}, "
            f"mean_reward={self.mean_reward:.6g}, log_rows={self.log_rows:,})"
        )


def replay(
    policy: Policy,
    log: LoggedDecisions | Iterable[LoggedDecisions],
    *,
    rng: np.random.Generator,
    every: int = 100,
    prior: tuple[float, float] = (1.0, 1.0),
    min_propensity: float | None = None,
) -> Replay:
    """Replay a learning policy on a log, or on the chunks of one that does not fit in memory.

    Every arm starts from Beta(`prior`); rewards must lie in [0, 1] and are known before the next row. The policy's
    weights are computed anew after every `every` matches, as a service publishes them; `every=1` is the policy that
    looks after each decision. Arms are called "0", "1" and so on, as policies that know arms by name need it.

    Each position is a replay of its own: its rows are walked through by a learner of their own. To let one learner see
    all positions, leave the positions out of the log.

    A row whose logged arm a has the policy's probability π(a) and the log's propensity p is kept with probability
    π(a) · min_propensity / p. On uniform logs p is min_propensity everywhere, and this is the draw of Li et al.: the
    policy draws an arm and the row stays when it is the logged one. On other logs it is that draw after a rejection by
    propensity, by which every arm is left with the same probability, as if logged uniformly; the more uneven the log,
    the fewer rows are left. One uniform number per row decides, in the order of the rows, from `rng`.

    `min_propensity` in (0, 1] is by default the smallest propensity of the log. In chunks the later ones are not known:
    it is then the first chunk's propensity if that is the same in all of its rows, and else has to be given.

    Raises ValueError for rewards outside [0, 1], a propensity below `min_propensity`, chunks with different numbers of
    arms or positions, or no chunk at all. Needs the extra `bandit-core[ope]`.
    """
    check_whole("every", every, low=1)
    for name, parameter in zip(("prior alpha", "prior beta"), prior, strict=True):
        check_number(name, parameter, low=0.0, exclusive=True)
    chunks = iter([log] if isinstance(log, LoggedDecisions) else log)
    first = next(chunks, None)
    if first is None:
        raise ValueError("a replay needs a log, got no chunk")
    if min_propensity is None:
        min_propensity = _smallest_propensity(first, whole=isinstance(log, LoggedDecisions))
    learners = _Learners(policy, (first.n_positions, first.n_arms), every, prior, min_propensity)
    learners.play(first, rng)
    for chunk in chunks:
        learners.play(chunk, rng)
    return learners.result()


def _smallest_propensity(log: LoggedDecisions, *, whole: bool) -> float:
    low, high = float(log.propensities.min()), float(log.propensities.max())
    if not whole and high - low > SAME_PROPENSITY * high:
        raise ValueError(
            f"propensities differ ({low:g} to {high:g}) and later chunks are not known: give min_propensity, the "
            "smallest propensity of the whole log"
        )
    return low


class _Learners:
    """One learner per position, and the matches so far."""

    def __init__(
        self, policy: Policy, shape: tuple[int, int], every: int, prior: tuple[float, float], min_propensity: float
    ) -> None:
        self.policy, self.every, self.prior, self.min_propensity = policy, every, prior, min_propensity
        self.n_positions, self.n_arms = shape
        self.log_rows = 0
        self.matches: list[tuple[Whole, Whole, Floats, Floats, Whole]] = []
        self.successes, self.failures = np.zeros(shape), np.zeros(shape)
        self.reward_sums, self.row_sums = np.zeros(shape), np.zeros(shape)
        self.weights = np.empty(shape)
        self.since_refresh = np.zeros(self.n_positions, dtype=np.int64)
        for position in range(self.n_positions):
            self._refresh(position)

    def play(self, log: LoggedDecisions, rng: np.random.Generator) -> None:
        self._check(log)
        for block in _blocks(len(log)):
            self._play_block(log, block, rng)
        self.log_rows += len(log)

    def _check(self, log: LoggedDecisions) -> None:
        if (log.n_positions, log.n_arms) != (self.n_positions, self.n_arms):
            raise ValueError(
                f"all chunks must have {self.n_arms} arms and {self.n_positions} positions, "
                f"got {log.n_arms} and {log.n_positions}"
            )
        if log.rewards.min() < 0.0 or log.rewards.max() > 1.0:
            raise ValueError("replay needs rewards in [0, 1], as Beta beliefs do: scale them")
        lowest = float(log.propensities.min())
        if lowest < self.min_propensity * (1.0 - SAME_PROPENSITY):
            raise ValueError(f"a propensity of {lowest:g} lies below min_propensity {self.min_propensity:g}")

    def _play_block(self, log: LoggedDecisions, block: slice, rng: np.random.Generator) -> None:
        from bandit_core.ope.replay_loop import END, NO_POSITIONS, match_rows

        arms, rewards, propensities = log.arms[block], log.rewards[block], log.propensities[block]
        positions = NO_POSITIONS if log.positions is None else log.positions[block]
        uniforms = rng.random(len(arms))
        rows, chosen_with = np.empty(len(arms), dtype=np.int64), np.empty(len(arms))
        cursor = np.zeros(2, dtype=np.int64)
        due = 0
        while due != END:
            due = match_rows(
                arms,
                rewards,
                propensities,
                positions,
                uniforms,
                self.min_propensity,
                self.every,
                self.weights,
                self.successes,
                self.failures,
                self.since_refresh,
                self.reward_sums,
                self.row_sums,
                cursor,
                rows,
                chosen_with,
            )
            if due != END:
                self._refresh(due)
        kept = rows[: cursor[1]]
        place = np.zeros_like(kept) if log.positions is None else positions[kept]
        self.matches.append(
            (kept + (self.log_rows + block.start), arms[kept], rewards[kept], chosen_with[: cursor[1]].copy(), place)
        )

    def _refresh(self, position: int) -> None:
        alpha, beta = self.prior
        beliefs = Beliefs(arm_ids(self.n_arms), alpha + self.successes[position], beta + self.failures[position])
        self.weights[position] = self.policy.propose(beliefs).weights
        self.since_refresh[position] = 0

    def result(self) -> Replay:
        columns = zip(*self.matches, strict=True)
        rows, arms, rewards, propensities, positions = (np.concatenate(column) for column in columns)
        with np.errstate(invalid="ignore"):
            arm_means = self.reward_sums / self.row_sums
        return Replay(self.policy.name, self.log_rows, rows, arms, rewards, propensities, positions, arm_means)


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, ROWS_AT_ONCE):
        yield slice(start, min(start + ROWS_AT_ONCE, rows))
