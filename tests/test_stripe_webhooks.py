"""
Stripe's webhooks: what is believed, what it means, and that repeated, reordered and
early ones end in the same books.
"""

from __future__ import annotations

import itertools
import json
import pickle
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escrowflow import commands as c
from escrowflow import payments
from escrowflow.clock import FakeClock
from escrowflow.effects import PayOut
from escrowflow.engine import Engine
from escrowflow.errors import (
    CommandRefusedError,
    GatewayError,
    InvalidInputError,
    NoticeRefusedError,
)
from escrowflow.money import Money, Payment
from escrowflow.parties import Seller
from escrowflow.payments.stripe import Notice, StripeGateway, StripeWebhooks
from escrowflow.storage.memory import MemoryStorage
from tests.given import ANA, COMEUP, STRIPE, T0, an_engine, an_order, any_text, eur
from tests.stripes import KEY, SECRET, Localstripe, Receiver, Wire, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from escrowflow.order import Order
    from escrowflow.rules import Policies
    from escrowflow.states import Process

KINDS: Final = ("refund", "pay_out", "charge", "release_hold")
LATER: Final = COMEUP.with_policies(acceptance={"charge_at": "acceptance"})
LUCA: Final = Seller("acct_luc")
CLOCK: Final = FakeClock(T0)


def nobody(reference: str) -> str | None:
    """
    Know no payment.
    """
    return None


HOOKS: Final = StripeWebhooks(SECRET, order_of=nobody, clock=CLOCK)


def an_event(kind: str, about: dict[str, Any], **more: Any) -> dict[str, Any]:
    """
    Return an event as Stripe sends it.
    """
    return {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "data": {"object": about},
        "created": int(CLOCK.now().timestamp()),
        **more,
    }


def an_intent(**changes: Any) -> dict[str, Any]:
    """
    Return a payment of 100 euros for the order o1.
    """
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 10_000,
        "amount_received": 10_000,
        "currency": "eur",
        "metadata": {"escrowflow_order": "o1"},
        **changes,
    }


def read(event: Any, hooks: StripeWebhooks = HOOKS) -> Notice:
    """
    Return what a webhook says, sent now.
    """
    return hooks.read(*signed(event, CLOCK.now()))


