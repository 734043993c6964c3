"""The main job: an experiment on real click rates learns from simulated visitors until its stopping rule decides."""

import asyncio
import signal
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import numpy as np
from rich.console import Console

from bandit_local import experiment
from bandit_local.experiment import ExperimentState
from bandit_local.live import Display
from bandit_local.obd import Item, choose_arms, read_items, sample_log
from bandit_local.options import Options
from bandit_local.stack import Stack, running_stack
from bandit_local.visitors import Visitors
from bandit_local.waiting import set_within
from bandit_sdk import AsyncClient, AwayError, Retries

REFRESH_EVERY = 0.5
REQUEST_TIMEOUT = 30.0
# Visitors wait a while for a service that is away; the display says so at once.
VISITORS_RETRIES = Retries(attempts=6, budget=60.0, base=0.2, cap=3.2)
DISPLAY_RETRIES = Retries(attempts=1, budget=REQUEST_TIMEOUT)


def run(options: Options, console: Console) -> bool:
    """Run the job from nothing to its verdict, then serve until Ctrl-C or SIGTERM.

    Returns whether there was a verdict before that; LocalError when the job cannot go on.
    """
    items = choose_arms(read_items(sample_log()), options.arms)
    say(console, "Arms: items of the Open Bandit sample (random policy, campaign women), clicks/impressions")
    for item in items:
        say(console, f"  {item.arm:<8} {item.clicks}/{item.impressions} = {item.click_rate:.2%}")
    with running_stack(options) as stack:
        say(console, f"{stack.store}, Postgres on {stack.postgres_address}, data in {options.data}")
        say(console, f"Service on {stack.url}: documentation {stack.url}/docs, metrics {stack.url}/metrics")
        decided = asyncio.run(Job(options, console, items, stack).learn_and_serve())
        say(console, "Stopping: the service drains, then Postgres and Valkey finish.")
    say(console, "Stopped.")
    return decided


@dataclass(frozen=True, slots=True)
class Job:
    """One run on a stack that answers."""

    options: Options
    console: Console
    items: Sequence[Item]
    stack: Stack
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    ssl_context: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def open_client(self, retries: Retries = VISITORS_RETRIES) -> AsyncClient:
        """Return a client of the service. Making the SSL context anew, though unused, would be most of its cost."""
        transport = httpx.AsyncHTTPTransport(verify=self.ssl_context)
        return AsyncClient(self.stack.url, timeout=REQUEST_TIMEOUT, retries=retries, transport=transport)

    async def learn_and_serve(self) -> bool:
        """Create the experiment, drive it to its verdict, announce that, and keep serving unless ``once``."""
        for ending in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(ending, self.interrupted.set)
        async with self.open_client(DISPLAY_RETRIES) as client:
            experiment_id = await experiment.create(client, self.items, self.options)
            say(self.console, f"Experiment {experiment_id}: {self.stack.url}/experiments/{experiment_id}")
            state = await self._learn(client, experiment_id)
        if state is not None:
            await self._announce_and_serve(state)
        return state is not None

    async def _learn(self, client: AsyncClient, experiment_id: str) -> ExperimentState | None:
        """Send visitors and show the state until the experiment is concluded; None when interrupted before."""
        closing = asyncio.Event()
        click_rates = {item.arm: item.click_rate for item in self.items}
        generator = np.random.default_rng(self.options.seed)
        visitors = Visitors(self.open_client, experiment_id, click_rates, generator, rate=self.options.rate)
        with Display(self.console, time.monotonic) as display:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(visitors.run(closing))
                state = await self._watch(client, experiment_id, visitors, display)
                closing.set()
            if state is not None:
                state = await experiment.read(client, experiment_id)  # with the visitors who were under way
                display.show(state, visitors, final=True)
        return state

    async def _watch(
        self, client: AsyncClient, experiment_id: str, visitors: Visitors, display: Display
    ) -> ExperimentState | None:
        while not await set_within(self.interrupted, REFRESH_EVERY):
            self.stack.check()
            try:
                state = await experiment.read(client, experiment_id)
            except AwayError as error:  # visitors try again for a while, too
                display.wait(str(error))
                continue
            display.show(state, visitors)
            if state.concluded:
                return state
        return None

    async def _announce_and_serve(self, state: ExperimentState) -> None:
        say(self.console, state.verdict())
        say(self.console, truth(self.items))
        if self.options.once:
            return
        say(self.console, f"Still serving on {self.stack.url}; Ctrl-C stops everything.")
        while not await set_within(self.interrupted, REFRESH_EVERY):
            self.stack.check()


def truth(items: Sequence[Item]) -> str:
    """Return what the simulation knows and the service had to find out."""
    best = max(items, key=lambda item: item.click_rate)
    return f"In the simulation {best.arm} truly had the highest click rate, {best.click_rate:.2%}."


def say(console: Console, text: str) -> None:
    """Print one line as it is: not wrapped, so that it can be searched for, and not coloured by guesses."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)
