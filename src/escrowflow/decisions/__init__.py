"""
Deciding: what a command does to an order, or why it may not.

`decide` is the library's heart: pure, it reads no clock, no storage, no network
and no randomness.  The same order, command, actor and instant give the same
answer, for ever.

- `settle` applies every deadline that has passed, each at its own instant, before
  anybody is heard: an outcome never depends on how late a worker ran.
- `judge` names everything that is in the way.
- One file a chapter of an order's life holds the rules; the table of the process
  says where each outcome leads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import end_of
from ..commands import AssignMediator, Command, ExpireOffer, PlaceOrder
from ..effects import Effect
from ..errors import InvalidInputError, LedgerError
from ..events import OrderPlaced, Recorded
from ..history import evolve
from ..money import AMOUNT_MAX, Money
from ..order import Order, seen
from ..parties import SYSTEM, Actor, Buyer, Role
from ..parts import Deadline, Standing, Talk
from ..refusals import Blocker
from ..rules import Policies
from ..states import Process
from . import (
    acceptance,
    cancellation,
    charging,
    conversation,
    delivery,
    dispute,
    extras,
    placing,
    refunds,
    reports,
    reviews,
    revision,
    staff,
)
from .blockers import absent
from .case import Case, Decides, Step, deadline, decides, way

__all__ = [
    "CHAPTERS",
    "Case",
    "Decided",
    "Decides",
    "Option",
    "Refusal",
    "Step",
    "as_of",
    "check_placing",
    "decide",
    "decides",
    "judge",
    "next_due",
    "options",
    "place",
    "settle",
]

# Every decision of the library, in the order of an order's life.
CHAPTERS: Final[tuple[Decides, ...]] = (
    *placing.CHAPTER,
    *acceptance.CHAPTER,
    *charging.CHAPTER,
    *cancellation.CHAPTER,
    *delivery.CHAPTER,
    *revision.CHAPTER,
    *dispute.CHAPTER,
    *refunds.CHAPTER,
    *extras.CHAPTER,
    *reviews.CHAPTER,
    *conversation.CHAPTER,
    *staff.CHAPTER,
    *reports.CHAPTER,
)

# More deadlines than any order can have due at once: a process that needs more
# goes round in circles.
_MOVES_MAX: Final = 1000

_Process: TypeAlias = Process[Policies]


@final
@attrs.frozen(kw_only=True)
class Decided:
    """
    What a command does.

    Attributes:
        order: The order after it.

        recorded: What happened, in order; empty if nothing had to.

        effects: What the host must now do.
    """

    order: Order
    recorded: tuple[Recorded, ...] = ()
    effects: tuple[Effect, ...] = ()


@final
@attrs.frozen(kw_only=True)
class Refusal:
    """
    Why a command may not be.

    Attributes:
        blockers: Every reason, the most telling first; never empty.

        order: The order as it is; `None` if it could not be placed.

        recorded: What happened all the same: a payment that went back.

        effects: What the host must now do all the same.
    """

    blockers: tuple[Blocker, ...]
    order: Order | None
    recorded: tuple[Recorded, ...] = ()
    effects: tuple[Effect, ...] = ()


@final
@attrs.frozen(kw_only=True)
class Option:
    """
    A command that an actor's role could send, and whether it may now.

    Attributes:
        command: The class of the command.

        blockers: Everything in the way whatever the payload; empty if nothing is.
    """

    command: type[Command]
    blockers: tuple[Blocker, ...] = ()

    @property
    def name(self) -> str:
        """
        The name of the command.
        """
        return self.command.name

    @property
    def allowed(self) -> bool:
        """
        Whether nothing is in the way.
        """
        return not self.blockers


# --- time -------------------------------------------------------------------------


def next_due(process: _Process, order: Order) -> tuple[DateTime, Deadline] | None:
    """
    Return the deadline that comes first, and the instant it is acted on.
    """
    armed_at = process.policies.time.armed_at
    first: tuple[DateTime, Deadline] | None = None
    for wait in order.standing.deadlines:
        if wait.stopped_in or wait.passed:
            continue
        at = armed_at(wait.due_at)
        if (
            first is None
            or at < first[0]
            or (at == first[0] and _rank(process, wait) < _rank(process, first[1]))
        ):
            first = at, wait
    return first


def _rank(process: _Process, wait: Deadline) -> tuple[int, str, str]:
    return process.kinds[wait.name].urgency, wait.name, wait.subject


def settle(
    process: _Process, order: Order, *, now: DateTime, recorded_at: DateTime
) -> Decided:
    """
    Apply every deadline that has passed by *now*, each at its own instant.

    In the order of due instants; what is due at one instant in the order of
    urgency (docs/reference/rules.md).
    """
    recorded: list[Recorded] = []
    effects: list[Effect] = []
    for _ in range(_MOVES_MAX):
        found = next_due(process, order)
        if found is None or found[0] > now:
            return Decided(
                order=order, recorded=tuple(recorded), effects=tuple(effects)
            )
        armed_at, wait = found
        case = Case(
            process=process,
            order=order,
            by=SYSTEM,
            # A wait that was over when it began counts when it began.
            now=max(armed_at, order.effective_at),
            recorded_at=recorded_at,
            due=wait,
        )
        command = process.kinds[wait.name].command
        sent = command(offer_id=wait.subject) if command is ExpireOffer else command()
        moved = _act(case, sent)
        order = moved.order
        recorded += moved.recorded
        effects += moved.effects
    raise LedgerError(f"order {order.id!r}: deadlines without an end")


# --- deciding ---------------------------------------------------------------------


def judge(case: Case, command: type[Command]) -> tuple[Blocker, ...]:
    """
    Return everything in the way of a command, whatever its payload.
    """
    if case.process.row(case.order.standing.state, command, case.by.role) is None:
        return absent(case, command)
    return _blockers(case, command)


def _blockers(case: Case, command: type[Command]) -> tuple[Blocker, ...]:
    blockers = tuple(case.process.decider[command].blockers(case))
    if (
        case.by.role is Role.MEDIATOR
        and case.by.id != case.order.mediator_id
        and command is not AssignMediator
    ):
        # Who may look for a case may read it, and do nothing else yet (R76).
        assign = way(AssignMediator, Role.MEDIATOR | Role.OPERATOR)
        unassigned = Blocker(code="mediator_not_assigned", unblocked_by=assign)
        return (*blockers, unassigned)
    return blockers


def decide(
    process: _Process,
    order: Order,
    command: Command,
    *,
    by: Actor,
    now: DateTime,
    recorded_at: DateTime | None = None,
    besides: tuple[Blocker, ...] = (),
) -> Decided | Refusal:
    """
    Return what a command does, or everything that is in its way.

    Args:
        order: The order, everything that is due already settled.

        now: The instant of the decision; never before the last event.

        recorded_at: When it is written down; *now* unless said.

        besides: What else is in the way, known to whoever has seen more than the
            order.

    Raises:
        InvalidInputError: If the command is wrong for any order of this kind:
            another currency, or more than an order may be worth.
    """
    now = max(now, order.effective_at)
    case = Case(
        process=process,
        order=order,
        by=by,
        now=now,
        recorded_at=max(recorded_at or now, now, order.recorded_at),
    )
    _one_currency(command, order.currency)
    kind = type(command)
    if process.row(order.standing.state, kind, by.role) is None:
        blockers = absent(case, kind)
    else:
        # A payload is only looked at where it could count.
        blockers = (
            *_blockers(case, kind),
            *process.decider[kind].limits(case, command),
        )
    blockers = (*blockers, *besides)
    if blockers:
        # Whoever sends it, in whatever state: the host vouches that it arrived.
        placing.return_payments(case, command, blockers[0].code)
        return Refusal(
            blockers=blockers,
            order=case.order,
            recorded=tuple(case.recorded),
            effects=tuple(case.effects),
        )
    return _act(case, command)


def place(
    process: _Process,
    command: PlaceOrder,
    *,
    by: Actor,
    order_id: str,
    now: DateTime,
) -> Decided | Refusal:
    """
    Return the order a command places, or everything that is in its way.

    Raises:
        InvalidInputError: If somebody else than a buyer orders, buyer and seller
            are the same, the currencies differ, or it is worth too much.
    """
    check_placing(command, by)
    first = _placed(process, command, by, order_id, now)
    case = Case(
        process=process,
        order=evolve(None, first),
        by=by,
        now=now,
        recorded_at=now,
        recorded=[first],
    )
    blockers = tuple(process.decider[PlaceOrder].limits(case, command))
    if blockers:
        return Refusal(blockers=blockers, order=None)
    return _act(case, command)


def check_placing(command: PlaceOrder, by: Actor) -> None:
    """
    Refuse an order that is wrong by itself.

    Raises:
        InvalidInputError: If somebody else than a buyer orders, buyer and seller
            are the same, or the currencies differ.
    """
    if not isinstance(by, Buyer):
        raise InvalidInputError("by", "only a Buyer places an order")
    if by.id == command.seller_id:
        raise InvalidInputError("seller_id", "buyer and seller must differ")
    _one_currency(command, command.price.currency)


def _act(case: Case, command: Command) -> Decided:
    kind = type(command)
    for step in case.process.decider[kind].act(case, command):
        case.take(kind, step)
    return Decided(
        order=case.order, recorded=tuple(case.recorded), effects=tuple(case.effects)
    )


def _placed(
    process: _Process, command: PlaceOrder, by: Actor, order_id: str, now: DateTime
) -> Recorded:
    policies = process.policies
    price = command.price
    tip = command.tip if command.tip is not None else Money.zero(price.currency)
    base = price
    full_window = command.terms.delivery_window
    for add_on in command.add_ons:
        base = base + add_on.price
        if add_on.extra_window is not None:
            full_window = policies.extras.extended(full_window, add_on.extra_window)
    fees = policies.fees.on_top(base)
    # A fee in another currency shows now, and not when the seller is to be paid.
    policies.fees.of_seller(base)
    charge = base + tip + fees
    if charge.minor > AMOUNT_MAX:
        raise InvalidInputError(
            "price", f"one order is worth at most {Money(AMOUNT_MAX, price.currency)}"
        )
    agreed = command.terms.revisions
    if agreed is None:
        limit = policies.revision.revisions
        agreed = "unlimited" if limit is None else limit
    terms = attrs.evolve(
        command.terms,
        revisions=agreed,
        acceptance_window=_or(
            command.terms.acceptance_window, policies.acceptance.acceptance_window
        ),
        verification_window=_or(
            command.terms.verification_window, policies.completion.verification_window
        ),
        brief_required=_or(
            command.terms.brief_required, policies.acceptance.brief_required
        ),
    )
    pay_by = policies.lifetime.payment_window
    waits = deadline("payment", end_of(now, pay_by))
    state = process.state(str(process.initial))
    return Recorded(
        seq=1,
        event=OrderPlaced(
            order_id=order_id,
            buyer_id=by.id,
            seller_id=command.seller_id,
            process=process.name,
            fingerprint=process.fingerprint,
            price=price,
            tip=tip,
            add_ons=command.add_ons,
            fees=fees,
            amount_due=charge,
            terms=terms,
            full_window=full_window,
            listing_id=command.listing_id,
            metadata=command.metadata,
        ),
        by=by,
        effective_at=now,
        recorded_at=now,
        standing=Standing(
            state=state,
            due_at=waits[0].due_at,
            deadlines=waits,
            conversation=Talk(open=state in process.talking),
        ),
    )


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _one_currency(command: Command, currency: str) -> None:
    """
    Refuse a second currency anywhere in a command: an order has one.
    """
    for name in _moneyed(type(command)):
        for amount in _amounts(getattr(command, name)):
            if amount.currency != currency:
                raise InvalidInputError(
                    name, f"this order is in {currency}, not {amount.currency}"
                )


# Fields of the library's commands that cannot hold money.
_WITHOUT_MONEY: Final = frozenset(
    {"reason", "text", "note", "title", "files", "reference", "item", "rating"}
)


def _moneyed(kind: type[Command]) -> tuple[str, ...]:
    names = _MONEYED.get(kind)
    if names is None:
        fields = attrs.fields(kind)
        names = tuple(f.name for f in fields if f.name not in _WITHOUT_MONEY)
        _MONEYED[kind] = names
    return names


_MONEYED: Final[dict[type[Command], tuple[str, ...]]] = {}


def _amounts(value: Any) -> Iterable[Money]:
    if isinstance(value, Money):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _amounts(item)
    else:
        for name in ("amount", "price", "to_buyer"):
            inner = getattr(value, name, None)
            if isinstance(inner, Money):
                yield inner


# --- options ----------------------------------------------------------------------


def options(
    process: _Process, order: Order, *, by: Actor, now: DateTime
) -> tuple[Option, ...]:
    """
    Return every command this actor's role could ever send, in the table's order.
    """
    now = max(now, order.effective_at)
    case = Case(process=process, order=order, by=by, now=now, recorded_at=now)
    return tuple(
        Option(command=command, blockers=judge(case, command))
        for command in process.commands_of(by.role)
    )


def as_of(process: _Process, order: Order, now: DateTime) -> Order:
    """
    Return the order as it is at *now*: what is due applied, nothing written.
    """
    now = max(now, order.effective_at)
    settled = settle(process, order, now=now, recorded_at=now)
    return seen(settled.order, now)
