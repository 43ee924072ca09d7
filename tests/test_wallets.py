"""
Wallets: balances that never fall below zero, keys that count once, money that is never
trapped between a wallet and an order, and histories that prove it.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowflow import commands as c
from escrowflow import payments, wallet
from escrowflow.clock import FakeClock
from escrowflow.effects import (
    Done,
    NotDone,
    PayOut,
    Refund,
    RetryAt,
    Unknown,
    Withdraw,
    effect_key,
)
from escrowflow.engine import Engine
from escrowflow.errors import (
    InvalidInputError,
    KeyReusedError,
    OrderExistsError,
    OrderNotFoundError,
    WalletRefusedError,
)
from escrowflow.money import MINOR_MAX, Fee, Money, Payment
from escrowflow.parties import Buyer
from escrowflow.payments.wallets import AsyncWallets, Wallets
from escrowflow.storage import threaded
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing import GatewayContract
from escrowflow.testing.gateways import (
    LOST,
    PENDING,
    REFUSED,
    UNANSWERED,
    SimulatedGateway,
)
from escrowflow.wallet import later_keys
from escrowflow.worker import Worker
from tests.given import ANA, COMEUP, LUC, OPS, STRIPE, T0, an_engine, an_order, eur

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from escrowflow.payments import PaymentGateway
    from escrowflow.storage import Storage

# As somebody calls it who does not look at types.
ANY: Final[Any] = Wallets

KINDS: Final = ("refund", "pay_out", "withdraw")


@pytest.fixture
def wallets(storage: Storage, clock: FakeClock) -> Wallets:
    """
    Wallets beside the orders of `engine`.
    """
    return Wallets(storage, clock=clock)


@pytest.fixture
def bank(clock: FakeClock) -> SimulatedGateway:
    """
    What pays withdrawals.
    """
    return SimulatedGateway("stripe_v1", clock, name="bank")


def handlers(wallets: Wallets, bank: SimulatedGateway, clock: FakeClock) -> Any:
    """
    Return what carries out money, all of it through wallets and a bank.
    """
    return payments.handlers(
        wallets,
        methods={"wallet": wallets},
        payouts=wallets,
        withdrawals=bank,
        clock=clock,
    )


def refused(code: str) -> Any:
    """
    Expect a wallet to refuse.
    """
    return pytest.raises(WalletRefusedError, check=lambda e: e.code == code)


def unpaid(engine: Engine, order_id: str = "o1") -> None:
    """
    Place an order that waits for its payment.
    """
    engine.place(an_order(payment=None), by=ANA, order_id=order_id)


class TestBalance:
    """
    What comes in, what leaves, and what is left.
    """

    def test_nobody_has_nothing(self, wallets: Wallets) -> None:
        """
        A user whom nobody knows has a balance of zero, and no line in his statement.
        """
        assert wallets.balance("nobody", "EUR") == eur(0)
        assert wallets.wallet("nobody").version == 0
        assert wallets.statement("nobody").items == ()

    def test_in_and_out(self, wallets: Wallets) -> None:
        """
        A credit adds, a debit takes, in the currency of the amount.
        """
        wallets.credit("ana", eur(100), "k1")
        wallets.credit("ana", Money(500, "JPY"), "k2")
        payment = wallets.debit("ana", eur(30), "k3", order_id="o1")

        assert payment == Payment("wallet", payment.reference, eur(30))
        assert wallets.balance("ana", "EUR") == eur(70)
        assert wallets.balance("ana", "JPY") == Money(500, "JPY")
        assert wallets.balance("ana", "KWD") == Money(0, "KWD")
        assert wallets.balance("luc", "EUR") == eur(0)

    def test_never_below_zero(self, wallets: Wallets, storage: Storage) -> None:
        """
        What is not there cannot be taken; nothing is written.
        """
        wallets.credit("ana", eur(10), "k1")

        for take in (wallets.debit, wallets.withdraw):
            with refused("balance_too_low") as error:
                take("ana", eur("10.01"), "k2")
            assert str(error.value) == (
                "wallet of 'ana': The balance is 10.00 EUR, and this takes 10.01 EUR: "
                "take less, or top it up first."
            )
            assert error.value.params == {"balance": eur(10), "amount": eur("10.01")}
            assert error.value.message("fr").startswith("Le solde est de 10,00\xa0EUR")
            with refused("balance_too_low"):
                take("nobody", eur(1), "k")

        assert wallets.wallet("ana").version == 2
        assert storage.load("wallet:nobody").version == 0

    def test_no_more_than_can_be_kept(self, wallets: Wallets) -> None:
        """
        A balance that could not be stored is refused.
        """
        most = Money(MINOR_MAX, "EUR")
        accounts = wallet.Accounts(
            currency="EUR", balance=most.minor, outside=-most.minor
        )
        wallets.credit("ana", eur(1), "k1")
        full = attrs.evolve(wallets.wallet("ana"), accounts=(accounts,))
        event = wallet.WalletCredited(amount=eur(1), balance=eur(1), key="k2")

        with refused("balance_too_high"):
            wallet.booked(full, event)

    def test_a_debt_comes_first(self, wallets: Wallets) -> None:
        """
        What a bank took back beyond the balance is made good by what comes in next.
        """
        wallets.credit("ana", eur(40), "k1")
        entry = wallets.charge_back("ana", eur(100), "cb1")

        assert (entry.kind, entry.balance) == ("charged_back", eur(0))
        assert wallets.wallet("ana").debt("EUR") == eur(60)
        assert wallets.credit("ana", eur(50), "k2").balance == eur(0)
        assert wallets.wallet("ana").debt("EUR") == eur(10)
        assert wallets.credit("ana", eur(25), "k3").balance == eur(15)
        assert wallets.wallet("ana").debt("EUR") == eur(0)
        assert [
            (line.kind, line.amount, line.balance, line.debt)
            for line in wallets.statement("ana").items
        ] == [
            ("credited", eur(40), eur(40), eur(0)),
            ("charged_back", eur(100), eur(0), eur(60)),
            ("credited", eur(50), eur(0), eur(10)),
            ("credited", eur(25), eur(15), eur(0)),
        ]

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["credit", "charge_back", "debit", "withdraw"]),
                st.integers(1, 50),
                st.sampled_from(["EUR", "JPY"]),
            ),
            max_size=20,
        )
    )
    def test_a_statement_adds_up(self, asks: list[tuple[str, int, str]]) -> None:
        """
        From line to line of a currency the balance less the debt moves by the amount,
        and repeating a request shows the line of then.
        """
        wallets = Wallets(MemoryStorage(), clock=FakeClock(T0))
        lines = []
        for number, (verb, minor, currency) in enumerate(asks):
            with suppress(WalletRefusedError):
                ask = partial(getattr(wallets, verb), "ana", Money(minor, currency))
                ask(f"k{number}")
                again = ask(f"k{number}")
                if verb != "debit":
                    lines.append(again)

        stands = {"EUR": 0, "JPY": 0}
        every = wallets.statement("ana", limit=1000).items
        for line in every:
            currency = line.amount.currency
            stands[currency] += line.amount.minor * (1 if line.incoming else -1)
            assert line.balance.minor - line.debt.minor == stands[currency]
            assert not (line.balance and line.debt)
        assert [line for line in every if line.kind != "debited"] == lines

    def test_a_debt_of_one_currency(self, wallets: Wallets) -> None:
        """
        Two currencies never meet.
        """
        wallets.charge_back("ana", eur(10), "cb1")

        assert wallets.credit("ana", Money(7, "KWD"), "k1").balance == Money(7, "KWD")
        assert wallets.wallet("ana").debt("EUR") == eur(10)


class TestKeys:
    """
    A key stands for one request of one user, for ever (I8, I17).
    """

    def test_the_same_again(self, wallets: Wallets, clock: FakeClock) -> None:
        """
        Repeated, a request gives the same answer, whatever happened since.
        """
        asks: list[Callable[[], Any]] = [
            lambda: wallets.credit("ana", eur(100), "k1"),
            lambda: wallets.debit("ana", eur(10), "k2", order_id="o1"),
            lambda: wallets.debit("ana", eur(10), "k3"),
            lambda: wallets.withdraw("ana", eur(10), "k4", payee_id="iban"),
            lambda: wallets.charge_back("ana", eur(5), "k5"),
        ]
        first = [ask() for ask in asks]
        balance = wallets.balance("ana", "EUR")
        clock.advance(days=1000)

        assert [ask() for ask in asks] == first
        assert wallets.balance("ana", "EUR") == balance == eur(65)

    @pytest.mark.parametrize(
        "other",
        [
            lambda w: w.credit("ana", eur(99), "k"),
            lambda w: w.credit("ana", Money(10_000, "JPY"), "k"),
            lambda w: w.debit("ana", eur(100), "k"),
            lambda w: w.withdraw("ana", eur(100), "k"),
            lambda w: w.charge_back("ana", eur(100), "k"),
        ],
    )
    def test_something_else(
        self, wallets: Wallets, other: Callable[[Wallets], Any]
    ) -> None:
        """
        With other content a key is refused, and nothing is written.
        """
        wallets.credit("ana", eur(100), "k")

        with pytest.raises(KeyReusedError, match="'k'"):
            other(wallets)

        assert wallets.wallet("ana").version == 2

    def test_a_key_is_ones_own(self, wallets: Wallets) -> None:
        """
        Two users may use the same key.
        """
        wallets.credit("ana", eur(1), "k")
        wallets.credit("luc", eur(2), "k")

        assert wallets.balance("luc", "EUR") == eur(2)

    @pytest.mark.parametrize(
        "user_id",
        ["#1", "a:1", "x" * 255, "é", "'; --", "wallet:ana", "%s", "注文", "#" * 255],
    )
    def test_whatever_a_user_is_called(
        self, wallets: Wallets, engine: Engine, user_id: str
    ) -> None:
        """
        Ids and keys are the host's own: any text, the longest too.
        """
        wallets.credit(user_id, eur(10), "k" * 255)
        wallets.credit(user_id, eur(10), "k" * 255)
        payment = wallets.debit(user_id, eur(4), "y" * 255, order_id="o" * 255)

        assert wallets.give_back(payment, engine)
        assert wallets.balance(user_id, "EUR") == eur(10)
        assert engine.verify().faults == ()

    def test_two_names_are_two(self, wallets: Wallets) -> None:
        """
        No user is taken for the hash of another.
        """
        long = "x" * 255
        name = wallet.wallet_id_of(long).removeprefix(wallet.PREFIX)
        wallets.credit(long, eur(10), "k")

        assert wallets.balance(name, "EUR") == eur(0)


class TestInput:
    """
    Bad input gets one clear error, and nothing is written.
    """

    @pytest.mark.parametrize(
        ("field", "changes"),
        [
            ("amount", {"amount": Money(0, "EUR")}),
            ("amount", {"amount": Money(10**12 + 1, "EUR")}),
            ("amount", {"amount": 10}),
            ("amount", {"amount": 1.5}),
            ("amount", {"amount": True}),
            ("amount", {"amount": None}),
            ("user_id", {"user_id": ""}),
            ("user_id", {"user_id": "x" * 256}),
            ("user_id", {"user_id": "a\0"}),
            ("user_id", {"user_id": None}),
            ("user_id", {"user_id": 1.5}),
            ("key", {"key": None}),
            ("key", {"key": "k" * 256}),
            ("key", {"key": "\ud800"}),
        ],
    )
    @pytest.mark.parametrize("verb", ["credit", "debit", "withdraw", "charge_back"])
    def test_refused(
        self, wallets: Wallets, verb: str, field: str, changes: dict[str, Any]
    ) -> None:
        """
        Whatever is wrong by itself is named.
        """
        fields = {"user_id": "ana", "amount": eur(1), "key": "k", **changes}

        with pytest.raises(InvalidInputError) as error:
            getattr(wallets, verb)(**fields)

        assert error.value.field == field
        assert wallets.wallet("ana").version == 0

    @pytest.mark.parametrize(
        ("field", "ask"),
        [
            ("order_id", lambda w, e: w.debit("ana", eur(1), "k", order_id="")),
            ("order_id", lambda w, e: w.debit("ana", eur(1), "k", order_id="wallet:x")),
            ("order_id", lambda w, e: w.pay(e, "wallet:ana", by=ANA, key="k")),
            (
                "order_id",
                lambda w, e: w.give_back(
                    Payment("wallet", "ana:2"), e, order_id="wallet:x"
                ),
            ),
            ("item", lambda w, e: w.debit("ana", eur(1), "k", item="")),
            ("payee_id", lambda w, e: w.withdraw("ana", eur(1), "k", payee_id="")),
            ("currency", lambda w, e: w.balance("ana", "euro")),
            ("currency", lambda w, e: w.statement("ana", "euro")),
            ("currency", lambda w, e: w.statement("ana", 7)),
            ("limit", lambda w, e: w.statement("ana", limit=0)),
            ("limit", lambda w, e: w.statement("ana", limit=1001)),
            ("limit", lambda w, e: w.run_due(e, limit=0)),
            ("after", lambda w, e: w.statement("ana", after="x")),
            ("after", lambda w, e: w.statement("ana", after=7)),
            ("engine", lambda w, e: w.run_due(None)),
            ("engine", lambda w, e: w.pay(w, "o1", by=ANA, key="k")),
            ("engine", lambda w, e: w.give_back(Payment("wallet", "ana:2"), w)),
            ("payment", lambda w, e: w.give_back(Payment("card", "ana:2"), e)),
            ("payment", lambda w, e: w.give_back(Payment("wallet", "ana:1"), e)),
            ("payment", lambda w, e: w.give_back(Payment("wallet", "ana"), e)),
            ("payment", lambda w, e: w.give_back(Payment("wallet", "luc:2"), e)),
            ("payment", lambda w, e: w.give_back("ana:2", e)),
            ("by", lambda w, e: w.pay(e, "o1", by="ana", key="k")),
            ("amount", lambda w, e: w.pay(e, "o1", by=ANA, key="k", amount=7)),
            (
                "amount",
                lambda w, e: w.pay(e, "o1", by=ANA, key="k", amount=Money(1, "JPY")),
            ),
            ("by", lambda w, e: w.pay(e, "o1", by=LUC, key="k")),
            ("by", lambda w, e: w.pay(e, "o1", by=OPS, key="k")),
            ("by", lambda w, e: w.pay(e, "o1", by=STRIPE, key="k")),
            ("command", lambda w, e: w.report("wallet:ana", c.AcceptOrder())),
            ("storage", lambda w, e: ANY(threaded(w.storage))),
            ("storage", lambda w, e: ANY(None)),
            ("storage", lambda w, e: AsyncWallets(w.storage)),
            ("clock", lambda w, e: ANY(w.storage, clock=7)),
            ("window", lambda w, e: ANY(w.storage, window=7)),
            ("retries", lambda w, e: ANY(w.storage, retries=7)),
            ("wallets", lambda w, e: Worker(e, wallets=w.storage)),
            ("order_id", lambda w, e: e.place(an_order(), by=ANA, order_id="wallet:x")),
        ],
    )
    def test_refused_elsewhere(
        self,
        wallets: Wallets,
        engine: Engine,
        field: str,
        ask: Callable[[Wallets, Engine], Any],
    ) -> None:
        """
        The same of everything else that may be asked.
        """
        wallets.credit("ana", eur(100), "k0")
        unpaid(engine)

        with pytest.raises(InvalidInputError) as error:
            ask(wallets, engine)

        assert error.value.field == field
        assert wallets.wallet("ana").version == 2


class TestStatement:
    """
    What its owner reads.
    """

    def test_every_kind(
        self,
        wallets: Wallets,
        engine: Engine,
        bank: SimulatedGateway,
        clock: FakeClock,
    ) -> None:
        """
        One line for each thing that moved the balance, oldest first.
        """
        wallets.credit("ana", eur(300), "k1")
        unpaid(engine)
        wallets.pay(engine, "o1", by=ANA, key="k2")
        engine.execute("o1", c.CancelOrder(), by=ANA)
        engine.run_effects(handlers(wallets, bank, clock), KINDS)
        wallets.give_back(wallets.debit("ana", eur(5), "k3", order_id="o9"), engine)
        wallets.withdraw("ana", eur(50), "k4")
        bank.next(REFUSED)
        engine.run_effects(handlers(wallets, bank, clock), KINDS)
        wallets.charge_back("ana", eur(10), "k5")
        wallets.pay_out(earning("ana"))

        lines = wallets.statement("ana").items

        assert [(one.kind, one.amount, one.balance, one.incoming) for one in lines] == [
            ("credited", eur(300), eur(300), True),
            ("debited", eur(100), eur(200), False),
            ("refunded", eur(100), eur(300), True),
            ("debited", eur(5), eur(295), False),
            ("given_back", eur(5), eur(300), True),
            ("withdrawn", eur(50), eur(250), False),
            ("withdrawal_failed", eur(50), eur(300), True),
            ("charged_back", eur(10), eur(290), False),
            ("earned", eur(10), eur(300), True),
        ]
        assert [one.order_id for one in lines[:5]] == ["", "o1", "o1", "o9", "o9"]
        assert lines[0].key == "k1"
        assert {one.at for one in lines} == {clock.now()}

    def test_pages(self, wallets: Wallets) -> None:
        """
        A page ends where the next one begins, whatever other currencies there are.
        """
        for number in range(1, 8):
            wallets.credit("ana", eur(number), f"e{number}")
            wallets.credit("ana", Money(number, "JPY"), f"j{number}")

        def pages(currency: str | None, limit: int) -> Iterator[list[int]]:
            after = None
            while True:
                page = wallets.statement("ana", currency, after=after, limit=limit)
                yield [one.amount.minor for one in page.items]
                after = page.after
                if after is None:
                    return

        assert [*pages("JPY", 3)] == [[1, 2, 3], [4, 5, 6], [7]]
        assert [*pages("JPY", 7)] == [[1, 2, 3, 4, 5, 6, 7]]
        assert [*pages("EUR", 1000)] == [[n * 100 for n in range(1, 8)]]
        assert [len(page) for page in pages(None, 5)] == [5, 5, 4]


def earning(user_id: str, order_id: str = "o5", amount: Money | None = None) -> PayOut:
    """
    Return what somebody has earned with an order: 10 euros.
    """
    return PayOut(
        order_id=order_id,
        seq=3,
        key=effect_key(order_id, 3, "pay_out", user_id),
        seller_id=user_id,
        payee_id=user_id,
        amount=eur(10) if amount is None else amount,
        asked_at=FakeClock(T0).now(),
    )


def refund(payment: Payment, amount: Money, key: str, order_id: str = "o1") -> Refund:
    """
    Return what gives back a part of a payment.
    """
    return Refund(
        order_id=order_id,
        seq=3,
        key=key,
        payment=payment,
        amount=amount,
        asked_at=FakeClock(T0).now(),
        expected_by=FakeClock(T0).now(),
    )


class TestContract(GatewayContract):
    """
    Wallets are a payment gateway like any other.
    """

    def open(self) -> PaymentGateway:
        """
        Return new wallets.
        """
        return Wallets(MemoryStorage(), clock=FakeClock(T0))

    def payment(self, gateway: PaymentGateway, amount: Money) -> Payment:
        """
        Return a debit of what was credited for it.
        """
        assert isinstance(gateway, Wallets)
        gateway.credit("ana", amount, f"in {amount}")
        return gateway.debit("ana", amount, f"out {amount}")

    def payee(self, gateway: PaymentGateway) -> str:
        """
        Return a user.
        """
        return "luc"


class TestGateway:
    """
    What goes to and comes from wallets by effects.
    """

    def test_a_whole_order(
        self,
        wallets: Wallets,
        engine: Engine,
        bank: SimulatedGateway,
        clock: FakeClock,
    ) -> None:
        """
        The buyer pays from his wallet, the seller earns into his, and withdraws.
        """
        wallets.credit("ana", eur(100), "k1")
        unpaid(engine)
        outcome = wallets.pay(engine, "o1", by=ANA, key="k2")

        assert outcome.order.state == "pending"
        engine.execute("o1", c.AcceptOrder(), by=LUC)
        engine.execute("o1", c.DeliverOrder(note="here"), by=LUC)
        engine.execute("o1", c.ApproveDelivery(), by=ANA)
        engine.run_effects(handlers(wallets, bank, clock), KINDS)
        assert wallets.balance("ana", "EUR") == eur(0)
        assert wallets.balance("luc", "EUR") == eur(100)
        assert engine.order("o1").payouts[0].status == "paid"

        wallets.withdraw("luc", eur(100), "w1", payee_id="iban-luc")
        assert wallets.balance("luc", "EUR") == eur(0)
        engine.run_effects(handlers(wallets, bank, clock), KINDS)
        (applied,) = bank.applied
        assert (applied.amount, applied.order_id) == (eur(100), "wallet:luc")
        assert wallets.wallet("luc").withdrawals == ()
        assert engine.verify().faults == ()

    def test_wallets_that_were_forgotten(
        self,
        wallets: Wallets,
        engine: Engine,
        bank: SimulatedGateway,
        clock: FakeClock,
    ) -> None:
        """
        A worker that has no gateway for wallets sends a refund to no other one: it
        waits, and says why.  Put back, it is made once.
        """
        wallets.credit("ana", eur(100), "k1")
        unpaid(engine)
        wallets.pay(engine, "o1", by=ANA, key="k2")
        engine.execute("o1", c.CancelOrder(), by=ANA)
        forgetful = payments.handlers(bank, payouts=wallets, clock=clock)

        assert engine.run_effects(forgetful, KINDS[:2]).parked == 1

        (stuck,) = engine.stuck()
        assert "methods={'wallet': wallets}" in stuck.reason
        assert engine.order("o1").refunds[0].status == "failed"
        assert bank.applied == ()
        assert engine.redrive("o1", stuck.key) == 1
        assert engine.run_effects(handlers(wallets, bank, clock), KINDS).done == 1
        assert engine.order("o1").refunds[0].status == "paid"
        assert wallets.balance("ana", "EUR") == eur(100)
        assert engine.stuck() == ()

    @pytest.mark.parametrize("restored", [False, True])
    def test_wallets_that_one_worker_has(
        self,
        wallets: Wallets,
        engine: Engine,
        bank: SimulatedGateway,
        clock: FakeClock,
        restored: bool,
    ) -> None:
        """
        What another worker may have sent is not said to be undone by one that has no
        gateway for it: put back, it is looked up first.
        """
        wallets.credit("ana", eur(100), "k1")
        unpaid(engine)
        wallets.pay(engine, "o1", by=ANA, key="k2")
        engine.execute("o1", c.CancelOrder(), by=ANA)
        every = handlers(wallets, bank, clock)
        if restored:
            (status,) = [
                one for one in engine.effects("o1") if one.effect.name == "refund"
            ]
            every[Refund](status.effect)
        else:

            def dies(effect: Refund) -> None:
                every[Refund](effect)
                raise RuntimeError

            engine.run_effects({**every, Refund: dies}, KINDS)
            clock.advance(minutes=10)
        forgetful = payments.handlers(
            bank, clock=clock, restored_at=clock.now() if restored else None
        )

        assert engine.run_effects(forgetful, KINDS[:2]).parked == 1
        (stuck,) = engine.stuck()
        assert engine.order("o1").refunds[0].status == "sent"
        engine.redrive("o1", stuck.key)
        assert engine.run_effects(every, KINDS).done == 1
        assert engine.order("o1").refunds[0].status == "paid"
        assert wallets.balance("ana", "EUR") == eur(100)

    def test_in_parts(self, wallets: Wallets) -> None:
        """
        Parts go back in any number, never more than there was, each key once.
        """
        wallets.credit("ana", eur(100), "k1")
        payment = wallets.debit("ana", eur(100), "k2", order_id="o1")

        for number in range(10):
            effect = refund(payment, eur(10), f"r{number}")
            assert wallets.look_up(effect) is None
            said = wallets.refund(effect)
            assert wallets.refund(effect) == wallets.look_up(effect) == said

        assert wallets.balance("ana", "EUR") == eur(100)
        assert isinstance(wallets.refund(refund(payment, eur(1), "more")), NotDone)
        with pytest.raises(KeyReusedError):
            wallets.refund(refund(payment, eur(11), "r3"))

    @pytest.mark.parametrize(
        "payment",
        [
            *("", "ana", "ana:", "ana:0", "ana:1", "ana:2", "ana:03", "luc:3"),
            *("ana:\uff13", "x" * 250 + ":3", "ana:" + "9" * 40),
        ],
    )
    def test_a_payment_that_is_none(self, wallets: Wallets, payment: str) -> None:
        """
        What is no debit of anybody gives nothing back.
        """
        wallets.credit("ana", eur(100), "k1")
        wallets.debit("ana", eur(100), "k2", order_id="o1")
        effect = refund(Payment("wallet", payment or "-"), eur(1), "r")

        assert isinstance(wallets.refund(effect), NotDone)
        assert wallets.look_up(effect) is None
        assert wallets.balance("ana", "EUR") == eur(0)

    def test_of_another_order(self, wallets: Wallets) -> None:
        """
        A debit is for its order, and for no other one.
        """
        wallets.credit("ana", eur(100), "k1")
        payment = wallets.debit("ana", eur(100), "k2", order_id="o1")

        said = wallets.refund(refund(payment, eur(1), "r", order_id="o2"))

        assert isinstance(said, NotDone)

    def test_an_earning_under_a_key_of_another(self, wallets: Wallets) -> None:
        """
        The key of an earning stands for its amount.
        """
        effect = earning("luc")
        said = wallets.pay_out(effect)

        assert wallets.pay_out(effect) == wallets.look_up(effect) == said
        with pytest.raises(KeyReusedError):
            wallets.pay_out(attrs.evolve(effect, amount=eur(11)))
        # The host's own keys are others.
        wallets.credit("luc", eur(1), effect.key)
        assert wallets.balance("luc", "EUR") == eur(11)

    def test_no_withdrawal_is_looked_up_here(self, wallets: Wallets) -> None:
        """
        Withdrawals are sent by somebody else.
        """
        effect = Withdraw(
            order_id="wallet:ana",
            seq=2,
            key="k",
            user_id="ana",
            payee_id="ana",
            amount=eur(1),
            asked_at=FakeClock(T0).now(),
        )

        assert wallets.look_up(effect) is None

    def test_a_balance_that_cannot_be_kept(
        self, wallets: Wallets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        What would be too much is refused for sure: a human must look.
        """
        wallets.credit("ana", eur(10), "k1")
        payment = wallets.debit("ana", eur(1), "k2", order_id="o1")
        monkeypatch.setattr(wallet, "MINOR_MAX", 900)

        assert isinstance(wallets.pay_out(earning("ana")), NotDone)
        assert isinstance(wallets.refund(refund(payment, eur(1), "r")), NotDone)
        assert repr(wallets).startswith("Wallets(")


