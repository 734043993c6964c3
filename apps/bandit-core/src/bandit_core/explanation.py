"""Why the weights are what they are: a typed record that can be stored, and read as one paragraph."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

from bandit_core.guardrails import Guardrails
from bandit_core.wording import count, duration, listing, percent, points

NAMED_ARMS = 3
"""How many arms a sentence names before it counts the rest."""

NOTICEABLE = 5e-4
"""The smallest change of a weight worth a sentence."""

type Bound = Literal["min_weight", "max_step", "min_trials", "cooldown", "entry"]
"""The guardrail that kept an arm from its proposed weight; "entry" is the floor at which an arm joins."""

type Reason = Literal["joined", "left", "floor"]
"""Why a step limit had to be relaxed: an arm joined, an arm left, an arm was below the floor."""


@dataclass(frozen=True, slots=True)
class ArmExplanation:
    """One arm's way from belief to weight.

    `mean` is the posterior mean, `numbers` what the policy looked at and `proposed` what it asked for (empty and None
    for an arm it was not asked about, since that joins or waits for data), `previous` the weight before (None for an
    arm that joins), `lower` and `upper` the limits of this update, and `bound` the guardrail whose limit the weight
    ended on, when it is not what was proposed.
    """

    id: str
    trials: float
    mean: float
    numbers: Mapping[str, float]
    proposed: float | None
    previous: float | None
    lower: float
    upper: float
    bound: Bound | None
    weight: float


@dataclass(frozen=True, slots=True)
class Hold:
    """A guardrail that kept all weights where they were.

    min_trials: `arms` lack data, `observed` is the least any of them has and `required` what each needs (rewards).
    cooldown: `observed` is the time since the last change and `required` the time to wait (seconds); no arms.
    """

    guardrail: Literal["min_trials", "cooldown"]
    observed: float
    required: float
    arms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Relaxation:
    """`max_step` was `configured`, and `used` instead in this update, since otherwise no weights would satisfy it."""

    configured: float
    used: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole account of one allocation; `arms` in the order they were given.

    `strategy` is the policy's registered name and `parameters` its parameters; `left` maps each arm that left to the
    weight it had; `waiting` are newcomers that stay at the floor until they have `min_trials` rewards. `scale` says
    whether means are rates, between 0 and 1, or any values.
    """

    strategy: str
    title: str
    parameters: Mapping[str, Any]
    guardrails: Guardrails
    arms: tuple[ArmExplanation, ...]
    first: bool
    holds: tuple[Hold, ...] = ()
    joined: tuple[str, ...] = ()
    left: Mapping[str, float] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    relaxation: Relaxation | None = None
    scale: Literal["rate", "value"] = "rate"

    def paragraph(self) -> str:
        """Return one paragraph of plain language, for people who know the experiment but not the method."""
        return " ".join(text for sentence in _SENTENCES if (text := sentence(self)))

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain dicts, lists, strings and finite numbers, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Return the explanation that `to_dict` described, before or after a journey through JSON."""
        relaxation = record["relaxation"]
        return cls(
            **{
                **record,
                "guardrails": Guardrails(**record["guardrails"]),
                "arms": tuple(ArmExplanation(**arm) for arm in record["arms"]),
                "holds": tuple(Hold(**{**hold, "arms": tuple(hold["arms"])}) for hold in record["holds"]),
                "joined": tuple(record["joined"]),
                "waiting": tuple(record["waiting"]),
                "relaxation": relaxation and Relaxation(**{**relaxation, "reasons": tuple(relaxation["reasons"])}),
            }
        )


def _proposal(of: Explanation) -> str:
    asked = [(arm.proposed, arm) for arm in of.arms if arm.proposed is not None]
    (most, top), *rest = sorted(asked, key=lambda row: -row[0])
    settings = ", ".join(f"{key} {value:g}" for key, value in of.parameters.items() if isinstance(value, int | float))
    subject = of.title[0].upper() + of.title[1:] + (f" ({settings})" if settings else "")
    if rest and most == rest[-1][0]:
        return f"{subject} proposes the same weight, {percent(most)}, for each of {count(len(asked), 'arm')}."
    return f"{subject} proposes {percent(most)} for {top.id}{_merits(top, of.scale)}{_runners_up(rest)}."


def _merits(arm: ArmExplanation, scale: Literal["rate", "value"]) -> str:
    """Say what speaks for an arm: the policy's numbers by their usual names, then the estimate."""
    shown: Callable[[float], str] = percent if scale == "rate" else "{:.4g}".format
    noun = "rate" if scale == "rate" else "mean"
    phrases = {
        "prob_best": ("whose chance of being best is {}", percent),
        "upper_quantile": (f"whose {noun} may be as high as {{}}", shown),
    }
    clauses = [phrase.format(write(arm.numbers[key])) for key, (phrase, write) in phrases.items() if key in arm.numbers]
    own = [f"{key} {value:.4g}" for key, value in arm.numbers.items() if key not in (*phrases, "mean", "share")]
    estimate = f"estimated {noun} {shown(arm.mean)} from {count(arm.trials, 'reward')}"
    return f"{', ' if clauses else ''}{' and '.join(clauses)} ({', '.join([*own, estimate])})"


