"""
What became of the money: reports of refunds and payouts, chargebacks, other payees
(I3, I34; docs/reference/rules.md).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

import pytest

from escrowflow import commands as c
from escrowflow.clock import to_micros
from escrowflow.decisions import decide
from escrowflow.decisions.reports import later_keys, may_leave, touched
from escrowflow.effects import Done, Notify, PayOut, Refund, RetryAt, Unknown
from escrowflow.errors import CommandRefusedError, InvalidInputError
from escrowflow.events import PayoutFailed, PayoutRedirected, RefundFailed
from escrowflow.money import Money, Payment
from escrowflow.parties import OUTBOX
from escrowflow.storage import EffectResult
from escrowflow.storage.memory import MemoryStorage
from escrowflow.terms import Split
from escrowflow.testing.invariants import check_history, check_money
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    MIA,
    OPS,
    STRIPE,
    WAY,
    an_engine,
    brought_to,
    eur,
    paid,
)
from tests.test_states import PAUSES

if TYPE_CHECKING:
    from escrowflow.engine import Engine
    from escrowflow.order import Order

# Four payments: two cards, a wallet, and one that came too late.
CARD: Final = paid("pi_1", eur(60))
PAYPAL: Final = Payment("paypal", "pp_1", eur(40))


def engine_with(state: str, **changes: Any) -> Engine:
    """
    Return an engine with order o1 in a state, paid by card and by PayPal.
    """
    engine = an_engine(MemoryStorage())
    brought_to(engine, state, payment=(CARD, PAYPAL), **changes)
    return engine


def split() -> Engine:
    """
    Return an engine with an order of which 70 go back and 30 to the seller.
    """
    engine = engine_with("disputed")
    engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)
    ruling = Split(to_buyer=eur(70))
    engine.execute("o1", c.RuleDispute(ruling=ruling, reason="half"), by=MIA)
    return engine


def tell(engine: Engine, command: c.Command, by: Any = STRIPE) -> Order:
    """
    Send a report; return the order after it, everything that must hold being held.
    """
    order = engine.execute("o1", command, by=by).order
    check_history(COMEUP, engine.history("o1"))
    assert engine.verify().faults == ()
    return order


def books(order: Order) -> dict[str, int]:
    """
    Return the accounts that are not empty, in whole euros.
    """
    names = ("escrow", "refundable", "buyer", "payable", "seller", "receivable")
    found = {name: getattr(order.ledger, name) // 100 for name in names}
    return {name: amount for name, amount in found.items() if amount}


def keys_of(engine: Engine) -> tuple[str, str, str]:
    """
    Return the keys of the refunds to PayPal and card, and of the payout.
    """
    order = engine.order("o1")
    (paypal, card), (payout,) = order.refunds, order.payouts
    assert (paypal.payment.method, card.payment.method) == ("paypal", "card")
    return paypal.key, card.key, payout.key


def told(order: Order, command: c.Command) -> Order:
    """
    Return an order after a report, or as it was if that was refused.
    """
    answer = decide(COMEUP, order, command, by=STRIPE, now=order.effective_at)
    assert answer.order is not None
    check_money(answer.order)
    return answer.order


class TestReports:
    """
    What is owed is paid when somebody says so, and not before.
    """

    def test_sent_after_all(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        What a worker did though somebody said meanwhile that it was not done is not
        counted as done, and is told to staff: it may be there twice.
        """
        engine = split()
        *_, payout = keys_of(engine)
        failed = c.ReportPayout(key=payout, status="failed", reason="x", again=True)

        def slow(effect: PayOut) -> Done:
            if effect.key == payout:
                tell(engine, failed, OPS)
            return Done(f"po_{effect.key[:4]}")

        report = engine.run_effects({PayOut: slow}, kinds=["pay_out"])

        assert (report.stale, report.done) == (1, 1)
        assert "may have moved twice" in caplog.text
        assert payout in caplog.text

    def test_words_that_nothing_is_made_of(self) -> None:
        """
        Why something was paid is in no history, and is kept nowhere else.
        """
        engine = split()
        paypal, _, _ = keys_of(engine)

        tell(engine, c.ReportRefund(key=paypal, status="paid", reason="I looked"), OPS)

        assert not {
            text.text for text in engine.storage.texts("o1") if text.subject_id == "ops"
        }

    def test_paid(self) -> None:
        """
        Money that was paid has left what is owed; the four stay as they were.
        """
        engine = split()
        assert books(engine.order("o1")) == {"refundable": 70, "payable": 30}
        paypal, card, payout = keys_of(engine)

        tell(engine, c.ReportRefund(key=paypal, status="sent", reference="re_1"))
        assert books(engine.order("o1")) == {"refundable": 70, "payable": 30}
        tell(engine, c.ReportRefund(key=paypal, status="paid"))
        tell(engine, c.ReportRefund(key=card, status="paid", reference="re_2"))
        order = tell(engine, c.ReportPayout(key=payout, status="paid", amount=eur(30)))

        assert books(order) == {"buyer": 70, "seller": 30}
        assert [one.status for one in order.refunds] == ["paid", "paid"]
        assert [one.status for one in order.payouts] == ["paid"]
        # What it said last about its name stays known.
        assert [one.reference for one in order.refunds] == ["re_1", "re_2"]
        assert order.ledger.refunded == eur(70)
        assert order.ledger.released == eur(30)

    @pytest.mark.parametrize("status", ["sent", "paid"])
    def test_said_twice(self, status: Any) -> None:
        """
        What is known already changes nothing: webhooks come twice, and late.
        """
        engine = split()
        paypal, _, payout = keys_of(engine)
        tell(engine, c.ReportRefund(key=paypal, status=status))
        order = tell(engine, c.ReportPayout(key=payout, status=status))
        version = order.version

        for again in {"sent", status}:
            tell(engine, c.ReportRefund(key=paypal, status=again))
            order = tell(engine, c.ReportPayout(key=payout, status=again))

        assert order.version == version

    def test_failed(self) -> None:
        """
        What did not happen is owed under another key, and waits for a human.
        """
        engine = split()
        paypal, _, payout = keys_of(engine)

        tell(engine, c.ReportRefund(key=paypal, status="failed", reason="closed"))
        order = tell(engine, c.ReportPayout(key=payout, status="failed", reason="shut"))

        assert books(order) == {"refundable": 70, "payable": 30}
        (refund, _), (earned,) = order.refunds, order.payouts
        assert (refund.status, refund.epoch) == ("failed", 1)
        assert (earned.status, earned.epoch) == ("failed", 1)
        effects: dict[str, Any] = {
            one.effect.key: (one.effect, one.status) for one in engine.effects("o1")
        }
        for owed, kind, amount in ((refund, Refund, 40), (earned, PayOut, 30)):
            effect, status = effects[owed.key]
            assert isinstance(effect, kind)
            assert (effect.amount, status) == (eur(amount), "parked")
        assert {paypal, payout}.isdisjoint({refund.key, earned.key})
        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, c.ReportRefund(key=paypal, status="paid"))
        assert [one.code for one in caught.value.blockers] == [
            "nothing_owed_by_that_name"
        ]

    def test_failed_after_it_was_paid(self) -> None:
        """
        A refund that comes back is owed again; so is a payout (F38, F40).
        """
        engine = split()
        paypal, _, payout = keys_of(engine)
        tell(engine, c.ReportRefund(key=paypal, status="paid"))
        tell(engine, c.ReportPayout(key=payout, status="paid"))
        assert books(engine.order("o1")) == {
            "refundable": 30,
            "buyer": 40,
            "seller": 30,
        }

        tell(engine, c.ReportRefund(key=paypal, status="failed", reason="closed"))
        order = tell(engine, c.ReportPayout(key=payout, status="failed", reason="shut"))

        assert books(order) == {"refundable": 70, "payable": 30}
        for refund in order.refunds:
            order = tell(engine, c.ReportRefund(key=refund.key, status="paid"))
        for earned in order.payouts:
            order = tell(engine, c.ReportPayout(key=earned.key, status="paid"))
        assert books(order) == {"buyer": 70, "seller": 30}

    def test_again_by_itself(self) -> None:
        """
        What surely did not happen may be sent again without a human.
        """
        engine = split()
        paypal, _, _ = keys_of(engine)

        report = c.ReportRefund(
            key=paypal, status="failed", reason="looked up", again=True
        )
        order = tell(engine, report)

        assert order.refunds[0].status == "owed"
        statuses = {one.effect.key: one.status for one in engine.effects("o1")}
        assert statuses[order.refunds[0].key] == "waiting"

    def test_by_its_reference(self) -> None:
        """
        Who does not know our key may say what he called it before.
        """
        engine = split()
        paypal, _, _ = keys_of(engine)
        tell(engine, c.ReportRefund(key=paypal, status="sent", reference="re_1"))

        order = tell(engine, c.ReportRefund(reference="re_1", status="paid"))

        assert order.refunds[0].status == "paid"

    def test_by_its_reference_under_another_key(self) -> None:
        """
        What the provider calls it counts, if nobody knows the key it was sent under.
        """
        engine = split()
        paypal, _, _ = keys_of(engine)
        tell(engine, c.ReportRefund(key=paypal, status="paid", reference="re_1"))

        report = c.ReportRefund(
            key="lost", reference="re_1", status="failed", reason="it came back"
        )
        order = tell(engine, report)

        assert [one.status for one in order.refunds] == ["failed", "owed"]

    @pytest.mark.parametrize(
        ("booked", "told"), [("sent", "failed"), ("paid", "failed"), ("paid", "paid")]
    )
    def test_of_another_under_the_same_key(self, booked: Any, told: Any) -> None:
        """
        How something ended that is not what was booked changes nothing, and is said: after
        a restored backup it may have left twice.  Without its name it is what was booked.
        """
        engine = split()
        paypal, _, payout = keys_of(engine)
        tell(engine, c.ReportRefund(key=paypal, status=booked, reference="re_2"))
        before = tell(
            engine, c.ReportPayout(key=payout, status=booked, reference="tr_2")
        )

        for report in (
            c.ReportRefund(key=paypal, status=told, reference="re_1"),
            c.ReportPayout(key=payout, status=told, reference="tr_1"),
        ):
            with pytest.raises(CommandRefusedError) as caught:
                tell(engine, report)
            (blocker,) = caught.value.blockers
            assert blocker.code == "reference_differs"
            ours = report.reference.replace("1", "2")
            assert blocker.params == {"name": report.reference, "ours": ours}
        assert engine.order("o1").version == before.version

        tell(engine, c.ReportRefund(key=paypal, status=told))
        order = tell(engine, c.ReportPayout(key=payout, status=told, reference="tr_2"))
        assert (order.refunds[0].status, order.payouts[0].status) == (told, told)

    @pytest.mark.parametrize("told", ["sent", "paid", "failed"])
    @pytest.mark.parametrize("name", ["re_1", ""])
    def test_forgotten_while_another_is_under_way(self, told: Any, name: str) -> None:
        """
        What is under way is not given up because of something that was sent under a
        later key and that a restored backup has forgotten: it would leave twice.
        """
        engine = split()
        paypal, *_ = keys_of(engine)
        before = tell(
            engine, c.ReportRefund(key=paypal, status="sent", reference="re_2")
        )
        (later, *_) = later_keys(before, before.refunds[0])

        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, c.ReportRefund(key=later, status=told, reference=name))

        (blocker,) = caught.value.blockers
        assert blocker.code == "nothing_owed_by_that_name"
        assert blocker.params == {"name": later}
        order = tell(engine, c.ReportRefund(key=paypal, status="paid"))
        assert order.refunds[0].reference == "re_2"

    def test_found_under_a_later_key(self) -> None:
        """
        What was found under way by its later key is called the same: how it ends counts.
        """
        engine = split()
        paypal, *_ = keys_of(engine)
        order = tell(
            engine, c.ReportRefund(key=paypal, status="sent", reference="re_1")
        )
        (later, *_) = later_keys(order, order.refunds[0])

        report = c.ReportRefund(key=later, status="failed", reference="re_1")
        refund = tell(engine, report).refunds[0]

        assert (refund.status, refund.epoch) == ("failed", 2)

    @pytest.mark.parametrize(
        ("told", "notices"),
        [
            ("paid", []),
            ("sent", []),
            (
                "failed",
                [
                    ("refund_failed", "buyer"),
                    ("refund_failed", "operator"),
                    ("payout_failed", "seller"),
                    ("payout_failed", "operator"),
                ],
            ),
        ],
    )
    def test_what_was_forgotten_is_no_news(
        self, told: Any, notices: list[tuple[str, str]]
    ) -> None:
        """
        Of keys that were given up before a backup was restored nobody hears once more:
        the buyer's refund is not delayed if it is there.
        """
        engine = split()
        order = engine.order("o1")
        refund = later_keys(order, order.refunds[0])[1]
        payout = later_keys(order, order.payouts[0])[1]

        # Who carries it out has asked about our key before.
        tell(engine, c.ReportRefund(key=refund, status=told, reason="closed"), OUTBOX)
        tell(engine, c.ReportPayout(key=payout, status=told, reason="closed"), OUTBOX)

        effects = (one.effect for one in engine.effects("o1"))
        found = [
            (one.kind, one.to)
            for one in effects
            if isinstance(one, Notify) and one.kind.endswith("_failed")
        ]
        assert found == notices
        fallen = [
            (one.event.caught_up, one.event.again)
            for one in engine.history("o1")
            if isinstance(one.event, (RefundFailed, PayoutFailed))
        ]
        each = [(True, True)] * 2 + [(False, False)] * (told == "failed")
        assert fallen == each * 2

    @pytest.mark.parametrize("told", ["paid", "failed"])
    def test_a_key_that_was_given_up(self, told: Any) -> None:
        """
        What is said late of a first attempt is not said of the second, though the
        provider calls both the same.
        """
        engine = split()
        paypal, *_ = keys_of(engine)
        failed = c.ReportRefund(
            key=paypal, status="failed", reference="pp_1", again=True
        )
        second = tell(engine, failed).refunds[0].key
        before = tell(
            engine, c.ReportRefund(key=second, status="sent", reference="pp_1")
        )

        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, c.ReportRefund(key=paypal, status=told, reference="pp_1"))

        (blocker,) = caught.value.blockers
        assert blocker.code == "nothing_owed_by_that_name"
        assert engine.order("o1") == before

    def test_one_of_a_batch(self) -> None:
        """
        Of several that are called the same a report is about the one whose key it says:
        the present one, or a later one that was forgotten, even of what was paid.
        """
        engine = split()
        paypal, card, _ = keys_of(engine)
        order = tell(
            engine, c.ReportRefund(key=paypal, status="sent", reference="batch")
        )
        (later, *_) = later_keys(order, order.refunds[1])

        report = c.ReportRefund(key=later, status="paid", reference="batch")
        with pytest.raises(CommandRefusedError):
            # Of the other one, and nobody has asked about its key yet.
            tell(engine, report)
        order = tell(engine, report, OUTBOX)
        assert [one.status for one in order.refunds] == ["sent", "paid"]

        engine = split()
        for key, status in ((paypal, "sent"), (card, "paid")):
            report = c.ReportRefund(key=key, status=status, reference="batch")  # type: ignore[arg-type]
            tell(engine, report)
        order = tell(
            engine, c.ReportRefund(key=later, status="failed", reference="batch")
        )
        assert [one.status for one in order.refunds] == ["sent", "failed"]

    def test_its_name_comes_late(self) -> None:
        """
        What is on its way may be called otherwise once it has arrived.
        """
        engine = split()
        paypal, _, _ = keys_of(engine)
        tell(engine, c.ReportRefund(key=paypal, status="sent", reference="batch_1"))

        order = tell(
            engine, c.ReportRefund(key=paypal, status="paid", reference="re_1")
        )

        refund = order.refunds[0]
        assert (refund.status, refund.reference) == ("paid", "re_1")

    @pytest.mark.parametrize("by", [STRIPE, OPS])
    @pytest.mark.parametrize(
        ("fields", "code", "params"),
        [
            ({"key": "nobody's"}, "nothing_owed_by_that_name", {"name": "nobody's"}),
            ({"reference": "re_9"}, "nothing_owed_by_that_name", {"name": "re_9"}),
            (
                {"amount": eur("40.01")},
                "amount_differs",
                {"amount": eur("40.01"), "expected": eur(40)},
            ),
        ],
    )
    def test_refused(
        self, by: Any, fields: dict[str, Any], code: str, params: dict[str, Any]
    ) -> None:
        """
        A report of something else is refused with its reason, and moves nothing.
        """
        engine = split()
        if "amount" in fields:
            fields = {**fields, "key": keys_of(engine)[0]}
        before = engine.order("o1")

        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, c.ReportRefund(status="paid", **fields), by)

        (blocker,) = caught.value.blockers
        assert (blocker.code, blocker.params) == (code, params)
        assert engine.order("o1") == before

    def test_another_currency(self) -> None:
        """
        An amount in another currency is no report of this order.
        """
        engine = split()
        amount = Money.of("40.00", "USD")

        report = c.ReportRefund(key=keys_of(engine)[0], status="paid", amount=amount)

        with pytest.raises(InvalidInputError):
            tell(engine, report)

    @pytest.mark.parametrize("by", [ANA, LUC, MIA])
    @pytest.mark.parametrize("state", [*WAY, "awaiting_payment"])
    def test_nobody_else(self, by: Any, state: str) -> None:
        """
        Neither party says what became of money, in any state.
        """
        engine = an_engine(MemoryStorage())
        brought_to(engine, state)
        if by is MIA and state == "disputed":
            engine.execute("o1", c.AssignMediator(mediator_id="mia"), by=MIA)
        reports: list[c.Command] = [
            c.ReportRefund(key="k", status="paid"),
            c.ReportPayout(key="k", status="paid"),
            c.ReportChargeback(
                chargeback_id="d", payment_reference="pi_1", status="opened"
            ),
            c.RedirectPayout(key="k", payee_id="ana", reason="mine"),
        ]
        if by is MIA and state != "disputed":
            return
        for report in reports:
            with pytest.raises(CommandRefusedError) as caught:
                engine.execute("o1", report, by=by)
            assert caught.value.blockers[0].code == "not_your_command"

    @pytest.mark.parametrize("state", [*WAY, "awaiting_payment"])
    def test_in_every_state(self, state: str) -> None:
        """
        The provider is heard in any state: here, of a payment that came in twice.
        """
        engine = an_engine(MemoryStorage())
        brought_to(engine, state)
        stray = c.ConfirmPayment(payment=paid("pi_2", eur(7)), item="nothing")
        engine.execute("o1", stray, by=STRIPE)
        (refund,) = (
            one for one in engine.order("o1").refunds if one.payment.reference == "pi_2"
        )

        tell(engine, c.ReportRefund(key=refund.key, status="paid"))

        done = engine.order("o1").refund(refund.key)
        assert done is not None
        assert done.status == "paid"

    def test_in_a_state_of_a_host(self) -> None:
        """
        A process that adds states need not name the provider's rows.
        """

        mine = COMEUP.extend(name="pausing", **PAUSES)

        everywhere = [row for row in mine.rows if row.anywhere]
        assert everywhere
        for command in {row.command for row in everywhere}:
            rows = [row for row in mine.rows if row.command is command]
            states = {str(state) for row in rows for state in row.states}
            assert states == set(mine.members)

    @pytest.mark.parametrize("by", [STRIPE, OPS])
    def test_never_offered(self, by: Any) -> None:
        """
        Programs say what became of money: no page has a button for it.
        """
        engine = split()

        names = {option.name for option in engine.options("o1", by=by)}

        assert "confirm_payment" in names
        assert not {name for name in names if name.startswith(("report_", "redirect"))}


