"""
Wallets as they are kept: proved, taken elsewhere, written by many at once, inside a
transaction of the host's, and for years.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from escrowflow import commands as c
from escrowflow import payments
from escrowflow.__main__ import main
from escrowflow.clock import FakeClock
from escrowflow.effects import Done, Withdraw
from escrowflow.engine import AsyncEngine, Engine
from escrowflow.engine.wallet_rows import change_of, wallet_of
from escrowflow.errors import (
    CorruptJournalError,
    EscrowflowError,
    InvalidInputError,
    KeyReusedError,
    LedgerError,
    OrderChangedError,
    OrderNotFoundError,
    OutcomeUnknownError,
    StorageError,
    WalletRefusedError,
)
from escrowflow.events import Event, Recorded
from escrowflow.money import Money
from escrowflow.payments.wallets import AsyncWallets, Wallets
from escrowflow.storage import StoredText, open_async_storage, open_storage, threaded
from escrowflow.storage.codec import commitment, decode_wallet, encode_wallet
from escrowflow.storage.memory import MemoryStorage
from escrowflow.storage.postgres import PostgresStorage
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.testing.gateways import SimulatedGateway
from escrowflow.testing.given import at_once
from escrowflow.wallet import (
    BY,
    FINGERPRINT,
    Accounts,
    DebitCounted,
    DebitReturned,
    OrderBarred,
    WalletChargedBack,
    WalletCredited,
    WalletDebited,
    WalletOpened,
    WithdrawalFailed,
    WithdrawalPaid,
    WithdrawalSent,
    evolve_wallet,
)
from escrowflow.worker import AsyncWorker
from tests.given import ANA, COMEUP, LUC, T0, an_engine, an_order, eur
from tests.pg import LEVELS, at_level

if TYPE_CHECKING:
    from pathlib import Path

    from escrowflow.storage import Storage

KINDS: Final = ("refund", "pay_out", "withdraw")

AT: Final = FakeClock(T0).now()


def filled(storage: Storage) -> Engine:
    """
    Return an engine; beside its orders there are wallets to which everything has
    happened, and an id that is barred.
    """
    clock = FakeClock(T0)
    engine, wallets = an_engine(storage, clock=clock), Wallets(storage, clock=clock)
    bank = SimulatedGateway("perfect", clock, name="bank")
    wallets.credit("ana", eur(300), "k1")
    engine.place(an_order(payment=None), by=ANA, order_id="o1")
    wallets.pay(engine, "o1", by=ANA, key="k2")
    wallets.give_back(wallets.debit("ana", eur(5), "k3", order_id="o2"), engine)
    engine.execute("o1", c.AcceptOrder(), by=LUC)
    engine.execute("o1", c.DeliverOrder(note="here"), by=LUC)
    engine.execute("o1", c.ApproveDelivery(), by=ANA)
    wallets.charge_back("luc", Money(7, "KWD"), "k4")
    hands = payments.handlers(
        wallets,
        methods={"wallet": wallets},
        payouts=wallets,
        withdrawals=bank,
        clock=clock,
    )
    engine.run_effects(hands, KINDS)
    wallets.withdraw("luc", eur(30), "k5")
    engine.run_effects(hands, KINDS)
    wallets.withdraw("luc", eur(20), "k6")
    wallets.debit("ana", eur(9), "k7", order_id="o3")
    return engine


class TestVerify:
    """
    What was changed behind the storage's back shows, in wallets too (I14, I15, I33).
    """

    def test_all_is_well(self, storage: Storage) -> None:
        """
        Wallets are proved beside the orders, and counted apart.
        """
        engine = filled(storage)

        verified = engine.verify()

        assert (verified.orders, verified.wallets, verified.faults) == (1, 3, ())
        assert engine.verify("wallet:ana").wallets == 1

    @pytest.mark.parametrize(
        ("sql", "seq"),
        [
            (
                "UPDATE escrowflow_event SET body ="
                " CAST(replace(body, '300', '900') AS BLOB)",
                2,
            ),
            ("UPDATE escrowflow_event SET recorded_at = 7 WHERE seq = 3", 3),
            ("DELETE FROM escrowflow_event WHERE seq = 4", 4),
            ("UPDATE escrowflow_order SET version = version - 1", 7),
            (
                "UPDATE escrowflow_order SET held = held + 1, paid_in = paid_in + 1",
                None,
            ),
            ("UPDATE escrowflow_order SET due_at = due_at + 1", None),
            ("UPDATE escrowflow_order SET due_at = NULL", None),
            (
                "UPDATE escrowflow_order SET snapshot ="
                " CAST(replace(snapshot, '\"balance\":1', '\"balance\":9') AS BLOB)",
                None,
            ),
            ("DELETE FROM escrowflow_receipt WHERE key LIKE '%k1'", None),
            ("UPDATE escrowflow_receipt SET last = 2, first = 2", None),
            ("UPDATE escrowflow_receipt SET fingerprint = 'x'", None),
        ],
    )
    def test_one_change(self, tmp_path: Path, sql: str, seq: int | None) -> None:
        """
        Whatever is changed is found, and its place is named.
        """
        path = tmp_path / "orders.db"
        with SqliteStorage(path) as storage:
            filled(storage)
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            guards = raw.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
            ).fetchall()
            for name, _ in guards:
                raw.execute(f"DROP TRIGGER {name}")
            joined = "AND" if "WHERE" in sql else "WHERE"
            done = raw.execute(f"{sql} {joined} order_id = 'wallet:ana'")
            assert done.rowcount
            for _, made in guards:
                raw.execute(made)
        with SqliteStorage(path) as storage:
            (fault,) = an_engine(storage).verify().faults

        assert (fault.order_id, fault.seq) == ("wallet:ana", seq)

    def test_a_text(self, storage: Storage) -> None:
        """
        Nobody hides words in a wallet.
        """
        wallets = Wallets(storage, clock=FakeClock(T0))
        wallets.credit("ana", eur(1), "k1")
        loaded = storage.load("wallet:ana")
        found = wallet_of(loaded)
        salt = b"s" * 16
        text = StoredText(
            ref=commitment(salt, "a word"), subject_id="ana", salt=salt, text="a word"
        )
        change = change_of(loaded, found, found, (), AT)
        storage.commit((attrs.evolve(change, texts=(text,)),))

        (fault,) = an_engine(storage).verify().faults

        assert fault.problem == "a wallet keeps no texts"
        assert str(fault) == "wallet 'wallet:ana': a wallet keeps no texts"

    @pytest.mark.parametrize(
        ("events", "problem"),
        [
            (
                [
                    WalletCredited(amount=eur(5), balance=eur(305), key="k1"),
                ],
                "its key is there a second time",
            ),
            (
                [
                    DebitReturned(
                        amount=eur(3),
                        balance=eur(203),
                        debit=3,
                        part=1,
                        returned=eur(4),
                    )
                ],
                "more of a debit came back than there was",
            ),
            (
                [
                    DebitReturned(
                        amount=eur(101),
                        balance=eur(301),
                        debit=3,
                        part=1,
                        returned=eur(101),
                    )
                ],
                "more of a debit came back than there was",
            ),
            (
                [
                    DebitReturned(
                        amount=eur(1),
                        balance=eur(201),
                        debit=2,
                        part=1,
                        returned=eur(1),
                    )
                ],
                "more of a debit came back than there was",
            ),
            (
                [
                    WithdrawalFailed(
                        amount=eur(1),
                        balance=eur(201),
                        withdrawal=3,
                        key="k",
                        paid=True,
                    )
                ],
                "a withdrawal came back that never left",
            ),
        ],
    )
    def test_what_adds_up_and_cannot_be(
        self, storage: Storage, events: list[Event], problem: str
    ) -> None:
        """
        Whoever could write whole events with right hashes is found all the same.
        """
        clock = FakeClock(T0)
        wallets = Wallets(storage, clock=clock)
        wallets.credit("ana", eur(300), "k1")
        wallets.debit("ana", eur(100), "k2", order_id="o1")
        for event in events:
            loaded = storage.load("wallet:ana")
            before = wallet_of(loaded)
            if isinstance(event, WalletCredited):
                event = attrs.evolve(event, balance=eur(205))
            recorded = Recorded(
                seq=before.version + 1,
                event=event,
                by=BY,
                effective_at=AT,
                recorded_at=AT,
            )
            after = evolve_wallet(before, recorded, "wallet:ana")
            change = change_of(loaded, before, after, (recorded,), AT)
            if isinstance(event, WalletCredited):
                change = attrs.evolve(change, receipt=None)
            storage.commit((change,))

        (fault,) = an_engine(storage).verify().faults

        assert (fault.problem, fault.seq) == (problem, 4)

    def test_a_wallet_that_is_none(self, storage: Storage) -> None:
        """
        What is no wallet is not taken for one, and the other way round.
        """
        engine = filled(storage)
        wallets = Wallets(storage, clock=FakeClock(T0))
        for name in ("wallet:ana", "o2"):
            with pytest.raises(OrderNotFoundError):
                engine.order(name)
            with pytest.raises(OrderNotFoundError):
                engine.execute(name, c.AcceptOrder(), by=LUC)
        with pytest.raises(WalletRefusedError, match="such a wallet"):
            wallets.report("o1", c.ReportPayout(key="x", status="paid"))
        loaded = storage.load("wallet:ana")
        wrong = attrs.evolve(wallet_of(loaded), version=1)
        with pytest.raises(CorruptJournalError, match="has 'wallet:ana' at version 1"):
            wallet_of(attrs.evolve(loaded, snapshot=encode_wallet(wrong)))
        with pytest.raises(CorruptJournalError):
            decode_wallet(b"wallet {")


class TestFold:
    """
    What contradicts the books does not fold.
    """

    @pytest.mark.parametrize(
        ("event", "problem"),
        [
            (WalletOpened(user_id="ana"), "does not follow"),
            (OrderBarred(order_id="o1", debit="ana:2"), "does not follow"),
            (DebitCounted(debit=2), "no debit 2"),
            (WithdrawalSent(withdrawal=2), "cannot be"),
            (WithdrawalPaid(withdrawal=3, amount=eur(2), key="k"), "cannot be"),
            (
                WithdrawalFailed(
                    withdrawal=3, amount=eur(1), balance=eur(1), key="k", paid=True
                ),
                "cannot be",
            ),
            (
                WalletCredited(amount=eur(1), balance=eur(1), key="k"),
                "the balance is 1000, not 1.00 EUR",
            ),
            (
                WalletCredited(amount=eur(1), balance=eur(10), debt=eur(1), key="k"),
                "the debt is 0.00 EUR, not 1.00 EUR",
            ),
            (
                WalletChargedBack(amount=eur(11), balance=eur(0), key="k"),
                "the debt is 2.00 EUR, not None",
            ),
            (
                WalletDebited(amount=eur(10), balance=eur(0), key="k", due_at=AT),
                "balance would be -100 EUR",
            ),
        ],
    )
    def test_refused(self, event: Event, problem: str) -> None:
        """
        A fold does not believe what is written.
        """
        storage = MemoryStorage()
        wallets = Wallets(storage, clock=FakeClock(T0))
        wallets.credit("ana", eur(10), "k1")
        wallets.withdraw("ana", eur(1), "k2")
        found = wallets.wallet("ana")
        recorded = Recorded(seq=4, event=event, by=BY, effective_at=AT, recorded_at=AT)

        with pytest.raises(LedgerError, match=problem):
            evolve_wallet(found, recorded, "wallet:ana")

    def test_a_history_of_somebody_else(self) -> None:
        """
        A history begins with whose it is.
        """
        opened = Recorded(
            seq=1,
            event=WalletOpened(user_id="luc"),
            by=BY,
            effective_at=AT,
            recorded_at=AT,
        )
        with pytest.raises(LedgerError, match="history of 'wallet:luc'"):
            evolve_wallet(None, opened, "wallet:ana")
        counted = attrs.evolve(opened, event=DebitCounted(debit=2))
        with pytest.raises(LedgerError, match="does not begin with debit_counted"):
            evolve_wallet(None, counted, "wallet:ana")

    @pytest.mark.parametrize(
        ("postings", "problem"),
        [
            ({"balance": 1}, "must sum to zero"),
            ({"balance": -1, "orders": 1}, "balance would be -1"),
            ({"leaving": -1, "outside": 1}, "leaving would be -1"),
            ({"debt": 1, "outside": -1}, "debt would be 1"),
            ({"orders": 2**63, "outside": -(2**63)}, "orders would be"),
        ],
    )
    def test_an_entry_that_is_none(
        self, postings: dict[str, int], problem: str
    ) -> None:
        """
        Accounts stay on their side of zero, and in 64 bits.
        """
        with pytest.raises(LedgerError, match=problem):
            Accounts(currency="EUR").post(postings)


class TestElsewhere:
    """
    Taken to another storage, and left alone by what is for orders.
    """

    def test_export_and_restore(self, storage: Storage) -> None:
        """
        Another storage has the same wallets, with the same hashes and keys.
        """
        engine = filled(storage)
        lines = [*engine.export()]
        other = an_engine(MemoryStorage(), clock=FakeClock(T0))

        assert other.restore(lines) == 4
        assert other.restore(lines) == 0
        assert other.verify() == engine.verify()
        for name in ("wallet:ana", "wallet:luc", "o2"):
            mine, theirs = storage.load(name), other.storage.load(name)
            assert (mine.head, mine.snapshot) == (theirs.head, theirs.snapshot)
            assert storage.receipts(name) == other.storage.receipts(name)
            assert storage.summary(name) == other.storage.summary(name)
        wallets = Wallets(other.storage, clock=FakeClock(T0))
        assert wallets.credit("ana", eur(300), "k1").seq == 2
        with pytest.raises(KeyReusedError):
            wallets.credit("ana", eur(1), "k1")

    def test_a_line_that_was_changed(self, storage: Storage) -> None:
        """
        A wallet that was made richer on the way is not taken.
        """
        lines = [*filled(storage).export()]
        (line,) = (line for line in lines if '"wallet:ana"' in line)
        richer = line.replace('\\"balance\\":', '\\"balance\\":9')
        plain = json.loads(line)
        plain["receipts"].pop()
        for changed in (richer, json.dumps(plain)):
            with pytest.raises((CorruptJournalError, InvalidInputError)):
                an_engine(MemoryStorage()).restore([changed])

    def test_orders_only(self, storage: Storage) -> None:
        """
        Whoever asks for orders gets no wallets, and no holes in his pages.
        """
        engine = filled(storage)
        for number in range(5):
            engine.place(an_order(), by=ANA, order_id=f"z{number}")
        first = engine.orders(limit=3)
        rest = engine.orders(limit=3, after=first.after)

        assert [one.id for one in first.items] == ["o1", "z0", "z1"]
        assert [one.id for one in rest.items] == ["z2", "z3", "z4"]
        assert first.unreadable == rest.unreadable == ()
        assert {one.id for one in engine.orders(party="ana").items} == {
            "o1",
            *(f"z{number}" for number in range(5)),
        }

    def test_the_view(self, tmp_path: Path) -> None:
        """
        A host's own SQL sees orders only.
        """
        path = tmp_path / "orders.db"
        with SqliteStorage(path) as storage:
            filled(storage)
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT order_id FROM escrowflow_orders").fetchall()

        assert rows == [("o1",)]
        assert FINGERPRINT == "wallet-1"

    def test_the_command_line(self, tmp_path: Path) -> None:
        """
        `escrowflow verify` counts wallets, too.
        """
        url = f"sqlite:///{tmp_path}/orders.db"
        with open_storage(url) as storage:
            events = filled(storage).verify().events

        said = CliRunner().invoke(main, ("verify", "--db", url)).stdout

        assert said == f"1 order, 3 wallets, {events} events, 0 faults\n"

    def test_erased(self, storage: Storage) -> None:
        """
        Whoever is erased keeps his money, and its history.
        """
        engine = filled(storage)
        before = storage.load("wallet:luc")

        engine.erase("luc")

        assert storage.load("wallet:luc") == before
        assert engine.verify().faults == ()


class Counting:
    """
    A storage that counts what goes through it, in calls and in bytes.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.calls: list[tuple[str, int]] = []

    def __getattr__(self, verb: str) -> Any:
        def counted(*values: Any) -> Any:
            answer = getattr(self._storage, verb)(*values)
            self.calls.append((verb, len(repr((values, answer)))))
            return answer

        return counted


