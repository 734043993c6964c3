"""Clients: each sends its request, and sends it again, elsewhere, when there is no answer or a 503."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

from bandit_core.rules.experiment import MICRO
from bandit_core.rules.problems import Conflict, Expired, NotFound, Problem, TooMany, Unavailable
from bandit_core.rules.requests import ActivateRequest, RewardRequest, RewardResponse, SelectRequest, SelectResponse
from bandit_service.domain.api_key import ANONYMOUS

from .experiments import arm_id
from .replica import Replica
from .schedule import PATIENCE, Activate, Direct, Reward, Select
from .told import Result, Shown, Told

_ATTEMPTS: Final = 3

type Outcome = tuple[Result, Shown | None, int | None]


class Clients:
    """Sends what a schedule says, and notes every answer.

    Args:
        replicas: The processes as they are now; a client that gets no answer from one asks the next.
        now: True time in seconds.
    """

    def __init__(self, replicas: list[Replica], rng: Random, *, now: Callable[[], float]) -> None:
        self._replicas = replicas
        self._rng = rng
        self._now = now
        self._decisions: dict[str, tuple[Select, Shown]] = {}
        self.told: list[Told] = []
        # Answers that no client should ever get.
        self.surprises: list[str] = []

    async def select(self, asked: Select) -> None:
        request = SelectRequest(
            experiment_id=asked.experiment,
            unit_id=asked.unit,
            decision_id=asked.own_id,
            request_id=asked.request_id,
            defer_activation=asked.deferred,
            k=asked.places,
        )

        async def attempt(replica: Replica) -> Outcome:
            answer = await replica.call(lambda: replica.decisions.select(request, ANONYMOUS))
            shown = _shown(answer)
            self._decisions[asked.label] = (asked, shown)
            return "recorded" if answer.recorded else "unrecorded", shown, None

        # Without a name for it, a request that is sent again is another decision.
        attempts = _ATTEMPTS if asked.own_id or asked.request_id else 1
        await self._send(asked, asked.experiment, attempt, attempts)

    async def reward(self, asked: Reward) -> None:
        known = self._decisions.get(asked.label)
        if known is None:
            return
        select, shown = known
        request = RewardRequest(
            decision_id=shown.decision_id,
            experiment_id=select.experiment,
            reward=asked.micro / MICRO,
            position=asked.position,
        )

        async def attempt(replica: Replica) -> Outcome:
            answer = await replica.call(lambda: replica.rewards.reward(request, ANONYMOUS, respond_async=asked.queued))
            return _rewarded(answer, shown)

        await self._send(asked, select.experiment, attempt, _ATTEMPTS)

    async def reward_arm(self, asked: Direct) -> None:
        request = RewardRequest(
            experiment_id=asked.experiment,
            arm=arm_id(asked.arm),
            reward_id=asked.reward_id,
            reward=asked.micro / MICRO,
        )

        async def attempt(replica: Replica) -> Outcome:
            answer = await replica.call(lambda: replica.rewards.reward(request, ANONYMOUS, respond_async=asked.queued))
            return _rewarded(answer, None)

        await self._send(asked, asked.experiment, attempt, _ATTEMPTS)

    async def activate(self, asked: Activate) -> None:
        known = self._decisions.get(asked.label)
        if known is None:
            return
        select, shown = known
        request = ActivateRequest(decision_id=shown.decision_id, experiment_id=select.experiment)

        async def attempt(replica: Replica) -> Outcome:
            answer = await replica.call(lambda: replica.decisions.activate(request, ANONYMOUS))
            return answer.status, shown, None

        await self._send(asked, select.experiment, attempt, _ATTEMPTS)

    async def _send(
        self,
        asked: Select | Reward | Direct | Activate,
        experiment: str,
        attempt: Callable[[Replica], Coroutine[Any, Any, Outcome]],
        attempts: int,
    ) -> None:
        place = asked.replica
        for number in range(attempts):
            replica = self._replicas[place % len(self._replicas)]
            sent_at = self._now()
            patience = asked.patience if isinstance(asked, Reward) else PATIENCE
            result, shown, micro = await self._outcome(asked, attempt(replica), patience)
            self.told.append(Told(asked, replica.name, sent_at, self._now(), result, experiment, shown, micro))
            if result not in ("silent", "unavailable") or number + 1 == attempts:
                return
            # Rounded, because logarithms differ by a last digit from machine to machine.
            await asyncio.sleep(round(self._rng.expovariate(2.0), 6))
            place += self._rng.randrange(2)

    async def _outcome(self, asked: object, answering: Coroutine[Any, Any, Outcome], patience: float) -> Outcome:
        try:
            async with asyncio.timeout(patience):
                return await answering
        except (TimeoutError, ConnectionError):
            return "silent", None, None
        except (Unavailable, TooMany):
            return "unavailable", None, None
        except Expired:
            return "late", None, None
        except Conflict:
            return "refused", None, None
        except NotFound:
            return "unknown", None, None
        except Problem as problem:
            self.surprises.append(f"{asked}: {problem.status} {problem.detail}")
            return "unavailable", None, None
        except Exception as error:  # noqa: BLE001 (whatever it is, no client should see it)
            self.surprises.append(f"{asked}: {error!r}")
            return "silent", None, None


def _rewarded(answer: RewardResponse, shown: Shown | None) -> Outcome:
    assert answer.status != "ignored"
    return answer.status, shown, None if answer.reward is None else round(answer.reward * MICRO)


def _shown(answer: SelectResponse) -> Shown:
    places = tuple((place.arm_index, place.propensity) for place in answer.slate or ())
    return Shown(answer.decision_id, places or ((answer.arm_index, answer.propensity),), answer.weights_version)
