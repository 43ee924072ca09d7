"""
An `AsyncEngine` without an event loop: whoever steps it answers what it awaits.

What it awaits comes out of its coroutine as what a plain engine asks for, one call after
the other.  So the same seed has to be the same story.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, final

from ...commands import PlaceOrder
from ...decisions import Refusal
from ...engine import AsyncEngine
from ...errors import CommandRefusedError
from ...parties import Actor
from ...storage import Capability, Storage

__all__ = ["AwaitedEngine", "AwaitedStorage"]


@final
class _Call:
    """
    A call that somebody else carries out.
    """

    def __init__(self, verb: str, *values: Any) -> None:
        self._asks = verb, values

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self._asks)


@final
class AwaitedStorage:
    """
    A storage whose verbs are awaited, and answered by whoever steps.

    Implements: `AsyncStorage`
    """

    def __init__(self, inner: Storage) -> None:
        self._inner = inner

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What the storage can do beyond the verbs.
        """
        return self._inner.capabilities

    def __getattr__(self, verb: str) -> Any:
        async def called(*values: Any) -> Any:
            return await _Call(verb, *values)

        return called

    async def load(self, *values: Any) -> Any:
        """
        Return an order.
        """
        return await _Call("load", *values)


@final
class AwaitedEngine:
    """
    What tasks ask of an engine, as coroutines.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    def __getattr__(self, method: str) -> Any:
        return getattr(self._engine, method)

    async def place(
        self, command: PlaceOrder, *, by: Actor, key: str | None, order_id: str | None
    ) -> Any:
        """
        Place an order; a refusal is an answer.
        """
        try:
            return await self._engine.place(command, by=by, key=key, order_id=order_id)
        except CommandRefusedError as error:
            return Refusal(blockers=error.blockers, order=error.order)

    def run_effects(
        self, handlers: Mapping[Any, Callable[[Any], Any]], *, limit: int
    ) -> Coroutine[Any, Any, Any]:
        """
        Carry out effects; each handler is awaited.
        """

        def awaited(handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
            async def carry_out(effect: Any) -> Any:
                return await _Call("call", handler, effect)

            return carry_out

        slow = {kind: awaited(handler) for kind, handler in handlers.items()}
        return self._engine.run_effects(slow, limit=limit)