class TestYears:
    """
    What is read and written does not grow with the history (I28).
    """

    def test_an_old_wallet_is_as_light_as_a_new_one(self, clock: FakeClock) -> None:
        """
        The same calls, and hardly a byte more, after a thousand entries.
        """
        counting = Counting(MemoryStorage())
        storage: Any = counting
        wallets = Wallets(storage, clock=clock)
        engine = an_engine(storage, clock=clock)

        def day(name: str) -> list[tuple[str, int]]:
            counting.calls = []
            wallets.credit("ana", eur(10), f"in {name}")
            payment = wallets.debit("ana", eur(5), f"out {name}", order_id=f"o {name}")
            wallets.give_back(payment, engine)
            wallets.withdraw("ana", eur(1), f"w {name}")
            wallets.balance("ana", "EUR")
            wallets.statement("ana", limit=2)
            engine.run_effects({Withdraw: lambda _: Done("po")}, ["withdraw"])
            calls, counting.calls = counting.calls, []
            return calls

        day("begin")
        new = day("00000")
        for number in range(1000):
            wallets.credit("ana", eur(1), f"k {number:05}")
        old = day("00001")

        assert [verb for verb, _ in new] == [verb for verb, _ in old]
        for (verb, before), (_, after) in zip(new, old, strict=True):
            assert after < before * 1.5 + 300, verb


