"""
The Stripe gateway: what it sends, what it makes of every answer, what it never shows.
"""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
import traceback
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowflow import payments
from escrowflow.clock import FakeClock
from escrowflow.effects import (
    Charge,
    Done,
    NotDone,
    PayOut,
    Refund,
    ReleaseHold,
    RetryAt,
    Unknown,
)
from escrowflow.errors import GatewayError, InvalidInputError, MissingExtraError
from escrowflow.money import CURRENCIES, Money, Payment
from escrowflow.payments.stripe import StripeGateway, from_stripe, to_stripe
from tests.given import COMEUP, T0, eur
from tests.stripes import KEY, RefusalError, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from escrowflow.effects import Result

CLOCK: Final = FakeClock(T0)


@pytest.fixture
def wire() -> Wire:
    """
    A Stripe that is played.
    """
    return Wire(FakeClock(T0))


@pytest.fixture
def gateway(wire: Wire) -> StripeGateway:
    """
    A gateway to it.
    """
    return a_gateway(wire)


def a_gateway(wire: Wire, **options: Any) -> StripeGateway:
    """
    Return a gateway to a Stripe that is played.
    """
    return StripeGateway(KEY, **{"http_client": wire, "clock": CLOCK, **options})


def refund_of(wire: Wire, amount: Money | None = None, **changes: Any) -> Refund:
    """
    Return a refund of a payment that came in, of 100 euros.
    """
    paid = wire.pay(10_000, "eur")
    fields: dict[str, Any] = {
        "order_id": "o1",
        "seq": 7,
        "key": "k" * 40,
        "payment": Payment("card", paid["id"], eur(100)),
        "amount": eur(100) if amount is None else amount,
        "asked_at": CLOCK.now(),
        "expected_by": CLOCK.now(),
    }
    return Refund(**{**fields, **changes})


def payout(**changes: Any) -> PayOut:
    """
    Return a payout of 100 euros.
    """
    fields: dict[str, Any] = {
        "order_id": "o1",
        "seq": 7,
        "key": "k" * 40,
        "seller_id": "luc",
        "payee_id": "acct_luc",
        "amount": eur(100),
        "asked_at": CLOCK.now(),
    }
    return PayOut(**{**fields, **changes})


class TestAmounts:
    """
    Stripe counts as ISO 4217 does, but for a few currencies.
    """

    @pytest.mark.parametrize(
        ("amount", "minor"),
        [
            (Money.of("12.34", "EUR"), 1234),
            (Money.of("500", "JPY"), 500),
            (Money.of("5.120", "KWD"), 5120),
            (Money.of("5", "ISK"), 500),
            (Money.of("5", "UGX"), 500),
            (Money.of("7.00", "MGA"), 7),
            (Money.of("10.45", "HUF"), 1045),
        ],
    )
    def test_there_and_back(self, amount: Money, minor: int) -> None:
        """
        What is sent means what was meant.
        """
        assert to_stripe(amount) == minor
        assert from_stripe(minor, amount.currency.lower()) == amount

    @given(
        st.sampled_from(sorted(CURRENCIES)), st.integers(min_value=1, max_value=10**12)
    )
    def test_nothing_is_lost(self, currency: str, minor: int) -> None:
        """
        Any amount of any currency comes back as it was, or is refused.
        """
        amount = Money(minor, currency)
        with suppress(InvalidInputError):
            assert from_stripe(to_stripe(amount), currency.lower()) == amount

    @pytest.mark.parametrize(
        ("amount", "to_bank", "problem"),
        [
            (Money.of("5.124", "KWD"), False, "multiples of 0.010 KWD, and 5.124 KWD"),
            (Money.of("0.001", "TND"), False, "multiples of 0.010 TND"),
            (Money.of("7.20", "MGA"), False, "multiples of 1.00 MGA, and 7.20 MGA"),
            (Money.of("10.45", "HUF"), True, "multiples of 1.00 HUF"),
            (Money.of("10.45", "TWD"), True, "multiples of 1.00 TWD"),
            (Money(5, "CLF"), False, "moves no CLF"),
        ],
    )
    def test_refused(self, amount: Money, to_bank: bool, problem: str) -> None:
        """
        What Stripe cannot move is not rounded.
        """
        with pytest.raises(InvalidInputError, match=problem):
            to_stripe(amount, to_bank=to_bank)

    @pytest.mark.parametrize(
        ("minor", "currency", "field"),
        [
            (150, "isk", "amount"),
            (1.5, "eur", "amount"),
            (True, "eur", "amount"),
            (-1, "eur", "amount"),
            (None, "eur", "amount"),
            ("100", "eur", "amount"),
            (100, "xyz", "currency"),
            (100, None, "currency"),
        ],
    )
    def test_nonsense(self, minor: Any, currency: Any, field: str) -> None:
        """
        What Stripe could not have meant is refused.
        """
        with pytest.raises(InvalidInputError, match=field):
            from_stripe(minor, currency)

    def test_a_part_that_cannot_be_moved(self, wire: Wire) -> None:
        """
        Nothing is sent, and a human sees why.
        """
        half = Money.of("0.615", "KWD")

        said = a_gateway(wire).pay_out(payout(amount=half))

        assert isinstance(said, NotDone)
        assert "multiples of 0.010 KWD" in said.reason
        assert wire.requests == []


