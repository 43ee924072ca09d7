"""
The engine inside a transaction of the host's own, for every kind of transaction.

The host here is a shop with one table: what it writes and what the engine writes
are there together, or not at all.
"""

from __future__ import annotations

import asyncio
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import (
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from escrowflow import commands as c
from escrowflow import engine as e
from escrowflow.errors import (
    CommandRefusedError,
    InvalidInputError,
    NoTransactionError,
    OrderChangedError,
    OrderExistsError,
    StorageError,
)
from escrowflow.storage import (
    Capability,
    CommitResult,
    EffectResult,
    NewEffect,
    Parked,
    Query,
    Receipt,
    StoredText,
    open_async_storage,
    open_storage,
)
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.testing.given import LAST
from tests.given import ANA, COMEUP, LUC, T0, an_order
from tests.hosts import KINDS, PLACED, Databases, Shop, change

# What has broken databases, and those who wrote statements.
HOSTILE = (
    'it\'s "quoted"',
    "100 % sure %s %(name)s %%",
    "a :name, a :p0 and a \\:p1",
    "really? ?1 $1",
    "back\\slash \\x00 {} {0}",
    "'; DROP TABLE escrowflow_order; --",
    "žluťoučký 🐎 \u202e",
    "line\nbreak\ttab",
    "NULL",
    "{1,2}",
    "",
)


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind.__name__[1:]}-{kind.driver}")
def kind(request: pytest.FixtureRequest) -> type[Shop]:
    """
    Each kind of transaction.
    """
    kind: type[Shop] = request.param
    return kind


@pytest.fixture
def shop(kind: type[Shop], databases: Databases) -> Iterator[Shop]:
    """
    A shop with its transaction.
    """
    with kind(databases[kind.database_name]) as shop:
        yield shop


# --- one transaction --------------------------------------------------------------


