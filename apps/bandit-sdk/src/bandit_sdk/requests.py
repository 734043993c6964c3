"""From the arguments of a call to the request it makes: pure functions, shared by both clients.

The key that makes a request safe to send again is fixed here, before the first attempt: a request id on a selection, a
reward id on a direct reward. Rewards for decisions need none: each counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Required, TypedDict
from urllib.parse import quote

from bandit_sdk.plain import Id, as_text
from bandit_sdk.responses import answer_to, batch_decoder, decoder
from bandit_sdk.results import (
    Activation,
    Allocation,
    BatchItem,
    Conclusion,
    Evaluation,
    Experiment,
    ExperimentPage,
    Plan,
    Posterior,
    RewardResult,
    Selection,
    Snapshot,
)

type NewId = Callable[[], str]
type Context = Mapping[str, float | str] | Sequence[float]
type Outcome = str | bool | float | Mapping[str, str | bool | float]

_IDS = frozenset({"unit_id", "decision_id", "request_id", "reward_id"})
_NO_DECISION = "there is no decision to count it for: the default arm was served"


@dataclass(frozen=True, slots=True)
class Call[T]:
    """A request, and how to read the answer. `repeatable`: sent twice it does no more than sent once."""

    method: str
    path: str
    parse: Callable[[bytes], T]
    body: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    repeatable: bool = False


class SelectOptions(TypedDict, total=False):
    """What may be said about a selection.

    unit_id: whom it is for. context: features by name, or in order. k: how many arms, 1 to 20. eligible_arms and
    exclude_arms: those the arm may, or must not, be one of. decision_id: an id of one's own, for one arm.
    defer_activation: count the decision only once `activate` says it was shown. request_id: what makes a repetition of
    the request the same decision, for some minutes; the client makes one up. Ids are texts, whole numbers, UUIDs or
    dates, and are sent as text.
    """

    unit_id: Id
    context: Context
    k: int
    eligible_arms: Sequence[str]
    exclude_arms: Sequence[str]
    decision_id: Id
    defer_activation: bool
    request_id: Id


class SelectItem(SelectOptions, total=False):
    """One selection of a batch."""

    experiment_id: Required[str]


class RewardOptions(TypedDict, total=False):
    """What may be said about a reward: the number itself or an outcome, and what it is for.

    reward: a number in [0, 1], or any finite one where the experiment's rewards are Gaussian. outcome: what happened,
    for the experiment's reward model to judge. position: which of a slate's, from 0. experiment_id: needed with a
    decision id of one's own as text. experiment_id and arm: a direct reward, for no decision; with a reward_id of one's
    own it counts once however often it is reported, and with a context it is learned from by features or segments.
    """

    reward: float
    outcome: Outcome
    position: int
    experiment_id: str
    arm: str
    reward_id: Id
    context: Context


class RewardItem(RewardOptions, total=False):
    """One reward of a batch; without a decision it is a direct one."""

    decision: Selection | Id | None


def select(experiment_id: str, options: SelectOptions, new_id: NewId) -> Call[Selection]:
    body = _select_body({"experiment_id": experiment_id, **options}, new_id)
    return Call("POST", "/select", answer_to(body, decoder(Selection)), body, repeatable=True)


def select_batch(items: Sequence[SelectItem], new_id: NewId) -> Call[list[BatchItem[Selection]]]:
    bodies = [_select_body(item, new_id) for item in items]
    return Call("POST", "/select/batch", batch_decoder(Selection, bodies), {"items": bodies}, repeatable=True)


def default_selection(experiment_id: str, arm: str, reason: Exception) -> Selection:
    """Return the caller's own arm as an answer, because there was none."""
    why = " ".join(str(reason).split())
    return Selection(experiment_id=experiment_id, arm=arm, stratum="default", is_default=True, reason=why)


def reward(decision: Selection | Id | None, options: RewardOptions, new_id: NewId) -> Call[RewardResult] | RewardResult:
    """Return the request, or the answer itself where nothing is to be sent."""
    if (not_sent := _not_sent(decision, options)) is not None:
        return not_sent
    body = _reward_body(decision, options, new_id)
    return Call("POST", "/reward", answer_to(body, decoder(RewardResult)), body, repeatable=True)


def reward_batch(
    items: Sequence[RewardItem], new_id: NewId
) -> Call[list[BatchItem[RewardResult]]] | list[BatchItem[RewardResult]]:
    """Return the request, or the answer itself where nothing is to be sent."""
    answers: list[BatchItem[RewardResult] | None] = []
    bodies = []
    for item in items:
        options = RewardOptions(**{name: value for name, value in item.items() if name != "decision"})  # type: ignore[typeddict-item]  # the rest is what RewardOptions declares
        decision = item.get("decision")
        if (not_sent := _not_sent(decision, options)) is not None:
            answers.append(BatchItem(result=not_sent))
        else:
            answers.append(None)
            bodies.append(_reward_body(decision, options, new_id))
    parse = batch_decoder(RewardResult, bodies)

    def merged(received: Sequence[BatchItem[RewardResult]]) -> list[BatchItem[RewardResult]]:
        rest = iter(received)
        return [answer or next(rest) for answer in answers]

    if items and not bodies:
        return merged(())
    return Call("POST", "/reward/batch", lambda content: merged(parse(content)), {"items": bodies}, repeatable=True)