class TestRequests:
    """
    What is sent.
    """

    def test_a_refund(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        It names the payment, the order and the key, and is sent under the key.
        """
        effect = refund_of(wire, eur(60))

        gateway.refund(effect)

        (method, path, params, headers) = wire.requests[-1]
        assert (method, path) == ("post", "/v1/refunds")
        assert params == {
            "payment_intent": effect.payment.reference,
            "amount": "6000",
            "metadata": {"escrowflow_order": "o1", "escrowflow_key": effect.key},
        }
        assert headers["Idempotency-Key"] == effect.key

    def test_a_refund_of_a_charge(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        A payment may also be known by its charge.
        """
        gateway.refund(refund_of(wire, payment=Payment("card", "ch_1", eur(100))))

        assert wire.requests[-1][2]["charge"] == "ch_1"

    def test_a_refund_in_another_currency(
        self, wire: Wire, gateway: StripeGateway
    ) -> None:
        """
        Stripe would take the number for an amount of the payment's own currency.
        """
        said = gateway.refund(refund_of(wire, Money(100, "JPY")))

        assert said == NotDone("the payment came in EUR")
        assert wire.requests == []

    def test_a_refund_that_reverses(self, wire: Wire) -> None:
        """
        What was passed on with the payment is taken back, if that was said.
        """
        a_gateway(wire, reverse_transfers=True).refund(refund_of(wire))

        assert wire.requests[-1][2]["reverse_transfer"] == "true"

    def test_a_transfer(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        It goes to the account of the payee, in the group of the order.
        """
        gateway.pay_out(payout())

        (_, path, params, headers) = wire.requests[-1]
        assert path == "/v1/transfers"
        assert params["destination"] == "acct_luc"
        assert params["transfer_group"] == "o1"
        assert "Stripe-Account" not in headers

    def test_a_payout(self, wire: Wire) -> None:
        """
        It is made on the account of the payee.
        """
        said = a_gateway(wire, payouts="payout").pay_out(payout())

        (_, path, params, headers) = wire.requests[-1]
        assert path == "/v1/payouts"
        assert params["amount"] == "10000"
        assert headers["Stripe-Account"] == "acct_luc"
        assert isinstance(said, RetryAt)

    def test_another_name_for_the_payee(self, wire: Wire) -> None:
        """
        A host may call its sellers what it likes.
        """
        gateway = a_gateway(wire, account_of={"luc": "acct_9"}.get)

        assert isinstance(gateway.pay_out(payout(payee_id="luc")), Done)
        assert wire.requests[-1][2]["destination"] == "acct_9"

    @pytest.mark.parametrize("payouts", ["transfer", "payout"])
    def test_no_account_yet(self, wire: Wire, payouts: str) -> None:
        """
        A seller who has no account waits for a human; nothing is sent.
        """
        gateway = a_gateway(wire, payouts=payouts, account_of={}.get)

        said = gateway.pay_out(payout(payee_id="luc"))

        assert isinstance(said, NotDone)
        assert said.reason.startswith("luc has no account at stripe yet")
        assert wire.requests == []

    def test_no_retries_of_its_own(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        The SDK sends a request once, whatever it hears.
        """
        effect = refund_of(wire)
        wire.troubles = ["error", "unanswered", "locked"]

        for _ in range(3):
            gateway.refund(effect)

        assert len(wire.requests) == 3


# What is said of an answer, by what happened.
MAPPED: Final[dict[str, type[Result]]] = {
    "lost": Unknown,
    "unanswered": Unknown,
    "garbled": Unknown,
    "gateway": Unknown,
    "error": Unknown,
    "forbidden": Unknown,
    "locked": RetryAt,
    "limited": RetryAt,
    "lock_timeout": RetryAt,
    "expired": RetryAt,
    "refused": NotDone,
    "declined": NotDone,
    "poor": NotDone,
}


class TestAnswers:
    """
    What is made of what Stripe says, or does not say.
    """

    @pytest.mark.parametrize(("trouble", "kind"), MAPPED.items())
    def test_trouble(
        self, wire: Wire, gateway: StripeGateway, trouble: str, kind: type[Result]
    ) -> None:
        """
        Only a refusal is a no, and nothing is raised.
        """
        effect = refund_of(wire)
        sends: list[Callable[[], Result]] = [
            lambda: gateway.refund(effect),
            lambda: gateway.pay_out(payout(key="p" * 40)),
        ]
        for send in sends:
            wire.troubles = [trouble]

            said = send()

            assert type(said) is kind, said
            # Nothing that is not under way has a name: no attempt is counted.
            assert not (isinstance(said, RetryAt) and said.reference)

    def test_a_poor_balance_is_tried_again(
        self, wire: Wire, gateway: StripeGateway
    ) -> None:
        """
        Stripe stores that answer, so the next try has another key.
        """
        wire.troubles = ["poor"]

        said = gateway.pay_out(payout())

        assert isinstance(said, NotDone)
        assert said.again

    @pytest.mark.parametrize(
        "refusal",
        [
            RefusalError(401, "", "Invalid API Key provided: " + KEY),
            RefusalError(400, "livemode_mismatch", "this is live"),
            RefusalError(400, "testmode_charges_only", "not yet activated"),
            RefusalError(403, "api_key_expired", "too old"),
        ],
        ids=lambda refusal: refusal.error["code"] or "401",
    )
    def test_what_is_wrong_with_us(
        self,
        wire: Wire,
        gateway: StripeGateway,
        refusal: RefusalError,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        A key that is not accepted parks nobody's money: it waits, and a log says so.
        """
        wire.troubles = [refusal]

        said = gateway.pay_out(payout())

        assert said == RetryAt(CLOCK.now() + timedelta(minutes=10))
        (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
        assert record.name == "escrowflow.payments.stripe"
        assert KEY not in record.getMessage()

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (400, "parameter_invalid", NotDone),
            (402, "", NotDone),
            (404, "resource_missing", Unknown),
            (400, "rate_limit", RetryAt),
            (400, "lock_timeout", RetryAt),
            (409, "", RetryAt),
            (403, "", Unknown),
            (405, "", Unknown),
            (424, "", Unknown),
            (503, "", Unknown),
        ],
    )
    def test_other_codes(
        self,
        wire: Wire,
        gateway: StripeGateway,
        status: int,
        code: str,
        kind: type[Result],
    ) -> None:
        """
        As Stripe's documentation of errors says.
        """
        wire.troubles = [RefusalError(status, code, "no")]

        assert type(gateway.pay_out(payout())) is kind

    def test_reasons_are_for_people(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        A human reads what Stripe said, its code, and the number to ask Stripe with.
        """
        effect = refund_of(wire)
        wire.troubles = ["refused"]

        said = gateway.refund(effect)

        assert isinstance(said, NotDone)
        assert said.reason.startswith("The charge is disputed (charge_disputed, req_")

    def test_another_request_under_a_key(
        self, wire: Wire, gateway: StripeGateway
    ) -> None:
        """
        A key that was sent with something else says nothing about this (F32).
        """
        effect = refund_of(wire, eur(60))
        gateway.refund(effect)

        said = gateway.refund(attrs.evolve(effect, amount=eur(30)))

        assert isinstance(said, Unknown)
        assert "idempotent" in said.reason

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            ("succeeded", Done),
            ("pending", RetryAt),
            ("requires_action", RetryAt),
            ("something_new", RetryAt),
            (["succeeded"], RetryAt),
            (None, RetryAt),
            ("failed", NotDone),
            ("canceled", NotDone),
        ],
    )
    def test_how_a_refund_stands(
        self, wire: Wire, gateway: StripeGateway, status: Any, kind: type[Result]
    ) -> None:
        """
        What is under way has a name; what Stripe may say one day is not guessed.
        """
        wire.pending = True
        effect = refund_of(wire)
        said = gateway.refund(effect)
        assert isinstance(said, RetryAt)
        wire.end(said.reference, status, failure_reason="expired_or_canceled_card")

        found = gateway.look_up(effect)

        assert type(found) is kind
        if isinstance(found, NotDone):
            assert said.reference in found.reason
            assert "expired_or_canceled_card" in found.reason
        else:
            assert isinstance(found, (Done, RetryAt))
            assert found.reference == said.reference

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            ("pending", RetryAt),
            ("in_transit", RetryAt),
            ("paid", Done),
            ("failed", NotDone),
            ("canceled", NotDone),
        ],
    )
    def test_how_a_payout_stands(
        self, wire: Wire, status: str, kind: type[Result]
    ) -> None:
        """
        The same of what goes to a bank.
        """
        gateway = a_gateway(wire, payouts="payout")
        said = gateway.pay_out(payout())
        assert isinstance(said, RetryAt)
        wire.end(said.reference, status)

        assert type(gateway.look_up(payout())) is kind

    def test_a_transfer_that_was_reversed(
        self, wire: Wire, gateway: StripeGateway
    ) -> None:
        """
        What came back was not paid.
        """
        said = gateway.pay_out(payout())
        assert isinstance(said, Done)
        wire.reverse(said.reference)

        assert gateway.look_up(payout()) == NotDone(
            f"{said.reference}: it was reversed"
        )

    @pytest.mark.parametrize(
        "change", [{"amount": 9_999}, {"currency": "usd"}, {"amount": None}]
    )
    def test_another_amount(
        self, wire: Wire, gateway: StripeGateway, change: dict[str, Any]
    ) -> None:
        """
        What was made of another amount is for a human (F44).
        """
        effect = refund_of(wire)
        gateway.refund(effect)
        (made,) = wire.made["refunds"].values()
        made |= change

        found = gateway.look_up(effect)

        assert isinstance(found, Unknown)
        assert found.give_up
        assert made["id"] in found.reason


