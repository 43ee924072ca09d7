"""
The grid of the rules as data, and an order brought into every cell of it.

Transcribed by hand from the rules, and independent of `processes/comeup.py`: the
tests hold the two against each other.  Nothing here is a test.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Final, TypeAlias, final

import attrs
from pendulum import DateTime

from escrowflow import commands as c
from escrowflow.clock import as_utc, end_of
from escrowflow.commands import Command
from escrowflow.decisions import Decided, Refusal, decide, place, settle
from escrowflow.effects import Refund
from escrowflow.events import PaymentReturned, Recorded
from escrowflow.money import Money, Payment
from escrowflow.order import Order
from escrowflow.parties import (
    SYSTEM,
    Actor,
    Buyer,
    Mediator,
    Operator,
    Provider,
    Role,
    Seller,
)
from escrowflow.processes.comeup import comeup
from escrowflow.rules import Policies
from escrowflow.states import Process, State
from escrowflow.terms import FullRefund, Terms

__all__ = [
    "ACTORS",
    "ENDINGS",
    "GRID",
    "LATE",
    "LONG",
    "MOVES",
    "NAMES",
    "P0",
    "ROLES",
    "START",
    "SUPERSET",
    "SYSTEM_COMMANDS",
    "WAITS",
    "WINDOWS",
    "B",
    "Life",
    "M",
    "O",
    "P",
    "Rules",
    "S",
    "Y",
    "absent",
    "begin",
    "check_books",
    "check_refused",
    "command_class",
    "eur",
    "life",
    "lives",
    "process_of",
    "sample",
    "traits_of",
]

Rules: TypeAlias = Process[Policies]

B, S, M = Role.BUYER, Role.SELLER, Role.MEDIATOR
O, P, Y = Role.OPERATOR, Role.PROVIDER, Role.SYSTEM  # noqa: E741

ACTORS: Final[dict[Role, Actor]] = {
    B: Buyer("ana"),
    S: Seller("luc"),
    M: Mediator("mia"),
    O: Operator("oda"),
    P: Provider("stripe"),
    Y: SYSTEM,
}
ROLES: Final = {"B": B, "S": S, "M": M, "O": O, "P": P, "Y": Y}

STATES: Final = dict(
    zip(
        ["aw", "pe", "ip", "cr", "de", "rq", "rf", "di", "fr", "co", "ca", "ex"],
        State,
        strict=True,
    )
)

ENDINGS: Final = (State.COMPLETED, State.CANCELLED, State.EXPIRED)

# Where an order can be late, or have ended late.
LATE: Final = tuple(
    state for state in State if state not in (State.AWAITING_PAYMENT, State.PENDING)
)

# fmt: off
_GRID: Final = """
                          aw  pe  ip  cr  de  rq  rf  di  fr  co  ca  ex
