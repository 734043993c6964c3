"""Clients of bandit-service: one that waits, one to be awaited. Requests, retries and answers are the same code."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from bandit_sdk import requests
from bandit_sdk.connection import (
    async_transport_to,
    key_headers,
    service_url,
    transport_to,
    without_secrets,
)
from bandit_sdk.errors import BanditError
from bandit_sdk.experiments import AsyncExperiments, Experiments
from bandit_sdk.plain import Id
from bandit_sdk.processes import PerProcess
from bandit_sdk.proxies import proxy_of
from bandit_sdk.requests import Call, NewId, RewardItem, RewardOptions, SelectItem, SelectOptions
from bandit_sdk.results import (
    Activation,
    Allocation,
    BatchItem,
    Conclusion,
    Posterior,
    RewardResult,
    Selection,
)
from bandit_sdk.retries import Exchange, Patience, Retries

_log = logging.getLogger("bandit_sdk")


def new_id() -> str:
    """Return a random id of a request or a reward."""
    return secrets.token_hex(16)


def _headers(api_key: str | None) -> dict[str, str]:
    return {"Accept": "application/json", **key_headers(api_key)}


def _proxy_in_between(url: httpx.URL, transport: object) -> str:
    """Return the proxy that requests go through, empty without one."""
    proxy = None if transport is not None else proxy_of(url)
    return "" if proxy is None else without_secrets(str(proxy.url))


def _default(experiment_id: str, arm: str, error: BanditError) -> Selection:
    """Return the caller's own arm in place of an answer, and log why."""
    selection = requests.default_selection(experiment_id, arm, error)
    _log.warning("experiment %s: the default arm %s is served: %s", experiment_id, arm, selection.reason)
    return selection


class Client:
    """A client that waits for its answers. It keeps connections open, and threads may share it.

    A process that was forked after the client was made opens connections of its own.

    Args:
        url: Where bandit-service is, e.g. "http://127.0.0.1:8000"; a path in front is kept.
        api_key: A reader's key reads, a writer's also selects and rewards, an admin's does everything.
        timeout: Seconds one attempt may wait, for a connection and for each part of the answer.
        retries: How often a request that can be sent again is, and how long that may take in all.
        transport: Where requests go instead of the network: `bandit_sdk.testing.InMemoryService` in tests. Forked
            processes share it.
        clock: Seconds of a clock that never jumps.
        sleep: Waits that many seconds.
        rng: Draws the pauses between attempts.
        new_id: Makes the ids by which the service recognises what is sent again.

    Raises:
        ValueError: `url` is not http or https with a host, `api_key` cannot be sent in a header, or the environment
            names a proxy or certificates that cannot be used.

    Every method raises a BanditError for what is no success: AwayError where asking later may help, RefusedError where
    the request is the reason (see `bandit_sdk.errors`).
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 2.0,
        retries: Retries = Retries(),  # noqa: B008 (frozen)
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: Random | None = None,
        new_id: NewId = new_id,
    ) -> None:
        base, headers = service_url(url), _headers(api_key)
        self._http = PerProcess(
            lambda: httpx.Client(base_url=base, headers=headers, transport=transport or transport_to(base))
        )
        proxy = _proxy_in_between(base, transport)
        self._patience = Patience(retries, timeout, clock, rng or SystemRandom(), proxy)
        self._sleep = sleep
        self._new_id = new_id
        self.experiments = Experiments(self.send)

    def select(self, experiment_id: str, *, default: str | None = None, **options: Unpack[SelectOptions]) -> Selection:
        """Ask which arm to serve.

        With a `default` no BanditError is raised: the answer is that arm, marked `is_default`, with the reason, which
        is logged too.
        """
        try:
            return self.send(requests.select(experiment_id, options, self._new_id))
        except BanditError as error:
            if default is None:
                raise
            return _default(experiment_id, default, error)

    def select_batch(self, items: Sequence[SelectItem]) -> list[BatchItem[Selection]]:
        """Ask up to 1,000 times at once; one item that is refused does not touch the others."""
        return self.send(requests.select_batch(items, self._new_id))

    def reward(self, decision: Selection | Id | None = None, **options: Unpack[RewardOptions]) -> RewardResult:
        """Say what came of a decision: `reward=1.0`, or `outcome="click"` where the experiment has a reward model.

        It counts once, however often it is sent. A direct reward names `experiment_id` and `arm` instead of a decision.
        The status "queued" is a success: the service keeps the reward and decides later whether it counts.
        `decision` is a selection or its `decision_id`, which names the experiment too, so that any process can send it.
        For a selection that was the default, which has no id, nothing is sent: the answer's status is "not_sent".
        """
        return self._answered(requests.reward(decision, options, self._new_id))

    def reward_batch(self, items: Sequence[RewardItem]) -> list[BatchItem[RewardResult]]:
        """Send up to 1,000 rewards at once; one item that is refused does not touch the others."""
        return self._answered(requests.reward_batch(items, self._new_id))

    def activate(self, decision: Selection | Id | None, *, experiment_id: str | None = None) -> Activation:
        """Say that a decision asked for with `defer_activation` was shown."""
        return self._answered(requests.activate(decision, experiment_id))

    def posterior(self, experiment_id: str) -> Posterior:
        """Return what is believed of each arm."""
        return self.send(requests.posterior(experiment_id))

    def allocation(self, experiment_id: str) -> Allocation:
        """Return the published weights, and why they are so."""
        return self.send(requests.allocation(experiment_id))

    def conclusion(self, experiment_id: str) -> Conclusion:
        """Return what the stopping rule says."""
        return self.send(requests.conclusion(experiment_id))

    def report(self, experiment_id: str) -> dict[str, Any]:
        """Return the experiment's report as the service gives it."""
        return self.send(requests.report(experiment_id))

    def close(self) -> None:
        """Close the connections."""
        self._http.get().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answered[T](self, call: Call[T] | T) -> T:
        return self.send(call) if isinstance(call, Call) else call

    def send[T](self, call: Call[T]) -> T:
        """Send a request that no other method makes, with the same retries and errors."""
        return call.parse(self.response_to(call).content)

    def response_to[T](self, call: Call[T]) -> httpx.Response:
        """Send a request as `send` does, and return the answer unread, with its headers."""
        exchange = Exchange(call, self._patience)
        while True:
            try:
                response = self._http.get().request(**exchange.attempt())
            except httpx.RequestError as error:
                pause: float | None = exchange.failed(error)
            else:
                pause = exchange.refused(response)
            if pause is None:
                return response
            self._sleep(pause)