class TestQuestions:
    """
    What became of a key.
    """

    @pytest.mark.parametrize("page", [1, 2, 100])
    def test_in_any_page(self, wire: Wire, gateway: StripeGateway, page: int) -> None:
        """
        It is found wherever it stands, and what is alike is not it.
        """
        effect = refund_of(wire, eur(10))
        keys = [f"{number:040}" for number in range(5)]
        for key in keys:
            gateway.refund(attrs.evolve(effect, key=key))
            gateway.pay_out(payout(key=f"p{key}"))
        wire.page = page

        for key in keys:
            assert isinstance(gateway.look_up(attrs.evolve(effect, key=key)), Done)
            assert isinstance(gateway.look_up(payout(key=f"p{key}")), Done)
        assert gateway.look_up(effect) is None
        assert gateway.look_up(payout()) is None

    @pytest.mark.parametrize(
        "trouble",
        [
            "lost",
            "unanswered",
            "garbled",
            "gateway",
            "forbidden",
            RefusalError(404, "", "?"),
        ],
        ids=str,
    )
    def test_a_question_that_fails(
        self, wire: Wire, gateway: StripeGateway, trouble: Any
    ) -> None:
        """
        A list that cannot be read does not prove that nothing is in it (I29).
        """
        for effect in (refund_of(wire), payout()):
            wire.troubles = [trouble]

            found = gateway.look_up(effect)

            assert isinstance(found, Unknown)

    @pytest.mark.parametrize("trouble", ["locked", "limited", "expired"])
    def test_a_question_that_waits(
        self, wire: Wire, gateway: StripeGateway, trouble: str
    ) -> None:
        """
        What was turned away is asked again.
        """
        wire.troubles = [trouble]

        assert isinstance(gateway.look_up(payout()), RetryAt)

    def test_a_page_that_is_missing(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        Nor does a list that breaks off.
        """
        for number in range(3):
            gateway.pay_out(payout(key=f"{number:040}"))
        wire.page = 1
        wire.troubles = ["", "lost"]

        assert isinstance(gateway.look_up(payout(key=f"{0:040}")), Unknown)

    def test_an_unknown_payment(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        Where the payment itself is missing, somebody looks into the wrong account.
        """
        effect = refund_of(wire, payment=Payment("card", "pi_of_another", eur(100)))

        assert isinstance(gateway.look_up(effect), Unknown)

    def test_an_account_that_is_gone(self, wire: Wire) -> None:
        """
        Nor does nothing follow from the payouts of somebody else (I29).
        """
        accounts = {"luc": "acct_luc"}
        gateway = a_gateway(wire, payouts="payout", account_of=accounts.get)
        gateway.pay_out(payout(payee_id="luc"))
        accounts.clear()

        found = gateway.look_up(payout(payee_id="luc"))

        assert isinstance(found, Unknown)

    def test_too_many(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        Nobody looks for ever.
        """
        gateway.pay_out(payout())
        (made,) = wire.made["transfers"].values()
        for number in range(1001):
            wire.made["transfers"][f"tr_x{number}"] = made | {
                "id": f"tr_x{number}",
                "metadata": {},
            }

        found = gateway.look_up(payout())

        assert isinstance(found, Unknown)
        assert found.give_up

    def test_a_failure_does_not_hide_what_was_paid(
        self, wire: Wire, gateway: StripeGateway
    ) -> None:
        """
        Of two with one key the one that moved money counts.
        """
        effect = refund_of(wire)
        gateway.refund(effect)
        (made,) = wire.made["refunds"].values()
        wire.made["refunds"]["re_later"] = made | {"id": "re_later", "status": "failed"}

        assert gateway.look_up(effect) == Done(made["id"])


class TestCheckout:
    """
    Payments that a host begins.
    """

    def test_it_names_the_order(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        The page of the buyer gets what it needs, the webhook what it needs.
        """
        begun = gateway.checkout(
            "o1", eur("99.90"), key="try-1", item="a1", params={"customer": "cus_1"}
        )

        params = wire.requests[-1][2]
        assert params == {
            "amount": "9990",
            "currency": "eur",
            "customer": "cus_1",
            "metadata": {
                "escrowflow_order": "o1",
                "escrowflow_item": "a1",
                "escrowflow_method": "card",
            },
        }
        assert begun.client_secret.startswith(begun.reference)
        assert begun.client_secret not in repr(begun)
        assert begun.payment == Payment("card", begun.reference, eur("99.90"))
        assert gateway.order_of(begun.reference) == "o1"

    def test_a_hold(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        Money can be held first.
        """
        begun = gateway.checkout("o1", eur(10), key="1", capture="manual")

        assert wire.requests[-1][2]["capture_method"] == "manual"
        assert begun.payment.held_until == CLOCK.now().add(days=4, hours=18)

    def test_the_same_key(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        A key begins one payment of one order.
        """
        first = gateway.checkout("o1", eur(10), key="1")

        assert gateway.checkout("o1", eur(10), key="1") == first
        assert gateway.checkout("o2", eur(10), key="1") != first
        assert len(wire.made["payment_intents"]) == 2

    def test_another_amount_under_a_key(
        self, wire: Wire, gateway: StripeGateway
    ) -> None:
        """
        A key is for one payment: repeating that call helps nobody.
        """
        gateway.checkout("o1", eur(10), key="1")

        with pytest.raises(GatewayError) as caught:
            gateway.checkout("o1", eur(11), key="1")

        assert not caught.value.repeat

    def test_metadata_of_the_host(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        A host's own metadata stays beside ours.
        """
        gateway.checkout("o1", eur(10), key="1", params={"metadata": {"page": "7"}})

        assert wire.requests[-1][2]["metadata"]["page"] == "7"

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"amount": eur(0)}, "amount"),
            ({"amount": 10}, "amount"),
            ({"amount": Money.of("1.234", "KWD")}, "amount"),
            ({"key": ""}, "key"),
            ({"item": ""}, "item"),
            ({"capture": "later"}, "capture"),
            ({"params": []}, "params"),
            ({"params": {"amount": 1}}, "params"),
            ({"params": {"metadata": []}}, "params.metadata"),
            ({"params": {"metadata": {"escrowflow_order": "o2"}}}, "params"),
        ],
    )
    def test_malformed(
        self, wire: Wire, gateway: StripeGateway, changes: dict[str, Any], field: str
    ) -> None:
        """
        What is wrong by itself is not sent.
        """
        fields: dict[str, Any] = {"amount": eur(10), "key": "1", **changes}

        with pytest.raises(InvalidInputError) as caught:
            gateway.checkout("o1", **fields)

        assert caught.value.field == field
        assert wire.requests == []

    @pytest.mark.parametrize(
        ("trouble", "code", "repeat"),
        [
            ("declined", "card_declined", False),
            ("lost", "", True),
            ("locked", "idempotency_key_in_use", True),
            (RefusalError(404, "resource_missing", "?"), "resource_missing", False),
            ("expired", "api_key_expired", True),
            ("error", "", True),
        ],
    )
    def test_trouble(
        self,
        wire: Wire,
        gateway: StripeGateway,
        trouble: Any,
        code: str,
        repeat: bool,
    ) -> None:
        """
        A host hears one typed error, and whether it may repeat.
        """
        wire.troubles = [trouble]

        with pytest.raises(GatewayError) as caught:
            gateway.checkout("o1", eur(10), key="1")

        assert caught.value.code == code
        assert caught.value.repeat is repeat
        assert caught.value.gateway == "stripe"

    def test_whose_payment(self, wire: Wire, gateway: StripeGateway) -> None:
        """
        A payment of somebody else's belongs to no order; a question may fail.
        """
        assert gateway.order_of(wire.pay(100, "eur")["id"]) is None
        assert gateway.order_of("pi_unknown") is None
        wire.troubles = ["lost"]
        with pytest.raises(GatewayError):
            gateway.order_of("pi_unknown")


class TestHolds:
    """
    What a bank holds first.
    """

    @pytest.fixture
    def held(self, wire: Wire) -> Charge:
        """
        A charge of 100 euros that a bank holds.
        """
        made = wire.pay(10_000, "eur", capture="manual")
        until = CLOCK.now().add(days=4)
        return Charge(
            order_id="o1",
            seq=3,
            key="c" * 40,
            payment=Payment("card", made["id"], eur(100), until),
            amount=eur(100),
            asked_at=CLOCK.now(),
        )

    @pytest.fixture
    def let_go(self, held: Charge) -> ReleaseHold:
        """
        The same, to be let go.
        """
        return ReleaseHold(order_id="o1", seq=4, key="r" * 40, payment=held.payment)

    def test_it_can_hold(self, gateway: StripeGateway) -> None:
        """
        It says so, and for how long at least.
        """
        assert isinstance(gateway, payments.HoldingGateway)
        assert gateway.capabilities.hold_life == timedelta(days=4, hours=18)

    def test_a_charge(self, wire: Wire, gateway: StripeGateway, held: Charge) -> None:
        """
        All of it is captured, under the key.
        """
        said = gateway.charge(held)

        (_, path, params, headers) = wire.requests[-1]
        assert said == Done(held.payment.reference)
        assert path == f"/v1/payment_intents/{held.payment.reference}/capture"
        assert params["amount_to_capture"] == "10000"
        assert headers["Idempotency-Key"] == held.key

    def test_charged_by_hand(
        self, wire: Wire, gateway: StripeGateway, held: Charge
    ) -> None:
        """
        It can be charged once only, so whoever did it, it is done.
        """
        assert gateway.look_up(held) is None
        gateway.charge(held)
        (intent,) = wire.made["payment_intents"].values()

        intent["metadata"] = {}

        assert gateway.look_up(held) == Done(held.payment.reference)

    def test_charged_under_another_key(
        self, gateway: StripeGateway, held: Charge
    ) -> None:
        """
        What was taken for this order under an earlier key is here: nobody may call it
        never made.
        """
        gateway.charge(held)

        later = attrs.evolve(held, key="d" * 40)

        assert gateway.look_up(later) == Done(held.payment.reference)

    def test_charged_for_another_order(
        self, gateway: StripeGateway, held: Charge
    ) -> None:
        """
        What was taken for another order is for a human: it is neither ours nor a proof.
        """
        gateway.charge(attrs.evolve(held, order_id="o2"))

        found = gateway.look_up(held)

        assert isinstance(found, Unknown)
        assert found.give_up
        assert "'o2'" in found.reason

    def test_charged_in_part(
        self, wire: Wire, gateway: StripeGateway, held: Charge
    ) -> None:
        """
        What came in is not what was held: for a human (F44).
        """
        gateway.charge(held)
        (intent,) = wire.made["payment_intents"].values()
        intent["amount_received"] = 9_000

        found = gateway.look_up(held)

        assert isinstance(found, Unknown)
        assert found.give_up

    def test_over(self, wire: Wire, gateway: StripeGateway, held: Charge) -> None:
        """
        What the bank let go is not charged; that is sure (F37).
        """
        wire.let_go(held.payment.reference)

        assert gateway.look_up(held) is None
        assert isinstance(gateway.charge(held), NotDone)

    @pytest.mark.parametrize("trouble", ["lost", "garbled", RefusalError(404, "", "?")])
    def test_a_question_that_fails(
        self, wire: Wire, gateway: StripeGateway, held: Charge, trouble: Any
    ) -> None:
        """
        Not to know is no proof.
        """
        wire.troubles = [trouble]

        assert isinstance(gateway.look_up(held), Unknown)

    @pytest.mark.parametrize("by_the_bank", [True, False])
    def test_let_go(
        self,
        wire: Wire,
        gateway: StripeGateway,
        let_go: ReleaseHold,
        by_the_bank: bool,
    ) -> None:
        """
        It is let go, or was already.
        """
        reference = let_go.payment.reference
        if by_the_bank:
            wire.let_go(reference)

        assert gateway.release(let_go) == Done(reference)
        assert gateway.release(attrs.evolve(let_go, key="s" * 40)) == Done(reference)

    def test_not_let_go(
        self, wire: Wire, gateway: StripeGateway, held: Charge, let_go: ReleaseHold
    ) -> None:
        """
        What was charged stays.
        """
        gateway.charge(held)

        said = gateway.release(let_go)

        assert isinstance(said, NotDone)
        assert "succeeded" in said.reason

    @pytest.mark.parametrize(
        ("troubles", "kind"),
        [
            (["lost"], Unknown),
            (["locked"], RetryAt),
            (["", "lost"], Unknown),
            (["", "limited"], RetryAt),
        ],
    )
    def test_trouble(
        self,
        wire: Wire,
        gateway: StripeGateway,
        let_go: ReleaseHold,
        troubles: list[Any],
        kind: type[Result],
    ) -> None:
        """
        Not to know is no yes.
        """
        wire.let_go(let_go.payment.reference)
        wire.troubles = troubles

        assert type(gateway.release(let_go)) is kind


class TestMaking:
    """
    How a gateway is made.
    """

    def test_what_it_says_of_itself(self) -> None:
        """
        It says what Stripe documents, and no more.
        """
        gateway = StripeGateway(KEY, name="cards", refund_window="P180D")

        assert isinstance(gateway, payments.PaymentGateway)
        assert gateway.name == "cards"
        can = gateway.capabilities
        assert can.idempotency_window == timedelta(hours=24)
        assert can.refund_window == timedelta(days=180)
        assert can.look_up
        assert can.partial_refunds
        assert can.asynchronous

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"api_key": ""}, "api_key"),
            ({"api_key": None}, "api_key"),
            ({"api_key": b"sk_1"}, "api_key"),
            ({"api_key": "sk_1\nX: y"}, "api_key"),
            ({"api_key": "sk_1\n"}, "api_key"),
            ({"api_key": ["sk_1"]}, "api_key"),
            ({"api_key": {"key": "sk_1"}}, "api_key"),
            ({"api_key": "pk_test_1"}, "api_key"),
            ({"api_key": "whsec_1"}, "api_key"),
            ({"payouts": "cash"}, "payouts"),
            ({"account_of": {}}, "account_of"),
            ({"timeout": "soon"}, "timeout"),
            ({"refund_window": "soon"}, "refund_window"),
            ({"hold_life": "soon"}, "hold_life"),
            ({"name": ""}, "name"),
            ({"base_address": "http://stripe.example"}, "base_address"),
            ({"base_address": "127.0.0.1:80"}, "base_address"),
            ({"base_address": 80}, "base_address"),
            ({"clock": 7}, "clock"),
        ],
    )
    def test_malformed(self, changes: dict[str, Any], field: str) -> None:
        """
        What is wrong by itself is named; a key never is.
        """
        with pytest.raises(InvalidInputError) as caught:
            StripeGateway(**{"api_key": KEY, **changes})

        assert caught.value.field == field
        if changes.get("api_key"):
            assert "_1" not in str(caught.value)

    def test_fits(self) -> None:
        """
        It can be held against a process.
        """
        later = COMEUP.with_policies(acceptance={"charge_at": "acceptance"})

        assert payments.fits(COMEUP, StripeGateway(KEY)) == ()
        assert payments.fits(later, StripeGateway(KEY)) == ()


class TestSecrets:
    """
    The key is in no place where somebody could read it (I31).
    """

    @pytest.mark.parametrize(
        "trouble", [*MAPPED, RefusalError(400, "", f"bad key {KEY}!")], ids=str
    )
    def test_nowhere(
        self,
        wire: Wire,
        gateway: StripeGateway,
        trouble: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        Not in results, errors, their causes, what they hold, nor in logs.
        """
        caplog.set_level(logging.DEBUG)
        shown: list[Any] = [gateway, str(gateway), vars(gateway)]
        effect = refund_of(wire)
        for ask in (
            lambda: gateway.refund(effect),
            lambda: gateway.pay_out(payout()),
            lambda: gateway.look_up(effect),
            lambda: gateway.checkout("o1", eur(10), key="1"),
            lambda: gateway.order_of(effect.payment.reference),
        ):
            wire.troubles = [trouble]
            try:
                shown.append(ask())
            except GatewayError as error:
                shown += [error.__cause__, error.__context__]
                shown += [error, str(error), vars(error), error.args]
                shown += traceback.format_exception(error)
                shown.append(pickle.dumps(error))
        # The SDK writes down what Stripe answers, and Stripe shows no whole key; our
        # own lines never hold one, whatever it answers.
        echoed = trouble == "expired" or isinstance(trouble, RefusalError)
        shown += [
            record.getMessage()
            for record in caplog.records
            if record.name.startswith("escrowflow") or not echoed
        ]

        assert not [one for one in shown if KEY in repr(one)]
        assert {record.name for record in caplog.records} >= {"stripe"}

    def test_no_pickle(self, gateway: StripeGateway) -> None:
        """
        What holds a key is not sent to another process, nor copied.
        """
        for spread in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="make it where it is used") as caught:
                spread(gateway)
            assert KEY not in str(caught.value)

    def test_the_answers_of_a_wrong_key(self) -> None:
        """
        Nor when the key is wrong, which Stripe may repeat.
        """
        wire = Wire(FakeClock(T0), key="sk_test_another")
        gateway = a_gateway(wire)

        with pytest.raises(GatewayError) as caught:
            gateway.checkout("o1", eur(10), key="1")

        assert str(caught.value) == (
            "stripe: the key is not accepted; make the same call again"
        )


class TestImports:
    """
    Who does not use Stripe does not load it.
    """

    def test_not_by_itself(self) -> None:
        """
        Importing escrowflow and its payments leaves the SDK alone.
        """
        code = (
            "import sys, escrowflow, escrowflow.payments, escrowflow.testing\n"
            "sys.exit('stripe' in sys.modules)"
        )

        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Without the SDK one typed error names what to install; it is an `ImportError`.
        """
        ours = "escrowflow.payments.stripe"
        for name in [name for name in sys.modules if name.startswith(ours)]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "stripe", None)

        with pytest.raises(ImportError) as caught:
            import_module(ours)

        assert isinstance(caught.value, MissingExtraError)
        assert caught.value.extra == "stripe"
        assert str(caught.value) == (
            "this needs stripe: pip install 'escrowflow[stripe]'"
        )