class TestPaying:
    """
    Between a debit and its order nothing is trapped, and nothing is doubled.
    """

    def test_again(self, wallets: Wallets, engine: Engine) -> None:
        """
        Paid twice with one key is paid once.
        """
        wallets.credit("ana", eur(300), "k1")
        unpaid(engine)

        first = wallets.pay(engine, "o1", by=ANA, key="k2")
        again = wallets.pay(engine, "o1", by=ANA, key="k2")

        assert first.order.state == again.order.state == "pending"
        assert wallets.balance("ana", "EUR") == eur(200)
        with refused("nothing_due"):
            wallets.pay(engine, "o1", by=ANA, key="k3")
        for key in ("k2", "k3"):
            with pytest.raises(KeyReusedError if key == "k2" else WalletRefusedError):
                wallets.pay(engine, "o1", by=ANA, key=key, amount=eur(1))
        assert wallets.balance("ana", "EUR") == eur(200)

    def test_a_part(self, wallets: Wallets, engine: Engine) -> None:
        """
        An order may be paid by two wallets' worth, or by a card for the rest.
        """
        wallets.credit("ana", eur(60), "k1")
        unpaid(engine)
        wallets.pay(engine, "o1", by=ANA, key="k2", amount=eur(60))
        rest = c.ConfirmPayment(payment=Payment("card", "pi_9", eur(40)))

        assert engine.order("o1").state == "awaiting_payment"
        assert engine.execute("o1", rest, by=STRIPE).order.state == "pending"

    def test_too_little(self, wallets: Wallets, engine: Engine) -> None:
        """
        Who has too little may top up, and pay then.
        """
        wallets.credit("ana", eur(99), "k1")
        unpaid(engine)
        with refused("balance_too_low"):
            wallets.pay(engine, "o1", by=ANA, key="k2")
        wallets.credit("ana", eur(1), "k3")

        assert wallets.pay(engine, "o1", by=ANA, key="k2").order.state == "pending"

    @pytest.mark.parametrize("user_id", ["zoe", "luc"])
    def test_an_order_of_somebody_else(
        self, wallets: Wallets, engine: Engine, user_id: str
    ) -> None:
        """
        Nobody pays for an order that he did not place, not its seller either; nothing
        is written.
        """
        wallets.credit(user_id, eur(100), "k1")
        unpaid(engine)

        with pytest.raises(OrderNotFoundError):
            wallets.pay(engine, "o1", by=Buyer(user_id), key="k2")
        assert wallets.balance(user_id, "EUR") == eur(100)

    @pytest.mark.parametrize("paid", [0, 40])
    def test_more_than_is_due(
        self, wallets: Wallets, engine: Engine, paid: int
    ) -> None:
        """
        What is not due is not taken: nothing is written, here or there.
        """
        wallets.credit("ana", eur(300), "k1")
        unpaid(engine)
        if paid:
            card = Payment("card", "pi_9", eur(paid))
            engine.execute("o1", c.ConfirmPayment(payment=card), by=STRIPE)
        version = engine.order("o1").version

        with refused("payment_exceeds_price") as error:
            wallets.pay(
                engine, "o1", by=ANA, key="k2", amount=eur(100 - paid) + eur("0.01")
            )

        assert error.value.params == {"maximum": eur(100 - paid)}
        assert engine.order("o1").version == version
        assert wallets.wallet("ana").version == 2
        wallets.pay(engine, "o1", by=ANA, key="k2", amount=eur(100 - paid))
        assert engine.order("o1").state == "pending"

    @pytest.mark.parametrize("amount", [None, eur(100)])
    @pytest.mark.parametrize("state", ["pending", "cancelled", "overdue"])
    def test_nothing_is_due(
        self,
        wallets: Wallets,
        engine: Engine,
        clock: FakeClock,
        state: str,
        amount: Money | None,
    ) -> None:
        """
        Nor is anything that is paid already, or of an order that is over, also if
        nobody has settled that yet.
        """
        wallets.credit("ana", eur(300), "k1")
        unpaid(engine)
        if state == "pending":
            card = Payment("card", "pi_9", eur(100))
            engine.execute("o1", c.ConfirmPayment(payment=card), by=STRIPE)
        elif state == "cancelled":
            engine.execute("o1", c.CancelOrder(), by=ANA)
        else:
            clock.advance(days=2)
        version = engine.storage.load("o1").version

        with refused("nothing_due"):
            wallets.pay(engine, "o1", by=ANA, key="k2", amount=amount)

        assert engine.storage.load("o1").version == version
        assert wallets.wallet("ana").version == 2

    def test_paid_meanwhile(
        self, wallets: Wallets, engine: Engine, bank: SimulatedGateway, clock: FakeClock
    ) -> None:
        """
        Somebody paid between the debit and its order: the order gives it back.
        """
        wallets.credit("ana", eur(100), "k1")
        unpaid(engine)
        # As far as `pay` had come.
        wallets.debit("ana", eur(100), "k2", order_id="o1")
        card = Payment("card", "pi_9", eur(100))
        engine.execute("o1", c.ConfirmPayment(payment=card), by=STRIPE)

        wallets.pay(engine, "o1", by=ANA, key="k2")
        engine.run_effects(handlers(wallets, bank, clock), KINDS)

        assert wallets.balance("ana", "EUR") == eur(100)
        assert engine.order("o1").ledger.held == eur(100)

    @pytest.mark.parametrize("amount", [None, eur("21.50")])
    @pytest.mark.parametrize("item", ["addon-1", "offer-1"])
    def test_an_extra(
        self, storage: Storage, clock: FakeClock, item: str, amount: Money | None
    ) -> None:
        """
        An item is paid by its id, whole, with its fees; what is not due is not taken.
        """
        fees = {"buyer_fee": Fee(bps=750)}
        engine = an_engine(storage, COMEUP.with_policies(fees=fees), clock)
        wallets = Wallets(storage, clock=clock)
        wallets.credit("ana", eur(200), "k1")
        unpaid(engine)
        wallets.pay(engine, "o1", by=ANA, key="k2")
        engine.execute("o1", c.AcceptOrder(), by=LUC)
        with refused("nothing_due"):
            wallets.pay(engine, "o1", by=ANA, key="k3", amount=amount, item=item)
        bought = c.BuyAddOn(title="logo", price=eur(20), payment=None)
        engine.execute("o1", bought, by=ANA)
        engine.execute("o1", c.SendOffer(title="more", price=eur(20)), by=LUC)
        for other in (eur(20), eur("21.51")):
            with refused("payment_differs") as error:
                wallets.pay(engine, "o1", by=ANA, key="k4", amount=other, item=item)
            assert error.value.params == {"amount": eur("21.50")}

        paid = wallets.pay(engine, "o1", by=ANA, key="k5", amount=amount, item=item)

        assert paid.order.payments[-1].amount == eur("21.50")
        assert paid.order.payments[-1].item == item
        assert not paid.order.payments[-1].returned
        assert wallets.balance("ana", "EUR") == eur(71)
        with refused("nothing_due"):
            wallets.pay(engine, "o1", by=ANA, key="k6", amount=amount, item=item)
        assert wallets.balance("ana", "EUR") == eur(71)

    def test_a_refused_order(self, wallets: Wallets, engine: Engine) -> None:
        """
        What was taken for an order that could not be placed goes back, and it cannot
        be placed any more, nor the debit be used again.
        """
        wallets.credit("ana", eur(100), "k1")
        payment = wallets.debit("ana", eur(100), "k2", order_id="o1")

        assert wallets.give_back(payment, engine)
        assert wallets.give_back(payment, engine)
        assert wallets.balance("ana", "EUR") == eur(100)
        with pytest.raises(OrderExistsError):
            engine.place(an_order(payment=payment), by=ANA, order_id="o1")
        with pytest.raises(OrderNotFoundError):
            engine.order("o1")
        with refused("given_back"):
            wallets.debit("ana", eur(100), "k2", order_id="o1")
        assert isinstance(wallets.refund(refund(payment, eur(1), "r")), NotDone)
        other = wallets.debit("ana", eur(100), "k3", order_id="o1")
        assert wallets.give_back(other, engine)
        assert engine.orders().items == ()
        assert engine.verify().faults == ()

    def test_an_order_that_has_it(self, wallets: Wallets, engine: Engine) -> None:
        """
        What an order counts is not given back by the wallet.
        """
        wallets.credit("ana", eur(100), "k1")
        payment = wallets.debit("ana", eur(100), "k2", order_id="o1")
        engine.place(an_order(payment=payment), by=ANA, order_id="o1")

        assert not wallets.give_back(payment, engine)
        assert not wallets.give_back(payment, engine)
        assert wallets.balance("ana", "EUR") == eur(0)
        assert wallets.wallet("ana").debits == ()

    def test_an_order_that_waits_for_it(self, wallets: Wallets, engine: Engine) -> None:
        """
        An order that is not paid yet gets what was taken for it.
        """
        wallets.credit("ana", eur(100), "k1")
        unpaid(engine)
        payment = wallets.debit("ana", eur(100), "k2", order_id="o1")

        assert not wallets.give_back(payment, engine)
        assert engine.order("o1").state == "pending"

    def test_an_order_that_is_paid(
        self, wallets: Wallets, engine: Engine, bank: SimulatedGateway, clock: FakeClock
    ) -> None:
        """
        An order that does not need it gives it back itself: once.
        """
        wallets.credit("ana", eur(100), "k1")
        engine.place(an_order(), by=ANA, order_id="o1")
        payment = wallets.debit("ana", eur(100), "k2", order_id="o1")

        assert not wallets.give_back(payment, engine)
        engine.run_effects(handlers(wallets, bank, clock), KINDS)
        assert wallets.balance("ana", "EUR") == eur(100)

    def test_an_order_in_another_currency(
        self, wallets: Wallets, engine: Engine
    ) -> None:
        """
        An order that could never count it is not told of it.
        """
        wallets.credit("ana", Money(100, "JPY"), "k1")
        payment = wallets.debit("ana", Money(100, "JPY"), "k2", order_id="o1")
        unpaid(engine)

        assert wallets.give_back(payment, engine)
        assert wallets.balance("ana", "JPY") == Money(100, "JPY")
        assert engine.order("o1").payments == ()

    def test_an_order_that_nobody_named(self, wallets: Wallets, engine: Engine) -> None:
        """
        A debit that names no order goes back only once somebody says which it was.
        """
        wallets.credit("ana", eur(100), "k1")
        payment = wallets.debit("ana", eur(100), "k2")

        with refused("no_order"):
            wallets.give_back(payment, engine)
        assert wallets.give_back(payment, engine, order_id="o1")
        with pytest.raises(OrderExistsError):
            engine.place(an_order(payment=payment), by=ANA, order_id="o1")

    def test_too_many(self, wallets: Wallets, engine: Engine) -> None:
        """
        So many debits and withdrawals are under way at a time, and no more (I28).
        """
        wallets.credit("ana", eur(1000), "k1")
        for number in range(wallet.OPEN_MAX):
            payment = wallets.debit("ana", eur(1), f"d{number}", order_id=f"o{number}")
            wallets.withdraw("ana", eur(1), f"w{number}")

        with refused("too_many_open"):
            wallets.debit("ana", eur(1), "d", order_id="o")
        with refused("too_many_open"):
            wallets.withdraw("ana", eur(1), "w")
        wallets.give_back(payment, engine)
        wallets.debit("ana", eur(1), "d", order_id="o")