def activate(decision: Selection | Id | None, experiment_id: str | None) -> Call[Activation] | Activation:
    """Return the request, or the answer itself where nothing is to be sent."""
    if isinstance(decision, Selection):
        experiment_id, decision = decision.experiment_id, decision.decision_id
    if decision is None:
        return Activation(status="not_sent", experiment_id=experiment_id, reason=_NO_DECISION)
    body = {"decision_id": as_text(decision)} | ({} if experiment_id is None else {"experiment_id": experiment_id})
    return Call("POST", "/activate", answer_to(body, decoder(Activation)), body, repeatable=True)


def posterior(experiment_id: str) -> Call[Posterior]:
    return _read(experiment_id, decoder(Posterior), "/posterior")


def allocation(experiment_id: str) -> Call[Allocation]:
    return _read(experiment_id, decoder(Allocation), "/allocation")


def conclusion(experiment_id: str) -> Call[Conclusion]:
    return _read(experiment_id, decoder(Conclusion), "/conclusion")


def report(experiment_id: str) -> Call[dict[str, Any]]:
    return _read(experiment_id, decoder(dict[str, Any]), "/report")


def get_experiment(experiment_id: str) -> Call[Experiment]:
    return _read(experiment_id, decoder(Experiment))


def create_experiment(experiment_id: str, fields: Mapping[str, Any]) -> Call[Experiment]:
    return Call("POST", "/experiments", decoder(Experiment), {"experiment_id": experiment_id, **fields})


def apply_experiment(experiment_id: str, reason: str, fields: Mapping[str, Any]) -> Call[Experiment]:
    body = {"experiment_id": experiment_id, **fields}
    return Call("PUT", _path(experiment_id), decoder(Experiment), body, {"reason": reason}, repeatable=True)


def list_experiments(params: Mapping[str, Any]) -> Call[ExperimentPage]:
    given = {name: value for name, value in params.items() if value is not None}
    return Call("GET", "/experiments", decoder(ExperimentPage), params=given, repeatable=True)


def patch_experiment(experiment_id: str, reason: str, fields: Mapping[str, Any]) -> Call[Experiment]:
    return Call("PATCH", _path(experiment_id), decoder(Experiment), {"reason": reason, **fields})


def change_state(experiment_id: str, action: Literal["pause", "resume"], reason: str) -> Call[Experiment]:
    """Return the request that pauses or resumes an experiment, which changes nothing if that is so already."""
    return Call("POST", _path(experiment_id, f"/{action}"), decoder(Experiment), {"reason": reason}, repeatable=True)


def conclude(experiment_id: str, reason: str, winner: str | None, *, by_rule: bool) -> Call[Experiment]:
    body = {"reason": reason} | ({} if winner is None else {"winner": winner}) | ({"by_rule": True} if by_rule else {})
    # An experiment that is over cannot be concluded again; its rule changes nothing any more.
    return Call("POST", _path(experiment_id, "/conclude"), decoder(Experiment), body, repeatable=by_rule)


def snapshot(experiment_id: str, min_events: int) -> Call[Snapshot]:
    body = {"min_events": min_events}
    return Call("POST", _path(experiment_id, "/snapshots"), decoder(Snapshot), body, repeatable=min_events > 0)


def keep_evaluation(
    experiment_id: str, dataset: str, digest: str, results: Sequence[Mapping[str, Any]]
) -> Call[Evaluation]:
    body = {"dataset": dataset, "digest": digest, "results": list(results)}
    return Call("POST", _path(experiment_id, "/evaluations"), decoder(Evaluation), body, repeatable=True)


def plan(fields: Mapping[str, Any]) -> Call[Plan]:
    return Call("POST", "/plan", decoder(Plan), dict(fields), repeatable=True)


def archive_experiment(experiment_id: str, reason: str) -> Call[Experiment]:
    return Call("DELETE", _path(experiment_id), decoder(Experiment), params={"reason": reason}, repeatable=True)


def _read[T](experiment_id: str, parse: Callable[[bytes], T], view: str = "") -> Call[T]:
    checked = answer_to({"experiment_id": experiment_id}, parse)
    return Call("GET", _path(experiment_id, view), checked, repeatable=True)


def _path(experiment_id: str, rest: str = "") -> str:
    return f"/experiments/{quote(experiment_id, safe='')}{rest}"


def _select_body(item: SelectItem, new_id: NewId) -> dict[str, Any]:
    body = _with_ids(item)
    if "decision_id" not in body:  # an id of the caller's own makes a repetition the same decision, too
        body.setdefault("request_id", new_id())
    return body


def _reward_body(decision: Selection | Id | None, options: RewardOptions, new_id: NewId) -> dict[str, Any]:
    if decision is None:
        return {"reward_id": new_id(), **_with_ids(options)}
    return {**_naming(decision), **_with_ids(options)}


def _with_ids(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with their ids as text."""
    return {name: as_text(value) if name in _IDS else value for name, value in options.items()}


def _naming(decision: Selection | Id) -> dict[str, Any]:
    """Return what names a decision; the experiment as well where it is known, since own ids need it."""
    if isinstance(decision, Selection):
        return {"decision_id": decision.decision_id, "experiment_id": decision.experiment_id}
    return {"decision_id": as_text(decision)}


def _not_sent(decision: Selection | Id | None, options: RewardOptions) -> RewardResult | None:
    """Return the answer to a reward for a default arm; None for every reward that is sent.

    A default arm is given as its selection, or as its decision id, which is None; a direct reward names its arm.
    """
    if isinstance(decision, Selection) and decision.decision_id is None:
        return RewardResult(
            status="not_sent", experiment_id=decision.experiment_id, arm=decision.arm, reason=_NO_DECISION
        )
    if decision is None and "arm" not in options:
        return RewardResult(status="not_sent", experiment_id=options.get("experiment_id"), reason=_NO_DECISION)
    return None