class TestRedirect:
    """
    Staff has somebody else paid when the seller's account is closed (F40).
    """

    def test_elsewhere(self) -> None:
        """
        The payout goes out under another key, to somebody else.
        """
        engine = split()
        _, _, payout = keys_of(engine)
        tell(engine, c.ReportPayout(key=payout, status="failed", reason="shut"))
        failed = engine.order("o1").payouts[0].key

        redirect = c.RedirectPayout(key=failed, payee_id="heir", reason="he died")
        order = tell(engine, redirect, OPS)

        (owed,) = order.payouts
        assert (owed.payee_id, owed.seller_id, owed.status) == ("heir", "luc", "owed")
        sent: dict[str, Any] = {
            one.effect.key: one for one in engine.effects("o1") if one.status != "done"
        }
        assert sent[owed.key].effect.payee_id == "heir"
        assert sent[owed.key].effect.amount == eur(30)
        redirected = engine.history("o1")[-1].event
        assert isinstance(redirected, PayoutRedirected)
        assert (redirected.key, redirected.next_key) == (failed, owed.key)
        assert str(redirected.reason) == "he died"

    @pytest.mark.parametrize("status", ["sent", "paid"])
    def test_too_late(self, status: Any) -> None:
        """
        What may have left does not go to a second person.
        """
        engine = split()
        _, _, payout = keys_of(engine)
        tell(engine, c.ReportPayout(key=payout, status=status))

        redirect = c.RedirectPayout(key=payout, payee_id="heir", reason="x")

        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, redirect, OPS)

        why = [(blocker.code, blocker.params) for blocker in caught.value.blockers]
        assert why == [
            ("no_payout_to_redirect", {}),
            ("payout_may_have_left", {"ours": status}),
        ]


