"""
Wallets and orders in an economy where processes die at any moment (I1, I2, I6, I35).
"""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowflow import commands as c
from escrowflow import payments
from escrowflow.clock import FakeClock
from escrowflow.errors import EscrowflowError, OutcomeUnknownError
from escrowflow.money import Payment
from escrowflow.payments.wallets import Wallets
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing.gateways import Killed, SimulatedGateway
from tests.bourse import Bourse, Perilous
from tests.given import ANA, LUC, T0, an_engine, an_order, eur

if TYPE_CHECKING:
    from collections.abc import Callable

    from escrowflow.engine import Engine

pytestmark = pytest.mark.proof

FATES: Final = ("before", "after", "lost", "written")


class TestEconomy:
    """
    Many users, many orders, three currencies, and all that can go wrong.
    """

    @given(seed=st.integers(0, 2**32 - 1), peril=st.sampled_from([0.0, 0.01, 0.05]))
    def test_adds_up(self, seed: int, peril: float) -> None:
        """
        The sum over all wallets, all orders and the world outside is zero after every
        step, and nothing is left under way in the end.
        """
        bourse = Bourse(Random(seed), peril)
        for _ in range(60):
            bourse.step()
            bourse.check()
        bourse.settle()

        bourse.check_quiet()


class Shop:
    """
    One of each: an engine, wallets, a bank; on a storage that fails at one call.
    """

    def __init__(self) -> None:
        self.clock = FakeClock(T0)
        self.sound = MemoryStorage()
        self.calls = 0
        self.at = -1
        self.how = ""
        self.bank = SimulatedGateway("perfect", self.clock, name="bank")
        self.engine, self.wallets = self.opened(Perilous(self.sound, self.fate))
        self.safe, self.looker = self.opened(self.sound)

    def opened(self, storage: Any) -> tuple[Engine, Wallets]:
        """
        Return an engine and wallets on a storage.
        """
        return (
            an_engine(storage, clock=self.clock),
            Wallets(storage, clock=self.clock),
        )

    def fate(self, _: str) -> str:
        """
        Let the call of that number fail, and no other.
        """
        self.calls += 1
        return self.how if self.calls - 1 == self.at else ""

    def work(self, engine: Engine, wallets: Wallets) -> None:
        """
        Carry out what there is to be carried out.
        """
        hands = payments.handlers(
            wallets,
            methods={"wallet": wallets},
            payouts=wallets,
            withdrawals=self.bank,
            clock=self.clock,
        )
        wallets.run_due(engine)
        engine.run_effects(hands, ("refund", "pay_out", "withdraw"))

    def calm(self) -> None:
        """
        Let others finish what was begun.
        """
        for _ in range(4):
            self.clock.advance(minutes=20)
            self.work(self.safe, self.looker)
        assert self.safe.stuck() == ()
        assert self.safe.verify().faults == ()
        assert self.looker.wallet("ana").debits == ()

    def balance(self, user: str) -> int:
        """
        Return what a user has, in euros.
        """
        return self.looker.balance(user, "EUR").minor // 100


def debit_first(shop: Shop) -> None:
    """
    Debit, place; give it back if it is refused.
    """
    payment = shop.wallets.debit("ana", eur(100), "k2", order_id="o1")
    try:
        shop.engine.place(an_order(payment=payment), by=ANA, order_id="o1", key="p")
    except EscrowflowError:
        shop.wallets.give_back(payment, shop.engine)
        raise


def refused(shop: Shop) -> None:
    """
    Debit for an order that is always refused.
    """
    payment = shop.wallets.debit("ana", eur(100), "k2", order_id="o1")
    with suppress(EscrowflowError):
        shop.engine.place(
            an_order(payment=payment, price=eur(1)), by=ANA, order_id="o1"
        )
    shop.wallets.give_back(payment, shop.engine)


def pay(shop: Shop) -> None:
    """
    Place, pay.
    """
    shop.engine.place(an_order(payment=None), by=ANA, order_id="o1", key="p")
    shop.wallets.pay(shop.engine, "o1", by=ANA, key="k2")


def whole(shop: Shop) -> None:
    """
    An order that is paid, completed, and earned; and a withdrawal.
    """
    pay(shop)
    shop.engine.execute("o1", c.AcceptOrder(), by=LUC, key="1")
    shop.engine.execute("o1", c.DeliverOrder(note="here"), by=LUC, key="2")
    shop.engine.execute("o1", c.ApproveDelivery(), by=ANA, key="3")
    shop.work(shop.engine, shop.wallets)
    shop.wallets.withdraw("luc", eur(70), "w")
    shop.work(shop.engine, shop.wallets)