class TestBelief:
    """
    Only Stripe is believed, and only if it spoke lately.
    """

    def test_two_secrets(self) -> None:
        """
        While secrets are exchanged, either will do.
        """
        hooks = StripeWebhooks("whsec_old", SECRET, order_of=nobody, clock=CLOCK)
        event = an_event("payment_intent.succeeded", an_intent())

        for secret in ("whsec_old", SECRET):
            assert hooks.read(*signed(event, CLOCK.now(), secret)).order_id == "o1"
        with pytest.raises(NoticeRefusedError):
            hooks.read(*signed(event, CLOCK.now(), "whsec_new"))

    @pytest.mark.parametrize(
        "header",
        [
            "t={t}",
            "v1={v1}",
            "t={t},v1=0000",
            "t={t},v0={v1}",
            "t=,v1={v1}",
            "t=soon,v1={v1}",
            "t={t}0,v1={v1}",
            "t=1,t={t},v1={v1}",
            "t={t},v1=é",
            "=",
            ",,,",
            "v1={v1},v1={v1}",
        ],
    )
    def test_strange_headers(self, header: str) -> None:
        """
        A header that does not sign this is no signature, however it looks.
        """
        event = an_event("payment_intent.succeeded", an_intent())
        payload, signature = signed(event, CLOCK.now())
        parts = dict(part.split("=", 1) for part in signature.split(","))

        with pytest.raises(NoticeRefusedError) as caught:
            HOOKS.read(payload, header.format(**parts))

        assert caught.value.code == "wrong_signature"

    @pytest.mark.parametrize("signature", [None, ""])
    def test_unsigned(self, signature: str | None) -> None:
        """
        What is not signed is not read.
        """
        with pytest.raises(NoticeRefusedError, match="unsigned"):
            HOOKS.read(b"{}", signature)

    @given(st.integers(min_value=0, max_value=200), st.integers(0, 255))
    def test_any_change(self, place: int, value: int) -> None:
        """
        Whatever is changed on the way is noticed.
        """
        event = an_event("payment_intent.succeeded", an_intent())
        payload, signature = signed(event, CLOCK.now())
        changed = bytearray(payload)
        changed[place % len(payload)] = value
        if bytes(changed) == payload:
            return

        with pytest.raises(NoticeRefusedError) as caught:
            HOOKS.read(bytes(changed), signature)

        assert caught.value.code == "wrong_signature"

    @pytest.mark.parametrize(
        ("age", "stale"), [(0, False), (299, False), (300, False), (301, True)]
    )
    def test_stale(self, age: int, stale: bool) -> None:
        """
        What was signed long ago is somebody's recording.
        """
        sent_at = FakeClock(T0).now().subtract(seconds=age)
        sent = signed(an_event("payment_intent.succeeded", an_intent()), sent_at)

        if not stale:
            assert HOOKS.read(*sent).command is not None
            return
        with pytest.raises(NoticeRefusedError, match="stale"):
            HOOKS.read(*sent)

    @pytest.mark.parametrize(
        "body",
        [
            [],
            {},
            None,
            "text",
            {"object": "event"},
            {"object": "event", "data": []},
            {"object": "event", "data": {"object": "re_1"}},
            {"object": "v2.core.event", "data": {"object": {}}},
        ],
    )
    def test_no_event(self, body: Any) -> None:
        """
        What Stripe signed and is no event is refused, not crashed upon.
        """
        with pytest.raises(NoticeRefusedError, match="malformed"):
            read(body)

    @pytest.mark.parametrize(
        "text", ["", "{", "\ufeff{}", "[" * 100_000, '{"a": 1e999999}']
    )
    def test_no_json(self, text: str) -> None:
        """
        Nor what is no JSON.
        """
        payload = text.encode()
        from stripe import WebhookSignature

        header = WebhookSignature.generate_signature_header(
            text, SECRET, int(CLOCK.now().timestamp())
        )

        with pytest.raises(NoticeRefusedError, match="malformed"):
            HOOKS.read(payload, header)

    def test_too_long(self) -> None:
        """
        Nor what is too long, before it is even looked at.
        """
        with pytest.raises(NoticeRefusedError, match="malformed"):
            HOOKS.read(b" " * (1024 * 1024 + 1), "t=1,v1=1")

    def test_shows_no_secret(self) -> None:
        """
        Neither what reads them nor what it raises shows a secret (I31).
        """
        shown: list[Any] = [HOOKS, str(HOOKS), vars(HOOKS)]
        for payload, header in (
            (b"{}", "t=1,v1=1"),
            (b"\xff", "t=1,v1=1"),
            signed([], CLOCK.now()),
        ):
            with pytest.raises(NoticeRefusedError) as caught:
                HOOKS.read(payload, header)
            error = caught.value
            assert error.__context__ is None
            assert error.__cause__ is None
            shown += [error, str(error), vars(error)]
        with pytest.raises(TypeError) as unpickled:
            pickle.dumps(HOOKS)
        shown.append(str(unpickled.value))

        assert not [one for one in shown if SECRET in repr(one)]

    @pytest.mark.parametrize(
        ("secrets", "options", "field"),
        [
            ((), {}, "secrets"),
            (("",), {}, "secrets"),
            ((None,), {}, "secrets"),
            ((SECRET.encode(),), {}, "secrets"),
            (([SECRET, SECRET],), {}, "secrets"),
            ((SECRET, 7), {}, "secrets"),
            ((SECRET + "\n",), {}, "secrets"),
            ((SECRET.replace("whsec", "sk_live"),), {}, "secrets"),
            ((SECRET.replace("whsec", "rk_test"),), {}, "secrets"),
            ((SECRET,), {"order_of": None}, "order_of"),
            ((SECRET,), {"tolerance": "soon"}, "tolerance"),
            ((SECRET,), {"clock": 7}, "clock"),
        ],
    )
    def test_malformed(self, secrets: Any, options: Any, field: str) -> None:
        """
        What is wrong by itself is named.
        """
        with pytest.raises(InvalidInputError) as caught:
            StripeWebhooks(*secrets, **{"order_of": nobody, **options})

        assert caught.value.field == field
        # Nor is a secret, or a part of it, in what is said of it (I31).
        assert SECRET.removeprefix("whsec_") not in str(caught.value)

    @pytest.mark.parametrize("what", ["parsed", "decoded", "a view", None])
    def test_not_as_it_came(self, what: Any) -> None:
        """
        A body that was parsed or decoded is the host's mistake, and no forgery.
        """
        body, header = signed({"id": "evt_1"}, CLOCK.now())
        payload: Any = {
            "parsed": {"id": "evt_1"},
            "decoded": body.decode(),
            "a view": memoryview(body),
        }.get(what)

        with pytest.raises(InvalidInputError) as caught:
            HOOKS.read(payload, header)

        assert caught.value.field == "payload"
        assert f"not {type(payload).__name__}" in caught.value.problem
        assert "as bytes" in caught.value.problem

    def test_a_signature_that_is_no_text(self) -> None:
        """
        So is a header that is no text.
        """
        body, header = signed({"id": "evt_1"}, CLOCK.now())

        with pytest.raises(InvalidInputError, match="signature: the header"):
            HOOKS.read(body, header.encode())  # type: ignore[arg-type]


