"""
A little economy: users with wallets, orders between them, a bank, and storages that
fail; and what must hold at every moment.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from escrowflow import commands as c
from escrowflow import payments
from escrowflow.clock import FakeClock
from escrowflow.engine import Retries
from escrowflow.errors import (
    CommandRefusedError,
    EscrowflowError,
    InvalidInputError,
    KeyReusedError,
    OrderExistsError,
    OutcomeUnknownError,
    WalletRefusedError,
)
from escrowflow.money import Money
from escrowflow.parties import Buyer, Seller
from escrowflow.payments.wallets import Wallets
from escrowflow.storage.codec import decode_event
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing.gateways import (
    KILLED_AFTER,
    KILLED_BEFORE,
    LOST,
    PROFILES,
    REFUSED,
    UNANSWERED,
    Killed,
    SimulatedGateway,
)
from escrowflow.wallet import (
    EVENTS,
    DebitReturned,
    WalletCredited,
    WalletDebited,
    WithdrawalPaid,
)
from tests.given import T0, an_engine, terms

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from escrowflow.order import Order
    from escrowflow.storage import Storage
    from escrowflow.wallet import Wallet

__all__ = ["Bourse", "Perilous"]

# What writes, so that its outcome may be unknown.
_WRITES: Final = ("commit", "settle_effect")

_USERS: Final = ("ana", "luc", "zoe")
_CURRENCIES: Final = ("EUR", "JPY", "KWD")

# What a request that came to its end may be answered with.
_OVER: Final = (
    WalletRefusedError,
    CommandRefusedError,
    InvalidInputError,
    KeyReusedError,
    OrderExistsError,
)


class Perilous:
    """
    A storage at which a process may die, or lose its connection.

    Attributes:
        fate: Asked before each call, with the verb: `"before"` and `"after"` kill;
            `"lost"` and `"written"` leave it unknown; `""` lets it be.
    """

    def __init__(self, storage: Storage, fate: Callable[[str], str]) -> None:
        self._storage = storage
        self.fate = fate

    def __getattr__(self, verb: str) -> Any:
        call = getattr(self._storage, verb)
        if not callable(call) or verb == "close":
            return call

        def perilous(*values: Any) -> Any:
            fate = self.fate(verb)
            if fate == "before":
                raise Killed
            if fate == "lost" and verb in _WRITES:
                raise OutcomeUnknownError("the connection was lost")
            answer = call(*values)
            if fate == "after":
                raise Killed
            if fate == "written" and verb in _WRITES:
                raise OutcomeUnknownError("the connection was lost")
            return answer

        return perilous


class Bourse:
    """
    Users, orders, a bank; and one random source for all that happens.

    Attributes:
        peril: How often a call of the storage goes wrong.
    """

    def __init__(self, random: Random, peril: float) -> None:
        self.random = random
        self.peril = peril
        self.clock = FakeClock(T0)
        self.sound = MemoryStorage()
        self.bank = SimulatedGateway(
            random.choice(sorted(PROFILES)), self.clock, name="bank"
        )
        # What was asked and is not over: a client says it again, with the same key.
        self.asked: dict[str, Callable[[], object]] = {}
        self.number = 0
        storage: Any = Perilous(self.sound, self._fate)
        self.engine = an_engine(storage, clock=self.clock, retries=Retries(attempts=4))
        self.wallets = Wallets(storage, clock=self.clock)
        # Who looks at it is in no peril.
        self.auditor = an_engine(self.sound, clock=self.clock)
        self.handlers = payments.handlers(
            self.wallets,
            methods={"wallet": self.wallets},
            payouts=self.wallets,
            withdrawals=self.bank,
            clock=self.clock,
        )

    def _fate(self, _: str) -> str:
        if self.random.random() >= self.peril:
            return ""
        return self.random.choice(("before", "after", "lost", "written"))

    # --- what happens -------------------------------------------------------------

    def step(self) -> None:
        """
        Let something happen, and be cut off perhaps.
        """
        acts = (
            *(self.credit, self.pay, self.debit_first, self.withdraw, self.charge_back),
            *(self.go_on, self.go_on, self.work, self.work, self.again, self.wait),
        )
        with suppress(Killed, EscrowflowError):
            self.random.choice(acts)()

    def ask(self, key: str, request: Callable[[], object]) -> None:
        """
        Ask for something, and again until it is over.
        """
        self.asked[key] = request
        try:
            request()
        except _OVER:
            del self.asked[key]
        else:
            del self.asked[key]

    def again(self) -> None:
        """
        Repeat what was never answered.
        """
        if self.asked:
            key = self.random.choice(sorted(self.asked))
            self.ask(key, self.asked[key])

    def _key(self) -> str:
        self.number += 1
        return f"k{self.number}"

    def _amount(self) -> Money:
        return Money(self.random.randint(1, 200), self.random.choice(_CURRENCIES))

    def credit(self) -> None:
        """
        Somebody tops up.
        """
        key, user, amount = self._key(), self.random.choice(_USERS), self._amount()
        self.ask(key, lambda: self.wallets.credit(user, amount, key))

    def withdraw(self) -> None:
        """
        Somebody wants to have it.
        """
        key, user, amount = self._key(), self.random.choice(_USERS), self._amount()
        self.ask(key, lambda: self.wallets.withdraw(user, amount, key))

    def charge_back(self) -> None:
        """
        A bank takes something back; it does so rarely.
        """
        if self.random.random() < 0.2:
            key, user, amount = self._key(), self.random.choice(_USERS), self._amount()
            self.ask(key, lambda: self.wallets.charge_back(user, amount, key))

    def pay(self) -> None:
        """
        Somebody orders, and pays from his wallet.
        """
        key, (buyer, seller) = self._key(), self.random.sample(_USERS, 2)
        order = c.PlaceOrder(
            seller_id=seller, price=self._amount(), payment=None, terms=terms()
        )

        def request() -> None:
            self.engine.place(order, by=Buyer(buyer), key=key, order_id=f"o-{key}")
            self.wallets.pay(self.engine, f"o-{key}", by=Buyer(buyer), key=key)

        self.ask(key, request)

    def debit_first(self) -> None:
        """
        Somebody pays, and orders then; now and then it is refused.
        """
        key, (buyer, seller) = self._key(), self.random.sample(_USERS, 2)
        price, order_id = self._amount(), f"o-{key}"
        seller = buyer if self.random.random() < 0.2 else seller

        def request() -> None:
            payment = self.wallets.debit(buyer, price, key, order_id=order_id)
            try:
                order = c.PlaceOrder(
                    seller_id=seller, price=price, payment=payment, terms=terms()
                )
                self.engine.place(order, by=Buyer(buyer), key=key, order_id=order_id)
            except EscrowflowError:
                self.wallets.give_back(payment, self.engine)
                raise

        self.ask(key, request)

    def go_on(self) -> None:
        """
        Somebody does something with an order.
        """
        orders = self.auditor.orders(limit=1000).items
        if not orders:
            return
        order = self.random.choice(orders)
        buyer, seller = Buyer(order.buyer_id), Seller(order.seller_id)
        by, command = self.random.choice(
            (
                (seller, c.AcceptOrder()),
                (seller, c.DeliverOrder(note="here")),
                (buyer, c.ApproveDelivery()),
                (buyer, c.CancelOrder()),
                (seller, c.CancelOrder(reason="ill")),
                (seller, c.ProposePartialRefund(amount=order.price, reason="late")),
                (buyer, c.AcceptPartialRefund()),
            )
        )
        self.engine.attempt(order.id, command, by=by)

    def work(self) -> None:
        """
        A worker does a round, with a bank that has its days.
        """
        if self.random.random() < self.peril * 20:
            troubles = (LOST, UNANSWERED, REFUSED, KILLED_BEFORE, KILLED_AFTER)
            self.bank.next(self.random.choice(troubles))
        self.wallets.run_due(self.engine)
        self.engine.run_effects(self.handlers, ("refund", "pay_out", "withdraw"))

    def wait(self) -> None:
        """
        Time passes.
        """
        self.clock.advance(minutes=self.random.choice((1, 10, 100, 3000)))
        self.engine.run_due()

    def settle(self) -> None:
        """
        Let everything come to its end, without any more trouble.
        """
        self.peril = 0
        for _ in range(60):
            while self.asked:
                self.again()
            self.clock.advance(minutes=20)
            self.engine.run_due()
            with suppress(Killed):
                # What the bank was told to do is done.
                self.work()
            for stuck in self.auditor.stuck():
                self._looked_at(stuck.order_id, stuck.key)

    def _looked_at(self, wallet_id: str, key: str) -> None:
        """
        Say what the bank's page says of a withdrawal that nobody could know of.
        """
        paid = any(one.key == key for one in self.bank.applied)
        report = c.ReportPayout(
            key=key, status="paid" if paid else "failed", reason="looked"
        )
        self.wallets.report(wallet_id, report)

    # --- what must hold -----------------------------------------------------------

    def check(self) -> None:
        """
        No money is made, lost or counted twice; nobody has less than nothing.
        """
        wallets = [self._wallet(user) for user in _USERS]
        orders = {one.id: one for one in self.auditor.orders(limit=1000).items}
        total: Counter[str] = Counter()
        for wallet in wallets:
            for one in wallet.accounts:
                assert one.adds_up()
                assert one.balance >= 0 <= one.leaving
                total[one.currency] += (
                    one.balance + one.leaving + one.debt + one.outside
                )
        # What orders have got out of wallets, and not given back to any.
        for wallet in wallets:
            self._entries(wallet, orders, total)
        for order in orders.values():
            total[order.currency] += order.ledger.paid_in.minor
        assert not any(total.values()), total
        # Nobody was paid twice by the bank.
        keys = Counter(one.key for one in self.bank.applied)
        assert all(count == 1 for count in keys.values())

    def _wallet(self, user: str) -> Wallet:
        return Wallets(self.sound, clock=self.clock).wallet(user)

    def _entries(
        self, wallet: Wallet, orders: dict[str, Order], total: Counter[str]
    ) -> None:
        """
        Compare what a wallet says of orders with what they say of it.
        """
        keys: Counter[str] = Counter()
        back: set[int] = set()
        debits: dict[int, WalletDebited] = {}
        rows = self.sound.events(wallet.id, 0, 1000)
        assert len(rows) < 1000
        for row in rows:
            event = decode_event(row, {}, EVENTS).event
            if isinstance(event, WalletDebited):
                debits[row.seq] = event
            elif isinstance(event, DebitReturned):
                if not event.key:
                    back.add(event.debit)
                else:
                    keys[event.key] += 1
                    refund = orders[event.order_id].refund(event.key)
                    assert refund is not None
                    assert refund.amount == event.amount
                    # It is the order's no more.
                    total[event.amount.currency] -= event.amount.minor
            elif isinstance(event, WalletCredited) and event.order_id:
                keys[event.key] += 1
                payout = orders[event.order_id].payout(event.key)
                assert payout is not None
                assert payout.amount == event.amount
                assert payout.seller_id == wallet.user_id
                total[event.amount.currency] -= event.amount.minor
        assert all(count == 1 for count in keys.values())
        name = wallet.id.removeprefix("wallet:")
        for seq, debit in debits.items():
            order = orders.get(debit.order_id)
            counted = order is not None and order.counted(f"{name}:{seq}")
            # Never both in the order and back in the wallet.
            assert not (counted and seq in back)
            if not counted and seq not in back:
                # On its way.
                assert wallet.debit(seq) is not None
                total[debit.amount.currency] += debit.amount.minor
        for order in orders.values():
            for payment in order.payments:
                if payment.reference.rpartition(":")[0] == name:
                    number = int(payment.reference.rpartition(":")[2])
                    assert debits[number].amount == payment.amount

    def check_quiet(self) -> None:
        """
        After all came to its end nothing is under way, and the histories prove it.
        """
        self.check()
        verified = self.auditor.verify()
        assert verified.faults == ()
        paid: Counter[str] = Counter()
        for user in _USERS:
            wallet = self._wallet(user)
            assert not wallet.debits
            assert not wallet.withdrawals
            for row in self.sound.events(wallet.id, 0, 1000):
                event = decode_event(row, {}, EVENTS).event
                if isinstance(event, WithdrawalPaid):
                    paid[event.amount.currency] += event.amount.minor
        for one in self.bank.applied:
            paid[one.amount.currency] -= one.amount.minor
        assert not any(paid.values())
        for order in self.auditor.orders(limit=1000).items:
            assert all(one.status == "paid" for one in order.refunds)
            assert all(one.status == "paid" for one in order.payouts)
        assert self.auditor.stuck() == ()