confirm_payment           PO  PO  PO  PO  PO  PO  PO  PO  PO  PO  PO  PO
submit_brief              B   B   .   .   .   .   .   .   .   .   .   .
send_message              BS  BS  BS  BS  .   BS  BS  .   .   BS  BS  .
accept_order              .   S   .   .   .   .   .   .   .   .   .   .
refuse_order              .   S   .   .   .   .   .   .   .   .   .   .
cancel_order              B   BS  SB  SB  .   S   S   .   .   .   .   .
request_cancellation      .   .   B   .   .   .   .   .   .   .   .   .
withdraw_cancellation     .   .   .   B   .   .   .   .   .   .   .   .
accept_cancellation       .   .   .   S   .   .   .   .   .   .   .   .
refuse_cancellation       .   .   .   S   .   .   .   .   .   .   .   .
deliver_order             .   .   S   .   .   .   .   .   .   .   .   .
approve_delivery          .   .   .   .   B   .   B   .   .   .   .   .
leave_review              .   .   .   .   B   .   B   .   .   B   .   .
request_revision          .   .   .   .   B   .   .   .   .   .   .   .
accept_revision           .   .   .   .   .   S   .   .   .   .   .   .
refuse_revision           .   .   .   .   .   S   .   .   .   .   .   .
file_claim                .   .   BS  BS  BS  BS  BS  .   .   .   .   .
edit_claim                .   .   BS  BS  BS  BS  BS  .   .   .   .   .
withdraw_claim            .   .   BS  BS  BS  BS  BS  .   .   .   .   .
assign_mediator           .   .   MO  MO  MO  MO  MO  MO  .   .   .   .
reject_claim              .   .   M   M   M   M   M   .   .   .   .   .
convert_claim             .   .   M   M   M   M   M   .   .   .   .   .
open_dispute              .   .   O   BO  O   BO  BO  .   O   .   .   .
ask_parties               .   .   .   .   .   .   .   M   .   .   .   .
answer_mediator           .   .   .   .   .   .   .   BS  .   .   .   .
rule_dispute              .   .   .   .   .   .   .   M   O   .   .   .
propose_partial_refund    .   BS  BS  BS  BS  BS  BS  .   .   .   .   .
withdraw_partial_refund   .   BS  BS  BS  BS  BS  BS  .   .   .   .   .
accept_partial_refund     .   BS  BS  BS  BS  BS  BS  .   .   .   .   .
refuse_partial_refund     .   BS  BS  BS  BS  BS  BS  .   .   .   .   .
buy_add_on                .   .   B   .   .   B   B   .   .   .   .   .
send_offer                .   .   S   .   .   S   S   .   .   .   .   .
withdraw_offer            .   .   S   S   S   S   S   .   .   .   .   .
pay_offer                 .   .   B   B   B   B   B   .   .   .   .   .
refuse_offer              .   .   B   B   B   B   B   .   .   .   .   .
reply_to_review           .   .   .   .   .   .   .   .   .   S   .   .
remove_review             .   .   .   .   .   .   .   .   .   O   .   .
freeze_order              .   O   O   O   O   O   O   .   .   .   .   .
unfreeze_order            .   .   .   .   .   .   .   .   O   .   .   .
extend_deadlines          .   O   O   O   O   O   O   .   .   .   .   .
excuse_cancellation       .   .   .   .   .   .   .   .   .   .   O   .
leave_conversation        .   .   .   .   .   .   .   .   .   BS  .   .
request_coupon            .   .   .   .   .   .   .   .   .   .   .   B
expire_payment            Y   .   .   .   .   .   .   .   .   .   .   .
expire_hold               Y   Y   .   .   .   .   .   .   Y   .   .   .
remind_acceptance         .   Y   .   .   .   .   .   .   .   .   .   .
expire_acceptance         .   Y   .   .   .   .   .   .   .   .   .   .
mark_late                 .   .   Y   Y   .   .   .   .   .   .   .   .
unlock_dispute            .   .   .   Y   .   Y   .   .   .   .   .   .
remind_verification       .   .   .   .   Y   .   .   .   .   .   .   .
complete_silently         .   .   .   .   Y   .   Y   .   .   .   .   .
default_ruling            .   .   .   .   .   .   .   Y   .   .   .   .
alert_mediator            .   .   .   .   .   .   .   Y   .   .   .   .
expire_offer              .   .   Y   Y   Y   Y   Y   .   .   .   .   .
close_conversation        .   .   .   .   .   .   .   .   .   Y   Y   .
expire_order              .   Y   Y   Y   Y   Y   Y   .   .   .   .   .
"""

# Where commands lead, by any policy; the first is where the sample leads under the
# defaults.  What is not listed leaves the state as it is.
_MOVES: Final = """
confirm_payment           aw                    pe aw
accept_order              pe                    ip pe
refuse_order              pe                    ca
cancel_order              aw pe ip cr de rq rf  ca
request_cancellation      ip de rf              cr ca
withdraw_cancellation     cr                    ip de rf
accept_cancellation       cr                    ca
refuse_cancellation       cr                    ip de rf di
deliver_order             ip cr                 de
approve_delivery          de rf                 co
leave_review              de rf                 co
request_revision          de rf                 rq ip
accept_revision           rq                    ip
refuse_revision           rq                    rf
convert_claim             ip cr de rq rf        di
open_dispute              ip cr de rq rf fr     di
rule_dispute              di                    ca co ip
rule_dispute              fr                    ca co
freeze_order              pe ip cr de rq rf     fr
unfreeze_order            fr                    ip pe cr de rq rf
expire_payment            aw                    ca
expire_hold               aw pe fr              ca
expire_acceptance         pe                    ca
complete_silently         de rf                 co
default_ruling            di                    ca co
expire_order              pe                    ex ca
expire_order              ip cr de rq rf        ex di
"""

# Which kind of wait the system acts on, where.
_WAITS: Final = """
payment                   expire_payment        aw
hold                      expire_hold           aw pe fr
acceptance                expire_acceptance     pe
acceptance_reminder       remind_acceptance     pe
delivery                  mark_late             ip cr
answer                    unlock_dispute        cr rq
verification              complete_silently     de
verification_reminder     remind_verification   de
choice                    complete_silently     rf
offer                     expire_offer          ip cr de rq rf
mediator                  alert_mediator        di
ruling                    default_ruling        di
conversation              close_conversation    co ca
lifetime                  expire_order          pe ip cr de rq rf
"""
# fmt: on


def _grid() -> dict[tuple[str, State], frozenset[Role]]:
    head, *lines = _GRID.strip().splitlines()
    columns = [STATES[code] for code in head.split()]
    cells = {}
    for line in lines:
        name, *letters = line.split()
        for state, cell in zip(columns, letters, strict=True):
            cells[name, state] = frozenset(
                ROLES[letter] for letter in cell if letter != "."
            )
    return cells


def _moves() -> dict[tuple[str, State], tuple[State, ...]]:
    moves = {}
    for line in _MOVES.strip().splitlines():
        name, places, to = line[:26].strip(), line[26:48].split(), line[48:].split()
        for place_ in places:
            moves[name, STATES[place_]] = tuple(STATES[code] for code in to)
    return moves


def _waits() -> dict[tuple[str, State], str]:
    waits = {}
    for line in _WAITS.strip().splitlines():
        kind, command, *places = line.split()
        for place_ in places:
            waits[kind, STATES[place_]] = command
    return waits


# Who may send what, where: (command, state) to roles.
GRID: Final = _grid()
NAMES: Final = tuple(dict.fromkeys(name for name, _ in GRID))
SYSTEM_COMMANDS: Final = frozenset(
    name for (name, _), roles in GRID.items() if Y in roles
)

# Where a step may lead: (command, state) to states.
MOVES: Final = _moves()

# What the system does at the end of a wait: (kind, state) to command.
WAITS: Final = _waits()

# The states whose own window a wait is: what `order.due_at` shows.
WINDOWS: Final = {
    State.AWAITING_PAYMENT: "payment",
    State.PENDING: "acceptance",
    State.IN_PROGRESS: "delivery",
    State.CANCELLATION_REQUESTED: "answer",
    State.DELIVERED: "verification",
    State.REVISION_REQUESTED: "answer",
    State.REVISION_REFUSED: "choice",
    State.DISPUTED: "ruling",
}

# Cells of the table that only another policy opens (C2, C4, C12, and delivering
# while a request is open), with the code they are refused with by default.
SUPERSET: Final = {
    ("cancel_order", State.DELIVERED, S): "buyer_must_act_first",
    ("request_cancellation", State.DELIVERED, B): "no_cancellation_request_here",
    ("request_cancellation", State.REVISION_REFUSED, B): "no_cancellation_request_here",
    ("request_revision", State.REVISION_REFUSED, B): "revision_refused",
    ("deliver_order", State.CANCELLATION_REQUESTED, S): "cancellation_unanswered",
}

START: Final = as_utc("2026-05-05T10:00:00+02:00", "start")
P0: Final[Rules] = comeup()

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

# Longer than any of the other windows, so that another one ends first.
LONG: Final = timedelta(days=400)


def eur(amount: str) -> Money:
    """
    Return an amount in euros.
    """
    return Money.of(amount, "EUR")


@cache
def process_of(kind: str, boundary: str = "exclusive") -> Rules:
    """
    Return `comeup` under which this wait exists, and is not outrun by another.
    """
    changes: dict[str, Any] = {"time": {"deadline_boundary": boundary}}
    if kind != "offer":
        changes["extras"] = {"offer_window": LONG}
    if kind == "hold":
        changes["acceptance"] = {"acceptance_window": LONG, "charge_at": "acceptance"}
        changes["lifetime"] = {"payment_window": LONG}
    if kind == "lifetime":
        changes["lifetime"] = {"order_cap": "P5M"}
        changes["acceptance"] = {"acceptance_window": LONG}
        changes["completion"] = {"verification_window": LONG}
        changes["revision"] = {"choice_window": LONG}
    if kind == "ruling":
        changes["dispute"] = {
            "ruling_window": "P10D",
            "default_ruling": FullRefund(),
        }
    return P0.with_policies(**changes)


# --- the life of an order ---------------------------------------------------------


@final
@attrs.frozen
class Life:
    """
    An order at an instant, and how it came there.

    Attributes:
        now: The instant; everything due by then is settled.
    """

    process: Rules
    order: Order
    now: DateTime
    history: tuple[Recorded, ...]

    def until(self, instant: DateTime) -> Life:
        """
        Return the life later on, if nobody does anything.
        """
        moved = settle(self.process, self.order, now=instant, recorded_at=instant)
        return Life(
            self.process, moved.order, instant, (*self.history, *moved.recorded)
        )

    def wait(self, window: timedelta) -> Life:
        """
        Return the life so much later.
        """
        return self.until(end_of(self.now, window))

    def ask(self, command: Command, role: Role) -> Decided | Refusal:
        """
        Return what becomes of a command now.
        """
        return decide(self.process, self.order, command, by=ACTORS[role], now=self.now)

    def send(self, command: Command, role: Role) -> Life:
        """
        Return the life after a command that must be possible.
        """
        answer = self.ask(command, role)
        assert isinstance(answer, Decided), answer.blockers
        return Life(
            self.process, answer.order, self.now, (*self.history, *answer.recorded)
        )


def begin(process: Rules = P0, *, paid: bool = True, **terms: Any) -> Life:
    """
    Return an order just placed: 100 euros, five days, paid unless said; where the buyer
    may be charged later, a bank holds 40 of them for ten days.
    """
    payment: Any = Payment("card", "pi_1") if paid else None
    if process.policies.acceptance.charge_at == "acceptance":
        payment = [Payment("card", "pi_1", eur("40.00"), START.add(days=10))]
        if paid:
            payment.append(Payment("paypal", "pi_2", eur("60.00")))
    placed = place(
        process,
        c.PlaceOrder(
            seller_id="luc",
            price=eur("100.00"),
            payment=payment,
            terms=Terms(**{"delivery_window": 5 * DAY, **terms}),
        ),
        by=Buyer("ana"),
        order_id="order-1",
        now=START,
    )
    assert isinstance(placed, Decided)
    return Life(process, placed.order, START, placed.recorded)


@cache
def life(state: State, *traits: str, process: Rules | None = None) -> Life:
    """
    Return an order brought to a state by commands.

    Args:
        traits: What else is true of it: `late`, `unlocked`, `offer`, `mediator`,
            `claim by buyer`, `proposal by seller`, `again` (delivered before),
            `from pending`, `by consent`, `review`, `reply`, `removed`.
    """
    if process is None:
        process = process_of("lifetime") if state is State.EXPIRED else P0
    order = _reach(
        begin(process, paid=state is not State.AWAITING_PAYMENT), state, traits
    )
    for role in (B, S):
        if f"claim by {role.text}" in traits:
            order = order.send(c.FileClaim(reason="it stalls"), role)
    if "mediator" in traits:
        order = order.send(c.AssignMediator(mediator_id="mia"), M)
    for role in (B, S):
        if f"proposal by {role.text}" in traits:
            order = order.send(sample("propose_partial_refund", order.order), role)
    assert order.order.state is state
    return order


def _reach(order: Life, state: State, traits: tuple[str, ...]) -> Life:
    late = "late" in traits
    if state in (State.AWAITING_PAYMENT, State.PENDING):
        return order
    if "from pending" in traits or order.order.holds:
        if state is State.FROZEN:
            return order.send(c.FreezeOrder(reason="checks"), O)
        return order.send(c.CancelOrder(), B)
    order = order.wait(5 * HOUR).send(c.AcceptOrder(), S).wait(HOUR)
    if "again" in traits:
        order = order.send(c.DeliverOrder(note="first"), S).wait(HOUR)
        order = order.send(c.RequestRevision(reason="bolder"), B).wait(HOUR)
        order = order.send(c.AcceptRevision(), S).wait(HOUR)
    if late and state is State.CANCELLATION_REQUESTED:
        # On time when asked, late while the request is open.
        order = order.wait(5 * DAY - 3 * HOUR)
    elif late:
        order = order.wait(5 * DAY)
    if "offer" in traits:
        order = order.send(sample("send_offer", order.order), S).wait(HOUR)
    if state is State.EXPIRED and late:
        return order.wait(LONG)
    return _on_from_work(order, state, traits)


def _on_from_work(order: Life, state: State, traits: tuple[str, ...]) -> Life:
    match state:
        case State.IN_PROGRESS:
            return order
        case State.FROZEN:
            return order.send(c.FreezeOrder(reason="checks"), O)
        case State.DISPUTED:
            return order.send(c.OpenDispute(reason="a report"), O)
        case State.CANCELLED if "by consent" not in traits:
            return order.send(c.CancelOrder(reason="no time"), S)
        case State.CANCELLATION_REQUESTED | State.CANCELLED:
            order = order.send(c.RequestCancellation(reason="no need"), B)
            if "late" in traits:
                order = order.wait(4 * HOUR)
            if "unlocked" in traits:
                order = order.wait(2 * DAY)
            if state is State.CANCELLED:
                return order.send(c.AcceptCancellation(), S)
            return order
        case _:
            return _on_from_delivery(order, state, traits)


def _on_from_delivery(order: Life, state: State, traits: tuple[str, ...]) -> Life:
    order = order.send(c.DeliverOrder(files=("logo.svg",)), S)
    if state is State.DELIVERED:
        return order
    order = order.wait(HOUR)
    if state is State.COMPLETED:
        return _completed(order, traits)
    order = order.send(c.RequestRevision(reason="bolder"), B)
    if "unlocked" in traits:
        order = order.wait(2 * DAY)
    if state is State.EXPIRED:
        return order.wait(LONG)
    if state is State.REVISION_REFUSED:
        return order.wait(HOUR).send(c.RefuseRevision(reason="not agreed"), S)
    return order


def _completed(order: Life, traits: tuple[str, ...]) -> Life:
    if "review" not in traits:
        return order.send(c.ApproveDelivery(), B)
    order = order.send(c.LeaveReview(rating=2), B)
    if "reply" in traits:
        order = order.send(c.ReplyToReview(text="sorry"), S)
    if "removed" in traits:
        order = order.send(c.RemoveReview(cause="unlawful"), O)
    return order


def lives() -> dict[str, Life]:
    """
    Return an order in each of the twelve states, in every variant that matters.
    """
    found: dict[str, Life] = {}

    def add(state: State, *traits: str) -> None:
        found[", ".join((state, *traits))] = life(state, *traits)

    running = (
        State.IN_PROGRESS,
        State.CANCELLATION_REQUESTED,
        State.DELIVERED,
        State.REVISION_REQUESTED,
        State.REVISION_REFUSED,
    )
    for state in State:
        add(state)
        if state in LATE:
            add(state, "late")
        if state is State.PENDING or state in running:
            add(state, "proposal by buyer")
            add(state, "proposal by seller")
        if state in running:
            add(state, "offer")
            add(state, "again")
            for filer in ("buyer", "seller"):
                add(state, f"claim by {filer}")
                add(state, f"claim by {filer}", "mediator")
    for state in (State.CANCELLATION_REQUESTED, State.REVISION_REQUESTED):
        add(state, "unlocked")
        add(state, "unlocked", "late")
    add(State.DISPUTED, "mediator")
    add(State.FROZEN, "from pending")
    add(State.COMPLETED, "review")
    add(State.COMPLETED, "review", "reply")
    add(State.COMPLETED, "review", "removed")
    add(State.CANCELLED, "from pending")
    add(State.CANCELLED, "by consent")
    return found


# --- commands ---------------------------------------------------------------------


def command_class(name: str) -> type[Command]:
    """
    Return the class of a command.
    """
    found: type[Command] = getattr(c, "".join(part.title() for part in name.split("_")))
    return found


def _offer_id(order: Order) -> str:
    still_open = [offer.id for offer in order.offers if offer.status == "open"]
    return still_open[-1] if still_open else "offer-1"


def _money(reference: str) -> Payment:
    return Payment("card", reference, eur("30.00"))


_SAMPLES: Final[dict[str, Callable[[Order], Command]]] = {
    "confirm_payment": lambda _: c.ConfirmPayment(
        payment=Payment("card", "pi_confirmed", eur("100.00"))
    ),
    "submit_brief": lambda _: c.SubmitBrief(text="a logo, blue"),
    "send_message": lambda _: c.SendMessage(reference="message-1"),
    "cancel_order": lambda _: c.CancelOrder(reason="changed my mind"),
    "deliver_order": lambda _: c.DeliverOrder(files=("logo.svg",)),
    "leave_review": lambda _: c.LeaveReview(rating=5, text="perfect"),
    "assign_mediator": lambda _: c.AssignMediator(mediator_id="mia"),
    "ask_parties": lambda _: c.AskParties(text="what was agreed?"),
    "answer_mediator": lambda _: c.AnswerMediator(text="a blue logo"),
    "rule_dispute": lambda _: c.RuleDispute(ruling=FullRefund(), reason="not made"),
    "propose_partial_refund": lambda _: c.ProposePartialRefund(
        amount=eur("20.00"), reason="half of it is fine"
    ),
    "buy_add_on": lambda _: c.BuyAddOn(
        title="a favicon", price=eur("30.00"), payment=_money("pi_add_on")
    ),
    "send_offer": lambda _: c.SendOffer(title="a banner", price=eur("30.00")),
    "withdraw_offer": lambda order: c.WithdrawOffer(offer_id=_offer_id(order)),
    "pay_offer": lambda order: c.PayOffer(
        offer_id=_offer_id(order), payment=_money("pi_offer")
    ),
    "refuse_offer": lambda order: c.RefuseOffer(offer_id=_offer_id(order)),
    "expire_offer": lambda order: c.ExpireOffer(offer_id=_offer_id(order)),
    "reply_to_review": lambda _: c.ReplyToReview(text="thank you"),
    "remove_review": lambda _: c.RemoveReview(cause="unlawful"),
    "extend_deadlines": lambda _: c.ExtendDeadlines(window=DAY, reason="an outage"),
}


def sample(name: str, order: Order) -> Command:
    """
    Return a command with a payload that is right for this order.
    """
    if name in _SAMPLES:
        return _SAMPLES[name](order)
    kind: Any = command_class(name)
    fields = {field.name for field in attrs.fields(kind)}
    made: Command = kind(**({"reason": "because"} if "reason" in fields else {}))
    return made


def traits_of(name: str, state: State, role: Role) -> tuple[str, ...]:
    """
    Return what must be true of an order for the condition of a cell to be met.
    """
    other = {B: S, S: B}.get(role, role)
    match name:
        case "edit_claim" | "withdraw_claim":
            return (f"claim by {role.text}",)
        case "assign_mediator" if state is not State.DISPUTED:
            return ("claim by buyer",)
        case "reject_claim" | "convert_claim":
            return ("claim by buyer", "mediator")
        case "ask_parties" | "answer_mediator" | "rule_dispute":
            return ("mediator",) if state is State.DISPUTED else ()
        case "withdraw_partial_refund":
            return (f"proposal by {role.text}",)
        case "accept_partial_refund" | "refuse_partial_refund":
            return (f"proposal by {other.text}",)
        case "withdraw_offer" | "pay_offer" | "refuse_offer":
            return ("offer",)
        case "open_dispute" if role is B and state is not State.REVISION_REFUSED:
            return ("unlocked",)
        case "reply_to_review" | "remove_review":
            return ("review",)
        case _:
            return ()


# --- what must hold ---------------------------------------------------------------


def absent(order: Order, name: str, role: Role) -> tuple[str, ...]:
    """
    Return the codes with which a command outside the grid is refused.

    - `not_your_command`: the row never has this role.
    - `deadline_passed`: it was possible until a deadline led here; said first.
    - `dispute_ruled`: what a mediator is told after his ruling, and by him.
    - `order_ended`, `not_in_this_state`: why it is not possible where it is.
    """
    if not any(role in GRID[name, state] for state in State):
        return ("not_your_command",)
    state = State(order.state)
    superset = SUPERSET.get((name, state, role))
    if superset is not None:
        return (superset,)
    codes: tuple[str, ...] = ()
    left = order.standing.moved_from
    if left and (
        role in GRID[name, State(left)] or (name, State(left), role) in SUPERSET
    ):
        codes = ("deadline_passed",)
    ruled = order.dispute is not None and order.dispute.ruling is not None
    if ruled and name in ("ask_parties", "answer_mediator", "rule_dispute"):
        codes = (*codes, "dispute_ruled")
    return (*codes, "order_ended" if state in ENDINGS else "not_in_this_state")


def check_books(order: Order) -> None:
    """
    Check that the books add up, and that no ending holds money.
    """
    books = order.ledger
    assert books.adds_up()
    assert books.held + books.refunded + books.released + books.kept == books.paid_in
    if order.state in ENDINGS:
        assert not books.held


def check_refused(order: Order, command: Command, answer: Refusal) -> None:
    """
    Check that a refusal left the order alone, but for a payment that went back.
    """
    assert answer.blockers
    after = answer.order
    assert after is not None
    assert after.standing == order.standing
    payments: tuple[Payment, ...] = getattr(command, "payment", ())
    if not payments:
        assert after == order
        assert not answer.recorded
        assert not answer.effects
        return
    (payment,) = payments
    assert payment.amount is not None
    (recorded,) = answer.recorded
    assert isinstance(recorded.event, PaymentReturned)
    assert recorded.event.refund.amount == payment.amount
    assert recorded.standing is None
    (refund,) = (found for found in answer.effects if isinstance(found, Refund))
    assert (refund.payment, refund.amount) == (payment, payment.amount)
    old, new = order.ledger, after.ledger
    assert new.paid_in == old.paid_in + payment.amount
    assert new.refunded == old.refunded + payment.amount
    assert (new.held, new.released, new.kept) == (old.held, old.released, old.kept)
    check_books(after)
    # Nothing else: with those taken away again it is the order from before.
    assert order == attrs.evolve(
        after,
        version=order.version,
        ledger=old,
        payments=after.payments[:-1],
        refunds=after.refunds[:-1],
        effective_at=order.effective_at,
        recorded_at=order.recorded_at,
    )
