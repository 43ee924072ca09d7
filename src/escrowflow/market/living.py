"""
One order of a market: its people do what they planned, and time does the rest.

The pure core decides everything: `place`, `decide`, `settle`.  Whoever is refused lets
it be, or takes the next way that his plan has.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeAlias, final

from pendulum import DateTime

from ..clock import as_utc, end_of
from ..commands import (
    AcceptCancellation,
    AcceptOrder,
    AcceptPartialRefund,
    AcceptRevision,
    ApproveDelivery,
    AssignMediator,
    BuyAddOn,
    CancelOrder,
    Command,
    ConvertClaim,
    DeliverOrder,
    FileClaim,
    FreezeOrder,
    LeaveReview,
    OpenDispute,
    PayOffer,
    PlaceOrder,
    ProposePartialRefund,
    RefuseCancellation,
    RefuseOffer,
    RefuseOrder,
    RefusePartialRefund,
    RefuseRevision,
    RequestCancellation,
    RequestRevision,
    RuleDispute,
    SendOffer,
    SubmitBrief,
    UnfreezeOrder,
)
from ..decisions import Refusal, decide, next_due, place, settle
from ..errors import EscrowflowError, InvalidInputError, LedgerError
from ..forms import form_of
from ..inputs import Text
from ..money import Money, Payment
from ..order import Order
from ..parties import Actor, Buyer, Mediator, Operator, Seller
from ..rules import Policies
from ..states import Process
from ..terms import FullRefund, PaySeller, Ruling, Split, Terms
from .people import ROUNDS, Plan

__all__ = ["EXTENSIONS", "HORIZON", "KNOWN", "START", "Lived", "live"]

_Process: TypeAlias = Process[Policies]

# A year of orders begins here; when does not matter, but that it is a year does.
START: Final = as_utc("2026-01-05T09:00:00Z", "start")

# How long each order is watched: what is open then is stuck.
HORIZON: Final = timedelta(days=365)

_BUYER, _SELLER, _MEDIATOR = Buyer("b"), Seller("s"), Mediator("m")
_STAFF: Final = Operator("o")

# Some time before a deadline a seller knows that he will be late.
_FORESIGHT: Final = 86_400

# More than anybody does on one order.
_STEPS_MAX: Final = 500

# More than time does with one order in a year: every ten minutes something.
_DUE_MAX: Final = 60_000

# What a seller who will be late asks for, where the process has it; by name.
EXTENSIONS: Final = ("request_extension", "accept_extension", "refuse_extension")

# What the people of a market know how to use.
KNOWN: Final = frozenset(
    {
        *(
            kind.name
            for kind in (
                AcceptCancellation,
                AcceptOrder,
                AcceptPartialRefund,
                AcceptRevision,
                ApproveDelivery,
                AssignMediator,
                BuyAddOn,
                CancelOrder,
                ConvertClaim,
                DeliverOrder,
                FileClaim,
                FreezeOrder,
                LeaveReview,
                OpenDispute,
                PayOffer,
                ProposePartialRefund,
                RefuseCancellation,
                RefuseOffer,
                RefuseOrder,
                RefusePartialRefund,
                RefuseRevision,
                RequestCancellation,
                RequestRevision,
                RuleDispute,
                SendOffer,
                SubmitBrief,
                UnfreezeOrder,
            )
        ),
        *EXTENSIONS,
    }
)

_WHY: Final = Text("-")


@final
class Lived(NamedTuple):
    """
    What became of one order.

    Attributes:
        number: Which one it is.

        state: The state it came to.

        cause: Why it ended; empty if it is still open.

        paid, held, refunded, released, kept: Minor units.

        seconds: How long money was held; `None` if it still is, or if none ever was.

        disputed: Whether a mediator was called.

        late: Whether it was ever late.

        in_time: Whether usable work was delivered before the deadline.

        usable: Whether usable work was ever delivered.
    """

    number: int
    state: str
    cause: str
    paid: int
    held: int
    refunded: int
    released: int
    kept: int
    seconds: int | None
    disputed: bool
    late: bool
    in_time: bool
    usable: bool


class _Wish(NamedTuple):
    """
    What somebody wants to send, and when.
    """

    at: DateTime
    by: Actor
    command: Command


def live(process: _Process, plan: Plan, currency: str, number: int) -> Lived:
    """
    Return what becomes of an order whose people have a plan.

    Raises:
        InvalidInputError: If nobody can order anything under this process.
        LedgerError: If a deadline begins anew without an end, or nearly so.
    """
    return _Life(process, plan, currency, number).lived()


class _Life:
    """
    An order, moved on until it ends or nobody does anything any more.
    """

    def __init__(
        self, process: _Process, plan: Plan, currency: str, number: int
    ) -> None:
        self.process, self.plan, self.number = process, plan, number
        placed_at = _after(START, plan.placed)
        command = PlaceOrder(
            seller_id=_SELLER.id,
            price=Money(plan.price, currency),
            payment=Payment("card", "p"),
            terms=Terms(
                delivery_window=timedelta(seconds=plan.window), revisions=plan.revisions
            ),
        )
        placed = place(
            process, command, by=_BUYER, order_id=f"m{number}", now=placed_at
        )
        if isinstance(placed, Refusal):
            codes = ", ".join(blocker.code for blocker in placed.blockers)
            raise InvalidInputError(
                "process", f"nobody can order under {process.name}: {codes}"
            )
        self.order: Order = placed.order
        self.now = placed_at
        self.ends_at = end_of(placed_at, HORIZON)
        # When the order came to the state where it is, and how often it moved.
        self.since, self.moves = placed_at, 0
        self.refused: set[tuple[int, int, type[Command]]] = set()
        self.in_time = self.usable = False
        # When more time was asked for, and until when.
        self.asked: tuple[DateTime, DateTime] | None = None
        # Whether a part of the money was asked back, and whether staff looked at it.
        self.haggled = self.checked = False

    def lived(self) -> Lived:
        """
        Return what became of the order in the end.
        """
        steps = due_steps = 0
        while self.order.ending is None and steps < _STEPS_MAX:
            wish = self._next()
            due = next_due(self.process, self.order)
            if due is not None and (wish is None or due[0] <= wish.at):
                if due[0] >= self.ends_at:
                    break
                if due_steps == _DUE_MAX:
                    raise LedgerError(
                        f"order {self.order.id!r}: {due[1].name} comes again and again, "
                        f"more than {_DUE_MAX} times in a year"
                    )
                due_steps += 1
                self._settled(max(due[0], self.now))
            elif wish is None or wish.at >= self.ends_at:
                break
            else:
                steps += 1
                self._sent(wish)
        return self._told()

    # --- what happens -------------------------------------------------------------

    def _settled(self, now: DateTime) -> None:
        settled = settle(self.process, self.order, now=now, recorded_at=now)
        self._went_on(settled.order, now)

    def _sent(self, wish: _Wish) -> None:
        kind = type(wish.command)
        try:
            answer = decide(
                self.process, self.order, wish.command, by=wish.by, now=wish.at
            )
        except EscrowflowError:
            answer = None
        self.refused.add((self.moves, wish.by.role.value, kind))
        if answer is None or isinstance(answer, Refusal):
            self.now = wish.at
            return
        if kind is DeliverOrder:
            usable = self.plan.good[self._round]
            self.usable |= usable
            # As it was promised when the order was placed, or moved by consent.
            self.in_time |= usable and not self.order.late
        self.haggled |= kind is ProposePartialRefund
        self.checked |= kind is FreezeOrder
        if kind.name == EXTENSIONS[0]:
            due_at: DateTime = getattr(wish.command, "due_at")  # noqa: B009
            self.asked = wish.at, due_at
        self._went_on(answer.order, wish.at)

    def _went_on(self, order: Order, now: DateTime) -> None:
        before = self.order
        self.order, self.now = order, now
        if order.state != before.state or order.late != before.late:
            self.since = order.effective_at
            self.moves += 1

    @property
    def _round(self) -> int:
        return min(len(self.order.deliveries), ROUNDS - 1)

    # --- what people want ---------------------------------------------------------

    def _next(self) -> _Wish | None:
        """
        Return what somebody wants first, of what was not refused to him here.
        """
        first: _Wish | None = None
        for wish in self._wishes():
            key = self.moves, wish.by.role.value, type(wish.command)
            if key not in self.refused and (first is None or wish.at < first.at):
                first = wish
        if first is None:
            return None
        return first._replace(at=max(first.at, self.now))

    def _wishes(self) -> Iterator[_Wish]:
        order = self.order
        wants = _WANTS.get(str(order.state))
        if wants is not None:
            yield from wants(self)
        if order.claim is not None:
            yield from self._mediated(ConvertClaim())
        if not self.checked and self.plan.freezes is not None:
            at = _after(order.placed_at, self.plan.freezes)
            yield _Wish(at, _STAFF, FreezeOrder(reason=_WHY))

    def _pending(self) -> Iterator[_Wish]:
        plan = self.plan
        yield from self._briefing()
        yield from self._wish(plan.leaves, _BUYER, CancelOrder())
        yield from self._wish(plan.accepts, _SELLER, AcceptOrder())
        yield from self._wish(plan.refuses, _SELLER, RefuseOrder(reason=_WHY))

    def _briefing(self) -> Iterator[_Wish]:
        brief, order = self.plan.brief, self.order
        if brief is not None and order.brief is None:
            at = _after(order.placed_at, brief)
            yield _Wish(at, _BUYER, SubmitBrief(text="-"))

    def _working(self) -> Iterator[_Wish]:
        plan, order = self.plan, self.order
        if (str(order.state), SubmitBrief) in self.process.by_cell:
            yield from self._briefing()
        deliver = DeliverOrder(note="-")
        if not order.deliveries:
            if plan.delivers is not None and order.accepted_at is not None:
                done = _after(order.accepted_at, plan.delivers)
                yield _Wish(done, _SELLER, deliver)
                yield from self._extending(done)
            yield from self._wish(plan.abandons, _SELLER, CancelOrder())
        else:
            again = plan.reworks[self._round]
            yield from self._wish(again, _SELLER, deliver)
        if order.late:
            yield from self._wish(plan.gives_up, _BUYER, CancelOrder())
        elif not order.deliveries:
            yield from self._wish(
                plan.asks_out, _BUYER, RequestCancellation(reason=_WHY)
            )
            yield from self._dealing()

    def _dealing(self) -> Iterator[_Wish]:
        """
        Buy options, and offer extra work, while the seller works.
        """
        plan, order = self.plan, self.order
        price = Money(plan.extra, order.currency)
        if not order.add_ons:
            option = BuyAddOn(title=_WHY, price=price, payment=Payment("card", "x"))
            yield from self._wish(plan.extras, _BUYER, option)
        if not order.offers:
            offer = SendOffer(title=_WHY, price=price)
            yield from self._wish(plan.offers, _SELLER, offer)
        yield from self._offered()

    def _offered(self) -> Iterator[_Wish]:
        """
        Take extra work that is offered, or refuse it.
        """
        plan = self.plan
        for offer in self.order.offers:
            if offer.status != "open":
                continue
            if plan.takes is None:
                at = _after(offer.sent_at, plan.refuses_offer)
                yield _Wish(at, _BUYER, RefuseOffer(offer_id=offer.id))
            else:
                pay = PayOffer(offer_id=offer.id, payment=Payment("card", "y"))
                yield _Wish(_after(offer.sent_at, plan.takes), _BUYER, pay)

    def _extending(self, done: DateTime) -> Iterator[_Wish]:
        """
        Ask for more time before it is too late, and answer who asks.
        """
        plan, order = self.plan, self.order
        ask, accept, refuse = map(self.process.commands.get, EXTENSIONS)
        if ask is None or order.due_at is None:
            return
        if self.asked is not None:
            answer = accept if plan.grants_it else refuse
            if answer is not None:
                yield _Wish(_after(self.asked[0], plan.grants), _BUYER, answer())
        elif plan.extends and done >= order.due_at and not order.late:
            fields = {field.name for field in form_of(ask)}
            if {"due_at", "reason"} <= fields:
                asking: Command = ask(  # type: ignore[call-arg]
                    due_at=_after(done, _FORESIGHT), reason=_WHY
                )
                yield _Wish(_after(order.due_at, -_FORESIGHT), _SELLER, asking)

    def _asked_out(self) -> Iterator[_Wish]:
        plan, request = self.plan, self.order.cancellation
        lets = AcceptCancellation() if plan.lets_go else RefuseCancellation(reason=_WHY)
        yield from self._wish(plan.answers[0], _SELLER, lets)
        if self.order.late:
            yield from self._wish(plan.gives_up, _BUYER, CancelOrder())
        if request is not None and request.unlocked:
            yield from self._fight()

    def _delivered(self) -> Iterator[_Wish]:
        plan = self.plan
        number = min(max(len(self.order.deliveries) - 1, 0), ROUNDS - 1)
        good, looks = plan.good[number], plan.checks[number]
        yield from self._offered()
        wants_part = not good and plan.haggles and self._haggles()
        if wants_part and looks is not None:
            yield from self._haggling(looks, number)
            return
        change = RequestRevision(reason=_WHY)
        if not good or plan.demands[number]:
            yield from self._wish(looks, _BUYER, change)
            if not self._is_refused(_BUYER, RequestRevision):
                return
            if not good or plan.fights is not None:
                # No revision is left to him.
                yield from self._fight()
                return
        yield from self._wish(looks, _BUYER, ApproveDelivery())
        if self._is_refused(_BUYER, ApproveDelivery):
            yield from self._wish(looks, _BUYER, LeaveReview(rating=5))

    def _haggles(self) -> bool:
        """
        Whether a part of the money may still make it good: until the seller says no, or
        the process does.
        """
        if not self.haggled:
            return not self._is_refused(_BUYER, ProposePartialRefund)
        open_ = self.order.partial_refund is not None
        return open_ or bool(self.order.ledger.refunded)

    def _haggling(self, looks: int, number: int) -> Iterator[_Wish]:
        """
        Want a part of the money back, and be content with it.
        """
        plan, proposal = self.plan, self.order.partial_refund
        if proposal is not None:
            answer: Command = RefusePartialRefund()
            if plan.gives_in:
                answer = AcceptPartialRefund()
            answers = plan.answers[number]
            if answers is not None:
                yield _Wish(_after(proposal.proposed_at, answers), _SELLER, answer)
        elif self.haggled:
            yield from self._wish(looks, _BUYER, ApproveDelivery())
        else:
            part = Money(plan.part, self.order.currency)
            ask = ProposePartialRefund(amount=part, reason=_WHY)
            yield from self._wish(looks, _BUYER, ask)

    def _frozen(self) -> Iterator[_Wish]:
        yield from self._wish(self.plan.thaws, _STAFF, UnfreezeOrder())

    def _revising(self) -> Iterator[_Wish]:
        plan, order = self.plan, self.order
        number = min(max(len(order.revisions) - 1, 0), ROUNDS - 1)
        answer: Command = RefuseRevision(reason=_WHY)
        if plan.agrees[number]:
            answer = AcceptRevision()
        yield from self._wish(plan.answers[number], _SELLER, answer)
        if order.revisions and order.revisions[-1].unlocked:
            yield from self._fight()

    def _turned_down(self) -> Iterator[_Wish]:
        plan = self.plan
        number = min(max(len(self.order.deliveries) - 1, 0), ROUNDS - 1)
        if plan.fights is not None:
            yield from self._fight()
        elif plan.good[number]:
            yield from self._wish(plan.checks[number], _BUYER, ApproveDelivery())

    def _disputed(self) -> Iterator[_Wish]:
        yield from self._mediated(RuleDispute(ruling=self._ruling(), reason=_WHY))

    def _fight(self) -> Iterator[_Wish]:
        """
        Go to a mediator, straight or through a claim.
        """
        after = self.plan.fights
        yield from self._wish(after, _BUYER, OpenDispute(reason=_WHY))
        if self.order.claim is None and self._is_refused(_BUYER, OpenDispute):
            yield from self._wish(after, _BUYER, FileClaim(reason=_WHY))

    def _mediated(self, command: Command) -> Iterator[_Wish]:
        plan, order = self.plan, self.order
        if plan.comes is None:
            return
        opened_at = self.since
        if order.claim is not None:
            opened_at = order.claim.filed_at
        come = _after(opened_at, plan.comes)
        if order.mediator_id is None:
            yield _Wish(come, _MEDIATOR, AssignMediator(mediator_id=_MEDIATOR.id))
        elif plan.rules is not None:
            yield _Wish(_after(come, plan.rules), _MEDIATOR, command)

    def _ruling(self) -> Ruling:
        held = self.order.ledger.held
        half = Money(held.minor // 2, held.currency)
        if not self.plan.fair and half:
            return Split(to_buyer=half)
        return PaySeller() if self.usable else FullRefund()

    # --- bits ---------------------------------------------------------------------

    def _wish(self, after: int | None, by: Actor, command: Command) -> Iterator[_Wish]:
        if after is not None:
            yield _Wish(_after(self.since, after), by, command)

    def _is_refused(self, by: Actor, kind: type[Command]) -> bool:
        return (self.moves, by.role.value, kind) in self.refused

    def _told(self) -> Lived:
        order = self.order
        ledger, ending = order.ledger, order.ending
        seconds = None
        if order.paid_at is not None and order.closed_at is not None:
            held_for: timedelta = datetime.__sub__(order.closed_at, order.paid_at)
            seconds = held_for // timedelta(seconds=1)
        return Lived(
            number=self.number,
            state=str(order.state),
            cause="" if ending is None else ending.cause,
            paid=ledger.paid_in.minor,
            held=ledger.held.minor,
            refunded=ledger.refunded.minor,
            released=ledger.released.minor,
            kept=ledger.kept.minor,
            seconds=seconds,
            disputed=order.dispute is not None,
            late=order.ever_late,
            in_time=self.in_time,
            usable=self.usable,
        )


# What people want, by the state; in any other one, a host's own, nobody wants anything.
_WANTS: Final = {
    "pending": _Life._pending,
    "in_progress": _Life._working,
    "cancellation_requested": _Life._asked_out,
    "delivered": _Life._delivered,
    "revision_requested": _Life._revising,
    "revision_refused": _Life._turned_down,
    "disputed": _Life._disputed,
    "frozen": _Life._frozen,
}


def _after(start: DateTime, seconds: int) -> DateTime:
    if seconds < 0:
        earlier: DateTime = datetime.__add__(start, timedelta(seconds=seconds))
        return earlier
    return end_of(start, timedelta(seconds=seconds))
