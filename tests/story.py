"""
Orders that live fast: what the tests of rules have in common.

A `Story` is one order under an engine, a memory storage and a clock that is moved
by hand.  It reads like a row of the worked scenarios: at this instant this person
sends this; then the state, the money and what is allowed.  After every step it
checks that no money was lost and that nothing happened before something earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from typing import Any, Final, TypeAlias, final

from pendulum import DateTime

import escrowflow as ef
from escrowflow.clock import to_zone
from escrowflow.processes import comeup
from escrowflow.rules import Policies
from escrowflow.storage.memory import MemoryStorage
from escrowflow.words.blockers import BLOCKERS

Process: TypeAlias = ef.Process[Policies]

START: Final = "2026-06-01T10:00:00+02:00"

ANA: Final = ef.Buyer("ana")
LUC: Final = ef.Seller("luc")
MIA: Final = ef.Mediator("mia")
OPS: Final = ef.Operator("ops")
BANK: Final = ef.Provider("bank")

_LETTERS: Final[dict[str, ef.Actor]] = {
    "B": ANA,
    "S": LUC,
    "M": MIA,
    "O": OPS,
    "P": BANK,
}

ACCEPT: Final = ef.AcceptOrder()
DELIVER: Final = ef.DeliverOrder(files=("logo.svg",))
APPROVE: Final = ef.ApproveDelivery()
CANCEL: Final = ef.CancelOrder()
ASK_CANCELLATION: Final = ef.RequestCancellation(reason="changed my mind")
REFUSE_CANCELLATION: Final = ef.RefuseCancellation(reason="half done")
ASK_REVISION: Final = ef.RequestRevision(reason="the blue is too dark")
REFUSE_REVISION: Final = ef.RefuseRevision(reason="not in the offer")
CLAIM: Final = ef.FileClaim(reason="please look at this")
DISPUTE: Final = ef.OpenDispute(reason="we do not agree")
ASSIGN: Final = ef.AssignMediator(mediator_id="mia")
REVIEW: Final = ef.LeaveReview(rating=5, text="very good")
FREEZE: Final = ef.FreezeOrder(reason="checks")
HELLO: Final = ef.SendMessage(reference="message-1")


@cache
def standard() -> Process:
    """
    Return the process of ComeUp, built once: with every default.
    """
    return comeup()


def euros(amount: str) -> ef.Money:
    """
    Return an amount in EUR.
    """
    return ef.Money.of(amount, "EUR")


def paris(instant: DateTime | None) -> str:
    """
    Return an instant as the scenarios write it: the wall time of Paris.
    """
    return "" if instant is None else to_zone(instant, "Europe/Paris").isoformat()


def plain(amount: ef.Money) -> str:
    """
    Return an amount without its currency, and without empty decimals.
    """
    text = str(amount.amount)
    return text.rstrip("0").rstrip(".") if "." in text else text


# Code, parts and ways out of a blocker: ("claim_open", {}, ["buyer withdraw_claim"]).
Why: TypeAlias = tuple[str, dict[str, Any], list[str]]


def _told(blocker: ef.Blocker) -> Why:
    params = {
        name: paris(value) if isinstance(value, DateTime) else value
        for name, value in blocker.params.items()
    }
    ways = [f"{way.by.text} {way.command}" for way in blocker.unblocked_by]
    return blocker.code, params, ways


# --- what is allowed --------------------------------------------------------------


def cells(*rows: str) -> frozenset[str]:
    """
    Return rows of the grid, "BS send_message", as one entry a role.
    """
    return frozenset(
        f"{letter} {command}"
        for letters, command in (row.split() for row in rows)
        for letter in letters
    )


_SIDES: Final = ("BS propose_partial_refund",)
_STAFF: Final = ("O freeze_order", "O extend_deadlines")
_CLAIMS: Final = ("BS file_claim", "O open_dispute")
_TALK: Final = ("BS send_message",)
_MORE: Final = ("B buy_add_on", "S send_offer")
_PAY: Final = ("PO confirm_payment",)

# The columns of the grid of the rules with nothing open: no claim, no
# proposal, no offer, no answer overdue, no mediator but in `A_DISP`.
A_AWAIT: Final = cells(*_PAY, *_TALK, "B submit_brief", "B cancel_order")
A_PEND: Final = cells(
    *_PAY, *_TALK, *_SIDES, *_STAFF,
    "B submit_brief", "S accept_order", "S refuse_order", "BS cancel_order",
)  # fmt: skip
A_PROG: Final = cells(
    *_PAY, *_TALK, *_SIDES, *_STAFF, *_CLAIMS, *_MORE,
    "S cancel_order", "B request_cancellation", "S deliver_order",
)  # fmt: skip
A_LATE: Final = A_PROG | cells("B cancel_order")
A_CREQ: Final = cells(
    *_PAY, *_TALK, *_SIDES, *_STAFF, *_CLAIMS,
    "S cancel_order", "B withdraw_cancellation",
    "S accept_cancellation", "S refuse_cancellation",
)  # fmt: skip
A_DELIV: Final = cells(
    *_PAY, *_SIDES, *_STAFF, *_CLAIMS,
    "B approve_delivery", "B leave_review", "B request_revision",
)  # fmt: skip
A_RREQ: Final = cells(
    *_PAY, *_TALK, *_SIDES, *_STAFF, *_CLAIMS, *_MORE,
    "S cancel_order", "S accept_revision", "S refuse_revision",
)  # fmt: skip
A_RREF: Final = cells(
    *_PAY, *_TALK, *_SIDES, *_STAFF, *_CLAIMS, *_MORE,
    "S cancel_order", "B approve_delivery", "B leave_review", "B open_dispute",
)  # fmt: skip
A_DISP: Final = cells(
    *_PAY, "O assign_mediator", "M ask_parties", "BS answer_mediator", "M rule_dispute"
)
A_DISP_UNASSIGNED: Final = cells(*_PAY, "MO assign_mediator", "BS answer_mediator")
A_FROZEN: Final = cells(*_PAY, "O open_dispute", "O rule_dispute", "O unfreeze_order")
A_DONE: Final = cells(*_PAY, *_TALK, "B leave_review")
A_REVIEWED: Final = cells(*_PAY, *_TALK, "S reply_to_review", "O remove_review")
A_CANC: Final = cells(*_PAY, *_TALK)
A_EXP: Final = cells(*_PAY, "B request_coupon")


# --- stories ----------------------------------------------------------------------

# What makes the engine of a story: `test_async` tells each one to two engines.
ENGINE: Final[ContextVar[Callable[..., ef.Engine]]] = ContextVar(
    "ENGINE", default=ef.Engine
)

_PAID: Final = object()


@final
class Story:
    """
    The life of one order, told step by step.

    Args:
        start: When it is placed.

        process: Under which rules; `comeup()` unless said.

        policies: Changes to them, as `with_policies` takes them.

        price: In major units of *currency*.

        payment: What comes with the order; one payment of everything by *method*
            unless said.

        delivery: The delivery window.

        terms: More terms.

    The buyer is `ANA`, the seller `LUC`, the mediator `MIA`.
    """

    def __init__(
        self,
        start: str = START,
        process: Process | None = None,
        *,
        policies: dict[str, Any] | None = None,
        price: str = "100",
        currency: str = "EUR",
        method: str = "paypal",
        payment: Any = _PAID,
        tip: ef.Money | None = None,
        add_ons: Sequence[ef.AddOn] = (),
        delivery: str = "P5D",
        terms: dict[str, Any] | None = None,
    ) -> None:
        self.process = process if process is not None else standard()
        if policies:
            self.process = self.process.with_policies(**policies)
        self.clock = ef.FakeClock(start)
        self.storage = MemoryStorage()
        self.engine = ENGINE.get()(self.process, self.storage, clock=self.clock)
        if payment is _PAID:
            payment = ef.Payment(method, "pay-1")
        placed = self.engine.place(
            ef.PlaceOrder(
                seller_id=LUC.id,
                price=ef.Money.of(price, currency),
                payment=payment,
                tip=tip,
                add_ons=tuple(add_ons),
                terms=ef.Terms(delivery_window=delivery, **(terms or {})),
            ),
            by=ANA,
            order_id="order-1",
        )
        self.last = placed
        self.id = placed.order.id
        self._check()

    # --- time ---------------------------------------------------------------------

    def at(self, instant: str) -> Story:
        """
        Let time pass until *instant*; `"05-16 09:30"` is in Paris, summer of 2026.
        """
        if "T" not in instant:
            instant = f"2026-{instant.replace(' ', 'T')}+02:00"
        self.clock.advance_to(instant)
        return self

    def after(self, **lengths: float) -> Story:
        """
        Let time pass: `after(days=7)`.
        """
        self.clock.advance(**lengths)
        return self

    def sweep(self) -> ef.SweepReport:
        """
        Let a worker settle what is due.
        """
        report = self.engine.run_due()
        self._check()
        return report

    # --- people -------------------------------------------------------------------

    def by(self, actor: ef.Actor, command: ef.Command, **options: Any) -> ef.Order:
        """
        Send a command that must be possible.
        """
        self.last = self.engine.execute(self.id, command, by=actor, **options)
        self._check()
        return self.last.order

    def buyer(self, *commands: ef.Command) -> Story:
        """
        Let the buyer act.
        """
        return self._each(ANA, commands)

    def seller(self, *commands: ef.Command) -> Story:
        """
        Let the seller act.
        """
        return self._each(LUC, commands)

    def mediator(self, *commands: ef.Command) -> Story:
        """
        Let the mediator act.
        """
        return self._each(MIA, commands)

    def staff(self, *commands: ef.Command) -> Story:
        """
        Let the platform's staff act.
        """
        return self._each(OPS, commands)

    def provider(self, *commands: ef.Command) -> Story:
        """
        Let the payment provider speak.
        """
        return self._each(BANK, commands)

    def refused(self, actor: ef.Actor, command: ef.Command) -> tuple[str, ...]:
        """
        Send a command that must be refused, and return why: every code.
        """
        return tuple(code for code, _, _ in self.why(actor, command))

    def why(self, actor: ef.Actor, command: ef.Command) -> list[Why]:
        """
        Send a command that must be refused, and return everything the refusal says: of
        each blocker its code, its parts with instants in Paris, and the ways out.
        """
        before = self.order
        answer = self.engine.attempt(self.id, command, by=actor)
        assert isinstance(answer, ef.Refusal), f"{command.name} was not refused"
        self._check()
        # A refusal changes nothing; only a payment it carried is returned.
        if not getattr(command, "payment", ()):
            assert self.order == before
        for blocker in answer.blockers:
            assert blocker.code in BLOCKERS
        return [_told(blocker) for blocker in answer.blockers]

    def blocked(self, actor: ef.Actor, command: type[ef.Command]) -> list[Why]:
        """
        Return the same of what an actor is told before he sends anything.
        """
        return [_told(blocker) for blocker in self.option(actor, command).blockers]

    def _each(self, actor: ef.Actor, commands: Sequence[ef.Command]) -> Story:
        for command in commands:
            self.by(actor, command)
        return self

    # --- what can be seen ---------------------------------------------------------

    @property
    def order(self) -> ef.Order:
        """
        The order as of now.
        """
        return self.engine.order(self.id)

    @property
    def state(self) -> str:
        """
        Its state, with "+ late" if it is late.
        """
        order = self.order
        return f"{order.state} + late" if order.late else str(order.state)

    @property
    def due(self) -> str:
        """
        The end of the state's own window, in Paris; empty if there is none.
        """
        return paris(self.order.due_at)

    @property
    def books(self) -> str:
        """
        The money as the scenarios write it: held/refunded/released/kept.
        """
        ledger = self.order.ledger
        return "/".join(
            plain(amount)
            for amount in (ledger.held, ledger.refunded, ledger.released, ledger.kept)
        )

    @property
    def row(self) -> tuple[str, str, str]:
        """
        State, due instant and money: most of a row of a scenario.
        """
        return self.state, self.due, self.books

    @property
    def allowed(self) -> frozenset[str]:
        """
        Everything that is possible now, as "B cancel_order".
        """
        found = set()
        for letter, actor in _LETTERS.items():
            try:
                options = self.engine.options(self.id, by=actor)
            except ef.OrderNotFoundError:
                # A mediator nobody asked.
                continue
            found |= {f"{letter} {option.name}" for option in options if option.allowed}
        return frozenset(found)

    def option(self, actor: ef.Actor, command: type[ef.Command]) -> ef.Option:
        """
        Return what an actor is told about a command.
        """
        options = self.engine.options(self.id, by=actor)
        return next(option for option in options if option.command is command)

    @property
    def waits(self) -> list[tuple[str, str]]:
        """
        What is to come: name and instant, soonest first.
        """
        return [(wait.name, paris(wait.due_at)) for wait in self.order.deadlines]

    @property
    def names(self) -> list[str]:
        """
        The names of everything that was recorded.
        """
        return [recorded.name for recorded in self.engine.history(self.id)]

    @property
    def reasons(self) -> list[str]:
        """
        What people gave as their reasons, oldest first; "" where they gave none.
        """
        events = [recorded.event for recorded in self.engine.history(self.id)]
        return [str(event.reason) for event in events if hasattr(event, "reason")]

    @property
    def ending(self) -> tuple[str, str, str, bool]:
        """
        Cause, trigger, whose doing, and whether it shows on the profile.
        """
        ending = self.order.ending
        assert ending is not None
        whose = "" if ending.responsible is None else ending.responsible.text
        return ending.cause, ending.trigger, whose, ending.public

    @property
    def refunds(self) -> list[tuple[str, str]]:
        """
        What goes back: reference and amount, oldest first.
        """
        return [
            (refund.payment.reference, plain(refund.amount))
            for refund in self.order.refunds
        ]

    def told(self, kind: str) -> set[str]:
        """
        Return the roles that are told of an event.
        """
        return {
            status.effect.to
            for status in self.engine.effects(self.id)
            if isinstance(status.effect, ef.Notify) and status.effect.kind == kind
        }

    def money_moves(self) -> list[tuple[str, str]]:
        """
        Return every movement of money the host is asked for: kind and amount.
        """
        return [
            (status.effect.name, plain(status.effect.amount))
            for status in self.engine.effects(self.id)
            if isinstance(status.effect, ef.Refund | ef.PayOut)
        ]

    def _check(self) -> None:
        """
        What holds after every step of every story (I1, I13).
        """
        order = self.engine.order(self.id)
        ledger = order.ledger
        assert ledger.adds_up()
        assert ledger.paid_in == (
            ledger.held + ledger.refunded + ledger.released + ledger.kept
        )
        if order.ending is not None:
            assert ledger.held.is_zero
        history = self.engine.history(self.id)
        assert [recorded.seq for recorded in history] == [*range(1, len(history) + 1)]
        for earlier, later in pairwise(history):
            assert earlier.effective_at <= later.effective_at
            assert earlier.recorded_at <= later.recorded_at
        for recorded in history:
            assert recorded.effective_at <= recorded.recorded_at


# --- stories that have begun already ----------------------------------------------


def pending(*args: Any, **kwargs: Any) -> Story:
    """
    An order that is paid.
    """
    return Story(*args, **kwargs)


def awaiting_payment(*args: Any, **kwargs: Any) -> Story:
    """
    An order that is not paid yet.
    """
    return Story(*args, **{"payment": None, **kwargs})


def in_progress(*args: Any, **kwargs: Any) -> Story:
    """
    An order that was accepted two hours after it was placed.
    """
    return Story(*args, **kwargs).after(hours=2).seller(ACCEPT)


def late(*args: Any, **kwargs: Any) -> Story:
    """
    An order that is late by an hour.
    """
    story = in_progress(*args, **kwargs)
    due_at = story.order.due_at
    assert due_at is not None
    story.clock.advance_to(due_at)
    return story.after(hours=1)


def cancellation_requested(*args: Any, **kwargs: Any) -> Story:
    """
    An order the buyer would like to cancel, an hour after it was accepted.
    """
    return in_progress(*args, **kwargs).after(hours=1).buyer(ASK_CANCELLATION)


def delivered(*args: Any, **kwargs: Any) -> Story:
    """
    An order delivered a day after it was accepted.
    """
    return in_progress(*args, **kwargs).after(days=1).seller(DELIVER)


def revision_requested(*args: Any, **kwargs: Any) -> Story:
    """
    An order the buyer wants changes on, an hour after it was delivered.
    """
    return delivered(*args, **kwargs).after(hours=1).buyer(ASK_REVISION)


def revision_refused(*args: Any, **kwargs: Any) -> Story:
    """
    An order whose changes the seller refused, another hour later.
    """
    return revision_requested(*args, **kwargs).after(hours=1).seller(REFUSE_REVISION)


def disputed(*args: Any, **kwargs: Any) -> Story:
    """
    An order in the hands of a mediator.
    """
    story = revision_refused(*args, **kwargs).after(hours=1).buyer(DISPUTE)
    return story.mediator(ASSIGN)


def frozen(*args: Any, **kwargs: Any) -> Story:
    """
    An accepted order that staff froze.
    """
    return in_progress(*args, **kwargs).after(hours=1).staff(FREEZE)


def completed(*args: Any, **kwargs: Any) -> Story:
    """
    An order the buyer approved an hour after it was delivered.
    """
    return delivered(*args, **kwargs).after(hours=1).buyer(APPROVE)


def cancelled(*args: Any, **kwargs: Any) -> Story:
    """
    An order the seller cancelled at work.
    """
    return in_progress(*args, **kwargs).after(hours=1).seller(CANCEL)


def expired(*args: Any, **kwargs: Any) -> Story:
    """
    An order that reached its longest life: five months, switched on for it.
    """
    policies = {"lifetime": {"order_cap": "P5M"}, **kwargs.pop("policies", {})}
    return late(*args, policies=policies, **kwargs).after(days=160)


# Every state of the table -> how to get there.
IN: Final[dict[str, Callable[..., Story]]] = {
    "awaiting_payment": awaiting_payment,
    "pending": pending,
    "in_progress": in_progress,
    "cancellation_requested": cancellation_requested,
    "delivered": delivered,
    "revision_requested": revision_requested,
    "revision_refused": revision_refused,
    "disputed": disputed,
    "frozen": frozen,
    "completed": completed,
    "cancelled": cancelled,
    "expired": expired,
}
