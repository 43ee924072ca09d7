"""
Wallets in trouble: reports that come late, twice, or contradict one another; storages
that are two; debits and effects that nobody can carry out.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.effects import (
    EFFECTS,
    Done,
    NotDone,
    Publish,
    Refund,
    Unknown,
    Withdraw,
)
from escrowflow.engine import AsyncEngine
from escrowflow.engine.wallet_rows import change_of, following, wallet_of
from escrowflow.errors import (
    CorruptJournalError,
    InvalidInputError,
    LedgerError,
    WalletRefusedError,
)
from escrowflow.money import Money
from escrowflow.payments.wallets import AsyncWallets, Wallets
from escrowflow.storage import CommitResult, threaded
from escrowflow.storage.codec import decode_wallet
from escrowflow.storage.memory import MemoryStorage
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.wallet import (
    WithdrawalFailed,
    WithdrawalPaid,
    booked,
    evolve_wallet,
)
from escrowflow.worker import AsyncWorker, Worker
from tests.given import ANA, COMEUP, T0, an_engine, an_order, eur

if TYPE_CHECKING:
    from pathlib import Path

    from escrowflow.engine import Engine
    from escrowflow.storage import Storage

WALLET: Final = "wallet:luc"

AT: Final = FakeClock(T0).now()

FORGED: Final = "a withdrawal came back that never left"


@pytest.fixture
def wallets(storage: Storage, clock: FakeClock) -> Wallets:
    """
    Wallets beside the orders of `engine`.
    """
    return Wallets(storage, clock=clock)


def refused(code: str) -> Any:
    """
    Expect a wallet to refuse.
    """
    return pytest.raises(WalletRefusedError, check=lambda e: e.code == code)


def failed(key: str, *, again: bool = False) -> c.ReportPayout:
    """
    Return a report that nothing was paid under a key.
    """
    return c.ReportPayout(key=key, status="failed", reason="looked", again=again)


def paid(key: str) -> c.ReportPayout:
    """
    Return a report that it was paid under a key.
    """
    return c.ReportPayout(key=key, status="paid")


def forged(storage: Storage, **changes: Any) -> None:
    """
    Write that the withdrawal of Luc came back, with right hashes and sums.
    """
    loaded = storage.load(WALLET)
    found = wallet_of(loaded)
    rows = storage.effects(WALLET)
    values = {"amount": eur(60), "withdrawal": 3, "key": rows[-1].key, **changes}
    event = booked(
        found, WithdrawalFailed(balance=values["amount"], paid=True, **values)
    )
    recorded = following(found, event, AT)
    after = evolve_wallet(found, recorded, WALLET)
    change = change_of(loaded, found, after, (recorded,), AT)
    assert storage.commit((change,)) == (CommitResult.DONE,)


class TestReports:
    """
    What is said of a withdrawal counts for the key it is said of, and for no other.
    """

    @pytest.fixture(autouse=True)
    def _asked(self, wallets: Wallets, engine: Engine, clock: FakeClock) -> None:
        self.wallets, self.engine, self.clock = wallets, engine, clock
        wallets.credit("luc", eur(100), "k1")
        wallets.withdraw("luc", eur(60), "w1", payee_id="iban")

    def run(self, said: Any) -> Any:
        """
        Carry out what is to be carried out; the bank says this.
        """
        self.clock.advance(hours=2)
        hands: Any = {Withdraw: lambda _: said}
        return self.engine.run_effects(hands, ["withdraw"], limit=1)

    @property
    def keys(self) -> list[str]:
        """
        The keys under which it was to be sent, oldest first.
        """
        return [one.effect.key for one in self.engine.effects(WALLET)]

    def account(self) -> tuple[int, int, int]:
        """
        Return what is on the balance, on its way, and outside, in euros.
        """
        assert self.engine.verify().faults == ()
        one = self.wallets.wallet("luc").account("EUR")
        return one.balance // 100, one.leaving // 100, one.outside // 100

    def test_failed_is_said_again_of_an_older_key(self) -> None:
        """
        The webhook of the first attempt comes after the second one was paid.
        """
        self.run(NotDone("balance too small", again=True))
        self.run(Done("po_2"))
        old, new = self.keys

        self.wallets.report(WALLET, failed(old))

        assert self.account() == (40, 0, -40)
        with refused("other_key"):
            self.wallets.report(WALLET, paid(old))
        # What was paid comes back, once, whatever is said of the older key.
        for key in (new, old, new):
            self.wallets.report(WALLET, failed(key))
        assert self.account() == (100, 0, -100)
        with refused("other_key"):
            self.wallets.report(WALLET, paid(old))

    def test_a_human_clicks_twice(self) -> None:
        """
        The same click after the money was sent anew: it is known.
        """
        self.run(Unknown("?", give_up=True))
        (stuck,) = self.engine.stuck()
        click = failed(stuck.key, again=True)

        self.wallets.report(stuck.order_id, click)
        self.run(Done("po_2"))
        self.wallets.report(stuck.order_id, click)

        assert self.account() == (40, 0, -40)

    def test_paid_after_it_failed(self) -> None:
        """
        What is back in the wallet was paid all the same: nobody hides it.
        """
        self.run(NotDone("closed"))
        (key,) = self.keys

        with refused("was_given_back"):
            self.wallets.report(WALLET, paid(key))

        for said in (failed(key), c.ReportPayout(key=key, status="sent")):
            self.wallets.report(WALLET, said)
        assert self.account() == (100, 0, -100)

    def test_paid_before_it_came_back(self) -> None:
        """
        What was paid and came back may be said to have been paid, however late.
        """
        self.run(Done("po_1"))
        (key,) = self.keys
        self.wallets.report(WALLET, failed(key))

        self.wallets.report(WALLET, paid(key))

        assert self.account() == (100, 0, -100)

    @pytest.mark.parametrize("again", [True, False])
    def test_a_worker_pays_what_was_given_up(
        self, caplog: pytest.LogCaptureFixture, again: bool
    ) -> None:
        """
        A human says that it failed while a worker pays it: it is no success, and the
        log says so.
        """

        def pays(effect: Withdraw) -> Done:
            self.wallets.report(WALLET, failed(effect.key, again=again))
            return Done("po_1")

        report = self.engine.run_effects({Withdraw: pays}, ["withdraw"], limit=1)

        assert (report.done, report.stale) == (0, 1)
        (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
        assert WALLET in record.getMessage()
        assert self.account() == ((40, 60, -100) if again else (100, 0, -100))

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({}, None),
            ({"amount": eur(61)}, FORGED),
            ({"amount": Money(6000, "USD")}, FORGED),
            ({"withdrawal": 2}, FORGED),
            ({"key": "other"}, FORGED),
        ],
    )
    def test_one_that_never_came_back(
        self, storage: Storage, changes: dict[str, Any], problem: str | None
    ) -> None:
        """
        Whoever could write whole events is found: only what was paid comes back, whole
        and in its currency, under the key it was paid with (I14).
        """
        self.run(Done("po_1"))

        forged(storage, **changes)

        faults = self.engine.verify().faults
        assert [one.problem for one in faults] == ([problem] if problem else [])

    def test_an_end_under_another_key(self) -> None:
        """
        What ends a withdrawal names the key it was sent under.
        """
        found = self.wallets.wallet("luc")
        for event in (
            WithdrawalPaid(withdrawal=3, amount=eur(60), key="other"),
            WithdrawalFailed(
                withdrawal=3, amount=eur(60), balance=eur(100), key="other"
            ),
        ):
            with pytest.raises(LedgerError, match="cannot be"):
                evolve_wallet(found, following(found, event, AT), WALLET)


class TestTogether:
    """
    Wallets and orders are kept in one place, or nothing is done with both.
    """

    def test_two_storages(self, wallets: Wallets, clock: FakeClock) -> None:
        """
        An order of another storage is neither paid, nor asked after, nor barred.
        """
        other = an_engine(MemoryStorage(), clock=clock)
        wallets.credit("ana", eur(100), "k1")
        payment = wallets.debit("ana", eur(40), "k2", order_id="o1")
        other.place(an_order(payment=None), by=ANA, order_id="o1")
        clock.advance(hours=1)

        for ask in (
            lambda: wallets.pay(other, "o1", by=ANA, key="k3"),
            lambda: wallets.give_back(payment, other),
            lambda: wallets.run_due(other),
            lambda: Worker(other, wallets=wallets),
        ):
            with pytest.raises(InvalidInputError, match="kept elsewhere"):
                ask()

        assert wallets.balance("ana", "EUR") == eur(60)

    def test_two_storages_on_an_event_loop(self, clock: FakeClock) -> None:
        """
        The same, awaited.
        """

        async def ask() -> None:
            wallets = AsyncWallets(threaded(MemoryStorage()), clock=clock)
            other = AsyncEngine(COMEUP, threaded(MemoryStorage()), clock=clock)
            with pytest.raises(InvalidInputError, match="kept elsewhere"):
                await wallets.run_due(other)
            with pytest.raises(InvalidInputError, match="kept elsewhere"):
                AsyncWorker(other, wallets=wallets)

        asyncio.run(ask())

    def test_two_transactions(self, tmp_path: Path, clock: FakeClock) -> None:
        """
        Inside a transaction of the host's: both in the same one, or none.
        """
        path = tmp_path / "orders.db"
        with SqliteStorage(path) as storage:
            engine = an_engine(storage, clock=clock)
            wallets = Wallets(storage, clock=clock)
            wallets.credit("ana", eur(300), "k1")
            engine.place(an_order(payment=None), by=ANA, order_id="o1")
            with (
                closing(sqlite3.connect(path, isolation_level=None)) as mine,
                closing(sqlite3.connect(path, isolation_level=None)) as yours,
            ):
                mine.execute("BEGIN IMMEDIATE")
                inside = wallets.within(mine)
                for theirs in (engine, engine.within(yours)):
                    with pytest.raises(InvalidInputError, match="kept elsewhere"):
                        inside.pay(theirs, "o1", by=ANA, key="k2")
                with pytest.raises(InvalidInputError, match="kept elsewhere"):
                    wallets.pay(engine.within(mine), "o1", by=ANA, key="k2")
                inside.pay(engine.within(mine), "o1", by=ANA, key="k2")
                mine.execute("COMMIT")

            assert engine.order("o1").state == "pending"
            assert wallets.balance("ana", "EUR") == eur(200)


class TestDebits:
    """
    A debit in trouble is in nobody's way.
    """

    def test_one_that_nobody_can_judge(
        self, wallets: Wallets, engine: Engine, clock: FakeClock
    ) -> None:
        """
        The order of the first debit is of a process that is not here: the others come
        to something, also those that are made later, and a human is asked.
        """
        theirs = an_engine(engine.storage, COMEUP.extend(name="theirs"), clock)
        theirs.place(an_order(payment=None), by=ANA, order_id="o1")
        wallets.credit("ana", eur(100), "k1")
        wallets.debit("ana", eur(10), "k2", order_id="o1")
        for number in (3, 4):
            wallets.debit("ana", eur(20), f"k{number}", order_id=f"o{number}")
            clock.advance(days=1)

            assert len(wallets.run_due(engine).parked) == 1

            assert wallets.balance("ana", "EUR") == eur(90)
        (debit,) = wallets.wallet("ana").debits
        assert debit.order_id == "o1"
        assert "wallet:ana" in [one.order_id for one in engine.stuck()]

    def test_in_many_parts(self, wallets: Wallets) -> None:
        """
        However many refunds an order has, each of them arrives, and once.
        """
        wallets.credit("ana", eur(150), "k1")
        payment = wallets.debit("ana", eur(150), "k2", order_id="o1")
        refunds = [
            Refund(
                order_id="o1",
                seq=2,
                key=f"r{number}",
                payment=payment,
                amount=eur(1),
                asked_at=AT,
                expected_by=AT,
            )
            for number in range(150)
        ]

        for effect in refunds:
            assert isinstance(wallets.refund(effect), Done)

        assert wallets.balance("ana", "EUR") == eur(150)
        last = refunds[-1]
        assert wallets.refund(last) == wallets.look_up(last)
        more = wallets.refund(attrs.evolve(last, key="more"))
        assert isinstance(more, NotDone)


class TestInput:
    """
    What makes no sense gets one clear answer.
    """

    @pytest.mark.parametrize("verb", ["refund", "pay_out", "look_up"])
    def test_no_effect(self, wallets: Wallets, verb: str) -> None:
        """
        What is no effect of its kind is refused by name.
        """
        with pytest.raises(InvalidInputError, match="effect"):
            getattr(wallets, verb)(None)

    def test_a_report_of_an_order(self, wallets: Wallets, engine: Engine) -> None:
        """
        An order is no wallet; that is nothing to be alarmed about.
        """
        engine.place(an_order(payment=None), by=ANA, order_id="o1")

        for name in ("o1", "nothing", "wallet:nobody"):
            with refused("unknown_withdrawal"):
                wallets.report(name, paid("k"))


class TestWorkers:
    """
    Withdrawals that nobody would carry out.
    """

    def test_no_handler(self, storage: Storage, clock: FakeClock) -> None:
        """
        A worker for all that there is has one for withdrawals too, or says which
        effects are its own.
        """
        engine, wallets = an_engine(storage, clock=clock), Wallets(storage, clock=clock)
        far = threaded(storage)
        awaited = AsyncEngine(COMEUP, far, clock=clock)
        theirs = AsyncWallets(far, clock=clock)
        every: Any = dict.fromkeys(EFFECTS.values(), lambda _: Done())
        every.pop(Publish)

        with pytest.raises(InvalidInputError, match="carries out withdraw"):
            Worker(engine, every, wallets=wallets)
        with pytest.raises(InvalidInputError, match="carries out withdraw"):
            AsyncWorker(awaited, every, wallets=theirs)

        Worker(engine, every)
        Worker(engine, wallets=wallets)
        Worker(engine, every, kinds=["refund"], wallets=wallets)
        every[Withdraw] = lambda _: Done()
        Worker(engine, every, wallets=wallets)
        AsyncWorker(awaited, every, wallets=theirs)


def test_what_is_no_wallet() -> None:
    """
    A snapshot of anything else is not read as a wallet.
    """
    with pytest.raises(CorruptJournalError, match="no wallet"):
        decode_wallet(b"{}")