class AsyncClient:
    """A client to be awaited, for one event loop. Arguments and methods are those of `Client`."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 2.0,
        retries: Retries = Retries(),  # noqa: B008 (frozen)
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Random | None = None,
        new_id: NewId = new_id,
    ) -> None:
        base, headers = service_url(url), _headers(api_key)
        self._http = PerProcess(
            lambda: httpx.AsyncClient(base_url=base, headers=headers, transport=transport or async_transport_to(base))
        )
        proxy = _proxy_in_between(base, transport)
        self._patience = Patience(retries, timeout, clock, rng or SystemRandom(), proxy)
        self._sleep = sleep
        self._new_id = new_id
        self.experiments = AsyncExperiments(self.send)

    async def select(
        self, experiment_id: str, *, default: str | None = None, **options: Unpack[SelectOptions]
    ) -> Selection:
        """As `Client.select`."""
        try:
            return await self.send(requests.select(experiment_id, options, self._new_id))
        except BanditError as error:
            if default is None:
                raise
            return _default(experiment_id, default, error)

    async def select_batch(self, items: Sequence[SelectItem]) -> list[BatchItem[Selection]]:
        """As `Client.select_batch`."""
        return await self.send(requests.select_batch(items, self._new_id))

    async def reward(self, decision: Selection | Id | None = None, **options: Unpack[RewardOptions]) -> RewardResult:
        """As `Client.reward`."""
        return await self._answered(requests.reward(decision, options, self._new_id))

    async def reward_batch(self, items: Sequence[RewardItem]) -> list[BatchItem[RewardResult]]:
        """As `Client.reward_batch`."""
        return await self._answered(requests.reward_batch(items, self._new_id))

    async def activate(self, decision: Selection | Id | None, *, experiment_id: str | None = None) -> Activation:
        """As `Client.activate`."""
        return await self._answered(requests.activate(decision, experiment_id))

    async def posterior(self, experiment_id: str) -> Posterior:
        """As `Client.posterior`."""
        return await self.send(requests.posterior(experiment_id))

    async def allocation(self, experiment_id: str) -> Allocation:
        """As `Client.allocation`."""
        return await self.send(requests.allocation(experiment_id))

    async def conclusion(self, experiment_id: str) -> Conclusion:
        """As `Client.conclusion`."""
        return await self.send(requests.conclusion(experiment_id))

    async def report(self, experiment_id: str) -> dict[str, Any]:
        """As `Client.report`."""
        return await self.send(requests.report(experiment_id))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.get().aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _answered[T](self, call: Call[T] | T) -> T:
        return await self.send(call) if isinstance(call, Call) else call

    async def send[T](self, call: Call[T]) -> T:
        """As `Client.send`."""
        exchange = Exchange(call, self._patience)
        while True:
            try:
                response = await self._http.get().request(**exchange.attempt())
            except httpx.RequestError as error:
                pause: float | None = exchange.failed(error)
            else:
                pause = exchange.refused(response)
            if pause is None:
                return call.parse(response.content)
            await self._sleep(pause)