class TestSweep:
    """
    Debits that nobody spoke of are looked at, by themselves.
    """

    def test_each_comes_to_something(
        self, wallets: Wallets, engine: Engine, clock: FakeClock
    ) -> None:
        """
        After the window a debit is in its order, or back; before, nobody looks.
        """
        wallets.credit("ana", eur(300), "k1")
        wallets.debit("ana", eur(100), "k2", order_id="never")
        unpaid(engine, "waits")
        wallets.debit("ana", eur(100), "k3", order_id="waits")
        payment = wallets.debit("ana", eur(100), "k4", order_id="has it")
        engine.place(an_order(payment=payment), by=ANA, order_id="has it")

        clock.advance(minutes=15, seconds=-1)
        assert wallets.run_due(engine).orders == 0
        clock.advance(seconds=1)
        assert wallets.run_due(engine).moves == 3
        assert wallets.run_due(engine).orders == 0

        assert wallets.balance("ana", "EUR") == eur(100)
        assert engine.order("waits").state == engine.order("has it").state == "pending"
        assert engine.stuck() == ()

    def test_what_is_for_a_human(
        self, wallets: Wallets, engine: Engine, clock: FakeClock
    ) -> None:
        """
        What cannot be looked at is in `stuck()`, the others of that wallet go on, and
        it is tried again; once it is solved it is not stuck any more.
        """
        wallets.credit("ana", eur(300), "k1")
        payment = wallets.debit("ana", eur(100), "k2")
        wallets.debit("ana", eur(100), "k3", order_id="never")
        clock.advance(hours=1)

        report = wallets.run_due(engine)

        assert [order_id for order_id, _ in report.parked] == ["wallet:ana"]
        (stuck,) = engine.stuck()
        assert (stuck.order_id, stuck.kind, stuck.attempts) == (
            "wallet:ana",
            "wallet",
            1,
        )
        assert "names no order" in stuck.reason
        assert wallets.balance("ana", "EUR") == eur(200)
        clock.advance(hours=1)
        wallets.run_due(engine)
        assert engine.stuck()[0].attempts == 2
        assert engine.stuck()[0].since == stuck.since
        assert engine.redrive("wallet:ana") == 1
        wallets.run_due(engine)
        wallets.give_back(payment, engine, order_id="o1")
        assert engine.stuck() == ()

    def test_one_that_cannot_be_read(
        self, wallets: Wallets, engine: Engine, clock: FakeClock, storage: Storage
    ) -> None:
        """
        An order of a process that is not here keeps its debit where it is.
        """
        wallets.credit("ana", eur(100), "k1")
        theirs = an_engine(storage, COMEUP.extend(name="theirs"), clock)
        unpaid(theirs)
        wallets.debit("ana", eur(100), "k2", order_id="o1")
        clock.advance(minutes=20)

        assert len(wallets.run_due(engine).parked) == 1
        assert wallets.wallet("ana").debits != ()
        engine.redrive("wallet:ana")
        assert wallets.run_due(theirs).moves == 1
        assert theirs.order("o1").state == "pending"

    def test_workers(
        self,
        wallets: Wallets,
        engine: Engine,
        bank: SimulatedGateway,
        clock: FakeClock,
    ) -> None:
        """
        A worker that has the wallets looks at them; one that has not leaves them, and
        their withdrawals, alone.
        """
        wallets.credit("ana", eur(300), "k1")
        wallets.debit("ana", eur(100), "k2", order_id="never")
        wallets.withdraw("ana", eur(100), "k3")
        clock.advance(minutes=20)
        plain = payments.handlers(bank, clock=clock)

        assert Worker(engine, plain, kinds=["refund", "pay_out"]).run_once().idle
        assert engine.run_due() == type(engine.run_due())()
        assert engine.next_due_at() is None
        assert engine.stuck() == ()

        every = handlers(wallets, bank, clock)
        worker = Worker(engine, every, kinds=KINDS, wallets=wallets)
        report = worker.run_once()

        assert (report.wallets.moves, report.effects.done) == (1, 1)
        assert not report.idle
        assert worker.run_once().idle
        assert wallets.balance("ana", "EUR") == eur(200)

    def test_the_log(
        self,
        wallets: Wallets,
        engine: Engine,
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        A human is told which wallet.
        """
        wallets.credit("ana", eur(100), "k1")
        wallets.debit("ana", eur(100), "k2")
        clock.advance(minutes=20)

        Worker(engine, wallets=wallets).run_once()

        assert "wallet:ana has a debit without an order: see engine.stuck()" in (
            caplog.text
        )


class TestWithdrawals:
    """
    Money that leaves for a bank: off the balance at once, sent once.
    """

    @pytest.fixture(autouse=True)
    def _credited(
        self,
        wallets: Wallets,
        engine: Engine,
        bank: SimulatedGateway,
        clock: FakeClock,
    ) -> None:
        self.wallets, self.engine, self.bank, self.clock = wallets, engine, bank, clock
        self.wallets.credit("luc", eur(100), "k1")
        self.wallets.withdraw("luc", eur(60), "w1", payee_id="iban")

    def run(self) -> Any:
        """
        Carry out what is to be carried out.
        """
        hands = handlers(self.wallets, self.bank, self.clock)
        return self.engine.run_effects(hands, ["withdraw"])

    def settle(self) -> None:
        """
        Carry out all that can be without a human.
        """
        for _ in range(40):
            self.clock.advance(minutes=10)
            self.run()

    @property
    def key(self) -> str:
        """
        The key of what is on its way.
        """
        (one,) = self.wallets.wallet("luc").withdrawals
        return one.key

    def moved(self) -> list[Money]:
        """
        Return what the bank really paid.
        """
        assert self.engine.verify().faults == ()
        return [one.amount for one in self.bank.applied]

    def account(self) -> tuple[int, int, int]:
        """
        Return what is on the balance, on its way, and outside, in euros.
        """
        one = self.wallets.wallet("luc").account("EUR")
        return one.balance // 100, one.leaving // 100, one.outside // 100

    def test_paid(self) -> None:
        """
        What was paid is off the books.
        """
        assert self.account() == (40, 60, -100)
        assert self.wallets.wallet("luc").leaving("EUR") == eur(60)
        assert self.run().done == 1
        assert self.account() == (40, 0, -40)
        (status,) = self.engine.effects("wallet:luc")
        assert (status.status, status.effect.name) == ("done", "withdraw")
        assert self.moved() == [eur(60)]

    def test_refused(self) -> None:
        """
        What was refused for sure is in the wallet again, and is nobody's trouble.
        """
        self.bank.next(REFUSED)

        assert self.run().lapsed == 1
        assert self.account() == (100, 0, -100)
        assert self.engine.effects("wallet:luc")[0].status == "failed"
        assert self.engine.stuck() == ()
        assert self.moved() == []

    @pytest.mark.parametrize("profile", ["stripe_v1", "bare", "qonto30m"])
    @pytest.mark.parametrize("trouble", [LOST, UNANSWERED, PENDING])
    def test_troubles(self, profile: str, trouble: Any) -> None:
        """
        Whatever happens to one call, money leaves once, or a human is asked.
        """
        self.bank = SimulatedGateway(profile, self.clock, name="bank")
        self.bank.next(trouble)
        self.run()
        if trouble is PENDING:
            assert self.wallets.wallet("luc").withdrawals[0].sent
            self.bank.finish(self.bank.applied[0].reference)
            for wallet_id, report in self.bank.reports():
                assert isinstance(report, c.ReportPayout)
                self.wallets.report(wallet_id, report)
        self.settle()

        for stuck in self.engine.stuck():
            assert (stuck.kind, stuck.order_id) == ("withdraw", "wallet:luc")
            status = "paid" if self.bank.applied else "failed"
            report = c.ReportPayout(key=stuck.key, status=status, reason="looked")  # type: ignore[arg-type]
            self.wallets.report(stuck.order_id, report)
        left = 60 * len(self.moved())
        assert self.engine.stuck() == ()
        assert self.account() == (100 - left, 0, left - 100)

    def test_proved_not_to_have_happened(self) -> None:
        """
        Proved, it is sent again under the next key, and later, and then by a human.
        """
        no = {Withdraw: lambda _: NotDone("proved", again=True)}
        for _ in range(60):
            self._again(no)
            self.clock.advance(hours=2)

        asked = [one.effect.key for one in self.engine.effects("wallet:luc")]
        assert len(set(asked)) == 26
        assert asked[-1] == self.key
        (stuck,) = self.engine.stuck()
        assert stuck.reason.startswith("proved 25 times")
        assert self.account() == (40, 60, -100)
        assert self.engine.redrive("wallet:luc", stuck.key) == 1
        assert self.run().done == 1
        assert self.moved() == [eur(60)]

    def _again(self, hands: Any) -> int:
        every = {**handlers(self.wallets, self.bank, self.clock), **hands}
        again: int = self.engine.run_effects(every, ["withdraw"]).again
        return again

    def test_after_a_backup_was_restored(self, clock: FakeClock) -> None:
        """
        What a database has forgotten is asked for under the key of before, wherever in
        the history it stands now: the bank pays it once.
        """
        self.run()
        fresh = MemoryStorage()
        wallets, engine = Wallets(fresh, clock=clock), an_engine(fresh, clock=clock)
        wallets.credit("luc", eur(70), "k2")
        wallets.credit("luc", eur(30), "k3")
        restored = payments.handlers(
            wallets, withdrawals=self.bank, clock=clock, restored_at=clock.now()
        )
        wallets.withdraw("luc", eur(60), "w1", payee_id="iban")
        wallets.withdraw("luc", eur(5), "w2", payee_id="iban")
        clock.advance(minutes=10)
        engine.run_effects(restored, ["withdraw"])

        assert [one.amount for one in self.bank.applied] == [eur(60), eur(5)]
        assert wallets.wallet("luc").withdrawals == ()

    @pytest.mark.parametrize("status", ["failed", "paid"])
    def test_another_under_the_same_key(self, status: Any) -> None:
        """
        How something ended that is not what was booked changes nothing, and is said: after
        a restored backup it may have left twice.  Without its name it is what was booked.
        """
        key = self.key
        self.run()
        (sent,) = self.bank.applied
        before = self.account()
        other = c.ReportPayout(key=key, status=status, reference="po_0")

        with pytest.raises(WalletRefusedError) as caught:
            self.wallets.report("wallet:luc", other)

        assert caught.value.code == "reference_differs"
        assert caught.value.params == {"name": "po_0", "ours": sent.reference}
        assert self.account() == before
        for reference in ("", sent.reference):
            same = c.ReportPayout(key=key, status=status, reference=reference)
            self.wallets.report("wallet:luc", same)
        assert (self.account() == before) is (status == "paid")

    def test_another_of_its_batch(self) -> None:
        """
        What a restored backup has forgotten is not taken for another that the gateway
        calls the same: that one was paid, and stays paid.
        """
        self._again({Withdraw: lambda _: Done("batch_1")})
        self.wallets.withdraw("luc", eur(5), "w2", payee_id="iban")
        (open_,) = self.wallets.wallet("luc").withdrawals
        before = self.account()
        old = c.ReportPayout(
            key=later_keys("wallet:luc", open_)[0],
            status="failed",
            reference="batch_1",
        )

        with pytest.raises(WalletRefusedError) as caught:
            self.wallets.report("wallet:luc", old)

        assert caught.value.code == "unknown_withdrawal"
        assert self.account() == before == (35, 5, -40)

    @pytest.mark.parametrize("named", [True, False], ids=["its key", "its name"])
    def test_after_a_backup_it_comes_back(self, clock: FakeClock, named: bool) -> None:
        """
        It had left under its second key before that was lost: when it comes back from
        the bank, whatever the bank calls it, it is in the wallet again.
        """
        first = self.key
        self._again({Withdraw: lambda _: NotDone("proved", again=True)})
        clock.advance(hours=2)
        self.run()
        (sent,) = self.bank.applied
        assert sent.key != first
        fresh = MemoryStorage()
        wallets, engine = Wallets(fresh, clock=clock), an_engine(fresh, clock=clock)
        wallets.credit("luc", eur(100), "k1")
        wallets.withdraw("luc", eur(60), "w1", payee_id="iban")
        clock.advance(minutes=10)
        restored = payments.handlers(
            wallets, withdrawals=self.bank, clock=clock, restored_at=clock.now()
        )
        engine.run_effects(restored, ["withdraw"])
        assert wallets.wallet("luc").withdrawals == ()

        self.bank.bounce(sent.reference)
        back = c.ReportPayout(
            key=sent.key if named else "", status="failed", reference=sent.reference
        )
        for _ in range(2):
            wallets.report("wallet:luc", back)

        assert wallets.balance("luc", "EUR") == eur(100)
        assert len(self.bank.applied) == 1

    def test_not_known_for_ever(self) -> None:
        """
        What nobody knows is for a human, and what he says counts.
        """
        for _ in range(200):
            self._again({Withdraw: lambda _: Unknown("no answer")})
            self.clock.advance(hours=1)
        (stuck,) = self.engine.stuck()
        assert self.wallets.wallet("luc").withdrawals[0].sent

        report = c.ReportPayout(
            key=stuck.key, status="failed", reason="looked", again=True
        )
        self.wallets.report(stuck.order_id, report)

        assert self.engine.stuck() == ()
        assert self.run().done == 1
        assert self.moved() == [eur(60)]

    def test_under_way(self) -> None:
        """
        What is on its way is asked after, and counts as sent.
        """
        later = {Withdraw: lambda _: RetryAt(self.clock.now().add(hours=1), "po_1")}
        self._again(later)

        assert self.wallets.wallet("luc").withdrawals[0].sent
        self.wallets.report("wallet:luc", c.ReportPayout(key=self.key, status="sent"))
        assert self.account() == (40, 60, -100)

    def test_the_webhook_comes_first(self) -> None:
        """
        Told by the provider while a worker still waits, it is written once.
        """
        key = self.key

        def paid(effect: Withdraw) -> Done:
            done = self.bank.pay_out(effect.as_payout)
            assert isinstance(done, Done)
            report = c.ReportPayout(key=key, status="paid", reference=done.reference)
            for _ in range(2):
                self.wallets.report("wallet:luc", report)
            return done

        report = self.engine.run_effects(
            {**handlers(self.wallets, self.bank, self.clock), Withdraw: paid},
            ["withdraw"],
        )

        assert report.done == 1
        assert self.account() == (40, 0, -40)
        assert self.moved() == [eur(60)]

    @pytest.mark.parametrize("late", [False, True])
    def test_the_log_says_wallet(
        self, caplog: pytest.LogCaptureFixture, late: bool
    ) -> None:
        """
        What a log says of a withdrawal is said of a wallet, and not of an order.
        """
        key = self.key

        def asked(_: Withdraw) -> RetryAt:
            if not late:
                raise OSError
            self.clock.advance(minutes=2)
            self._again({Withdraw: lambda _: Unknown("no answer")})
            return RetryAt(self.clock.now().add(hours=1))

        self._again({Withdraw: asked})

        said = [one.getMessage() for one in caplog.records]
        assert said
        assert all(f"effect {key} of wallet wallet:luc" in one for one in said)
        assert not [one for one in said if "order" in one]

    def test_it_comes_back(self) -> None:
        """
        What a bank sends back after it was paid is in the wallet again, once.
        """
        key = self.key
        self.run()
        failed = c.ReportPayout(key=key, status="failed", reason="closed")
        for _ in range(2):
            self.wallets.report("wallet:luc", failed)
        self.wallets.report("wallet:luc", c.ReportPayout(key=key, status="paid"))

        assert self.account() == (100, 0, -100)
        assert self.engine.verify().faults == ()

    def test_an_older_key(self) -> None:
        """
        Of a key that was given up, a payment is for a human; anything else is over.
        """
        old = self.key
        self._again({Withdraw: lambda _: NotDone("proved", again=True)})
        failed = c.ReportPayout(key=old, status="failed", reason="known")
        self.wallets.report("wallet:luc", failed)

        assert self.key != old
        with refused("other_key"):
            self.wallets.report("wallet:luc", c.ReportPayout(key=old, status="paid"))

    def test_a_worker_that_comes_too_late(self) -> None:
        """
        Whoever held it too long is believed if it was paid: it is not sent again.
        """
        late: list[Withdraw] = []
        slow = an_engine(self.engine.storage, clock=self.clock)

        def stalls(effect: Withdraw) -> Done:
            late.append(effect)
            self.clock.advance(minutes=2)
            self._again({Withdraw: lambda _: Unknown("it may be on its way")})
            return Done("po_late")

        hands = {**handlers(self.wallets, self.bank, self.clock), Withdraw: stalls}
        assert slow.run_effects(hands, ["withdraw"], limit=1).done == 1

        assert self.account() == (40, 0, -40)
        assert self.run().handled == 0
        assert self.engine.verify().faults == ()

    def test_one_that_was_given_up_comes_late(self) -> None:
        """
        A payment under a key that was proved to be unused is not written over.
        """

        def stalls(_: Withdraw) -> Done:
            self.clock.advance(minutes=2)
            self._again({Withdraw: lambda _: NotDone("proved", again=True)})
            return Done("po_late")

        hands = {**handlers(self.wallets, self.bank, self.clock), Withdraw: stalls}
        report = an_engine(self.engine.storage, clock=self.clock).run_effects(
            hands, ["withdraw"], limit=1
        )

        assert report.stale == 1
        assert self.account() == (40, 60, -100)

    @pytest.mark.parametrize(
        ("code", "report"),
        [
            ("unknown_withdrawal", c.ReportPayout(key="no such", status="paid")),
            ("unknown_withdrawal", c.ReportPayout(reference="po_1", status="paid")),
        ],
    )
    def test_a_report_of_nothing(self, code: str, report: c.ReportPayout) -> None:
        """
        A report of what was never sent is refused.
        """
        with refused(code):
            self.wallets.report("wallet:luc", report)
        with refused(code):
            self.wallets.report("wallet:nobody", report)

    def test_a_report_of_another_amount(self) -> None:
        """
        What contradicts the books is for a human, before and after.
        """
        other = c.ReportPayout(key=self.key, status="paid", amount=eur(59))
        with refused("amount_differs"):
            self.wallets.report("wallet:luc", other)
        self.run()
        with refused("amount_differs"):
            self.wallets.report("wallet:luc", other)

    def test_a_row_that_somebody_wrote(self, storage: Storage) -> None:
        """
        No money leaves because of a row that the history does not ask for (I5).
        """
        row = storage.effects("wallet:luc")[0]
        loaded = storage.load("wallet:luc")
        from escrowflow.engine.wallet_rows import change_of, wallet_of
        from escrowflow.storage import NewEffect

        found = wallet_of(loaded)
        change = change_of(loaded, found, found, (), self.clock.now())
        for seq, body in ((row.seq, row.body.replace(b"6000", b"9000")), (2, row.body)):
            forged = NewEffect(
                key=f"forged{seq}",
                kind="withdraw",
                seq=seq,
                moves_money=True,
                ready_at=row.ready_at,
                body=body.replace(row.key.encode(), f"forged{seq}".encode()),
            )
            storage.commit((attrs.evolve(change, effects=(forged,)),))

        self.run()

        assert [one.amount for one in self.bank.applied] == [eur(60)]
        assert not [
            one
            for one in self.engine.effects("wallet:luc")
            if one.effect.key.startswith("forged") and one.status == "done"
        ]
        assert len(self.engine.verify().faults) == 1