def chargeback(
    status: Any, amount: Any = None, name: str = "dp_1", payment: str = "pi_1"
) -> c.Command:
    """
    Return what the provider says of a payment; of the card's, unless said.
    """
    return c.ReportChargeback(
        chargeback_id=name, payment_reference=payment, status=status, amount=amount
    )


class TestChargebacks:
    """
    A bank takes a payment back: nothing leaves twice (F41, F42).
    """

    def test_while_the_order_runs(self) -> None:
        """
        What a bank took of a running order is missing; won, it is there again.
        """
        engine = engine_with("in_progress")

        order = tell(engine, chargeback("opened"))
        assert books(order) == {"escrow": 100, "receivable": -60}
        assert order.ledger.held == eur(100)
        order = tell(engine, chargeback("won"))

        assert books(order) == {"escrow": 100}
        (closed,) = order.chargebacks
        assert (closed.open, closed.lost, closed.missing) == (False, eur(0), eur(0))

    def test_lost_while_the_order_runs(self) -> None:
        """
        What was held of that payment made it good: the buyer has it from his bank,
        and does not get it again when the order is cancelled.
        """
        engine = engine_with("in_progress")
        tell(engine, chargeback("opened"))

        order = tell(engine, chargeback("lost"))
        assert books(order) == {"escrow": 40, "buyer": 60}
        order = tell(engine, c.CancelOrder(), LUC)

        assert books(order) == {"refundable": 40, "buyer": 60}
        assert [one.payment.method for one in order.refunds] == ["paypal"]

    def test_lost_before_the_refund_left(self) -> None:
        """
        A refund that is owed on that payment is not owed any more.
        """
        engine = split()
        paypal, card, _ = keys_of(engine)
        tell(engine, chargeback("opened"))

        order = tell(engine, chargeback("lost", eur(30)))

        assert books(order) == {"refundable": 40, "buyer": 30, "payable": 30}
        assert [one.status for one in order.refunds] == ["owed", "covered"]
        assert order.chargebacks[0].missing == eur(0)
        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, c.ReportRefund(key=card, status="paid"))
        assert caught.value.blockers[0].code == "refund_covered"
        assert engine.order("o1").refund(paypal) is not None

    def test_a_part_of_a_refund(self) -> None:
        """
        What a bank gave is less than what is owed: the rest is owed, under another
        key.
        """
        engine = split()
        _, card, _ = keys_of(engine)
        tell(engine, chargeback("opened", eur(20)))

        order = tell(engine, chargeback("lost"))

        assert books(order) == {"refundable": 50, "buyer": 20, "payable": 30}
        rest = order.refunds[1]
        assert rest.key != card
        assert (rest.amount, rest.status) == (eur(10), "owed")
        (effect,) = (
            one.effect for one in engine.effects("o1") if one.effect.key == rest.key
        )
        assert isinstance(effect, Refund)
        assert effect.amount == eur(10)

    def test_the_seller_is_not_paid_yet(self) -> None:
        """
        What the seller earned of that payment and did not get yet makes it good.
        """
        engine = engine_with("completed")
        tell(engine, chargeback("opened"))

        order = tell(engine, chargeback("lost"))

        assert books(order) == {"payable": 40, "buyer": 60}
        (owed,) = order.payouts
        assert (owed.amount, owed.status, owed.epoch) == (eur(40), "owed", 1)
        order = tell(engine, c.ReportPayout(key=owed.key, status="paid"))
        assert books(order) == {"seller": 40, "buyer": 60}

    def test_the_seller_has_it(self) -> None:
        """
        What has left cannot make anything good: the platform is out of pocket.
        """
        engine = engine_with("completed")
        (payout,) = engine.order("o1").payouts
        tell(engine, c.ReportPayout(key=payout.key, status="paid"))

        tell(engine, chargeback("opened"))
        order = tell(engine, chargeback("lost", eur(45)))

        assert books(order) == {"seller": 100, "receivable": -45}
        assert order.chargebacks[0].missing == eur(45)
        assert order.ledger.released == eur(100)

    def test_a_payout_that_comes_back(self) -> None:
        """
        It makes good what was missing; the rest is paid out again.
        """
        engine = engine_with("completed")
        (payout,) = engine.order("o1").payouts
        tell(engine, c.ReportPayout(key=payout.key, status="paid"))
        tell(engine, chargeback("lost"))
        assert books(engine.order("o1")) == {"seller": 100, "receivable": -60}

        order = tell(
            engine, c.ReportPayout(key=payout.key, status="failed", reason="shut")
        )

        assert books(order) == {"payable": 40, "buyer": 60}
        assert order.payouts[0].amount == eur(40)

    def test_lost_without_having_been_opened(self) -> None:
        """
        Webhooks come in any order: the end tells the beginning.
        """
        engine = engine_with("in_progress")

        order = tell(engine, chargeback("lost", eur(10)))

        assert books(order) == {"escrow": 90, "buyer": 10}
        version = order.version
        # The beginning, at last.
        assert tell(engine, chargeback("opened")).version == version

    @pytest.mark.parametrize(
        ("earlier", "report", "code", "params"),
        [
            (
                [],
                chargeback("opened", eur("60.01")),
                "amount_differs",
                {"amount": eur("60.01"), "expected": eur(60)},
            ),
            (
                [chargeback("opened")],
                chargeback("opened", eur(5)),
                "chargeback_differs",
                {"name": "dp_1"},
            ),
            (
                [chargeback("opened")],
                chargeback("lost", payment="pp_1"),
                "chargeback_differs",
                {"name": "dp_1"},
            ),
            (
                [chargeback("opened")],
                chargeback("lost", eur(61)),
                "amount_differs",
                {"amount": eur(61), "expected": eur(60)},
            ),
            (
                [chargeback("lost")],
                chargeback("won"),
                "chargeback_closed",
                {"lost": eur(60)},
            ),
            (
                [chargeback("lost")],
                chargeback("opened", name="dp_2"),
                "amount_differs",
                {"amount": eur(0), "expected": eur(0)},
            ),
            (
                [],
                chargeback("opened", payment="pi_9"),
                "unknown_payment",
                {"payment": "pi_9"},
            ),
        ],
    )
    def test_refused(
        self,
        earlier: list[c.Command],
        report: c.Command,
        code: str,
        params: dict[str, Any],
    ) -> None:
        """
        What cannot be is refused with its reason.
        """
        engine = engine_with("in_progress")
        for one in earlier:
            tell(engine, one)
        before = engine.order("o1")

        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, report)

        (blocker,) = caught.value.blockers
        assert (blocker.code, blocker.params) == (code, params)
        assert engine.order("o1") == before

    def test_to_the_cent(self) -> None:
        """
        All of a payment may be taken, and said again with the amount it was.
        """
        engine = engine_with("in_progress")
        tell(engine, chargeback("opened", eur(60)))
        order = tell(engine, chargeback("opened", eur(60)))

        lost = tell(engine, chargeback("lost", eur(60)))

        assert tell(engine, chargeback("lost", eur(60))).version == lost.version
        assert lost.chargebacks[0].amount == order.chargebacks[0].amount == eur(60)

    def test_nothing_was_paid(self) -> None:
        """
        Of an order that was never paid no bank takes anything.
        """
        engine = an_engine(MemoryStorage())
        brought_to(engine, "awaiting_payment")

        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, chargeback("opened"))

        assert caught.value.blockers[0].code == "no_payment"

    def test_a_second_one(self) -> None:
        """
        A bank may take a payment in parts, and never more than it was.
        """
        engine = engine_with("in_progress")
        other = c.ReportChargeback(
            chargeback_id="dp_0", payment_reference="pp_1", status="won"
        )
        tell(engine, other)
        tell(engine, chargeback("lost", eur(20)))

        order = tell(engine, chargeback("lost", name="dp_2"))

        assert [one.lost for one in order.chargebacks] == [eur(0), eur(20), eur(40)]
        assert books(order) == {"escrow": 40, "buyer": 60}


