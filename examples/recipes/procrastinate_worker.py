"""
procrastinate: a job that wakes every few seconds, and one for each known instant.

    procrastinate --app examples.recipes.procrastinate_worker.app schema --apply
    procrastinate --app examples.recipes.procrastinate_worker.app worker
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued

from escrowflow.clock import SystemClock
from examples.recipes.shop import URL, work, worker

app = App(connector=PsycopgConnector(conninfo=URL))


# One waits at most: a worker that was away for an hour has one to do, not hundreds.
@app.periodic(cron="* * * * * */5")
@app.task(name="escrowflow.tick", queueing_lock="escrowflow.tick")
async def tick(timestamp: int = 0) -> None:
    """
    Settle what is due, carry effects out, and have somebody wake when more is due.
    """
    await asyncio.to_thread(work)
    due = await asyncio.to_thread(worker.engine.next_due_at)
    if due is not None and due > SystemClock().now():
        # One for each instant; that an order's deadline has moved by then is no harm.
        with suppress(AlreadyEnqueued):
            await wake.configure(
                schedule_at=due, queueing_lock=f"escrowflow.wake {due.isoformat()}"
            ).defer_async()


@app.task(name="escrowflow.wake")
async def wake() -> None:
    """
    Do the same at an instant that was known.
    """
    await tick.func()