class TestMeaning:
    """
    What an event means for an order.
    """

    def test_a_payment(self) -> None:
        """
        What arrived is confirmed, for what it was meant.
        """
        about = an_intent(
            amount_received=9_000,
            metadata={
                "escrowflow_order": "o1",
                "escrowflow_item": "a1",
                "escrowflow_method": "wallet",
            },
        )

        notice = read(an_event("payment_intent.succeeded", about))

        assert notice == Notice(
            id="evt_1",
            type="payment_intent.succeeded",
            order_id="o1",
            command=c.ConfirmPayment(
                payment=Payment("wallet", "pi_1", eur(90)), item="a1"
            ),
        )

    def test_a_hold(self) -> None:
        """
        What a bank holds is confirmed as such, for as long as it is sure to be held.
        """
        about = an_intent(
            status="requires_capture", amount_received=0, amount_capturable=10_000
        )

        notice = read(an_event("payment_intent.amount_capturable_updated", about))

        until = CLOCK.now().add(days=4, hours=18).replace(microsecond=0)
        assert notice.command == c.ConfirmPayment(
            payment=Payment("card", "pi_1", eur(100), until)
        )

    def test_a_hold_that_is_over(self) -> None:
        """
        What a bank let go is reported; what it never held is nothing.
        """
        about = an_intent(
            capture_method="manual",
            latest_charge="ch_1",
            cancellation_reason="expired",
        )
        kind = "payment_intent.canceled"

        assert read(an_event(kind, about)).command == c.ReportCharge(
            reference="pi_1", status="failed", reason="Stripe: expired"
        )
        for change in ({"latest_charge": None}, {"capture_method": "automatic"}):
            assert read(an_event(kind, about | change)).reason == "not_needed"

    @pytest.mark.parametrize(
        ("status", "told"),
        [
            ("succeeded", "paid"),
            ("pending", "sent"),
            ("requires_action", "sent"),
            ("failed", "failed"),
            ("canceled", "failed"),
        ],
    )
    @pytest.mark.parametrize("kind", ["refund.created", "charge.refund.updated"])
    def test_a_refund(self, kind: str, status: str, told: str) -> None:
        """
        What became of a refund is told by its status, whatever the event is called.
        """
        about = {
            "id": "re_1",
            "object": "refund",
            "amount": 500,
            "currency": "jpy",
            "status": status,
            "metadata": {"escrowflow_order": "o1", "escrowflow_key": "k1"},
        }

        command = read(an_event(kind, about)).command

        assert isinstance(command, c.ReportRefund)
        assert (command.status, command.key, command.reference) == (told, "k1", "re_1")
        assert command.amount == Money(500, "JPY")
        assert bool(command.reason) == (told == "failed")
        assert not command.again

    @pytest.mark.parametrize(
        ("about", "told"),
        [
            ({"object": "transfer", "reversed": False}, "paid"),
            ({"object": "transfer", "reversed": True}, "failed"),
            ({"object": "payout", "status": "in_transit"}, "sent"),
            ({"object": "payout", "status": "paid"}, "paid"),
            ({"object": "payout", "status": "failed"}, "failed"),
        ],
    )
    def test_a_payout(self, about: dict[str, Any], told: str) -> None:
        """
        The same of what sellers are paid.
        """
        metadata = {"escrowflow_order": "o1", "escrowflow_key": "k1"}
        more = {"id": "po_1", "amount": 500, "currency": "eur", "metadata": metadata}

        notice = read(an_event("payout.updated", about | more, account="acct_1"[:0]))

        assert isinstance(notice.command, c.ReportPayout)
        assert notice.command.status == told

    @pytest.mark.parametrize(
        ("status", "moves", "told", "amount"),
        [
            ("needs_response", (-4_000,), "opened", eur(40)),
            ("under_review", (-4_000,), "opened", eur(40)),
            ("won", (-4_000, 4_000), "won", None),
            # Not yet given back.
            ("won", (-4_000,), "won", None),
            ("lost", (-4_000,), "lost", eur(40)),
            ("lost", (), "lost", eur(40)),
            # A part of it, however that is called.
            ("lost", (-4_000, 1_500), "lost", eur(25)),
            ("won", (-4_000, 1_500), "lost", eur(25)),
            ("lost", (-4_000, 4_000), "won", None),
        ],
    )
    def test_a_chargeback(
        self, status: str, moves: tuple[int, ...], told: str, amount: Money | None
    ) -> None:
        """
        A bank takes, and decides; what it comes to is what it kept.
        """
        asked = []

        def order_of(reference: str) -> str:
            asked.append(reference)
            return "o1"

        about = {
            "id": "du_1",
            "object": "dispute",
            "amount": 4_000,
            "currency": "eur",
            "status": status,
            "payment_intent": "pi_1",
            "charge": "ch_1",
            "balance_transactions": [
                {"amount": move, "currency": "eur"} for move in moves
            ],
        }
        hooks = StripeWebhooks(SECRET, order_of=order_of, clock=CLOCK)

        notice = read(an_event("charge.dispute.updated", about), hooks)

        assert notice.order_id == "o1"
        assert asked == ["pi_1"]
        assert notice.command == c.ReportChargeback(
            chargeback_id="du_1",
            payment_reference="pi_1",
            status=told,  # type: ignore[arg-type]
            amount=amount,
        )

    def test_a_chargeback_in_another_balance(self) -> None:
        """
        What was taken from a balance in dollars says nothing about euros.
        """
        about = {
            "id": "du_1",
            "object": "dispute",
            "amount": 4_000,
            "currency": "eur",
            "status": "lost",
            "charge": "ch_1",
            "balance_transactions": [
                {"amount": amount, "currency": "usd"} for amount in (-4_300, 1_000)
            ],
        }
        hooks = StripeWebhooks(SECRET, order_of=lambda reference: "o1", clock=CLOCK)

        command = read(an_event("charge.dispute.closed", about), hooks).command

        assert isinstance(command, c.ReportChargeback)
        assert (command.amount, command.payment_reference) == (eur(40), "ch_1")

    @pytest.mark.parametrize(
        ("kind", "about", "account", "reason"),
        [
            ("customer.created", {"object": "customer"}, "", "not_needed"),
            ("strange", {}, "", "not_needed"),
            ("strange", {"object": []}, "", "not_needed"),
            ("payment_intent.payment_failed", an_intent(), "", "not_needed"),
            (
                "payment_intent.amount_capturable_updated",
                an_intent(status="succeeded"),
                "",
                "not_needed",
            ),
            ("payment_intent.succeeded", an_intent(metadata={}), "", "not_ours"),
            ("payment_intent.succeeded", an_intent(metadata=None), "", "not_ours"),
            ("payment_intent.succeeded", an_intent(), "acct_1", "other_account"),
            ("refund.created", {"object": "refund", "metadata": {}}, "", "not_ours"),
            ("payout.paid", {"object": "payout"}, "acct_1", "not_ours"),
            (
                "charge.dispute.created",
                {"object": "dispute", "status": "warning_needs_response"},
                "",
                "not_taken",
            ),
            (
                "charge.dispute.closed",
                {"object": "dispute", "status": "prevented"},
                "",
                "not_taken",
            ),
            (
                "charge.dispute.created",
                {
                    "id": "du_1",
                    "object": "dispute",
                    "status": "needs_response",
                    "amount": 1,
                    "currency": "eur",
                    "charge": "ch_1",
                },
                "",
                "not_ours",
            ),
        ],
    )
    def test_nothing_to_do(
        self, kind: str, about: dict[str, Any], account: str, reason: str
    ) -> None:
        """
        What is nothing to us says why, and is no error.
        """
        more = {"account": account} if account else {}

        notice = read(an_event(kind, about, **more))

        assert (notice.command, notice.reason) == (None, reason)
        assert notice.account == account

    @pytest.mark.parametrize(
        "about",
        [
            an_intent(amount_received="100"),
            an_intent(amount_received=-1),
            an_intent(amount_received=0),
            an_intent(currency="xyz"),
            an_intent(currency=None),
            an_intent(currency="isk", amount_received=150),
            an_intent(id=None),
            an_intent(id=""),
            {"object": "payment_intent", "metadata": {"escrowflow_order": "o1"}},
            {
                "object": "refund",
                "metadata": {"escrowflow_order": "o1", "escrowflow_key": "k"},
            },
            {"object": "dispute"},
            {"object": "dispute", "status": "lost"},
        ],
    )
    def test_unreadable(self, about: dict[str, Any]) -> None:
        """
        What is about money of ours and makes no sense is an error, so that Stripe
        keeps it and a human sees it.
        """
        with pytest.raises(NoticeRefusedError) as caught:
            read(an_event("payment_intent.succeeded", about))

        assert caught.value.code == "unreadable"
        assert "evt_1" in str(caught.value)

    @pytest.mark.parametrize("created", [None, -1, 1.5, "1", 10**11, 10**30])
    def test_a_hold_of_unknown_age(self, created: Any) -> None:
        """
        Nor is it known how long something is held that began nobody knows when.
        """
        kind = "payment_intent.amount_capturable_updated"
        about = an_intent(status="requires_capture", amount_capturable=1)

        with pytest.raises(NoticeRefusedError, match="created"):
            read(an_event(kind, about, created=created))

    @given(
        st.sampled_from(
            [
                *("payment_intent.succeeded", "payment_intent.canceled"),
                "payment_intent.amount_capturable_updated",
            ]
        ),
        st.dictionaries(
            st.sampled_from(
                [
                    *("id", "object", "amount", "amount_received", "currency"),
                    *("metadata", "status", "charge", "payment_intent"),
                    *("balance_transactions", "reversed", "amount_capturable"),
                    *("capture_method", "latest_charge", "cancellation_reason"),
                ]
            ),
            st.recursive(
                st.none() | st.booleans() | st.integers() | any_text(max_size=3),
                lambda inner: (
                    st.lists(inner, max_size=2)
                    | st.dictionaries(any_text(max_size=3), inner, max_size=2)
                ),
                max_leaves=4,
            )
            | st.sampled_from(
                ["payment_intent", "refund", "transfer", "payout", "dispute", "eur"]
            )
            | st.just({"escrowflow_order": "o1", "escrowflow_key": "k"}),
        ),
    )
    @settings(max_examples=300)
    def test_anything(self, kind: str, about: dict[str, Any]) -> None:
        """
        Whatever Stripe signs is read, or refused; nothing crashes.
        """
        with suppress(NoticeRefusedError):
            notice = read(an_event(kind, about))
            assert (notice.command is None) == bool(notice.reason)