class TestMayLeave:
    """
    Whether money may leave now.
    """

    def test_while_a_bank_decides(self) -> None:
        """
        Nothing leaves for that payment, nor for the seller; other payments do.
        """
        engine = split()
        by_key: dict[str, Any] = {
            one.effect.key: one.effect for one in engine.effects("o1")
        }
        paypal, card, payout = (by_key[key] for key in keys_of(engine))
        assert all(may_leave(engine.order("o1"), one) for one in (paypal, card, payout))

        order = tell(engine, chargeback("opened"))
        said = [may_leave(order, effect) for effect in (paypal, card, payout)]
        assert said == [True, False, False]

        order = tell(engine, chargeback("lost", eur(30)))
        said = [may_leave(order, effect) for effect in (paypal, card, payout)]
        assert said == [True, None, True]

    def test_what_is_over(self) -> None:
        """
        What was paid, or is owed under another key, never leaves again.
        """
        engine = split()
        by_key: dict[str, Any] = {
            one.effect.key: one.effect for one in engine.effects("o1")
        }
        paypal, card, payout = keys_of(engine)
        tell(engine, c.ReportRefund(key=paypal, status="paid"))
        tell(engine, c.ReportRefund(key=card, status="failed", reason="x"))
        order = tell(engine, c.ReportPayout(key=payout, status="sent"))

        said = [may_leave(order, by_key[key]) for key in (paypal, card, payout)]

        # What was sent may be sent again, under its key: nobody knows how it ended.
        assert said == [None, None, True]

    def test_what_moves_no_money(self) -> None:
        """
        A message may leave, whatever a bank does.
        """
        engine = engine_with("in_progress")
        order = tell(engine, chargeback("opened"))

        notices = [
            one.effect for one in engine.effects("o1") if not one.effect.moves_money
        ]

        assert notices
        assert all(may_leave(order, effect) for effect in notices)


