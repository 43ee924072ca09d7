"""
Being told what an engine is asked to do, and what came of it: for traces and metrics.

Nobody is told unless `Engine.watched` was called; then nothing is asked but whether.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from typing import Any, TypeAlias, final

import attrs

from ..commands import Command
from ..errors import InvalidInputError
from ..inputs import kind_of
from ..parties import Actor

__all__ = ["Call", "Watch", "as_call", "watched"]


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
# the answer, and is left afterwards, with the error if there was one.
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


def watched(engine: Any, watch: object) -> Any:
    """
    Return the same engine, watched.

    Raises:
        InvalidInputError: If nobody could be told.
    """
    if not callable(watch):
        raise InvalidInputError("watch", f"something to call, not {kind_of(watch)}")
    told = copy(engine)
    told.watch = watch
    return told