# --- with an engine ---------------------------------------------------------------


class Shop:
    """
    An engine, a Stripe that is played, and what it sends.
    """

    def __init__(self, process: Process[Policies] = COMEUP, **options: Any) -> None:
        self.clock = FakeClock(T0)
        self.wire = Wire(self.clock)
        self.gateway = StripeGateway(
            KEY, http_client=self.wire, clock=self.clock, **options
        )
        self.hooks = StripeWebhooks(
            SECRET, order_of=self.gateway.order_of, clock=self.clock
        )
        self.engine: Engine = an_engine(MemoryStorage(), process, clock=self.clock)
        self.told: list[dict[str, Any]] = []

    @property
    def order(self) -> Order:
        """
        The order.
        """
        return self.engine.order("o1")

    def place(self, capture: Literal["automatic", "manual"] = "automatic") -> None:
        """
        Place an order that is not paid, and have the buyer pay it.
        """
        order = an_order(payment=None, seller_id="acct_luc")
        self.engine.place(order, by=ANA, order_id="o1")
        begun = self.gateway.checkout(
            "o1", self.order.amount_due, key="1", capture=capture
        )
        self.wire.paid(begun.reference)

    def deliver(self) -> None:
        """
        Bring the order to its end.
        """
        for by, command in (
            (LUCA, c.AcceptOrder()),
            (LUCA, c.DeliverOrder(note="here")),
            (ANA, c.ApproveDelivery()),
        ):
            self.engine.execute("o1", command, by=by)

    def work(self) -> None:
        """
        Carry out what is to be done.
        """
        handlers = payments.handlers(self.gateway, clock=self.clock)
        self.engine.run_effects(handlers, KINDS)

    def events(self) -> list[dict[str, Any]]:
        """
        Return what Stripe has to say since this was last asked.
        """
        new = self.wire.events[len(self.told) :]
        self.told += new
        return new

    def tell(self, events: Iterable[dict[str, Any]] | None = None) -> list[Any]:
        """
        Deliver webhooks; return what the engine made of them.
        """
        heard = []
        for event in self.events() if events is None else events:
            notice = self.hooks.read(*signed(event, self.clock.now()))
            if notice.command is not None:
                heard.append(
                    self.engine.attempt(notice.order_id, notice.command, by=STRIPE)
                )
        return heard

    def books(self) -> tuple[Any, ...]:
        """
        Return what there is to know of the money, however it came to be known.
        """
        order = self.order
        return (
            order.state,
            order.ledger,
            sorted((one.status, one.amount.minor) for one in order.refunds),
            sorted((one.status, one.amount.minor) for one in order.payouts),
            [(one.id, one.lost) for one in order.chargebacks],
            len(self.engine.stuck()),
        )


