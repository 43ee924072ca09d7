"""
Who answers what the rooms of this package ask for: a storage that blocks, one that is
awaited, or somebody who takes a step at a time.

They say the same, one word after the other: there is no rule in them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from copy import copy
from difflib import get_close_matches
from inspect import isawaitable
from typing import Any, TypeVar

from ..effects import EFFECTS, Effect, Withdraw
from ..errors import InvalidInputError
from ..inputs import kind_of
from ..storage import AsyncStorage, Capability, Storage
from .core import Asking

__all__ = [
    "check_kinds",
    "check_together",
    "drive",
    "drive_awaited",
    "joined",
    "joining",
    "undriven",
]

_T = TypeVar("_T")


def drive(storage: Storage, asking: Asking[_T]) -> _T:
    """
    Return what a generator returns, its verbs carried out by a storage.
    """
    try:
        verb, values = next(asking)
        while True:
            try:
                if verb == "call":
                    handler, effect = values
                    answer = handler(effect)
                else:
                    answer = getattr(storage, verb)(*values)
            except Exception as error:
                verb, values = asking.throw(error)
            else:
                verb, values = asking.send(answer)
    except StopIteration as stop:
        result: _T = stop.value
        return result


async def drive_awaited(storage: AsyncStorage, asking: Asking[_T]) -> _T:
    """
    Return what a generator returns, its verbs awaited.
    """
    try:
        verb, values = next(asking)
        while True:
            try:
                if verb == "call":
                    handler, effect = values
                    answer = handler(effect)
                    if isawaitable(answer):
                        answer = await _heard(answer)
                else:
                    answer = await getattr(storage, verb)(*values)
            except Exception as error:
                verb, values = asking.throw(error)
            else:
                verb, values = asking.send(answer)
    except StopIteration as stop:
        result: _T = stop.value
        return result


async def _heard(answer: Awaitable[_T]) -> _T:
    """
    Wait for a handler.  If it was cancelled and its worker was not, that is its own
    trouble, and must not end the worker.
    """
    # Who awaits has it; everybody else need not load its network and its processes.
    import asyncio

    try:
        return await answer
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError("the handler was cancelled") from error


def undriven(engine: Any) -> Any:
    """
    Return an engine whose methods return what they ask, a generator, for whoever
    answers it himself: the simulator, which lets others act between two questions.
    """
    bare = copy(engine)
    bare._drive = lambda asking, *call: asking
    return bare


def joined(storage: Any, handle: Any) -> Any:
    """
    Return a storage that writes inside a transaction of the host's.

    Raises:
        InvalidInputError: If it cannot.
    """
    if Capability.WITHIN not in storage.capabilities:
        raise InvalidInputError(
            "handle", f"{kind_of(storage)} cannot write in a transaction of yours"
        )
    return storage.within(handle)


def joining(engine: Any, handle: Any) -> Any:
    """
    Return an engine whose storage writes inside a transaction of the host's; whoever is
    told of its calls is told of these, too.

    Raises:
        InvalidInputError: If it cannot.
    """
    inside = copy(engine)
    inside.storage = joined(engine.storage, handle)
    inside._within = (engine.storage, handle)
    return inside


def check_kinds(handlers: object, kinds: object, asks: frozenset[str]) -> None:
    """
    Raise if one of the names is none of an effect: somebody has mistyped it.

    What is wrong with either of them otherwise is told by `check_handlers`.

    Args:
        asks: The kinds that the engine ever asks for.

    Raises:
        InvalidInputError: If nobody knows it.
    """
    if isinstance(kinds, str) or not isinstance(kinds, Collection):
        return
    theirs = handlers if isinstance(handlers, Mapping) else ()
    known = {*asks, *EFFECTS, Withdraw.name}
    known.update(
        kind.name
        for kind in theirs
        if isinstance(kind, type) and issubclass(kind, Effect)
    )
    for kind in kinds:
        if isinstance(kind, str) and kind not in known:
            alike = get_close_matches(kind, sorted(known), n=1)
            meant = f"did you mean {alike[0]!r}?  There" if alike else "there"
            raise InvalidInputError(
                "kinds",
                f"there is no effect {kind!r}: {meant} are {', '.join(sorted(known))}",
            )


def check_together(wallets: Any, engine: Any) -> None:
    """
    Raise unless wallets and orders are kept in one place: else an id would be barred
    where nobody places orders, and what an order has would go back all the same.

    Raises:
        InvalidInputError: If they are not.
    """
    (ours, handle), (theirs, other) = _place(wallets), _place(engine)
    named = isinstance(handle, str) and handle == other
    if ours is not theirs or not (handle is other or named):
        raise InvalidInputError(
            "engine",
            "its orders are kept elsewhere than these wallets: make both with the same "
            "storage object, and both or none of them `within` the same handle",
        )


def _place(shell: Any) -> tuple[Any, Any]:
    """
    Return the storage of an engine or of wallets, and the handle that it is within.
    """
    return shell._within or (shell.storage, None)
