"""How experiments and beliefs look in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Column, Table

from bandit_sdk.results import Experiment, ExperimentSummary, Plan, PlannedShare, Posterior


def summaries(experiments: Sequence[ExperimentSummary]) -> Table:
    name, winner = Column("experiment", overflow="fold"), Column("winner", overflow="fold")
    table = Table(name, "status", "arms", winner, "revision", "description")
    for each in experiments:
        table.add_row(
            each.experiment_id,
            each.status,
            str(each.active_arms),
            each.winner or "",
            str(each.revision),
            each.description,
        )
    return table


def details(experiment: Experiment) -> Table:
    table = Table(show_header=False, title=experiment.experiment_id)
    table.add_row("status", experiment.status)
    table.add_row("revision", str(experiment.revision))
    table.add_row("arms", ", ".join(f"{arm.id} ({arm.status})" for arm in experiment.arms))
    table.add_row("default arm", experiment.default_arm)
    table.add_row("policy", " ".join(map(str, experiment.policy.values())))
    table.add_row("winner", experiment.winner or "")
    return table


def beliefs(posterior: Posterior) -> Table:
    """Return a row for each arm: traffic, rewards, what is believed, and its weight."""
    name = Column("arm", overflow="fold")
    table = Table(
        name, "decisions", "rewards", "mean", "95% interval", "P(best)", "weight", title=posterior.experiment_id
    )
    for arm in posterior.arms:
        low, high = arm.interval
        best = "" if arm.prob_best is None else f"{arm.prob_best:.1%}"
        numbers = (f"{arm.decisions:,}", f"{arm.rewards:,}", f"{arm.mean:.4g}", f"{low:.4g} to {high:.4g}")
        table.add_row(arm.arm, *numbers, best, f"{arm.weight:.1%}")
    return table


def plan(planned: Plan) -> Table:
    """Return a row for each way an experiment may end, and when."""
    title = f"{planned.runs:,} simulated experiments of each kind"
    table = Table("", "one arm is better", "all are equal", title=title)
    rows: tuple[tuple[str, str], ...] = (
        ("the better arm wins", "right"),
        ("another arm wins", "wrong"),
        ("practically equal", "practically_equal"),
        ("undecided at the end", "undecided"),
    )
    better, equal = planned.better, planned.equal
    for name, field in rows:
        said = "" if field == "right" else _share(getattr(equal, field))
        table.add_row(name, _share(getattr(better, field)), said)
    table.add_row("half have ended after", _days(better.median_days), _days(equal.median_days))
    table.add_row("nine in ten after", _days(better.slow_days), _days(equal.slow_days))
    table.add_row("rewards lost", f"{better.lost:,.0f} (even split: {better.lost_evenly:,.0f})", "")
    return table


def _share(share: PlannedShare) -> str:
    return f"{share.share:.1%} ± {share.std_error:.1%}"


def _days(days: float | None) -> str:
    return "not by the end" if days is None else f"{days:.1f} days"
