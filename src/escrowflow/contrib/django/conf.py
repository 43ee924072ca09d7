"""
The engine that the settings describe.

    ESCROWFLOW = {
        "PROCESS": "shop.rules.process",
        "HANDLERS": "shop.work.HANDLERS",
        "DATABASE": "default",
        "RETRIES": "shop.work.RETRIES",
        "CLOCK": "shop.tests.CLOCK",
    }

Only `PROCESS` is needed.  Each text names something of yours, as
`django.utils.module_loading.import_string` finds it, or what makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, final

import attrs
from django.conf import settings
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS
from django.utils.module_loading import import_string

from ...clock import Clock
from ...effects import Publish
from ...engine import Engine, Handlers, Retries
from ...engine.core import OrderProcess
from ...errors import InvalidInputError
from ...inputs import kind_of
from ...states import Process
from .storage import DjangoStorage

__all__ = ["NAMES", "Configured", "configured", "database", "engine", "handlers"]

SETTING: Final = "ESCROWFLOW"
NAMES: Final = ("PROCESS", "HANDLERS", "RETRIES", "DATABASE", "CLOCK")


@final
@attrs.frozen(kw_only=True)
class Configured:
    """
    What the settings name.

    Attributes:
        engine: Its storage follows the alias.

        processes: Those that the engine knows; new orders are placed under the first.

        handlers: What carries effects out; `None` if none are named: then effects are
            left to others.
    """

    engine: Engine
    processes: tuple[OrderProcess, ...]
    handlers: Handlers | None


@cache
def configured() -> Configured:
    """
    Return what the settings name, the same each time.

    Everything that they name is imported now, and not before: models may be imported by
    it, and it may import this.

    Raises:
        InvalidInputError: If a setting is missing, unknown, or names nothing that fits.
    """
    hands = _handlers()
    processes = _processes()
    return Configured(
        engine=Engine(
            processes[0],
            DjangoStorage(database()),
            also=processes[1:],
            clock=_clock(),
            retries=_retries(),
            # Who passes events on passes on those of deadlines, too.
            publish=hands is not None and Publish in hands,
        ),
        processes=processes,
        handlers=hands,
    )


def engine() -> Engine:
    """
    Return the engine of this site: in every thread, and inside every transaction.

    Raises:
        InvalidInputError: See `configured`.
    """
    return configured().engine


def handlers() -> Handlers | None:
    """
    Return the handlers of this site, by class of effect; `None` if there are none.

    Raises:
        InvalidInputError: See `configured`.
    """
    return configured().handlers


def database() -> str:
    """
    Return the alias of the database in which orders are kept.

    Raises:
        InvalidInputError: If the settings are none, or it is no text.
    """
    alias = _given().get("DATABASE", DEFAULT_DB_ALIAS)
    if isinstance(alias, str):
        return alias
    raise InvalidInputError(
        _field("DATABASE"), f"one of the names in DATABASES, not {kind_of(alias)}"
    )


def _field(name: str) -> str:
    return f"{SETTING}[{name!r}]"


def _given() -> Mapping[str, Any]:
    given = getattr(settings, SETTING, {})
    if not isinstance(given, Mapping):
        raise InvalidInputError(SETTING, f"a dict, not {kind_of(given)}")
    unknown = sorted(str(name) for name in given if name not in NAMES)
    if unknown:
        raise InvalidInputError(
            SETTING, f"no {', '.join(unknown)} in it: there are {', '.join(NAMES)}"
        )
    return given


def _imported(name: str, path: object) -> Any:
    if not isinstance(path, str):
        raise InvalidInputError(
            _field(name), f"a text such as 'shop.rules.process', not {kind_of(path)}"
        )
    try:
        return import_string(path)
    except ImportError as error:
        raise InvalidInputError(
            _field(name), f"{path!r} cannot be found: {error}"
        ) from error


def _made(name: str, path: object, fits: Callable[[object], bool], what: str) -> Any:
    """
    Return what a text names, or what that makes.
    """
    found = _imported(name, path)
    if not fits(found) and callable(found):
        try:
            found = found()
        except Exception as error:
            raise InvalidInputError(
                _field(name), f"{path!r} fails: {error!r}"
            ) from error
    if fits(found):
        return found
    raise InvalidInputError(
        _field(name), f"{path!r} is not {what}, nor does it make it"
    )


def _clock() -> Clock | None:
    path = _given().get("CLOCK")
    if path is None:
        return None
    clock: Clock = _made("CLOCK", path, lambda found: hasattr(found, "now"), "a clock")
    return clock


def _retries() -> Retries:
    path = _given().get("RETRIES")
    if path is None:
        return Retries()
    retries: Retries = _made(
        "RETRIES", path, lambda found: isinstance(found, Retries), "an ef.Retries"
    )
    return retries


def _processes() -> tuple[OrderProcess, ...]:
    paths = _given().get("PROCESS")
    if not paths:
        raise InvalidInputError(
            _field("PROCESS"),
            "name the process that orders are placed under: "
            "'escrowflow.processes.recommended', or one of yours; older ones behind it, "
            "in a list",
        )
    several = [paths] if isinstance(paths, str) else paths
    if not isinstance(several, list | tuple):
        raise InvalidInputError(
            _field("PROCESS"), f"a text or a list of texts, not {kind_of(paths)}"
        )
    return tuple(
        _made("PROCESS", path, lambda found: isinstance(found, Process), "a process")
        for path in several
    )


def _handlers() -> Handlers | None:
    path = _given().get("HANDLERS")
    if path is None:
        return None
    hands: Handlers = _made(
        *("HANDLERS", path, lambda found: isinstance(found, Mapping)),
        "a dict of handlers",
    )
    return hands


def _forget(*, setting: str, **_: object) -> None:
    """
    Begin anew when a test overrides the settings.
    """
    if setting == SETTING:
        configured.cache_clear()


setting_changed.connect(_forget)
