"""From what happened to a reward in [0, 1]: binary, ternary and threshold outcomes, and maps of named outcomes.

A reward model answers a number in [0, 1], or None when the outcome is ignored: the posterior is left as it was.

What ignoring estimates: with a neutral outcome ignored, an arm's posterior is about P(success | not neutral), not about
P(success). Suppose arm A succeeds on 30% and fails on 10% of its decisions, and arm B succeeds on 50% and fails on 30%;
the rest is neutral. Then A (0.75) counts as better than B (0.625), although B succeeds more often. That is the right
question for "of those with an opinion, how many liked it", and the wrong one when an arm changes how many have one. To
count neutral outcomes, give them a reward: with `neutral=0` the posterior is about P(success), with `neutral=0.5` about
P(success) + P(neutral) / 2.
"""

import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeGuard

_TYPES = ("binary", "ternary", "threshold", "map")

type Outcome = str | bool | int | float | Mapping[str, Outcome]
"""What a caller reports: a name ("click"), a flag, a number, or a name with its value ({"rating": 5})."""


class RewardModel(Protocol):
    """The rule by which one experiment turns outcomes into rewards."""

    def reward(self, outcome: Outcome) -> float | None:
        """Return the reward in [0, 1], or None when the outcome is ignored.

        Raises ValueError, listing the known outcomes, for any other.
        """
        ...

    def known(self) -> str:
        """Describe the outcomes the model accepts, for people."""
        ...


@dataclass(frozen=True, slots=True)
class Binary:
    """Success or failure, reported as "success" and "failure", true and false, or 1 and 0."""

    def reward(self, outcome: Outcome) -> float | None:
        if outcome in ("success", 1):
            return 1.0
        if outcome in ("failure", 0):
            return 0.0
        raise _unknown(outcome, self)

    def known(self) -> str:
        return '"success", "failure", true, false, 1, 0'