class TestOrders:
    """
    Whole orders, by webhooks.
    """

    def test_paid_and_paid_out(self) -> None:
        """
        Checkout, work, payout: no human is needed.
        """
        shop = Shop()
        shop.place()
        shop.tell()
        assert shop.order.state == "pending"
        shop.deliver()
        shop.work()
        shop.tell()

        assert shop.books()[3] == [("paid", 10_000)]
        assert shop.order.ledger.payable == 0
        assert shop.engine.stuck() == ()
        assert shop.engine.verify().faults == ()

    @pytest.mark.parametrize("pending", [False, True])
    def test_paid_and_given_back(self, pending: bool) -> None:
        """
        A refund that is under way ends by webhook.
        """
        shop = Shop()
        shop.place()
        shop.tell()
        shop.wire.pending = pending
        shop.engine.execute("o1", c.CancelOrder(), by=ANA)
        shop.work()
        shop.tell()
        if pending:
            assert shop.order.refunds[0].status == "sent"
            shop.wire.end(shop.order.refunds[0].reference, "succeeded")
            shop.tell()

        assert shop.order.refunds[0].status == "paid"
        shop.clock.advance(days=3)
        shop.work()
        assert len(shop.wire.made["refunds"]) == 1

    def test_under_way_without_webhooks(self) -> None:
        """
        Nobody tells: it is asked for, and found, long after its key was forgotten.
        """
        shop = Shop()
        shop.place()
        shop.tell()
        shop.wire.pending = True
        shop.engine.execute("o1", c.CancelOrder(), by=ANA)
        for _ in range(5):
            shop.work()
            shop.clock.advance(days=1)
        shop.wire.end(shop.order.refunds[0].reference, "succeeded")
        shop.work()

        assert shop.order.refunds[0].status == "paid"
        assert len(shop.wire.made["refunds"]) == 1

    def test_a_bank_that_sends_it_back(self) -> None:
        """
        A payout that fails after it was paid is owed again, and a human must look.
        """
        shop = Shop(payouts="payout")
        shop.place()
        shop.tell()
        shop.deliver()
        shop.work()
        (payout,) = shop.wire.made["payouts"].values()
        for status in ("in_transit", "paid", "failed"):
            shop.wire.end(payout["id"], status, failure_message="account closed")
        shop.tell()

        (owed,) = shop.order.payouts
        assert (owed.status, owed.epoch) == ("failed", 1)
        assert "account closed" in shop.engine.stuck()[0].reason

    def test_an_empty_balance(self) -> None:
        """
        A transfer waits for the platform's balance, under another key each time.
        """
        shop = Shop()
        shop.place()
        shop.tell()
        shop.deliver()
        shop.wire.troubles = ["poor", "poor", "poor"]
        for _ in range(6):
            shop.work()
            shop.clock.advance(minutes=20)

        assert shop.order.payouts[0].status == "paid"
        assert shop.order.payouts[0].epoch == 3
        assert len(shop.wire.made["transfers"]) == 1

    def test_another_amount(self) -> None:
        """
        What arrived and is not what was asked for goes back whole, or waits for the
        rest.
        """
        shop = Shop()
        shop.place()
        (event,) = shop.events()
        event["data"]["object"]["amount_received"] = 10_100

        shop.tell([event])

        assert shop.order.state == "awaiting_payment"
        assert shop.order.refunds[0].amount == eur(101)

    def test_another_currency(self) -> None:
        """
        Money in another currency cannot be booked: one typed error, nothing written.
        """
        shop = Shop()
        shop.place()
        (event,) = shop.events()
        event["data"]["object"]["currency"] = "usd"
        before = shop.order.version

        with pytest.raises((InvalidInputError, CommandRefusedError)):
            shop.tell([event])

        assert shop.order.version == before

    def test_a_report_of_another_amount(self) -> None:
        """
        A report that contradicts the books is refused, with its reason (F44).
        """
        shop = Shop()
        shop.place()
        shop.tell()
        shop.engine.execute("o1", c.CancelOrder(), by=ANA)
        shop.work()
        (event,) = shop.events()
        event["data"]["object"]["amount"] = 9_999

        (heard,) = shop.tell([event])

        assert heard.blockers[0].code == "amount_differs"

    def test_a_chargeback_that_cannot_be_placed(self) -> None:
        """
        A chargeback whose order cannot be asked for now is an error, so that Stripe
        sends it again.
        """
        shop = Shop()
        shop.place()
        shop.tell()
        (intent,) = shop.wire.made["payment_intents"]
        shop.wire.charge_back(intent, 10_000, "needs_response")
        shop.wire.troubles = ["lost"]

        with pytest.raises(GatewayError):
            shop.tell(shop.events())
        shop.tell(shop.told[-1:])

        assert [one.open for one in shop.order.chargebacks] == [True]

    def test_an_inquiry_that_becomes_one(self) -> None:
        """
        A bank first inquires, then takes, then loses.
        """
        shop = Shop()
        shop.place()
        (intent,) = shop.wire.made["payment_intents"]
        dispute = shop.wire.charge_back(intent, 10_000, "warning_needs_response")
        shop.tell()
        assert not shop.order.chargebacks
        shop.wire.judge(dispute["id"], "needs_response")
        shop.wire.judge(dispute["id"], "won", back=10_000)
        shop.tell()

        (one,) = shop.order.chargebacks
        assert one.lost == eur(0)


