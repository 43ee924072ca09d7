"""
Every place where a storage can fail, in lives of every kind.

A life is sent command by command, each with a key.  Once for every call that the
engine makes to its storage, and for each way to fail, the life is lived again: the
call fails, the sender repeats his command, and in the end everything that is stored
must be what it is without a failure, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple, final

import escrowflow as ef
from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.engine import Engine
from escrowflow.parties import Actor
from escrowflow.storage import Storage
from escrowflow.terms import FullRefund, PaySeller, Relaunch, Split
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    MIA,
    OPS,
    STRIPE,
    T0,
    WAY,
    an_order,
    eur,
    paid,
    terms,
)

__all__ = ["FAULTS", "LIVES", "Fault", "lived", "points", "reference"]


class Send(NamedTuple):
    """
    Somebody sends a command, some time after the one before.
    """

    by: Actor
    command: ef.Command
    after: timedelta = timedelta(0)


def _then(*sends: tuple[Any, ...]) -> tuple[Send, ...]:
    return tuple(Send(*send) for send in sends)


_HOUR: Final = timedelta(hours=1)
_LONG: Final = timedelta(days=400)

# What may follow in each state; most end the order, one way or another.
_MORE: Final[Mapping[str, tuple[tuple[Send, ...], ...]]] = {
    "awaiting_payment": (
        _then((STRIPE, c.ConfirmPayment(payment=paid())), (LUC, c.AcceptOrder())),
        _then((ANA, c.CancelOrder()), (STRIPE, c.ConfirmPayment(payment=paid()))),
    ),
    "pending": (
        _then((LUC, c.RefuseOrder(reason="no time"), _HOUR)),
        _then((ANA, c.SubmitBrief(text="blue", files=("a.png",)))),
    ),
    "in_progress": (
        _then(
            (ANA, c.BuyAddOn(title="logo", price=eur(20), payment=paid("pi_2"))),
            (LUC, c.SendOffer(title="more", price=eur(9))),
            (ANA, c.PayOffer(offer_id="offer-1", payment=paid("pi_3"))),
        ),
        _then(
            (LUC, c.ProposePartialRefund(amount=eur(30), reason="half"), _HOUR),
            (ANA, c.AcceptPartialRefund()),
            (LUC, c.CancelOrder(reason="ill")),
        ),
    ),
    "cancellation_requested": (
        _then((LUC, c.AcceptCancellation(), _HOUR)),
        _then(
            (LUC, c.RefuseCancellation(reason="half done")),
            (ANA, c.RequestCancellation(reason="still")),
            (LUC, c.RefuseCancellation(reason="still")),
        ),
    ),
    "delivered": (
        _then((ANA, c.LeaveReview(rating=5, text="very good"), _HOUR)),
        _then((ANA, c.FileClaim(reason="rude")), (ANA, c.WithdrawClaim())),
    ),
    "revision_requested": (
        _then((LUC, c.AcceptRevision()), (LUC, c.DeliverOrder(note="again"), _HOUR)),
        _then((LUC, c.CancelOrder(reason="cannot"))),
    ),
    "revision_refused": (
        _then((ANA, c.ApproveDelivery())),
        _then((ANA, c.OpenDispute(reason="no")), (OPS, c.FreezeOrder(reason="look"))),
    ),
    "disputed": (
        _then(
            (MIA, c.AssignMediator(mediator_id="mia")),
            (MIA, c.AskParties(text="why?"), _HOUR),
            (LUC, c.AnswerMediator(text="so")),
            (
                MIA,
                c.RuleDispute(ruling=Split(to_buyer=eur("33.33")), reason="both"),
                _HOUR,
            ),
        ),
        _then(
            (MIA, c.AssignMediator(mediator_id="mia")),
            (MIA, c.RuleDispute(ruling=Relaunch(), reason="go on"), _HOUR),
            (LUC, c.DeliverOrder(note="at last"), _HOUR),
        ),
        _then(
            (MIA, c.AssignMediator(mediator_id="mia")),
            (MIA, c.RuleDispute(ruling=PaySeller(), reason="his")),
        ),
        _then(
            (MIA, c.AssignMediator(mediator_id="mia")),
            (MIA, c.RuleDispute(ruling=FullRefund(), reason="hers")),
        ),
    ),
    "frozen": (_then((OPS, c.UnfreezeOrder(), _HOUR)),),
    "completed": (
        _then(
            (ANA, c.LeaveReview(rating=2, text="late"), _HOUR),
            (LUC, c.ReplyToReview(text="ill")),
            (OPS, c.RemoveReview(cause="unlawful")),
        ),
        _then((ANA, c.BuyAddOn(title="x", price=eur(5), payment=paid("pi_2")))),
    ),
    "cancelled": (_then((ANA, c.RequestCoupon())),),
}


def _lives() -> Iterator[tuple[str, tuple[Send, ...]]]:
    for state in ("awaiting_payment", *WAY):
        way = _then(*WAY.get(state, ()))
        # Whoever comes back after a year settles everything that was due.
        late = _then((ANA, c.SendMessage(reference="hello"), _LONG))
        yield f"{state}, silence", (*way, *late)
        for number, more in enumerate(_MORE[state]):
            yield f"{state}, {number}", (*way, *more, *late)


LIVES: Final[Mapping[str, tuple[Send, ...]]] = dict(_lives())


class Crash(BaseException):
    """
    The process is gone.
    """


@final
class Fault(NamedTuple):
    """
    How a call fails.

    Attributes:
        after: Whether what was asked for was done all the same.

        crash: Whether the process dies, too.
    """

    name: str
    after: bool
    crash: bool


FAULTS: Final = (
    Fault("fail before", after=False, crash=False),
    Fault("unknown after", after=True, crash=False),
    Fault("kill before", after=False, crash=True),
    Fault("kill after", after=True, crash=True),
)


class _Faulty:
    """
    A storage that counts its calls, and fails once.
    """

    def __init__(self, storage: Storage, fault: Fault | None, at: int) -> None:
        self._storage = storage
        self._fault = fault
        self._at = at
        self.calls = 0

    def __getattr__(self, verb: str) -> Any:
        def call(*values: Any, **named: Any) -> Any:
            self.calls += 1
            fault = self._fault
            if fault is None or self.calls != self._at:
                return getattr(self._storage, verb)(*values, **named)
            self._fault = None
            if fault.after:
                getattr(self._storage, verb)(*values, **named)
            if fault.crash:
                raise Crash
            if fault.after:
                raise ef.OutcomeUnknownError("the connection was lost")
            raise ef.StorageError("the disk is full")

        return call

    # An engine asks whether this is a coroutine function.
    def load(self, *values: Any) -> Any:
        """
        Load, perhaps.
        """
        return self.__getattr__("load")(*values)


def lived(
    life: str, storage: Storage, fault: Fault | None = None, at: int = 0
) -> tuple[list[str], int]:
    """
    Live a life, with one failure; return all that is stored, and the calls it took.

    Args:
        fault: How it fails.

        at: At which call, from 1.
    """
    clock = FakeClock(T0)
    faulty: Any = _Faulty(storage, fault, at)

    def engine() -> Engine:
        # A command that is repeated must be sealed as it was.
        return Engine(COMEUP, faulty, clock=clock, salt=lambda: b"0123456789abcdef")

    current = engine()
    first = an_order(
        payment=None if life.startswith("awaiting_payment") else paid(),
        terms=terms(title="Logo", text="A logo, in blue"),
    )
    steps: list[Callable[[Engine], object]] = [
        lambda engine: engine.place(first, by=ANA, key="0", order_id="o1")
    ]
    for number, send in enumerate(LIVES[life], 1):
        steps.append(_step(clock, send, str(number)))
    for step in steps:
        while True:
            try:
                step(current)
                break
            except Crash:
                current = engine()
            except ef.StorageError:
                pass
    assert not fault or faulty.calls >= at, "the failure never came"
    return [*Engine(COMEUP, storage, clock=clock).export()], faulty.calls


def _step(clock: FakeClock, send: Send, key: str) -> Callable[[Engine], object]:
    waits = [send.after]

    def step(engine: Engine) -> None:
        # Time passes once, however often the command is repeated.
        if waits:
            clock.advance(waits.pop())
        engine.attempt("o1", send.command, by=send.by, key=key)

    return step


def reference(life: str, storage: Storage) -> tuple[list[str], int]:
    """
    Live a life without a failure; return all that is stored, and the calls it took.
    """
    return lived(life, storage)


def points(life: str, opened: Callable[[], Storage]) -> tuple[int, list[str]]:
    """
    Fail at every call of a life, in every way; return how many lives that made, and
    which of them came out differently.
    """
    with opened() as storage:
        expected, calls = reference(life, storage)
    runs = 0
    different = []
    for fault in FAULTS:
        for at in range(1, calls + 1):
            with opened() as storage:
                runs += 1
                if lived(life, storage, fault, at)[0] != expected:
                    different.append(f"{life}: {fault.name}, call {at}")
    return runs, different