class TestTogether:
    """
    Both or neither.
    """

    def test_both_are_there_once_the_host_commits(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        Nobody else sees anything before the host commits, and everything after.
        """
        inside = shop.within()

        shop.list(order_id)
        inside.place(an_order(), by=ANA, order_id=order_id)
        inside.execute(order_id, c.AcceptOrder(), by=LUC)

        assert inside.order(order_id).state == "in_progress"
        assert shop.database.both(order_id) == (0, 0)
        shop.commit()
        assert shop.database.engine.order(order_id).state == "in_progress"
        assert shop.database.listed(order_id) == 1

    def test_neither_is_there_once_the_host_rolls_back(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        A rollback leaves no trace of either, and the next transaction may do it
        again with the same engine.
        """
        inside = shop.within()

        inside.place(an_order(), by=ANA, order_id=order_id, key="k")
        shop.list(order_id)
        shop.rollback()

        assert shop.database.both(order_id) == (0, 0)
        again = inside.place(an_order(), by=ANA, order_id=order_id, key="k")
        shop.commit()
        assert not again.replayed
        assert shop.database.both(order_id) == (PLACED, 0)

    def test_a_savepoint_takes_back_what_came_after_it(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        What the engine wrote before the savepoint stays, what it wrote after goes.
        """
        inside = shop.within()
        inside.place(an_order(), by=ANA, order_id=order_id)

        shop.savepoint()
        inside.execute(order_id, c.AcceptOrder(), by=LUC)
        shop.list(order_id)
        shop.undo()

        assert inside.order(order_id).state == "pending"
        shop.commit()
        assert shop.database.both(order_id) == (PLACED, 0)

    def test_an_order_of_before_is_continued(self, shop: Shop, order_id: str) -> None:
        """
        An order that was placed outside is moved, read and listed inside.
        """
        shop.database.engine.place(an_order(), by=ANA, order_id=order_id)
        inside = shop.within()

        inside.execute(order_id, c.AcceptOrder(), by=LUC, key="accept")
        again = inside.execute(order_id, c.AcceptOrder(), by=LUC, key="accept")

        assert again.replayed
        assert inside.order(order_id).version == again.order.version
        assert inside.options(order_id, by=ANA)
        effects = inside.effects(order_id)
        shop.commit()
        assert effects == shop.database.engine.effects(order_id)


class TestNo:
    """
    A no leaves the transaction as it was.
    """

    def test_a_refusal_leaves_the_transaction_usable(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        After a command was refused the host goes on, and commits.
        """
        inside = shop.within()
        inside.place(an_order(), by=ANA, order_id=order_id)

        with pytest.raises(CommandRefusedError):
            inside.execute(order_id, c.DeliverOrder(note="here"), by=LUC)

        shop.list(order_id)
        shop.commit()
        assert shop.database.both(order_id) == (PLACED, 1)

    def test_an_id_that_is_taken_leaves_the_transaction_usable(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        An order that exists already is no failed statement.
        """
        shop.database.engine.place(an_order(), by=ANA, order_id=order_id)
        inside = shop.within()

        with pytest.raises(OrderExistsError):
            inside.place(an_order(), by=ANA, order_id=order_id)

        shop.list(order_id)
        shop.commit()
        assert shop.database.both(order_id) == (PLACED, 1)

    def test_a_version_that_is_past_leaves_the_transaction_usable(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        An order that moved on is no failed statement.
        """
        inside = shop.within()
        inside.place(an_order(), by=ANA, order_id=order_id)

        with pytest.raises(OrderChangedError):
            inside.execute(order_id, c.AcceptOrder(), by=LUC, if_version=7)

        shop.list(order_id)
        shop.commit()
        assert shop.database.both(order_id) == (PLACED, 1)

    def test_a_conflict_leaves_the_transaction_usable(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        Whatever a change can conflict with, it writes nothing, and fails nothing.
        """
        storage = shop.within().storage
        receipt = Receipt(key="k", fingerprint="f", first=1, last=1)
        effect = NewEffect(
            key="e", kind="refund", seq=1, moves_money=True, ready_at=1, body=b""
        )
        stale = EffectResult(key="e", token=9, status="done", attempts=1, ready_at=1)
        first = change(order_id, receipt=receipt, effects=(effect,))

        results = [
            storage.commit([first]),
            storage.commit([first]),
            storage.commit([change(order_id, 5, 6)]),
            storage.commit([change(order_id, 1, 2, receipt=receipt)]),
            storage.commit([change(order_id, 1, 2, results=(stale,))]),
        ]

        done, conflict = (CommitResult.DONE,), (CommitResult.CONFLICT,)
        assert [tuple(result) for result in results] == [done, *[conflict] * 4]
        shop.list(order_id)
        shop.commit()
        assert shop.database.both(order_id) == (1, 1)

    def test_a_batch_is_not_one_change(self, shop: Shop, order_id: str) -> None:
        """
        Of a batch, what conflicts is left out.
        """
        storage = shop.within().storage
        storage.commit([change(order_id)])

        results = storage.commit([change(order_id), change(f"{order_id}-2")])

        assert tuple(results) == (CommitResult.CONFLICT, CommitResult.DONE)
        shop.commit()

    def test_what_cannot_be_stored_is_stored_in_no_part(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        Half a character is found late, and the rest of its change goes with it.
        """
        storage = shop.within().storage
        storage.commit([change(order_id)])
        texts = tuple(
            StoredText(ref=f"r{number}", subject_id="ana", salt=b"", text="\ud800")
            for number in range(5)
        )

        for many in (texts, texts[:1]):
            with pytest.raises(StorageError):
                storage.commit([change(order_id, 1, 2, texts=many)])

        assert storage.load(order_id).version == 1
        shop.list(order_id)
        shop.commit()
        assert shop.database.both(order_id) == (1, 1)

    def test_what_fails_tells_no_secret(self, shop: Shop, order_id: str) -> None:
        """
        Nothing that a failure prints contains what somebody wrote.
        """
        storage = shop.within().storage
        storage.commit([change(order_id)])
        shop.execute(
            "ALTER TABLE escrowflow_text"
            " ADD COLUMN checked INTEGER CHECK (length(text) <> 42)"
        )
        secret = StoredText(ref="r", subject_id="ana", salt=b"", text="SECRET" * 7)

        with pytest.raises(StorageError) as caught:
            storage.commit([change(order_id, 1, 2, texts=(secret,))])

        assert "SECRET" not in "".join(traceback.format_exception(caught.value))
        shop.rollback()


class TestWithoutTransaction:
    """
    Autocommit is refused before anything is written.
    """

    @pytest.mark.parametrize("verb", ["place", "order", "erase"])
    def test_autocommit_is_refused(
        self, kind: type[Shop], databases: Databases, order_id: str, verb: str
    ) -> None:
        """
        Without a transaction nothing is written, and nothing read.
        """
        database = databases[kind.database_name]
        with kind(database, autocommit=True) as shop:
            inside = shop.within()
            values: dict[str, Callable[[], Any]] = {
                "place": lambda: inside.place(an_order(), by=ANA, order_id=order_id),
                "order": lambda: inside.order(order_id),
                "erase": lambda: inside.storage.erase_texts("ana", [order_id]),
            }

            with pytest.raises(NoTransactionError, match="autocommit"):
                values[verb]()

            assert database.version(order_id) == 0
            shop.list(order_id)
        assert database.listed(order_id) == 1


class TestWhatIsNotDoneInside:
    """
    What a transaction of somebody else's is not for.
    """

    def test_nothing_is_claimed(self, shop: Shop) -> None:
        """
        A sweep and a worker need claims that others see at once.
        """
        inside = shop.within()

        with pytest.raises(InvalidInputError, match="claimed inside"):
            inside.run_due()
        with pytest.raises(InvalidInputError, match="claimed inside"):
            inside.storage.claim_effects(0, 1, 1)

    def test_the_schema_is_not_changed(self, shop: Shop) -> None:
        """
        The host commits when it likes: too late for a schema.
        """
        with pytest.raises(InvalidInputError, match="outside"):
            shop.within().storage.migrate()

    def test_it_is_not_joined_again(self, shop: Shop) -> None:
        """
        Inside, there is no further inside.
        """
        inside = shop.within()

        assert Capability.WITHIN not in inside.target.storage.capabilities
        with pytest.raises(InvalidInputError):
            inside.within(shop.handle)

    def test_closing_leaves_the_connection_alone(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        The connection is the host's to close.
        """
        inside = shop.within()
        inside.place(an_order(), by=ANA, order_id=order_id)

        inside.close()

        shop.list(order_id)
        shop.commit()
        assert shop.database.both(order_id) == (PLACED, 1)


class TestVerbs:
    """
    Everything else that a storage can do works inside.
    """

    def test_a_value_is_never_taken_for_a_statement(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        What looks like a placeholder, a quote or SQL comes back as it was.
        """
        storage = shop.within().storage
        receipts = {
            text: Receipt(key=text, fingerprint=text, first=1, last=1)
            for text in HOSTILE
        }
        texts = {
            text: StoredText(
                ref=text,
                subject_id=f"{text}{order_id}",
                salt=text.encode(),
                text=text,
            )
            for text in HOSTILE
        }

        results = storage.commit(
            [
                change(
                    f"{text}{order_id}",
                    state=text,
                    receipt=receipts[text],
                    texts=(texts[text],),
                    parties=(("buyer", f"{text}{order_id}"),),
                )
                for text in HOSTILE
            ]
        )

        assert tuple(results) == (CommitResult.DONE,) * len(HOSTILE)
        for text in HOSTILE:
            its_id = f"{text}{order_id}"
            loaded = storage.load(its_id, text)
            assert (loaded.order_id, loaded.receipt) == (its_id, receipts[text])
            assert loaded.snapshot == b"\x00snapshot\xff"
            assert dict(loaded.texts) == {text: text}
            assert tuple(storage.texts(its_id)) == (texts[text],)
            found = storage.find(Query(party=its_id, role="buyer", states=[text]))
            assert [order.order_id for order in found.items] == [its_id]
        shop.rollback()

    @pytest.mark.parametrize("order_id", ["\ud800", "a\0b"])
    def test_what_no_text_can_be_is_not_there(self, shop: Shop, order_id: str) -> None:
        """
        Asking for it is no failed statement.
        """
        storage = shop.within().storage

        assert storage.load(order_id).version == 0
        assert tuple(storage.events(order_id)) == ()
        shop.list("after")
        shop.rollback()

    def test_a_number_that_is_too_large_fails_before_it_is_sent(
        self, shop: Shop, order_id: str
    ) -> None:
        """
        The transaction does not suffer.
        """
        storage = shop.within().storage

        with pytest.raises(StorageError):
            storage.commit([change(order_id, due_at=2**63)])

        shop.list(order_id)
        shop.commit()
        assert shop.database.both(order_id) == (0, 1)

    def test_every_verb_answers(self, shop: Shop, order_id: str) -> None:
        """
        What was written inside is read inside, by each verb.
        """
        storage = shop.within().storage
        receipt = Receipt(key="k", fingerprint="f", first=1, last=2)
        text = StoredText(ref="r", subject_id=order_id, salt=b"\x00s", text="ž")
        effect = NewEffect(
            key="e", kind="refund", seq=1, moves_money=True, ready_at=3, body=b"\xff"
        )
        first = change(
            order_id, 0, 2, receipt=receipt, texts=(text,), effects=(effect,), due_at=5
        )
        parked = Parked(since=1, until=2, attempts=1, reason="stuck")

        storage.commit([first])

        assert [event.settles for event in storage.events(order_id)] == [False, True]
        assert [event.seq for event in storage.events(order_id, 1)] == [2]
        (stored,) = storage.effects(order_id)
        assert (stored.body, stored.moves_money, stored.token) == (b"\xff", True, 0)
        assert tuple(storage.receipts(order_id)) == (receipt,)
        assert tuple(storage.texts(order_id)) == (text,)
        assert storage.park(order_id, 2, parked)
        assert storage.load(order_id).parked == parked
        assert not storage.park(order_id, 1, None)
        assert storage.next_due(0, LAST) <= 5
        assert storage.next_effect(0, LAST, ["refund"]) <= 3
        assert storage.stuck_effects(0, LAST).items == ()
        settled = EffectResult(
            key="e", token=0, status="done", attempts=1, ready_at=3, body=b"how"
        )
        storage.commit([change(order_id, 2, 2, results=(settled,))])
        assert storage.effects(order_id)[0].result == b"how"
        assert storage.erase_texts(order_id, [order_id]) == 1
        assert dict(storage.load(order_id).texts) == {}
        shop.rollback()


# --- which handle -----------------------------------------------------------------


class TestHandles:
    """
    A handle that cannot be joined is refused when it is passed.
    """

    @pytest.mark.parametrize("awaited", [False, True])
    @pytest.mark.parametrize(
        "handle", [None, 1, object(), "nobody", "", Session, sqlite3, T0.encode()]
    )
    def test_what_is_no_handle_is_refused(
        self, databases: Databases, handle: Any, awaited: bool
    ) -> None:
        """
        The error names the argument, and says what would be one.
        """
        engine: Any = databases["sqlite"].engine
        if awaited:
            storage = open_async_storage(databases["sqlite"].url)
            engine = e.AsyncEngine(COMEUP, storage)

        with pytest.raises(InvalidInputError) as caught:
            engine.within(handle)

        assert caught.value.field == "handle"

    def test_the_other_colour_is_refused(
        self, shop: Shop, databases: Databases
    ) -> None:
        """
        What is awaited fits no engine that blocks, nor the other way round.
        """
        database = shop.database
        engine: Any = database.engine
        if not shop.awaited:
            engine = e.AsyncEngine(COMEUP, open_async_storage(database.url))

        with pytest.raises(InvalidInputError, match="awaited") as caught:
            engine.within(shop.handle)

        assert caught.value.field == "handle"

    def test_another_kind_of_database_is_refused(
        self, shop: Shop, databases: Databases
    ) -> None:
        """
        Orders in one database and rows in another have no transaction in common.
        """
        other = "sqlite" if shop.database_name == "postgresql" else "postgresql"
        engine: Any = databases[other].engine
        if shop.awaited:
            engine = e.AsyncEngine(COMEUP, open_async_storage(databases[other].url))

        with pytest.raises(InvalidInputError, match="one database") as caught:
            engine.within(shop.handle)

        assert caught.value.field == "handle"

    def test_a_database_in_memory_cannot_be_joined(self) -> None:
        """
        Nobody else's connection leads there.
        """
        with closing(sqlite3.connect(":memory:")) as handle:
            for url in ("memory://", "sqlite://"):
                engine = e.Engine(COMEUP, open_storage(url))
                with pytest.raises(InvalidInputError):
                    engine.within(handle)
                engine.close()
            storage = SqliteStorage(":memory:")
            with pytest.raises(InvalidInputError):
                storage.within(handle)

    def test_a_session_of_several_databases_is_refused(
        self, databases: Databases
    ) -> None:
        """
        It does not say which one is meant.
        """
        with Session() as session, pytest.raises(InvalidInputError, match="several"):
            databases["sqlite"].engine.within(session)

    def test_a_session_of_a_scope_is_the_session_itself(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        Web frameworks hand out a registry that stands for the session.
        """
        database = databases["sqlite"]
        engine = sa.create_engine(database.alchemy("pysqlite"))
        session = scoped_session(sessionmaker(engine))

        database.engine.within(session).place(an_order(), by=ANA, order_id=order_id)
        session.commit()

        assert database.version(order_id) == PLACED
        session.remove()
        engine.dispose()

    def test_an_awaited_session_of_a_scope_is_the_session_itself(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        The same, awaited.
        """
        database = databases["sqlite"]

        async def placed() -> None:
            engine = create_async_engine(database.alchemy("aiosqlite"))
            session = async_scoped_session(
                async_sessionmaker(engine), scopefunc=lambda: 1
            )
            ours = e.AsyncEngine(COMEUP, open_async_storage(database.url))
            await ours.within(session).place(an_order(), by=ANA, order_id=order_id)
            await session.commit()
            await session.remove()
            await engine.dispose()

        asyncio.run(placed())

        assert database.version(order_id) == PLACED

    def test_a_connection_that_is_not_open_yet_fails_as_ours(
        self, databases: Databases, order_id: str
    ) -> None:
        """
        What the handle itself raises is translated.
        """
        database = databases["sqlite"]

        async def tried() -> None:
            engine = create_async_engine(database.alchemy("aiosqlite"))
            ours = e.AsyncEngine(COMEUP, open_async_storage(database.url))
            with pytest.raises(StorageError):
                await ours.within(engine.connect()).order(order_id)
            await engine.dispose()

        asyncio.run(tried())
