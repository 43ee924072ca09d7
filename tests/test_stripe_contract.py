"""
The contract of a gateway, held by the Stripe adapter: on the wire that we play
ourselves, and on localstripe.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pytest

from escrowflow.clock import FakeClock
from escrowflow.money import Money, Payment
from escrowflow.payments.stripe import StripeGateway, to_stripe
from escrowflow.testing import GatewayContract
from tests.given import T0
from tests.stripes import KEY, Completed, Localstripe, Wire


class OnWire(GatewayContract):
    """
    Stripe, played by ourselves.
    """

    # Of three decimals Stripe wants the last one to be zero, which this is not.
    currencies = ("EUR", "JPY")
    secrets = (KEY,)
    payouts: ClassVar[Literal["transfer", "payout"]] = "transfer"
    wire: Wire

    def played(self) -> Wire:
        """
        Return the wire of a new Stripe.
        """
        return Wire(FakeClock(T0))

    def open(self) -> StripeGateway:
        self.wire = self.played()
        return StripeGateway(
            KEY, payouts=self.payouts, http_client=self.wire, clock=FakeClock(T0)
        )

    def payment(self, gateway: Any, amount: Money) -> Payment:
        made = self.wire.pay(to_stripe(amount), amount.currency.lower())
        return Payment("card", made["id"], amount)

    def hold(self, gateway: Any, amount: Money) -> Payment:
        currency = amount.currency.lower()
        made = self.wire.pay(to_stripe(amount), currency, capture="manual")
        until = FakeClock(T0).now().add(days=4)
        return Payment("card", made["id"], amount, until)

    def payee(self, gateway: Any) -> str:
        return "acct_luc"

    def lose_next(self, gateway: Any) -> bool:
        self.wire.troubles.append("lost")
        return True

    def leave_next_unanswered(self, gateway: Any) -> bool:
        self.wire.troubles.append("unanswered")
        return True

    def refuse_next(self, gateway: Any) -> bool:
        self.wire.troubles.append("refused")
        return True


class TestTransfers(OnWire):
    """
    Sellers are paid by transfers.
    """


class TestPayouts(OnWire):
    """
    Sellers are paid by payouts to their banks.
    """

    payouts = "payout"


class TestPages(OnWire):
    """
    A list is never shown whole.
    """

    def played(self) -> Wire:
        wire = super().played()
        wire.page = 1
        return wire


class TestUnderWay(OnWire):
    """
    Refunds take a while.
    """

    def played(self) -> Wire:
        wire = super().played()
        wire.pending = True
        return wire


class TestLocalstripe(OnWire):
    """
    localstripe; what it lacks is played by ourselves.
    """

    mock: Localstripe

    @pytest.fixture(autouse=True)
    def _mock(self, localstripe: Localstripe) -> None:
        self.mock = localstripe

    def played(self) -> Wire:
        return Completed(FakeClock(T0), self.mock)