class TestHolds:
    """
    Authorise first, charge later, by webhooks (F37).
    """

    def held(self) -> Shop:
        """
        Return a shop whose order is paid by a hold.
        """
        shop = Shop(LATER)
        shop.place("manual")
        shop.tell()
        assert shop.order.state == "pending"
        assert shop.order.ledger.escrow == 0
        return shop

    @pytest.mark.parametrize("trouble", ["", "unanswered", "lost", "error", "locked"])
    @pytest.mark.parametrize("heard", [True, False])
    def test_charged(self, trouble: str, heard: bool) -> None:
        """
        The seller begins once the money is here, whoever says so first; it is taken
        once.
        """
        shop = self.held()
        shop.engine.execute("o1", c.AcceptOrder(), by=LUCA)
        shop.wire.troubles = [trouble]
        for _ in range(40):
            shop.work()
            if heard:
                shop.tell()
                shop.tell(shop.told)
            shop.clock.advance(minutes=5)

        assert shop.order.state == "in_progress"
        assert shop.order.ledger.held == eur(100)
        (intent,) = shop.wire.made["payment_intents"].values()
        assert intent["amount_received"] == 10_000
        assert shop.engine.stuck() == ()
        assert shop.engine.verify().faults == ()

    def test_let_go(self) -> None:
        """
        An order that ends before it is charged lets the bank go, and hears of it.
        """
        shop = self.held()
        shop.engine.execute("o1", c.CancelOrder(), by=ANA)
        shop.work()
        version = shop.order.version
        shop.tell()
        shop.tell(shop.told)

        (intent,) = shop.wire.made["payment_intents"].values()
        assert intent["status"] == "canceled"
        assert shop.order.version == version
        assert shop.engine.stuck() == ()

    def test_over_too_soon(self) -> None:
        """
        A bank that lets go ends the order.
        """
        shop = self.held()
        (intent,) = shop.wire.made["payment_intents"]
        shop.wire.let_go(intent)
        shop.tell()
        shop.tell(shop.told[-1:])

        assert shop.order.state == "cancelled"
        assert shop.order.refunds == ()

    def test_charged_by_hand(self) -> None:
        """
        What somebody charges on Stripe's pages is here.
        """
        shop = self.held()
        (intent,) = shop.wire.made["payment_intents"].values()
        intent |= {"status": "succeeded", "amount_received": 10_000}
        told = an_event("payment_intent.succeeded", intent)
        shop.tell([told, told])
        shop.deliver()

        assert shop.order.state == "completed"
        assert shop.order.ledger.released == eur(100)

    def test_any_order(self) -> None:
        """
        In any order and twice, the same books.
        """
        found = set()
        for turn in itertools.permutations([0, 0, 1, 1]):
            shop = Shop(LATER)
            shop.place("manual")
            shop.tell(shop.events())
            shop.engine.execute("o1", c.AcceptOrder(), by=LUCA)
            shop.work()
            events = [*shop.told, *shop.events()]
            shop.tell(events[place] for place in turn)
            found.add(str(shop.books()))

        assert len(found) == 1