class TestAtOnce:
    """
    Many at one wallet: the balance is spent once (I18).
    """

    def test_threads(self, storage: Storage, clock: FakeClock) -> None:
        """
        More ask than there is: as many get it as there is money.
        """
        self._rush(storage, clock)

    @pytest.mark.parametrize("level", LEVELS)
    def test_postgresql(self, dsn: str, level: str, clock: FakeClock) -> None:
        """
        At every level of isolation.
        """
        with PostgresStorage(at_level(dsn, level)) as storage:
            self._rush(storage, clock)

    def _rush(self, storage: Storage, clock: FakeClock) -> None:
        wallets = Wallets(storage, clock=clock)
        wallets.credit("ana", eur(20), "k")
        taken: list[int] = []

        def run(who: int) -> None:
            for number in range(8):
                with suppress(WalletRefusedError):
                    wallets.withdraw("ana", eur(1), f"w{who}-{number}")
                    taken.append(who)

        at_once(run)

        found = wallets.wallet("ana")
        assert len(taken) == len(found.withdrawals) == 20
        assert found.balance("EUR") == eur(0)
        assert an_engine(storage).verify().faults == ()

    def test_processes(self, tmp_path: Path) -> None:
        """
        Eight processes on one file, each with keys of its own and some of all.
        """
        path = tmp_path / "orders.db"
        script = textwrap.dedent(
            """
            import sys
            import escrowflow as ef
            from escrowflow.payments.wallets import Wallets
            from escrowflow.storage.sqlite import SqliteStorage

            path, who = sys.argv[1:]
            clock = ef.FakeClock("2026-05-05T10:00:00Z")
            storage = SqliteStorage(path, durability="relaxed", busy_timeout=60)
            wallets = Wallets(storage, clock=clock)
            for number in range(12):
                for key in (f"all-{number}", f"{who}-{number}"):
                    try:
                        wallets.debit("ana", ef.Money(1, "EUR"), key, order_id=key)
                        print(key)
                    except ef.WalletRefusedError as error:
                        assert error.code == "balance_too_low", error
            """
        )
        with SqliteStorage(path, durability="relaxed") as storage:
            wallets = Wallets(storage, clock=FakeClock(T0))
            wallets.credit("ana", Money(50, "EUR"), "k")
            running = [
                subprocess.Popen(
                    [sys.executable, "-c", script, str(path), str(who)],
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for who in range(8)
            ]
            told = [one.communicate(timeout=240)[0].split() for one in running]

            assert [one.returncode for one in running] == [0] * 8
            assert len({key for keys in told for key in keys}) == 50
            assert wallets.balance("ana", "EUR") == eur(0)
            assert len(wallets.wallet("ana").debits) == 50
            assert an_engine(storage).verify().faults == ()

    def test_never_first(self, clock: FakeClock) -> None:
        """
        Whoever is always overtaken gives up, with a clear error.
        """
        inner = MemoryStorage()
        others = Wallets(inner, clock=clock)

        class Overtaken:
            """
            A storage on which somebody else is always faster.
            """

            number = 0

            def __getattr__(self, verb: str) -> Any:
                return getattr(inner, verb)

            def commit(self, changes: Any) -> Any:
                """
                Let the other one go first.
                """
                self.number += 1
                others.credit("ana", eur(1), f"o{self.number}")
                return inner.commit(changes)

        slow: Any = Overtaken()
        with pytest.raises(OrderChangedError):
            Wallets(slow, clock=clock).credit("ana", eur(1), "mine")
        others.withdraw("ana", eur(1), "w")
        key = others.wallet("ana").withdrawals[0].key
        with pytest.raises(OrderChangedError):
            Wallets(slow, clock=clock).report(
                "wallet:ana", c.ReportPayout(key=key, status="paid")
            )

    def test_never_known(self, clock: FakeClock) -> None:
        """
        Whoever never hears of his commit says so, and writes once.
        """
        inner = MemoryStorage()

        class Deaf:
            """
            A storage that never says how it ended.
            """

            def __getattr__(self, verb: str) -> Any:
                return getattr(inner, verb)

            def commit(self, changes: Any) -> Any:
                """
                Lose it.
                """
                raise OutcomeUnknownError("no answer")

        deaf: Any = Deaf()
        with pytest.raises(OutcomeUnknownError):
            Wallets(deaf, clock=clock).credit("ana", eur(1), "mine")
        assert Wallets(inner, clock=clock).balance("ana", "EUR") == eur(0)


class TestWithin:
    """
    A debit and its order in one transaction of the host's.
    """

    def test_both_or_none(self, tmp_path: Path) -> None:
        """
        Committed, both are there; rolled back, none is, and nothing is under way.
        """
        url = f"sqlite:///{tmp_path}/orders.db"
        clock = FakeClock(T0)
        database = sa.create_engine(url)
        with open_storage(url) as storage:
            engine, wallets = (
                an_engine(storage, clock=clock),
                Wallets(storage, clock=clock),
            )
            wallets.credit("ana", eur(200), "k1")
            for end in ("rollback", "commit"):
                with Session(database) as session:
                    inside = wallets.within(session)
                    payment = inside.debit("ana", eur(100), "k2", order_id="o1")
                    engine.within(session).place(
                        an_order(payment=payment), by=ANA, order_id="o1"
                    )
                    assert inside.balance("ana", "EUR") == eur(100)
                    getattr(session, end)()
                left = wallets.balance("ana", "EUR")
                assert left == (eur(100) if end == "commit" else eur(200))
            assert engine.order("o1").state == "pending"
            clock.advance(hours=1)
            assert wallets.run_due(engine).moves == 1
            assert wallets.balance("ana", "EUR") == eur(100)
        database.dispose()

    def test_awaited(self, tmp_path: Path) -> None:
        """
        The same, awaited.
        """
        url = f"{tmp_path}/orders.db"
        clock = FakeClock(T0)

        async def both() -> None:
            database = create_async_engine(f"sqlite+aiosqlite:///{url}")
            storage = open_async_storage(f"sqlite:///{url}")
            wallets = AsyncWallets(storage, clock=clock)
            await wallets.credit("ana", eur(200), "k1")
            async with AsyncSession(database) as session:
                inside = wallets.within(session)
                await inside.debit("ana", eur(100), "k2", order_id="o1")
                await session.rollback()
            assert await wallets.balance("ana", "EUR") == eur(200)
            await storage.close()
            await database.dispose()

        asyncio.run(both())

    def test_a_storage_that_cannot(self, clock: FakeClock) -> None:
        """
        What cannot join a transaction says so.
        """
        storage = MemoryStorage()
        with pytest.raises(InvalidInputError, match="handle"):
            Wallets(storage, clock=clock).within(None)
        with pytest.raises(InvalidInputError, match="handle"):
            AsyncWallets(threaded(storage), clock=clock).within(None)


class TestAwaited:
    """
    The same, awaited.
    """

    def test_a_life(self, storage: Storage, clock: FakeClock) -> None:
        """
        Every verb does what its namesake does.
        """

        async def live() -> None:
            far = threaded(storage)
            wallets = AsyncWallets(far, clock=clock)
            engine = AsyncEngine(COMEUP, far, clock=clock)
            assert repr(wallets).startswith("AsyncWallets(")
            await wallets.credit("ana", eur(200), "k1")
            await engine.place(an_order(payment=None), by=ANA, order_id="o1")
            paid = await wallets.pay(engine, "o1", by=ANA, key="k2")
            assert paid.order.state == "pending"
            for item in ("order", "addon-1"):
                with pytest.raises(WalletRefusedError, match="Nothing is due"):
                    await wallets.pay(engine, "o1", by=ANA, key="more", item=item)
            payment = await wallets.debit("ana", eur(10), "k3", order_id="o2")
            assert await wallets.give_back(payment, engine)
            await wallets.charge_back("ana", eur(20), "k4")
            await wallets.withdraw("ana", eur(30), "k5")
            key = (await wallets.wallet("ana")).withdrawals[0].key
            await wallets.report(
                "wallet:ana", c.ReportPayout(key=key, status="failed", reason="no")
            )
            await wallets.debit("ana", eur(10), "k6", order_id="o3")
            clock.advance(minutes=20)
            report = await AsyncWorker(engine, wallets=wallets).run_once()
            assert report.wallets.moves == 1
            assert (await wallets.run_due(engine)).orders == 0
            assert await wallets.balance("ana", "EUR") == eur(80)
            assert len((await wallets.statement("ana")).items) == 9
            assert (await engine.verify()).faults == ()
            wrong: Any = Wallets(storage, clock=clock)
            with pytest.raises(InvalidInputError, match="wallets"):
                AsyncWorker(engine, wallets=wrong)

        asyncio.run(live())


def test_one_that_moves_meanwhile(clock: FakeClock) -> None:
    """
    A debit that somebody else has settled while it was looked at is settled once.
    """
    inner = MemoryStorage()
    others, engine = Wallets(inner, clock=clock), an_engine(inner, clock=clock)
    others.credit("ana", eur(10), "k1")
    payments_ = [
        others.debit("ana", eur(1), f"k{number}", order_id=f"o{number}")
        for number in range(2, 4)
    ]
    engine.place(an_order(payment=payments_[1], price=eur(1)), by=ANA, order_id="o3")

    class Meanwhile:
        """
        A storage on which somebody else does the same, just before it is written.
        """

        busy = False

        def __getattr__(self, verb: str) -> Any:
            return getattr(inner, verb)

        def commit(self, changes: Any) -> Any:
            """
            Do it first.
            """
            if not self.busy:
                self.busy = True
                for payment in payments_:
                    others.give_back(payment, engine)
            return inner.commit(changes)

    for payment in payments_:
        slow: Any = Meanwhile()
        slowly = an_engine(slow, clock=clock)
        back = Wallets(slow, clock=clock).give_back(payment, slowly)
        assert back is (payment is payments_[0])
    assert others.balance("ana", "EUR") == eur(9)
    assert engine.verify().faults == ()


def test_a_storage_that_is_gone(clock: FakeClock) -> None:
    """
    What a storage says is passed on: nothing was recorded.
    """
    storage = MemoryStorage()
    wallets = Wallets(storage, clock=clock)
    storage.close()

    with pytest.raises(StorageError):
        wallets.credit("ana", eur(1), "k")
    with pytest.raises(EscrowflowError):
        wallets.balance("ana", "EUR")