class TestOnItsWay:
    """
    What somebody has begun to send is not taken for money that has not left.
    """

    def test_a_refund_is_being_sent(self) -> None:
        """
        While a worker is at it, a lost chargeback is not covered by it: the buyer
        may get it twice, and the books say so.
        """
        engine = split()
        _, card, payout = keys_of(engine)
        told = []

        def sends(effect: Refund) -> Any:
            if effect.key != card:
                return RetryAt(engine.clock.now().add(days=1))
            told.append(tell(engine, chargeback("lost", eur(30))))
            return Unknown("no answer")

        engine.run_effects({Refund: sends}, ["refund"])

        (order,) = told
        assert [one.status for one in order.refunds if one.key == card] == ["sent"]
        # What the seller did not get yet makes it good.
        assert books(order) == {"refundable": 70, "buyer": 30}
        assert payout not in {one.key for one in order.payouts if one.status == "owed"}

    def test_a_refund_that_was_only_taken_on(self) -> None:
        """
        What a worker has taken on and not begun makes the chargeback good; he finds
        out before he sends it.
        """
        engine = split()
        _, card, _ = keys_of(engine)
        now = to_micros(engine.clock.now())
        claimed = engine.storage.claim_effects(now, now + 60_000_000, 9, ["refund"])
        (mine,) = (one for one in claimed if one.key == card)

        order = tell(engine, chargeback("lost", eur(30)))

        assert "covered" in {one.status for one in order.refunds}
        begins = EffectResult(
            key=card,
            token=mine.token,
            status="claimed",
            attempts=1,
            ready_at=mine.ready_at,
        )
        assert engine.storage.settle_effect("o1", begins) is False

    def test_a_payout_is_being_sent(self) -> None:
        """
        Nobody else is paid while the seller may be.
        """
        engine = split()
        _, _, payout = keys_of(engine)
        redirect = c.RedirectPayout(key=payout, payee_id="heir", reason="x")
        caught = []

        def sends(_: PayOut) -> Any:
            with pytest.raises(CommandRefusedError) as refused:
                tell(engine, redirect, OPS)
            caught.append(refused.value)
            return Unknown("no answer")

        engine.run_effects({PayOut: sends}, ["pay_out"])

        (error,) = caught
        codes = [blocker.code for blocker in error.blockers]
        assert codes == ["no_payout_to_redirect", "payout_may_have_left"]

    def test_nobody_knows_that_key(self) -> None:
        """
        Of keys that stand for nothing there is nothing to record.
        """
        order = split().order("o1")
        done = [owed.key for owed in order.refunds]

        assert touched(order, ["nobody's"]) == ()
        assert [event.name for event in touched(order, done)] == ["refund_sent"] * 2


