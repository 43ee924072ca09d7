"""
A storage whose verbs are awaited, for checks that call and wait.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import threading
from collections.abc import Awaitable
from concurrent.futures import Future
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
        *("stuck_effects", "find", "erase_texts", "migrate", "clock", "close"),
    }
)


class Awaited:
    """
    A storage whose verbs block, from one whose verbs are awaited.

    They run on one event loop: those of several threads at once are awaited at once.
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
    # A loop does not outlive a fork.
    return _loop(os.getpid()).wait_for(answer)


class _Loop:
    """
    One event loop for all threads, without a thread of its own: to wake one up takes
    longer than most verbs do.

    It runs in whichever thread asks first, until that one has its answer; then in
    another one that still waits.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._running = False
        self._changed = threading.Condition()

    def wait_for(self, answer: Awaitable[Any]) -> Any:
        """
        Return what something leads to.
        """

        async def run() -> Any:
            return await answer

        with self._changed:
            free, self._running = not self._running, True
        if free:
            return self._run(run())
        asked = asyncio.run_coroutine_threadsafe(run(), self._loop)
        asked.add_done_callback(self._tell)
        with self._changed:
            self._changed.wait_for(lambda: asked.done() or not self._running)
            if asked.done():
                return asked.result()
            self._running = True
        return self._run(asyncio.wrap_future(asked, loop=self._loop))

    def _run(self, answer: Any) -> Any:
        try:
            return self._loop.run_until_complete(answer)
        finally:
            with self._changed:
                self._running = False
                self._changed.notify_all()

    def _tell(self, _: Future[Any]) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:  # pragma: no cover - at the exit
        """
        End it.
        """
        self._loop.close()


@cache
def _loop(_: int) -> _Loop:
    """
    Return the event loop of this process.
    """
    loop = _Loop()
    atexit.register(loop.close)
    return loop
