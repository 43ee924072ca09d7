"""
What the parties agree on, and what a mediator may rule.

Everything here is a value: checked once when it is built, then passed around.
`None` in `Terms` means *as the process says*; placing an order fills it in, so
that an order carries its own terms for life.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, final

import attrs
from pendulum import DateTime

from .clock import WindowLike, as_utc, as_window
from .errors import InvalidInputError
from .inputs import Text, as_text, kind_of
from .money import Money, Payment, as_amount

__all__ = [
    "RULINGS",
    "AddOn",
    "FullRefund",
    "PaySeller",
    "Relaunch",
    "Ruling",
    "Split",
    "Terms",
    "as_add_ons",
    "as_payments",
    "as_revisions",
]

# More than any catalogue offers; a limit on everything that is looped over.
ADD_ONS_MAX: Final = 50
PAYMENTS_MAX: Final = 10
REVISIONS_MAX: Final = 1000

Revisions: TypeAlias = int | Literal["unlimited"]


def as_revisions(value: object, field: str = "revisions") -> Revisions | None:
    """
    Return a number of revisions: `None`, `"unlimited"` or 0 to 1000.
    """
    if value is None:
        return None
    if value == "unlimited":
        return "unlimited"
    if type(value) is int and 0 <= value <= REVISIONS_MAX:
        return value
    raise InvalidInputError(
        field, f'a whole number from 0 to {REVISIONS_MAX}, "unlimited" or None'
    )


def _delivery_window(value: WindowLike) -> timedelta:
    return as_window(value, "delivery_window")


def _acceptance_window(value: WindowLike | None) -> timedelta | None:
    return None if value is None else as_window(value, "acceptance_window")


def _verification_window(value: WindowLike | None) -> timedelta | None:
    return None if value is None else as_window(value, "verification_window")


def _extra_window(value: WindowLike | None) -> timedelta | None:
    return None if value is None else as_window(value, "extra_window")


def _revisions(value: Revisions | None) -> Revisions | None:
    return as_revisions(value, "revisions")


def _brief_required(value: bool | None) -> bool | None:
    return None if value is None else _flag(value, "brief_required")


def _offers(value: bool) -> bool:
    return _flag(value, "offers")


def _add_ons(value: bool) -> bool:
    return _flag(value, "add_ons")


def _title(value: str) -> Text:
    return as_text(value, "title")


def _named_title(value: str) -> Text:
    return as_text(value, "title", required=True)


def _text(value: str) -> Text:
    return as_text(value, "text")


def _price(value: Money) -> Money:
    return as_amount(value, "price")


def _to_buyer(value: Money) -> Money:
    return as_amount(value, "to_buyer")


def _due_at(value: datetime | str | None) -> DateTime | None:
    return None if value is None else as_utc(value, "due_at")


def _flag(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInputError(field, f"True or False, not {kind_of(value)}")
    return value


@final
@attrs.frozen(kw_only=True)
class Terms:
    """
    What was agreed about one order.

    Attributes:
        delivery_window: Time the seller has from acceptance to delivery.

        revisions: How often the buyer may ask for changes: a number,
            `"unlimited"`, or `None` for what the process says (R58).

        acceptance_window: Time the seller has from payment to acceptance (R14).

        verification_window: Time the buyer has from delivery to a word (R54).

        brief_required: Whether the service needs a brief; shown, and it starts
            the response clock.  It never blocks acceptance (C17).

        offers: Whether the seller may send custom offers (R22).

        add_ons: Whether the buyer may buy add-ons on the running order.

        title: The title of the service.

        text: The text of the service, as it was when the order was placed: what
            a mediator reads (R77).

    Raises:
        InvalidInputError: If a window is not positive or has months, or a text
            is too long.
    """

    delivery_window: timedelta = attrs.field(converter=_delivery_window)
    revisions: Revisions | None = attrs.field(default=None, converter=_revisions)
    acceptance_window: timedelta | None = attrs.field(
        default=None, converter=_acceptance_window
    )
    verification_window: timedelta | None = attrs.field(
        default=None, converter=_verification_window
    )
    brief_required: bool | None = attrs.field(default=None, converter=_brief_required)
    offers: bool = attrs.field(default=True, converter=_offers)
    add_ons: bool = attrs.field(default=True, converter=_add_ons)
    title: Text = attrs.field(default=Text(), converter=_title)
    text: Text = attrs.field(default=Text(), converter=_text)


@final
@attrs.frozen(kw_only=True)
class AddOn:
    """
    An option bought with the order, or on the running order (R17).

    Attributes:
        title: What it is.

        price: What it costs, fees not included.

        extra_window: Delivery time it adds, if the process counts it
            (`Extras.addon_deadline`).
    """

    title: Text = attrs.field(converter=_named_title)
    price: Money = attrs.field(converter=_price)
    extra_window: timedelta | None = attrs.field(default=None, converter=_extra_window)


def as_add_ons(values: Any) -> tuple[AddOn, ...]:
    """
    Return add-ons in their order; each an `AddOn` or a mapping of its fields.
    """
    if isinstance(values, AddOn):
        values = (values,)
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidInputError("add_ons", "a sequence of AddOn")
    found: list[AddOn] = []
    for value in values:
        if isinstance(value, Mapping):
            try:
                found.append(AddOn(**value))
            except TypeError as error:
                raise InvalidInputError("add_ons", str(error)) from error
        elif isinstance(value, AddOn):
            found.append(value)
        else:
            raise InvalidInputError("add_ons", "a sequence of AddOn")
    if len(found) > ADD_ONS_MAX:
        raise InvalidInputError("add_ons", f"at most {ADD_ONS_MAX}")
    return tuple(found)


def as_payments(value: Any) -> tuple[Payment, ...]:
    """
    Return the payments a command carries: one, several, or none for `None`.

    A single payment may leave its amount open: it is then the full price.

    Raises:
        InvalidInputError: If one of several has no amount, or a reference
            occurs twice.
    """
    if value is None:
        return ()
    if isinstance(value, Payment):
        return (value,)
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidInputError("payment", "a Payment, several, or None")
    payments = tuple(value)
    if not all(isinstance(payment, Payment) for payment in payments):
        raise InvalidInputError("payment", "a Payment, several, or None")
    if len(payments) > PAYMENTS_MAX:
        raise InvalidInputError("payment", f"at most {PAYMENTS_MAX}")
    if len(payments) > 1 and any(payment.amount is None for payment in payments):
        raise InvalidInputError("payment", "each of several payments needs its amount")
    if len({payment.reference for payment in payments}) < len(payments):
        raise InvalidInputError("payment", "a reference counts once per order")
    return payments


@final
@attrs.frozen(kw_only=True)
class FullRefund:
    """
    The mediator gives everything back, fees included (R78).
    """


@final
@attrs.frozen(kw_only=True)
class Split:
    """
    The mediator divides: so much to the buyer, the rest to the seller (R79).

    Attributes:
        to_buyer: More than nothing, less than what is held, and at most what
            `PartialRefunds.partial_refund_base` leaves to divide.
    """

    to_buyer: Money = attrs.field(converter=_to_buyer)


@final
@attrs.frozen(kw_only=True)
class Relaunch:
    """
    The mediator sends the order back to work (R80).

    Attributes:
        due_at: The new delivery deadline; given exactly if the process says
            `relaunch_deadline="mediator_sets"`.
    """

    due_at: DateTime | None = attrs.field(default=None, converter=_due_at)


@final
@attrs.frozen(kw_only=True)
class PaySeller:
    """
    The mediator pays the seller everything but the platform's fees (R81).
    """


Ruling: TypeAlias = FullRefund | Split | Relaunch | PaySeller

# By the name that is stored, and chosen.
RULINGS: Final[Mapping[str, type[Ruling]]] = {
    "full_refund": FullRefund,
    "split": Split,
    "relaunch": Relaunch,
    "pay_seller": PaySeller,
}