class TestNothingToTell:
    """
    Reports of what never was.
    """

    @pytest.mark.parametrize(
        ("report", "code"),
        [
            (c.ReportRefund(key="k", status="paid"), "no_refund"),
            (c.ReportPayout(key="k", status="paid"), "no_payout"),
        ],
    )
    def test_nothing_was_ever_owed(self, report: c.Command, code: str) -> None:
        """
        A running order owes nobody yet.
        """
        engine = engine_with("in_progress")

        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, report)

        assert [blocker.code for blocker in caught.value.blockers] == [
            code,
            "nothing_owed_by_that_name",
        ]

    def test_another_payout(self) -> None:
        """
        A payout that is not there goes to nobody.
        """
        engine = split()

        with pytest.raises(CommandRefusedError) as caught:
            tell(engine, c.RedirectPayout(key="k", payee_id="heir", reason="x"), OPS)

        assert [blocker.code for blocker in caught.value.blockers] == [
            "nothing_owed_by_that_name"
        ]


class TestInterleavings:
    """
    Six things that may happen to the money, in every order (I34).
    """

    def test_nobody_is_paid_twice(self) -> None:
        """
        Whatever comes first, books add up, and what left never exceeds what came in
        but by what the bank took.
        """
        begun = split().order("o1")
        (paypal, card), (payout,) = begun.refunds, begun.payouts
        happens: list[c.Command] = [
            c.ReportRefund(key=card.key, status="paid"),
            c.ReportRefund(key=card.key, status="failed", reason="closed"),
            chargeback("opened"),
            chargeback("lost", eur(45)),
            c.ReportPayout(key=payout.key, status="paid"),
            c.ReportPayout(key=payout.key, status="failed", reason="shut"),
        ]
        for order_of in itertools.permutations(range(6)):
            order = begun
            for number in order_of:
                order = told(order, happens[number])
            # Whatever is owed still is paid now.
            for refund in order.refunds:
                order = told(order, c.ReportRefund(key=refund.key, status="paid"))
            for payout in order.payouts:
                order = told(order, c.ReportPayout(key=payout.key, status="paid"))
            assert not order.ledger.refundable, order_of
            assert not order.ledger.payable, order_of
            # What left is what came in, and what the bank took beyond it.
            refunds = [one for one in order.refunds if one.status == "paid"]
            left = sum(one.amount.minor for one in refunds) + order.ledger.seller
            left += sum((one.lost or one.amount).minor for one in order.chargebacks)
            assert left == 100_00 - order.ledger.receivable, order_of
            assert paypal.key in {one.key for one in refunds}
