"""What is asked of the planner, and what it answers."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta

from bandit_core.planning import MOST_ARMS, MOST_RUNS, Assumptions, Expectation, Share, plan
from bandit_core.rules.experiment import GuardrailsDefinition, PolicyDefinition, StoppingDefinition, Value
from bandit_core.rules.problems import Invalid
from bandit_core.rules.vectors import guardrails_of, stopping_rule

_QUICK: Final = 300
_POLITE: Final = 10
_POLICIES: Final = ("thompson", "uniform")


class PlanRequest(Value, frozen=True, kw_only=True):
    """An experiment with rewards of 0 or 1, and what is known beforehand."""

    arms: Annotated[int, Meta(ge=2, le=MOST_ARMS, description="How many arms", examples=[2])]
    rate: Annotated[float, Meta(gt=0, lt=1, description="Success rate of all arms but the better one", examples=[0.1])]
    lift: Annotated[
        float,
        Meta(
            gt=0,
            le=1_000,
            description="Smallest difference that matters, relative to `rate`: 0.1 is 10% better",
            examples=[0.1],
        ),
    ]
    traffic: Annotated[float, Meta(ge=1, le=1e10, description="Decisions a day", examples=[2_000])]
    days: Annotated[float, Meta(gt=0, le=3_660, description="Days that it may take at most")] = 30.0
    policy: PolicyDefinition = PolicyDefinition()
    guardrails: GuardrailsDefinition = GuardrailsDefinition()
    stopping: StoppingDefinition = StoppingDefinition()
    runs: Annotated[
        int,
        Meta(ge=10, le=MOST_RUNS, description="Simulated experiments of each kind; standard errors fall with the root"),
    ] = _QUICK
    seed: Annotated[int, Meta(ge=0, le=2**53, description="The same seed gives the same answer")] = 0


class ShareReport(msgspec.Struct, frozen=True):
    """A share of the simulated experiments."""

    share: Annotated[float, Meta(ge=0, le=1, description="Share of the runs")]
    std_error: Annotated[float, Meta(ge=0, description="Its standard error")]


class ExpectationReport(msgspec.Struct, frozen=True, kw_only=True):
    """How experiments of one kind end."""

    right: Annotated[ShareReport, Meta(description="The better arm is announced as the winner")]
    wrong: Annotated[ShareReport, Meta(description="Another arm is; with equal arms: any arm is")]
    practically_equal: Annotated[ShareReport, Meta(description="It ends since choosing costs next to nothing")]
    undecided: Annotated[ShareReport, Meta(description="It reaches the last day")]
    median_days: Annotated[float | None, Meta(description="Days by which half have ended by the rule; null: fewer do")]
    slow_days: Annotated[
        float | None, Meta(description="Days by which nine in ten have ended by the rule; null: fewer do")
    ]
    lost: Annotated[float, Meta(description="Rewards lost until the last day beside the better arm, mean of the runs")]
    lost_std_error: Annotated[float, Meta(ge=0, description="Its standard error")]
    lost_evenly: Annotated[float, Meta(ge=0, description="What an even split loses in the same time")]


class PlanReport(msgspec.Struct, frozen=True, kw_only=True):
    """What to expect of an experiment."""

    better: Annotated[ExpectationReport, Meta(description="One arm is better by the lift")]
    equal: Annotated[ExpectationReport, Meta(description="All arms are equal")]
    decisions: Annotated[int, Meta(ge=1, description="Decisions until the last day")]
    runs: Annotated[int, Meta(ge=1, description="Simulated experiments of each kind")]
    summary: Annotated[str, Meta(description="These numbers as sentences")]


def check_plan(request: PlanRequest) -> Assumptions:
    """Return what a request asks to be simulated; raise Invalid if it makes no sense."""
    if request.policy.name not in _POLICIES:
        raise Invalid.field("policy", f"plans are made for {' and '.join(_POLICIES)}, not {request.policy.name}")
    try:
        return Assumptions(
            arms=request.arms,
            rate=request.rate,
            lift=request.lift,
            traffic=request.traffic,
            days=request.days,
            rule=stopping_rule(request.stopping),
            guardrails=guardrails_of(request.guardrails, request.arms),
            even=request.policy.name == "uniform",
        )
    except ValueError as error:
        raise Invalid.field("plan", str(error)) from None


def plan_report(request: PlanRequest) -> PlanReport:
    """Return what to expect of an experiment. It takes seconds of processor time: keep it from an event loop.

    Raises:
        Invalid: the request makes no sense.
    """
    assumed = check_plan(request)
    found = plan(assumed, rng=np.random.default_rng(request.seed), runs=request.runs)
    return PlanReport(
        better=_report(found.better),
        equal=_report(found.equal),
        decisions=assumed.decisions,
        runs=found.runs,
        summary=_summary(request, assumed, found.better, found.equal),
    )


def _report(expected: Expectation) -> ExpectationReport:
    values: dict[str, Any] = {
        name: _share(value) if isinstance(value := getattr(expected, name), Share) else value
        for name in ExpectationReport.__struct_fields__
    }
    return ExpectationReport(**values)


def _share(share: Share) -> ShareReport:
    return ShareReport(share.value, share.std_error)


def _summary(request: PlanRequest, assumed: Assumptions, better: Expectation, equal: Expectation) -> str:
    days = _days(assumed.decisions / assumed.traffic)
    when = (
        "" if better.median_days is None else f"; half of such experiments have ended after {_days(better.median_days)}"
    )
    safe = ""
    if better.practically_equal.value > 0.0:
        safe = (
            f" It ends without a winner, since choosing costs next to nothing, in {better.practically_equal.value:.0%}."
        )
    return (
        f"If one arm is {100.0 * request.lift:.3g}% better than the others, it is announced within {days} in "
        f"{better.right.value:.0%} of experiments, and another arm in {better.wrong.value:.0%}{when}.{safe} "
        f"If all arms are equal, a winner is announced in {equal.wrong.value:.0%}. Until the last day "
        f"{better.lost:,.0f} rewards are lost; an even split loses {better.lost_evenly:,.0f}."
    )


def _days(days: float) -> str:
    return "1 day" if days == 1.0 else f"{days:,.1f} days" if days < 10.0 else f"{days:,.0f} days"


def main() -> None:
    """Answer the request on standard input, as a process that leaves the processor to others."""
    os.nice(_POLITE)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=PlanRequest)
    sys.stdout.buffer.write(msgspec.json.encode(plan_report(request)))


if __name__ == "__main__":
    main()
