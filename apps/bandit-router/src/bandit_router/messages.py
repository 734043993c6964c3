"""What is said to bandit-service, and what its answers mean. No I/O, and nothing of Seldon."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any

type Body = dict[str, Any]

# A caller's own ids, and the prefix that the service keeps for the ids it signs.
_OWN_ID = re.compile(r"(?!d1\.)[A-Za-z0-9._:-]{1,128}")
_LONGEST_UNIT_ID = 256
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of bandit-service; the body is empty unless it was a JSON object."""

    status: int
    body: Mapping[str, Any]

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == _TOO_MANY_REQUESTS or self.status >= 500

    @property
    def detail(self) -> str:
        """What is wrong, in the service's own words."""
        return str(self.body.get("detail") or f"HTTP status {self.status}")


class Default(StrEnum):
    """Why the default arm serves a request."""

    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    OUT_OF_RANGE = "out_of_range"


def decision_id(puid: str) -> str:
    """Return the decision's id for a prediction's id: itself, or its hash if the service would not take it."""
    if _OWN_ID.fullmatch(puid):
        return puid
    return f"puid-{blake2b(puid.encode(errors='surrogatepass'), digest_size=16).hexdigest()}"


def select_request(
    experiment_id: str, *, puid: str | None, unit_id: object = None, context: Mapping[str, object] | None = None
) -> Body:
    """Return the body of POST /select. Without a prediction's id the service gives the decision one of its own."""
    body: Body = {"experiment_id": experiment_id}
    if puid is not None:
        body["decision_id"] = decision_id(puid)
    if isinstance(unit_id, str) and 0 < len(unit_id) <= _LONGEST_UNIT_ID:
        body["unit_id"] = unit_id
    if context is not None:
        body["context"] = dict(context)
    return body


def branch_of(answer: Answer, branches: int) -> int | Default:
    """Return the child that an answer to POST /select names, in 0 to `branches` - 1, or why there is none."""
    if not answer.is_success:
        return Default.UNAVAILABLE if answer.may_pass else Default.REFUSED
    index = answer.body.get("arm_index")
    if type(index) is int and 0 <= index < branches:
        return index
    return Default.OUT_OF_RANGE


def decision_reward(experiment_id: str, *, puid: str, reward: float, arm: str | None) -> Body:
    """Return the body of POST /reward for a decision; the service refuses it if another arm than `arm` was decided."""
    body: Body = {"experiment_id": experiment_id, "decision_id": decision_id(puid), "reward": reward}
    return body if arm is None else body | {"arm": arm}


def arm_reward(experiment_id: str, *, puid: str | None, reward: float, arm: str) -> Body:
    """Return the body of POST /reward for an arm; without a prediction's id every call counts."""
    body: Body = {"experiment_id": experiment_id, "arm": arm, "reward": reward}
    return body if puid is None else body | {"reward_id": decision_id(puid)}


def arms_of(answer: Answer) -> tuple[str, ...]:
    """Return the ids of an experiment's arms by index, from an answer to GET /experiments/{id}.

    Raises:
        ValueError: It is not such an answer.
    """
    try:
        return tuple(str(arm["id"]) for arm in sorted(answer.body["arms"], key=lambda arm: arm["index"]))
    except (KeyError, TypeError):
        raise ValueError("bandit-service described the experiment in a way this router does not know") from None


def context_of(features: object, names: Sequence[str]) -> dict[str, object] | None:
    """Return one request's features by name, from a JSON object or a single row; None if they are anything else."""
    if isinstance(features, Mapping):
        return {str(name): value for name, value in features.items()}
    if not isinstance(features, list):
        return None
    row = features[0] if len(features) == 1 and isinstance(features[0], list) else features
    if not names or len(row) != len(names) or any(isinstance(value, list) for value in row):
        return None
    return dict(zip(names, row, strict=True))
