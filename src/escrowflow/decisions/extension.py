"""
Extension: the seller asks for a later date, the buyer answers (R24).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from pendulum import DateTime

from ..clock import WINDOW_DAYS_MAX
from ..commands import (
    AcceptExtension,
    RefuseExtension,
    RequestExtension,
    SubmitBrief,
    WithdrawExtension,
)
from ..events import (
    ExtensionAccepted,
    ExtensionRefused,
    ExtensionRequested,
    ExtensionWithdrawn,
)
from ..forms import Narrowing
from ..parties import Role
from ..refusals import Blocker
from .case import Case, Step, deadline, decides, way

__all__ = ["CHAPTER"]

_NO_EXTENSION: Final = Blocker(
    code="no_extension", unblocked_by=way(RequestExtension, Role.SELLER)
)

_STEP: Final = timedelta(microseconds=1)


def _earliest(case: Case) -> DateTime:
    """
    Return the first date that is later than the one there is.
    """
    wait = case.order.deadline("delivery")
    due_at = case.now if wait is None else max(wait.due_at, case.now)
    return datetime.__add__(due_at, _STEP)


def _latest(case: Case) -> DateTime:
    """
    Return the last date there can be: the order does not live longer.
    """
    latest = case.after(timedelta(days=WINDOW_DAYS_MAX))
    life = case.order.deadline("lifetime")
    return latest if life is None else min(latest, life.due_at)


@decides(RequestExtension)
def request_extension(case: Case, command: RequestExtension) -> Iterable[Step]:
    """
    Nothing changes until the buyer agrees: the order may turn late meanwhile (R23).
    """
    yield Step(
        events=(ExtensionRequested(due_at=command.due_at, reason=command.reason),)
    )


@request_extension.unless
def _(case: Case) -> Iterable[Blocker]:
    order = case.order
    if order.extension is not None:
        yield Blocker(
            code="extension_open", unblocked_by=way(WithdrawExtension, Role.SELLER)
        )
    if order.brief_owed:
        # The time to deliver stands still: there is no date yet to move.
        yield Blocker(code="brief_owed", unblocked_by=way(SubmitBrief, Role.BUYER))
    elif _earliest(case) > _latest(case):
        yield Blocker(code="no_later_date", params={"latest": _latest(case)})


@request_extension.given
def _(case: Case) -> Iterable[Narrowing]:
    yield "due_at", {"minimum": _earliest(case), "maximum": _latest(case)}


@request_extension.within
def _(case: Case, command: RequestExtension) -> Iterable[Blocker]:
    if command.due_at < _earliest(case):
        yield Blocker(code="due_at_not_later", params={"earliest": _earliest(case)})
    elif command.due_at > _latest(case):
        yield Blocker(code="due_at_too_late", params={"latest": _latest(case)})


@decides(AcceptExtension)
def accept_extension(case: Case, command: AcceptExtension) -> Iterable[Step]:
    """
    The delivery is due at the later date; an order that was late is late no more.
    """
    extension = case.order.extension
    assert extension is not None
    yield Step(
        events=(ExtensionAccepted(),),
        arm=deadline("delivery", extension.due_at),
        drop=("delay",),
        late=False,
    )


@accept_extension.unless
def _(case: Case) -> Iterable[Blocker]:
    extension = case.order.extension
    if extension is None:
        yield _NO_EXTENSION
    elif case.policies.time.over(extension.due_at, case.now):
        yield Blocker(
            code="extension_passed",
            unblocked_by=way(RefuseExtension, Role.BUYER),
        )


@decides(RefuseExtension)
def refuse_extension(case: Case, command: RefuseExtension) -> Iterable[Step]:
    """
    The delivery is due as before.
    """
    yield Step(events=(ExtensionRefused(),))


@decides(WithdrawExtension)
def withdraw_extension(case: Case, command: WithdrawExtension) -> Iterable[Step]:
    """
    The request is gone.
    """
    yield Step(events=(ExtensionWithdrawn(),))


def _no_extension(case: Case) -> Iterable[Blocker]:
    if case.order.extension is None:
        yield _NO_EXTENSION


refuse_extension.unless(_no_extension)
withdraw_extension.unless(_no_extension)


CHAPTER = (request_extension, accept_extension, refuse_extension, withdraw_extension)
