"""
A storage whose verbs are awaited, for checks that call and wait.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import threading
from functools import cache
from typing import Any, Final, Self

from ..storage import AsyncStorage, Capability

__all__ = ["Awaited", "awaited"]

_VERBS: Final = frozenset(
    {
        *("load", "commit", "events", "effects", "summary"),
        *("receipts", "texts"),
        *("claim_due", "park", "next_due"),
        *("claim_effects", "settle_effect", "next_effect"),
        *("stuck_effects", "find", "erase_texts", "migrate", "close"),
    }
)


class Awaited:
    """
    A storage whose verbs block, from one whose verbs are awaited.

    They run on one event loop, in a thread beside: those of several threads at
    once are awaited at once.
    """

    def __init__(self, inner: AsyncStorage) -> None:
        self.inner = inner

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        See `Storage.capabilities`.
        """
        return self.inner.capabilities

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.inner, name)
        if name not in _VERBS:
            return verb
        return lambda *values, **named: awaited(verb(*values, **named))

    def __enter__(self) -> Self:
        entered = awaited(self.inner.__aenter__())
        assert entered is self.inner
        return self

    def __exit__(self, *error: Any) -> None:
        awaited(self.inner.__aexit__(*error))


def awaited(answer: Any) -> Any:
    """
    Return what something awaitable leads to; everything else as it is.
    """
    if not inspect.isawaitable(answer):
        return answer

    async def run() -> Any:
        return await answer

    # A loop does not outlive a fork.
    return asyncio.run_coroutine_threadsafe(run(), _loop(os.getpid())).result()


@cache
def _loop(_: int) -> asyncio.AbstractEventLoop:
    """
    Return the event loop of this process, running.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def stop() -> None:  # pragma: no cover - at the exit
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    atexit.register(stop)
    return loop