def _runners_up(rest: Sequence[tuple[float, ArmExplanation]]) -> str:
    named = [f"{percent(proposed)} for {arm.id}" for proposed, arm in rest if proposed >= NOTICEABLE]
    if len(named) > NAMED_ARMS:
        return f", and {percent(sum(proposed for proposed, _ in rest))} for the {count(len(rest))} others together"
    if len(named) < len(rest):
        named.append("next to nothing for the rest")
    return f", {'and ' if len(named) == 1 else ''}{listing(named, at_most=NAMED_ARMS)}" if named else ""


def _departures(of: Explanation) -> str:
    if not of.left:
        return ""
    return f"{listing(list(of.left))} left, which frees {percent(sum(of.left.values()))}."


def _entries(of: Explanation) -> str:
    if not of.joined:
        return ""
    return f"{listing(of.joined)} joined and {_verb(of.joined, 'starts')} at {percent(of.guardrails.min_weight)}."


def _holds(of: Explanation) -> str:
    if not of.holds:
        return ""
    keeping = "The weights stay where they are"
    if of.first:
        keeping = "All arms start with the same weight"
    elif of.joined or of.left:
        keeping = "Apart from that the weights keep their proportions"
    return f"{keeping}, because {' and '.join(_hold_reason(hold) for hold in of.holds)}."


def _hold_reason(hold: Hold) -> str:
    if hold.guardrail == "cooldown":
        asked, passed = duration(hold.required), duration(hold.observed)
        return f"cooldown asks for {asked} between changes and the last one was {passed} ago"
    lacking = f"{listing(hold.arms)} {'has' if len(hold.arms) == 1 else 'have as few as'} {count(hold.observed)}"
    return f"min_trials asks for {count(hold.required, 'reward')} per arm before weights move and {lacking}"


def _waiting(of: Explanation) -> str:
    if not of.waiting or of.holds:
        return ""
    return f"{listing(of.waiting)} may not rise before having {count(of.guardrails.min_trials, 'reward')} (min_trials)."


def _relaxed(of: Explanation) -> str:
    if of.relaxation is None:
        return ""
    because: dict[Reason, str] = {
        "joined": "an arm joined",
        "left": "an arm left",
        "floor": "an arm was below min_weight",
    }
    reasons = " and ".join(because[reason] for reason in of.relaxation.reasons)
    allowed = f"from {points(of.relaxation.configured)} to {points(of.relaxation.used)}"
    return f"For this update max_step is relaxed {allowed}, because {reasons}."


def _steps(of: Explanation) -> str:
    stepped = _most_moved(of, "max_step")
    if not stepped:
        return ""
    allowed = points(of.relaxation.used if of.relaxation else of.guardrails.max_step)
    return f"max_step allows at most {allowed} per update, so {_moves(stepped)}."


def _floors(of: Explanation) -> str:
    raised = [arm.id for arm in of.arms if arm.bound == "min_weight"]
    return f"min_weight keeps {listing(raised)} at {percent(of.guardrails.min_weight)}." if raised else ""


def _free_moves(of: Explanation) -> str:
    moved = _most_moved(of, None)
    if not moved:
        return ""
    pushed = any(arm.bound is None and abs(arm.weight - (arm.proposed or 0.0)) >= NOTICEABLE for arm in of.arms)
    return f"{'With what that leaves, ' if pushed else ''}{_moves(moved)}."


def _result(of: Explanation) -> str:
    ranked = sorted(of.arms, key=lambda arm: -arm.weight)
    named = ranked if len(ranked) <= NAMED_ARMS + 1 else ranked[:NAMED_ARMS]
    texts, rest = [f"{arm.id} {percent(arm.weight)}" for arm in named], ranked[len(named) :]
    if rest:
        texts.append(f"{percent(sum(arm.weight for arm in rest))} for the {count(len(rest))} others together")
    now = "first weights are" if of.first else "weights are now" if _anything_moved(of) else "weights are still"
    return f"The {now} {listing(texts, at_most=NAMED_ARMS)}."


def _most_moved(of: Explanation, bound: Bound | None) -> list[tuple[float, str]]:
    """Return how far noticeably moved arms with that bound went, and between what, the farthest first."""
    moved = [
        (abs(arm.weight - arm.previous), f"{arm.id} goes from {percent(arm.previous)} to {percent(arm.weight)}")
        for arm in of.arms
        if arm.bound == bound and arm.previous is not None and abs(arm.weight - arm.previous) >= NOTICEABLE
    ]
    return sorted(moved, key=lambda move: -move[0])


def _anything_moved(of: Explanation) -> bool:
    return bool(of.left) or any(arm.previous != arm.weight for arm in of.arms)


def _moves(moved: Sequence[tuple[float, str]]) -> str:
    return listing([text for _, text in moved], rest="{} others move less")


def _verb(subjects: Sequence[str], singular: str) -> str:
    return singular if len(subjects) == 1 else singular.removesuffix("s")


_SENTENCES: Final[tuple[Callable[[Explanation], str], ...]] = (
    _proposal,
    _departures,
    _entries,
    _holds,
    _waiting,
    _relaxed,
    _steps,
    _floors,
    _free_moves,
    _result,
)
"""The paragraph's sentences in their order; one that has nothing to say is empty."""