def ordered(shop: Shop, life: str) -> list[dict[str, Any]]:
    """
    Live a life without hearing anything, and return all that Stripe says of it.
    """
    shop.wire.pending = True
    shop.engine.execute("o1", c.CancelOrder(), by=ANA)
    shop.work()
    (refund,) = shop.wire.made["refunds"]
    if life == "refunded":
        shop.wire.end(refund, "succeeded")
    elif life == "failed":
        shop.wire.end(refund, "failed", failure_reason="lost_or_stolen_card")
    return shop.events()


class TestOrderOfDelivery:
    """
    Repeated, reordered, and before the answer of the call (F20, F43, I17).
    """

    @pytest.mark.parametrize("life", ["under_way", "refunded", "failed"])
    def test_any_order(self, life: str) -> None:
        """
        The same books, in whatever order and however often a webhook comes.
        """
        found = set()
        told = 0
        for number in itertools.count():
            shop = Shop()
            shop.place()
            shop.tell()
            events = ordered(shop, life)
            told = len(events)
            turns = list(itertools.permutations([*range(told), *range(told)]))
            turn = turns[number]
            shop.tell(events[place] for place in turn)
            found.add(str(shop.books()))
            if number + 1 == len(turns):
                break

        assert told == (1 if life == "under_way" else 2)
        assert len(found) == 1

    def test_of_a_chargeback(self) -> None:
        """
        The verdict may come before the claim.
        """
        found = set()
        for turn in itertools.permutations(range(3)):
            shop = Shop()
            shop.place()
            shop.tell()
            (intent,) = shop.wire.made["payment_intents"]
            dispute = shop.wire.charge_back(intent, 10_000, "needs_response")
            shop.wire.judge(dispute["id"], "under_review")
            shop.wire.judge(dispute["id"], "lost")
            events = shop.events()
            shop.tell(events[place] for place in turn)
            shop.tell(events[place] for place in turn)
            found.add(str(shop.books()))

        assert len(found) == 1

    @pytest.mark.parametrize("trouble", ["", "unanswered", "garbled", "lost", "error"])
    @pytest.mark.parametrize("payouts", ["transfer", "payout"])
    @pytest.mark.parametrize("early", [True, False])
    def test_before_the_answer(self, payouts: Any, trouble: str, early: bool) -> None:
        """
        A webhook that is faster than the answer, or comes instead of it, changes
        nothing: money moves once.
        """
        shop = Shop(payouts=payouts)
        shop.place()
        shop.tell()
        shop.deliver()
        shop.wire.troubles = [trouble]
        inner = shop.gateway.pay_out

        def pay_out(effect: PayOut) -> Any:
            said = inner(effect)
            if early:
                shop.tell()
                shop.tell(shop.told[-1:])
            return said

        handlers = {
            **payments.handlers(shop.gateway, clock=shop.clock),
            PayOut: pay_out,
        }
        shop.engine.run_effects(handlers, KINDS)
        for _ in range(40):
            shop.clock.advance(minutes=5)
            shop.work()
            shop.tell()
        for payout in shop.wire.made["payouts"]:
            shop.wire.end(payout, "paid")
        shop.tell()

        (owed,) = shop.order.payouts
        assert owed.status == "paid"
        moved = [*shop.wire.made["payouts"], *shop.wire.made["transfers"]]
        assert len(moved) == 1
        assert shop.engine.stuck() == ()

    @pytest.mark.parametrize("seed", range(20))
    def test_at_random(self, seed: int) -> None:
        """
        Webhooks lost, late, twice and in disorder between the rounds of a worker that
        hears no answer half of the time.
        """
        chance = random.Random(seed)
        shop = Shop(payouts=chance.choice(["transfer", "payout"]))
        shop.place()
        shop.tell()
        shop.deliver()
        for _ in range(60):
            trouble = chance.choice(["", "", "lost", "unanswered", "error", "locked"])
            shop.wire.troubles = [trouble]
            shop.work()
            events = shop.events()
            shop.tell(
                one for one in shop.told if chance.random() < 0.3 or one in events
            )
            shop.clock.advance(minutes=chance.choice([1, 10, 60, 600]))
        shop.wire.troubles = []
        for payout in shop.wire.made["payouts"]:
            shop.wire.end(payout, "paid")
        for _ in range(10):
            shop.clock.advance(hours=13)
            shop.work()
        shop.tell(chance.sample(shop.wire.events, len(shop.wire.events)))

        moved = [*shop.wire.made["payouts"], *shop.wire.made["transfers"]]
        assert len(moved) == 1
        assert shop.order.payouts[0].status == "paid"


