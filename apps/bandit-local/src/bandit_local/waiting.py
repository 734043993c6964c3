"""Waiting that an event can cut short."""

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait at most ``seconds``; return whether the event is set, as soon as it is."""
    if seconds <= 0:
        return event.is_set()
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
