"""Server-sent events: that something has changed, by a number that a browser gives back.

An event names no data: the page fetches the parts that it shows. So a browser that slept, or lost the
connection, says the last number that it saw (`Last-Event-ID`) and is told at once if there is more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from pawl.serving.reading import Campaign

LOOK_SECONDS = 0.5
_ALIVE_SECONDS = 15.0
RETRY_MS = 2000


async def stream(campaign: Campaign, last: str) -> AsyncIterator[str]:
    """Yields events: `changed` when records or state did, `clock` when only time has passed.

    Args:
        campaign: Which is watched.
        last: The number that the browser saw last; empty for none.
    """
    yield f"retry: {RETRY_MS}\n\n"
    told, quiet = 0.0, 0.0
    while True:
        known, version = await run_in_threadpool(campaign.look)
        progress = await run_in_threadpool(campaign.progress)
        now = progress.unix_time if progress else 0.0
        if str(version) != last:
            last, told, quiet = str(version), now, 0.0
            data = json.dumps({"state": known.state})
            yield f"id: {last}\nevent: changed\ndata: {data}\n\n"
        elif now != told:
            told, quiet = now, 0.0
            yield "event: clock\ndata: {}\n\n"
        elif quiet >= _ALIVE_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_SECONDS)
        quiet += LOOK_SECONDS