def cancelled(shop: Shop) -> None:
    """
    An order that is paid and cancelled.
    """
    pay(shop)
    shop.engine.execute("o1", c.CancelOrder(), by=ANA, key="1")
    shop.work(shop.engine, shop.wallets)


def counted(shop: Shop) -> int:
    """
    Return what the order holds, or has on its way, in euros.
    """
    found = shop.safe.orders().items
    return (
        sum(
            order.ledger.escrow + order.ledger.refundable + order.ledger.payable
            for order in found
        )
        // 100
    )


class TestEveryCall:
    """
    A process that dies at any call, or never hears how it ended.
    """

    @pytest.mark.parametrize("fate", FATES)
    @pytest.mark.parametrize(
        "story", [debit_first, refused, pay, whole, cancelled], ids=lambda s: s.__name__
    )
    @pytest.mark.parametrize("repeated", [True, False])
    def test_dies(
        self, story: Callable[[Shop], None], fate: str, repeated: bool
    ) -> None:
        """
        Whether the client comes back or not: no money is lost, doubled or trapped.
        """
        plain = Shop()
        plain.wallets.credit("ana", eur(100), "k1")
        begun = plain.calls
        story(plain)
        for at in range(begun, plain.calls):
            shop = Shop()
            shop.wallets.credit("ana", eur(100), "k1")
            shop.at, shop.how = at, fate
            with suppress(Killed, EscrowflowError):
                story(shop)
            shop.at = -1
            if repeated:
                # Whoever repeats it at once.
                with suppress(EscrowflowError):
                    story(shop)
            shop.calm()
            sent = sum(one.amount.minor for one in shop.bank.applied) // 100
            total = shop.balance("ana") + shop.balance("luc") + counted(shop) + sent
            assert total == 100, (at, fate)
            if repeated and fate in FATES[2:]:
                assert sent == (70 if story is whole else 0)


class TestLate:
    """
    What arrives after somebody has given up on it.
    """

    def test_an_order_that_is_placed_late(self) -> None:
        """
        A process sleeps between debit and order, longer than the window.
        """
        shop = Shop()
        shop.wallets.credit("ana", eur(100), "k1")
        payment = shop.wallets.debit("ana", eur(100), "k2", order_id="o1")
        shop.clock.advance(hours=2)
        shop.looker.run_due(shop.safe)

        with pytest.raises(EscrowflowError):
            shop.engine.place(an_order(payment=payment), by=ANA, order_id="o1")

        assert shop.wallets.give_back(payment, shop.engine)
        assert shop.balance("ana") == 100
        assert shop.safe.orders().items == ()

    def test_a_commit_that_arrives_late(self) -> None:
        """
        The order was on its way when nobody believed in it any more.
        """
        shop = Shop()
        shop.wallets.credit("ana", eur(100), "k1")
        payment = shop.wallets.debit("ana", eur(100), "k2", order_id="o1")
        sent: list[Any] = []

        class InFlight:
            """
            A storage whose commits are still on their way.
            """

            def __getattr__(self, verb: str) -> Any:
                return getattr(shop.sound, verb)

            def commit(self, changes: Any) -> Any:
                """
                Send it, and never hear of it.
                """
                sent.append(changes)
                raise OutcomeUnknownError("no answer")

        far: Any = InFlight()
        with pytest.raises(OutcomeUnknownError):
            an_engine(far, clock=shop.clock).place(
                an_order(payment=payment), by=ANA, order_id="o1"
            )
        assert shop.wallets.give_back(payment, shop.engine)
        for changes in sent:
            shop.sound.commit(changes)

        assert shop.safe.orders().items == ()
        assert shop.balance("ana") == 100
        assert shop.safe.verify().faults == ()

    def test_a_debit_that_arrives_late(self) -> None:
        """
        A debit nobody has heard of is looked at like any other.
        """
        shop = Shop()
        shop.wallets.credit("ana", eur(100), "k1")
        shop.at, shop.how = shop.calls + 1, "after"
        with pytest.raises(Killed):
            shop.wallets.debit("ana", eur(100), "k2", order_id="o1")

        assert shop.balance("ana") == 0
        shop.calm()
        assert shop.balance("ana") == 100
        assert Payment("wallet", "ana:3", eur(100)).reference == "ana:3"
