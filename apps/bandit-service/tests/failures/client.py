"""One client that asks one service after the other, for scenarios that are told in steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from .crowd import MICRO, Told
from .platform import Platform


class Client:
    """Asks the services by their number, and notes what they answer."""

    def __init__(self, platform: Platform, http: httpx.AsyncClient, name: str) -> None:
        self.told = Told()
        self._platform = platform
        self._http = http
        self._name = name

    async def decide(self, service: int, number: int, **fields: Any) -> list[dict[str, Any]]:
        """Return so many decisions."""
        items = [{"experiment_id": self._name, **fields}] * number
        answers = await self._items(service, "/select/batch", items)
        assert {answer["status"] for answer in answers} == {200}
        decisions = [answer["result"] for answer in answers]
        for decision in decisions:
            if decision["recorded"]:
                self.told.decisions[decision["decision_id"], 0] = decision["arm_index"]
        return decisions

    async def reward(
        self, service: int, decisions: Sequence[dict[str, Any]], reward: float = 1.0
    ) -> Counter[tuple[int, str | None]]:
        """Reward decisions in one request; return how often there was which status, of the item and of the reward."""
        items = [{"decision_id": decision["decision_id"], "reward": reward} for decision in decisions]
        for decision in decisions:
            self.told.sends((decision["decision_id"], 0), decision["arm_index"], round(reward * MICRO))
        answers = await self._items(service, "/reward/batch", items)
        for decision, answer in zip(decisions, answers, strict=True):
            if "result" in answer:
                self.told.hears((decision["decision_id"], 0), answer["result"])
        return Counter((answer["status"], answer.get("result", {}).get("status")) for answer in answers)

    async def _items(self, service: int, path: str, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = await self._http.post(self._platform.urls[service] + path, json={"items": items})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        return found


@asynccontextmanager
async def client_of(platform: Platform, name: str) -> AsyncIterator[Client]:
    """A client of an experiment; every connection is a new one, so that each service is asked by its own."""
    async with httpx.AsyncClient(timeout=10.0) as http:
        yield Client(platform, http, name)