class TestLocalstripe:
    """
    Somebody else's idea of Stripe, end to end: real requests, real webhooks.
    """

    @pytest.fixture
    def receiver(self, localstripe: Localstripe) -> Iterator[Receiver]:
        """
        A server that localstripe sends its webhooks to.
        """
        with Receiver() as receiver:
            localstripe.ask(
                "POST",
                "/_config/webhooks/escrowflow",
                url=receiver.address,
                secret=SECRET,
            )
            yield receiver

    def test_a_whole_order(self, localstripe: Localstripe, receiver: Receiver) -> None:
        """
        Placed, paid by card, told by webhook, worked on, and given back in part.
        """
        gateway = StripeGateway(
            KEY, payouts="payout", base_address=localstripe.address, timeout="PT30S"
        )
        # Its signatures are of the real time.
        hooks = StripeWebhooks(SECRET, order_of=gateway.order_of)
        engine = Engine(an_engine(MemoryStorage()).process, MemoryStorage())
        engine.place(
            an_order(payment=None, seller_id="acct_luc"), by=ANA, order_id="o-é/1"
        )

        def hear(kind: str) -> c.Command:
            for payload, signature in receiver:
                notice = hooks.read(payload, signature)
                if notice.type == kind and notice.order_id == "o-é/1":
                    assert notice.command is not None
                    engine.execute(notice.order_id, notice.command, by=STRIPE)
                    return notice.command
            raise AssertionError("never told")

        begun = gateway.checkout("o-é/1", eur(100), key="1")
        assert gateway.order_of(begun.reference) == "o-é/1"
        localstripe.paid(begun.reference)
        hear("payment_intent.succeeded")
        assert engine.order("o-é/1").state == "pending"
        for by, command in (
            (LUCA, c.AcceptOrder()),
            (LUCA, c.ProposePartialRefund(amount=eur(25), reason="late")),
            (ANA, c.AcceptPartialRefund()),
            (LUCA, c.DeliverOrder(note="here")),
            (ANA, c.ApproveDelivery()),
        ):
            engine.execute("o-é/1", command, by=by)
        engine.run_effects(payments.handlers(gateway), KINDS)
        order = engine.order("o-é/1")
        assert [one.status for one in order.refunds] == ["paid"]
        assert [one.status for one in order.payouts] == ["sent"]
        payout = order.payouts[0].reference
        localstripe.ask("POST", f"/v1/payouts/{payout}", status="paid")
        hear("payout.updated")

        order = engine.order("o-é/1")
        assert [one.status for one in order.payouts] == ["paid"]
        assert order.ledger.payable == order.ledger.refundable == 0
        assert engine.verify().faults == ()

    def test_a_declined_card(self, localstripe: Localstripe) -> None:
        """
        A card that is declined is one typed error.
        """
        gateway = StripeGateway(KEY, base_address=localstripe.address)
        params = {
            "payment_method": localstripe.card("4000000000000341"),
            "confirm": True,
        }

        with pytest.raises(GatewayError) as caught:
            gateway.checkout("o1", eur(10), key="1", params=params)

        assert caught.value.code == "card_declined"
        assert not caught.value.repeat
        assert json.dumps(caught.value.problem).isascii()
