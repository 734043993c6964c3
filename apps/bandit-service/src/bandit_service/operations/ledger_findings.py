"""What is well, doubtful or wrong with the events and what is derived from them. Pure judgement; no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bandit_service.ledger.agreement import Difference
from bandit_service.ledger.inspection import Posterior, Posteriors, WorkFacts
from bandit_service.operations.findings import Finding, few

# A lease-holder settles and closes within seconds; a process that takes over, within a minute.
LONGEST_WAIT: Final = 120.0
LONGEST_OVERDUE: Final = 600.0


def judge_work(facts: WorkFacts, spools: Sequence[str] | None) -> Iterator[Finding]:
    """Say whether events come in, and whether what waits is being done. `spools`: processes with a stream, if known."""
    yield _inserts(facts)
    yield _drained(facts, spools)
    yield _waiting(
        "settling", facts.unsettled_for, LONGEST_WAIT, "the oldest outcome to be settled has waited for {} s"
    )
    yield _waiting(
        "closing", facts.overdue_for, LONGEST_OVERDUE, "the oldest reward window to be closed ended {} s ago"
    )
    yield _refused(facts.refused)


def judge_totals(differences: Sequence[Difference]) -> Finding:
    """Say whether the totals are the sums of their events."""
    if not differences:
        return Finding("totals", "ok", "they are the sums of their events")
    keys = [
        f"{found.experiment_id}, arm {found.arm_index}, {found.stratum}"
        f"{f', segment {found.segment}' if found.segment else ''}: {found.decisions:+} decisions, {found.rewards:+}"
        f" rewards, {found.reward_micro / 1_000_000:+g}"
        for found in differences
    ]
    what = f"{len(keys)} differ from the sums of their events: {few(keys)}"
    return Finding("totals", "fail", what, 'see "Totals that differ" in docs/operations.md')


def judge_periods(unequal: Sequence[str]) -> Finding:
    """Say whether the periods of the weights are the sums of their events, given the experiments where they are not."""
    if not unequal:
        return Finding("periods of the weights", "ok", "they are the sums of their events")
    what = f"those of {few(list(unequal))} are not the sums of their events"
    return Finding("periods of the weights", "fail", what, 'see "Totals that differ" in docs/operations.md')


def judge_mirror(before: Posteriors, mirrored: Mapping[tuple[str, int], tuple[int, int]], after: Posteriors) -> Finding:
    """Say whether Redis has the posteriors, read after the first and before the second look at the ledger."""
    names = sorted(
        {
            name
            for (name, arm), first in before.items()
            if (name, arm) in after and not _between(first, mirrored.get((name, arm)), after[name, arm])
        }
    )
    if names:
        what = f"Redis has other posteriors than Postgres for {few(names)}"
        do = "find in the log why the process that looks after it cannot publish; its keys in Redis may be deleted"
        return Finding("posteriors in Redis", "fail", what, do)
    what = f"they are those of Postgres, for {len({name for name, _ in before})} experiments"
    return Finding("posteriors in Redis", "ok", what)


def _between(first: Posterior, found: tuple[int, int] | None, last: Posterior) -> bool:
    """Say whether an arm had that posterior at some moment between two others."""
    if found is None or first == last:
        return found == first[:2]
    alpha, beta = found
    # A gaussian alpha is a sum of rewards of any sign; everything else only grows.
    return first.beta_micro <= beta <= last.beta_micro and (
        first.is_gaussian or first.alpha_micro <= alpha <= last.alpha_micro
    )


def _inserts(facts: WorkFacts) -> Finding:
    if facts.refusal is not None:
        do = "give its user the rights, or the server the room, that are missing; point at the primary"
        return Finding("Postgres inserts", "fail", f"an event cannot be inserted: {facts.refusal}", do)
    if not facts.commits:
        what = "an event can be inserted, but its commit is not confirmed: a synchronous standby is missing"
        return Finding("Postgres inserts", "fail", what, "bring it back, or change synchronous_standby_names")
    return Finding("Postgres inserts", "ok", "an event can be inserted")


def _drained(facts: WorkFacts, spools: Sequence[str] | None) -> Finding:
    if not facts.undrained:
        return Finding("processes", "ok", "none has left events behind")
    names = [
        f"{name}{'' if spools is None or name in spools else ' (without a stream)'}" for name in sorted(facts.undrained)
    ]
    longest = max(facts.undrained.values())
    what = f"{few(names)} ended without having written everything, {longest:.0f} s ago at the longest"
    do = "start a process of the service: it writes what they left in Redis. Until then no window closes"
    return Finding("processes", "warn" if longest < LONGEST_OVERDUE else "fail", what, do)


def _waiting(subject: str, seconds: float | None, limit: float, what: str) -> Finding:
    if seconds is None or seconds <= limit:
        return Finding(subject, "ok", "nothing has waited for long")
    do = "see whether a process holds the lease (table `leases`), what its log says, and the finding on processes"
    return Finding(subject, "warn", what.format(f"{seconds:.0f}"), do)


def _refused(refused: Mapping[str, int]) -> Finding:
    if not refused:
        return Finding("refused events", "ok", "none in the last day")
    counts = [f"{number} {reason}" for reason, number in sorted(refused.items(), key=lambda each: -each[1])]
    what = f"in the last day {few(counts)}; they are not counted"
    return Finding("refused events", "warn", what, "they are in the table `refused_events`")
