"""
Being told what an engine is asked to do, and what came of it: for traces and metrics.

Nobody is told unless `Engine.watched` was called; then nothing is asked but whether.
Whoever is told has no say: what fails in him is logged, and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from types import TracebackType
from typing import Any, Final, TypeAlias, final

import attrs

from ..commands import Command
from ..errors import InvalidInputError
from ..inputs import kind_of
from ..logs import told
from ..parties import Actor

__all__ = ["Call", "Harmless", "Watch", "as_call", "telling", "watched"]

_LOG: Final = logging.getLogger("escrowflow.watch")


@final
@attrs.frozen(kw_only=True)
class Call:
    """
    What an engine, or a worker, was asked to do.

    Attributes:
        name: `"place"`, `"execute"` (also for `attempt`), `"run_due"`, `"run_effects"`;
            or `"round"`, a worker's, in which the last two are called.

        order_id: The order; empty if it is about none, or about one without an id yet.

        command: What was sent; `None` if nothing was.

        by: Who sent it.
    """

    name: str
    order_id: str = ""
    command: Command | None = None
    by: Actor | None = None


# Called with each `Call`; what it returns is entered before, gives what is called with
# the answer, and is left afterwards, with the error if there was one.  It can neither
# fail the call nor keep its error back.
Watch: TypeAlias = Callable[[Call], AbstractContextManager[Callable[[Any], object]]]


def as_call(
    name: str,
    order_id: object = "",
    command: object = None,
    by: object = None,
) -> Call:
    """
    Return what was asked: of what may be nonsense, what is none.
    """
    return Call(
        name=name,
        order_id=order_id if isinstance(order_id, str) else "",
        command=command if isinstance(command, Command) else None,
        by=by if isinstance(by, Actor) else None,
    )


@final
class Harmless:
    """
    What `Watch` returns, entered so that nothing it raises reaches whoever is watched:
    by then the order may be written, or the money sent, and he would do it again.

    Args:
        begin: Returns it.
    """

    def __init__(
        self, begin: Callable[[], AbstractContextManager[Callable[[Any], object]]]
    ) -> None:
        self._begin = begin
        self._entered: AbstractContextManager[Any] | None = None
        self._told: Callable[[Any], object] | None = None

    def __enter__(self) -> Callable[[Any], None]:
        try:
            entered = self._begin()
            self._told = entered.__enter__()
            self._entered = entered
        except Exception as error:
            _log_failed(error)
        return self._tell

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failed: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._entered is not None:
            try:
                self._entered.__exit__(kind, failed, trace)
            except Exception as error:
                if error is not failed:
                    _log_failed(error)

    def _tell(self, answer: Any) -> None:
        if self._told is not None:
            try:
                self._told(answer)
            except Exception as error:
                _log_failed(error)


def telling(watch: Watch, call: Call) -> Harmless:
    """
    Return the context in which a call is made that somebody is told of.
    """
    return Harmless(lambda: watch(call))


def _log_failed(error: Exception) -> None:
    # Without its traceback: it may quote what it was told.
    _LOG.warning(
        "whoever is told of calls failed (%s); they go on",
        kind_of(error),
        extra=told("watch_failed", error=kind_of(error)),
    )


def watched(engine: Any, watch: object) -> Any:
    """
    Return the same engine, watched.

    Raises:
        InvalidInputError: If nobody could be told.
    """
    if not callable(watch):
        raise InvalidInputError("watch", f"something to call, not {kind_of(watch)}")
    another = copy(engine)
    another.watch = watch
    return another
