"""
Payloads: what somebody says with a command, where the checker tries it.

- Of the library's commands one of each choice is enough: the least there may be.
- What a host decides himself is tried with the most as well, and with what need not be
  given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import product
from typing import Final, final

import attrs
from pendulum import DateTime

from ..clock import end_of
from ..commands import BuyAddOn, Command, ConfirmPayment, RequestExtension, SendOffer
from ..decisions import Option
from ..decisions.case import Case
from ..errors import InvalidInputError
from ..forms import Field, specimen
from ..money import Money
from ..order import Order
from ..parties import Actor
from ..rules import Policies
from ..states import Process

__all__ = ["Payloads"]


@final
class Payloads:
    """
    What is said with the commands of one process.

    Args:
        full_window: The delivery time of an order that begins.
    """

    def __init__(self, process: Process[Policies], full_window: timedelta) -> None:
        self.process = process
        self.full_window = full_window
        self.holds = process.policies.acceptance.charge_at == "acceptance"

    def taken(
        self, option: Option, order: Order, by: Actor, now: DateTime
    ) -> list[Command]:
        """
        Return a command of each choice, as far as its payload is taken.

        Where the least is refused, the most is tried; if that is, too, or no form tells
        what a host's own command takes, nobody knows what it would do.  What a host
        decides himself may be another matter for the most, and for what need not be
        given: that is tried as well.
        """
        limits = self.process.decider[option.command].limits
        own = bool(self.process.decider[option.command].version)
        now = max(now, order.effective_at)
        case = Case(process=self.process, order=order, by=by, now=now, recorded_at=now)
        found: list[Command] = []

        def take(fields: tuple[Field, ...], *, most: bool) -> None:
            for one in self._commands(option.command, fields, order, now, most=most):
                if one not in found and not tuple(limits(case, one)):
                    found.append(one)

        for most in (False, True):
            try:
                take(option.fields, most=most)
            except InvalidInputError:
                break
            if found and not own:
                break
        if own and found:
            for fields, most in product(_given(option.fields), (False, True)):
                # No form tells what it takes, or its class refuses it.
                with suppress(Exception):
                    take(fields, most=most)
        return found

    def _commands(
        self,
        command: type[Command],
        fields: tuple[Field, ...],
        order: Order,
        now: DateTime,
        *,
        most: bool,
    ) -> Iterator[Command]:
        """
        Yield a command of each choice, within the fields.
        """
        for one in _chosen(command, fields, most=most):
            if isinstance(one, RequestExtension):
                one = attrs.evolve(one, due_at=_later(fields, order, now))
            elif isinstance(one, (SendOffer, BuyAddOn)) and self._dates(order, now):
                one = _dated(one, order.terms.delivery_window)
            yield one
            if isinstance(one, ConfirmPayment):
                # And a part of it: it is held until the rest comes, or goes back.
                (whole,) = one.payment
                part = attrs.evolve(whole, amount=Money(1, order.currency))
                yield attrs.evolve(one, payment=(part,))
                if self.holds:
                    # Or the buyer's bank holds all of it for a week.
                    until = datetime.__add__(order.effective_at, _HELD)
                    held = attrs.evolve(
                        whole, amount=order.amount_due, held_until=until
                    )
                    yield attrs.evolve(one, payment=(held,))

    def _dates(self, order: Order, now: DateTime) -> bool:
        """
        Whether an extra with a time of its own gives a later date.

        One that made the delivery time longer is enough: the next would again.
        """
        if order.full_window != self.full_window:
            return False
        policies, full = self.process.policies, order.full_window
        extra = order.terms.delivery_window
        moved = policies.extras.moved(now, now=now, extra=extra, time=policies.time)
        return moved is not None or policies.extras.extended(full, extra) != full


def _later(fields: tuple[Field, ...], order: Order, now: DateTime) -> DateTime:
    """
    Return a later date: as much time again as there was.
    """
    (due_at,) = (field for field in fields if field.name == "due_at")
    later = end_of(now, order.full_window)
    soonest: DateTime = due_at.minimum
    latest: DateTime = due_at.maximum
    return min(max(later, soonest), latest)


# How long a bank holds money, in a story.
_HELD: Final = timedelta(days=7)


def _given(fields: tuple[Field, ...]) -> Iterator[tuple[Field, ...]]:
    """
    Yield a form for each field that need not be given, in which it must; and one in
    which all must.
    """
    free = [field.name for field in fields if not field.required]
    for names in (*((name,) for name in free), *([free] if free[1:] else [])):
        yield tuple(
            attrs.evolve(field, required=True) if field.name in names else field
            for field in fields
        )


def _chosen(
    command: type[Command], fields: tuple[Field, ...], *, most: bool
) -> Iterator[Command]:
    """
    Yield a command of each choice, within a form.
    """
    # A ruling first: its parts depend on it.
    chosen = sorted(
        (field for field in fields if field.required and field.choices),
        key=lambda field: field.kind != "ruling",
    )
    flags = [field.name for field in fields if field.required and field.kind == "flag"]
    names = [*(field.name for field in chosen[1:]), *flags]
    others = [*(field.choices for field in chosen[1:]), *[(False, True)] * len(flags)]
    for choice in chosen[0].choices if chosen else ("",):
        one = specimen(command, fields, most=most, choice=choice)
        for said in product(*others):
            if names:
                one = attrs.evolve(one, **dict(zip(names, said, strict=True)))
            yield one


def _dated(command: SendOffer | BuyAddOn, window: timedelta) -> SendOffer | BuyAddOn:
    """
    Return an extra with a delivery time of its own.
    """
    if isinstance(command, SendOffer):
        return attrs.evolve(command, delivery_window=window)
    return attrs.evolve(command, extra_window=window)