@dataclass(frozen=True, slots=True)
class Ternary:
    """Success, neutral or failure, reported by these names or as 1, 0 and -1.

    `neutral` is the reward of a neutral outcome, or None (the default) to ignore it; the module's docstring says what
    that estimates. true and false are refused: false could mean 0 (neutral) as well as failure.
    """

    neutral: float | None = None

    def __post_init__(self) -> None:
        _check_optional(self.neutral, "neutral")

    def reward(self, outcome: Outcome) -> float | None:
        if isinstance(outcome, bool):
            raise _unknown(outcome, self)
        if outcome in ("success", 1):
            return 1.0
        if outcome in ("neutral", 0):
            return self.neutral
        if outcome in ("failure", -1):
            return 0.0
        raise _unknown(outcome, self)

    def known(self) -> str:
        return '"success", "neutral", "failure", 1, 0, -1'


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number, such as a rating: success from `success` up, failure from `failure` down, neutral in between.

    `neutral` is the reward of a neutral number, or None (the default) to ignore it; the module's docstring says what
    that estimates. Raises ValueError unless `failure` < `success`, both finite.
    """

    success: float = 4.0
    failure: float = 2.0
    neutral: float | None = None

    def __post_init__(self) -> None:
        if not (_is_finite(self.failure) and _is_finite(self.success) and self.failure < self.success):
            raise ValueError(
                f"failure must be a finite number below success, but failure is {self.failure} "
                f"and success is {self.success}."
            )
        _check_optional(self.neutral, "neutral")

    def reward(self, outcome: Outcome) -> float | None:
        if not _is_finite(outcome):
            raise _unknown(outcome, self)
        if outcome >= self.success:
            return 1.0
        return 0.0 if outcome <= self.failure else self.neutral

    def known(self) -> str:
        return f"any number (from {self.success:g} up success, from {self.failure:g} down failure, else neutral)"


@dataclass(frozen=True, slots=True)
class OutcomeMap:
    """Several named outcomes in one experiment.

    A name stands for a reward in [0, 1], for None (ignored), or for another model, which takes the outcome's value:
    with `OutcomeMap({"click": 1, "dismiss": 0, "rating": Threshold(4, 2)})` the outcomes are "click", "dismiss" and
    {"rating": 5}.
    """

    outcomes: Mapping[str, float | RewardModel | None]

    def __post_init__(self) -> None:
        if not self.outcomes:
            raise ValueError("outcomes must name at least one outcome.")
        for name, entry in self.outcomes.items():
            if not hasattr(entry, "reward"):
                _check_optional(entry, f"outcomes.{name}")
        object.__setattr__(self, "outcomes", dict(self.outcomes))

    def reward(self, outcome: Outcome) -> float | None:
        if isinstance(outcome, str) and outcome in self.outcomes:
            return self._plain(outcome)
        if isinstance(outcome, Mapping) and len(outcome) == 1:
            [(name, value)] = outcome.items()
            if name in self.outcomes:
                return self._valued(name, value)
        raise _unknown(outcome, self)

    def known(self) -> str:
        return ", ".join(_describe(name, entry) for name, entry in self.outcomes.items())

    def _plain(self, name: str) -> float | None:
        entry = self.outcomes[name]
        if entry is None or isinstance(entry, float | int):
            return None if entry is None else float(entry)
        raise ValueError(f'The outcome "{name}" needs a value: report it as {{"{name}": value}}.')

    def _valued(self, name: str, value: Outcome) -> float | None:
        entry = self.outcomes[name]
        if entry is None or isinstance(entry, float | int):
            raise ValueError(f'The outcome "{name}" takes no value: report it as "{name}".')
        return entry.reward(value)


def make_reward_model(config: object, *, field: str = "reward_model") -> RewardModel:
    """Build a reward model from plain JSON-like data; `field` is what errors call it.

    One of
        {"type": "binary"}                                          or just "binary"
        {"type": "ternary", "neutral": null}                        or just "ternary"
        {"type": "threshold", "success": 4, "failure": 2, "neutral": null}
        {"type": "map", "outcomes": {"click": 1, "dismiss": 0, "skip": null, "rating": {"success": 4, "failure": 2}}}
    where "neutral" may be left out. An outcome's entry is a reward in [0, 1], null (ignored), or one of the other three
    models; an entry without a type is a threshold.

    Raises ValueError, naming the field, for anything else.
    """
    options = _options(config, field)
    match options.get("type"):
        case "binary":
            _check_keys(options, field, ())
            return Binary()
        case "ternary":
            _check_keys(options, field, ("neutral",))
            return Ternary(neutral=_neutral(options, field))
        case "threshold":
            return _threshold(options, field)
        case "map":
            return _outcome_map(options, field)
        case unknown:
            raise ValueError(f"{field}.type must be one of {_listed(_TYPES)}, but it is {unknown!r}.")


def check_reward(value: object, field: str = "reward") -> float:
    """Return `value` as a float; raise ValueError, naming the field, unless it is a number in [0, 1]."""
    if not _is_finite(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{field} must be a number between 0 and 1, but it is {value!r}.")
    return float(value)


def _options(config: object, field: str) -> Mapping[str, object]:
    match config:
        case str():
            return {"type": config}
        case Mapping():
            return config
    raise ValueError(f"{field} must be an object with a type, or the name of a type: one of {_listed(_TYPES)}.")


def _threshold(options: Mapping[str, object], field: str) -> Threshold:
    _check_keys(options, field, ("success", "failure", "neutral"))
    success, failure = _number(options, field, "success"), _number(options, field, "failure")
    if failure >= success:
        raise ValueError(f"{field}.failure ({failure:g}) must be below {field}.success ({success:g}).")
    return Threshold(success=success, failure=failure, neutral=_neutral(options, field))


def _outcome_map(options: Mapping[str, object], field: str) -> OutcomeMap:
    _check_keys(options, field, ("outcomes",))
    outcomes = options.get("outcomes")
    if not isinstance(outcomes, Mapping) or not outcomes:
        raise ValueError(f"{field}.outcomes must be an object that names at least one outcome.")
    return OutcomeMap({name: _entry(entry, f"{field}.outcomes.{name}") for name, entry in outcomes.items()})


def _entry(entry: object, field: str) -> float | RewardModel | None:
    if entry is None:
        return None
    if isinstance(entry, float | int):
        return check_reward(entry, field)
    if isinstance(entry, Mapping) and "type" not in entry:
        return _threshold(entry, field)
    if isinstance(entry, Mapping | str) and _options(entry, field)["type"] != "map":
        return make_reward_model(entry, field=field)
    raise ValueError(
        f"{field} must be a reward between 0 and 1, null, or a reward model other than a map, "
        f"but it is {reprlib.repr(entry)}."
    )


def _check_keys(options: Mapping[str, object], field: str, known: tuple[str, ...]) -> None:
    unknown = sorted(str(key) for key in options if key not in ("type", *known))
    if unknown:
        raise ValueError(f"{field}.{unknown[0]} is not a setting; {field} takes {_listed(('type', *known))}.")


def _number(options: Mapping[str, object], field: str, key: str) -> float:
    value = options.get(key)
    if not _is_finite(value):
        raise ValueError(f"{field}.{key} must be a finite number, but it is {value!r}.")
    return float(value)


def _neutral(options: Mapping[str, object], field: str) -> float | None:
    value = options.get("neutral")
    return None if value is None else check_reward(value, f"{field}.neutral")


def _check_optional(value: object, field: str) -> None:
    if value is not None:
        check_reward(value, field)


def _is_finite(value: object) -> TypeGuard[int | float]:
    # The comparison also refuses NaN, and integers too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _unknown(outcome: object, model: RewardModel) -> ValueError:
    return ValueError(f"Unknown outcome {reprlib.repr(outcome)}; the known outcomes are: {model.known()}.")


def _describe(name: str, entry: float | RewardModel | None) -> str:
    if entry is None or isinstance(entry, float | int):
        return f'"{name}"'
    return f'{{"{name}": {entry.known()}}}'


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)
