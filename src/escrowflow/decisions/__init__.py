"""
Deciding: what a command does to an order, or why it may not.

`decide` is the library's heart: pure, it reads no clock, no storage, no network
and no randomness.  The same order, command, actor and instant give the same
answer, for ever.

- `settle` applies every deadline that has passed, each at its own instant, before
  anybody is heard: an outcome never depends on how late a worker ran.
- `options` says beforehand what is possible, and names everything that is in the way.
- One file a chapter of an order's life holds the rules; the table of the process
  says where each outcome leads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import end_of
from ..commands import Command, PlaceOrder
from ..effects import Effect
from ..errors import InvalidInputError
from ..events import OrderPlaced, Recorded
from ..history import evolve
from ..money import AMOUNT_MAX, Money
from ..order import Order
from ..parties import Actor, Buyer
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
    extension,
    extras,
    placing,
    refunds,
    reports,
    reviews,
    revision,
    staff,
)
from .blockers import absent, blockers_of
from .case import Case, Decides, Step, deadline, decides
from .forecast import Coming, Forecast, forecast
from .migration import Changed, Migration, migrated, migration
from .moves import Move
from .options import Consequences, Option, options
from .settling import Decided, as_of, next_due, settle

__all__ = [
    "CHAPTERS",
    "Case",
    "Changed",
    "Coming",
    "Consequences",
    "Decided",
    "Decides",
    "Forecast",
    "Migration",
    "Move",
    "Option",
    "Refusal",
    "Step",
    "as_of",
    "check_placing",
    "deadline",
    "decide",
    "decides",
    "forecast",
    "migrated",
    "migration",
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
    *extension.CHAPTER,
    *revision.CHAPTER,
    *dispute.CHAPTER,
    *refunds.CHAPTER,
    *extras.CHAPTER,
    *reviews.CHAPTER,
    *conversation.CHAPTER,
    *staff.CHAPTER,
    *reports.CHAPTER,
)

_Process: TypeAlias = Process[Policies]


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


# --- deciding ---------------------------------------------------------------------


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
        blockers = blockers_of(case, kind)
        # A payload is only looked at where it could count.
        limits = process.decider[kind].limits(case, command)
        blockers += tuple(limit for limit in limits if limit not in blockers)
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
    return _decided(case, command)


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
    return _decided(case, command)


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


def _decided(case: Case, command: Command) -> Decided:
    case.act(command)
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
    waits: tuple[Deadline, ...] = ()
    if "payment" in process.kinds:
        # A process of one's own may begin with something else than a payment.
        waits = deadline("payment", end_of(now, policies.lifetime.payment_window))
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
            due_at=waits[0].due_at if waits else None,
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
