"""
What our books say of money, and what a report says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, final

import attrs
from pendulum import DateTime

from ..commands import (
    Command,
    ConfirmPayment,
    ReportCharge,
    ReportChargeback,
    ReportPayout,
    ReportRefund,
)
from ..effects import Charge, Movement, PayOut, Refund, effect_key
from ..money import Money
from ..order import Chargeback, Hold, Order, OwedPayout, OwedRefund
from ..parties import Role
from ..refusals import Way
from .lines import CHARGEBACK, PAYMENT, Line

__all__ = [
    "AGREE",
    "Booked",
    "Difference",
    "booked_in",
    "difference",
]


# What has left, as far as we know, or came in.
_MOVED: Final = ("sent", "paid", "opened", "won", "lost")


@final
@attrs.frozen(kw_only=True)
class Booked:
    """
    What our books say of one movement.

    Attributes:
        kind: As of a `Line`.

        order_id: The order.

        key: The key under which it is owed now; empty for what came in, and for a
            hold as long as nobody asked to charge it.

        earlier_keys: Those under which it did not happen, for sure.

        reference: What the provider calls it; empty as long as it did not say.

        part: The reference of the payment, or who is paid.

        method: How it was paid; empty for a payout.

        amount: How much.

        status: As in `order.refunds` and `order.payouts`; `"paid"` for what came in;
            `"released"` for what a bank was asked to let go; of a chargeback
            `"opened"`, `"won"` or `"lost"`.

        at: When it came in, or a bank took it; `None` for what has not, or leaves.
    """

    kind: str
    order_id: str
    key: str = ""
    earlier_keys: tuple[str, ...] = ()
    reference: str
    part: str
    method: str = ""
    amount: Money
    status: str
    at: DateTime | None = None

    @property
    def name(self) -> str:
        """
        What it is called: by the gateway, or by us.
        """
        return self.reference or self.key

    @property
    def expected(self) -> bool:
        """
        Whether the gateway must have it.

        What may have left, though nobody ever said so, need not be there; it is tried
        again, or is in `stuck()`.
        """
        if self.status == "sent":
            return bool(self.reference)
        return self.status in _MOVED


# What is true on both sides at once: ours, theirs.
AGREE: Final = frozenset(
    {
        ("paid", "paid"),
        ("sent", "pending"),
        ("opened", "opened"),
        ("won", "won"),
        ("lost", "lost"),
    }
)


def booked_in(order: Order) -> Iterator[Booked]:
    """
    Yield what our books say of all money of an order, oldest first of each kind.
    """
    methods = {}
    for payment in order.payments:
        methods[payment.reference] = payment.method
        if order.hold(payment.reference) is not None:
            # It came in as a charge.
            continue
        yield Booked(
            kind=PAYMENT,
            order_id=order.id,
            reference=payment.reference,
            part=payment.reference,
            method=payment.method,
            amount=payment.amount,
            status="paid",
            at=payment.booked_at,
        )
    for hold in order.holds:
        reference = hold.payment.reference
        came = order.payment(reference)
        yield Booked(
            kind=Charge.name,
            order_id=order.id,
            key=hold.key,
            earlier_keys=_earlier(order, hold, Charge, reference),
            reference=hold.reference,
            part=reference,
            method=hold.payment.method,
            amount=hold.amount,
            status=_CHARGED[hold.status],
            at=None if came is None else came.booked_at,
        )
    for refund in order.refunds:
        yield Booked(
            kind=Refund.name,
            order_id=order.id,
            key=refund.key,
            earlier_keys=_earlier(order, refund, Refund, refund.payment.reference),
            reference=refund.reference,
            part=refund.payment.reference,
            method=refund.payment.method,
            amount=refund.amount,
            status=refund.status,
        )
    for payout in order.payouts:
        yield Booked(
            kind=PayOut.name,
            order_id=order.id,
            key=payout.key,
            earlier_keys=_earlier(order, payout, PayOut, payout.seller_id),
            reference=payout.reference,
            part=payout.payee_id,
            amount=payout.amount,
            status=payout.status,
        )
    for taken in order.chargebacks:
        yield Booked(
            kind=CHARGEBACK,
            order_id=order.id,
            reference=taken.id,
            part=taken.payment_reference,
            method=methods.get(taken.payment_reference, ""),
            amount=taken.amount,
            status=_decided(taken),
            at=taken.opened_at,
        )


# How a hold stands, as what leaves does: nothing of it is here before it is charged.
_CHARGED: Final = {
    "held": "owed",
    "asked": "owed",
    "sent": "sent",
    "charged": "paid",
    "failed": "failed",
    "released": "released",
}


def _earlier(
    order: Order, owed: Hold | OwedRefund | OwedPayout, kind: type[Movement], part: str
) -> tuple[str, ...]:
    # Keys are a function of what is owed (I5): nobody has to remember them.
    return tuple(
        effect_key(order.id, owed.seq, kind.name, part, epoch)
        for epoch in range(owed.epoch)
    )


def _decided(taken: Chargeback) -> str:
    if taken.lost is None:
        return "opened"
    return "lost" if taken.lost else "won"


# --- a difference -----------------------------------------------------------------

_TELLS: Final = Role.PROVIDER | Role.OPERATOR
_REPORTS: Final[Mapping[str, type[Command]]] = {
    PAYMENT: ConfirmPayment,
    Charge.name: ReportCharge,
    Refund.name: ReportRefund,
    PayOut.name: ReportPayout,
    CHARGEBACK: ReportChargeback,
}

# What can be reported, once somebody has looked.
_REPORTABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "missing_at_gateway": (Charge.name, Refund.name, PayOut.name),
    "unknown_to_us": (PAYMENT, CHARGEBACK),
    "status_differs": (Charge.name, Refund.name, PayOut.name, CHARGEBACK),
}


@final
@attrs.frozen(kw_only=True)
class Difference:
    """
    Something that a report and our books do not say alike.

    Attributes:
        code: What:

            - `missing_at_gateway`: it counts as sent, paid or received here, and the
              report does not have it;
            - `unknown_to_us`: the report has it, and no order does;
            - `amount_differs`, `currency_differs`, `part_differs` (another payment,
              another payee), `order_differs`, `status_differs`;
            - `twice`: the report has it twice;
            - `in_transit`: it may come right by itself;
            - `unreadable`: an order cannot be read, so nobody knows.

        otherwise: What it will be called if it does not come right by itself; the
            code itself, unless that is `in_transit`.

        booked: What our books say; `None` if they say nothing.

        line: What the report says; `None` if it says nothing.

        order_id: The order; empty if nobody knows.

        ways: What could be sent once somebody has looked, and by whom; empty if only
            the provider can say more.

        command: The very command, to be sent as the provider once somebody has
            looked; `None` if the report does not say enough for one.
    """

    code: str
    otherwise: str
    booked: Booked | None = None
    line: Line | None = None
    order_id: str
    ways: tuple[Way, ...] = ()
    command: Command | None = None

    @property
    def in_transit(self) -> bool:
        """
        Whether it may come right by itself.
        """
        return self.code == "in_transit"

    @property
    def kind(self) -> str:
        """
        What it is about, as of a `Line`; empty for an order that cannot be read.
        """
        about = self.booked or self.line
        return "" if about is None else about.kind

    @property
    def params(self) -> Mapping[str, Any]:
        """
        The parts of the sentence, by name; `None` where there is none.
        """
        booked, line = self.booked, self.line
        about = line or booked
        return {
            "movement": self.kind or None,
            "name": None if about is None else about.name,
            "order": self.order_id or None,
            "amount": None if about is None else about.amount,
            "expected": None if booked is None else booked.amount,
            "part": None if line is None else line.part or None,
            "expected_part": None if booked is None else booked.part,
            "other_order": None if line is None else line.order_id or None,
            "ours": None if booked is None else booked.status,
            "theirs": None if line is None else line.status,
        }

    def message(self, locale: str = "en") -> str:
        """
        Return what differs, and the way out, as a sentence; English where a language
        is unknown.
        """
        # Sentences are only needed when somebody reads one.
        from ..words import difference_text

        return difference_text(self.code, self.params, locale)

    def __str__(self) -> str:
        return f"{self.code}: {self.message()}"


def difference(
    code: str,
    booked: Booked | None,
    line: Line | None,
    *,
    fresh: bool = False,
    command: Command | None = None,
) -> Difference:
    about = booked or line
    assert about is not None
    ways: tuple[Way, ...] = ()
    if about.kind in _REPORTABLE.get(code, ()):
        ways = (Way(command=_REPORTS[about.kind].name, by=_TELLS),)
    return Difference(
        code="in_transit" if fresh else code,
        otherwise=code,
        booked=booked,
        line=line,
        order_id=about.order_id,
        ways=() if fresh else ways,
        command=None if fresh else command,
    )
