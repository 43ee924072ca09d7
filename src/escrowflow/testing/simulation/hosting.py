"""
Hosts: commands that are given in a transaction of the host's own, beside a row of his.

A host's transaction is one step: while it is open a database lets nobody else write, or
lets him wait.  It is committed, or rolled back, or the host dies before or after he
commits.  Then his row is there exactly if what he did with the order is.

In SQLite and PostgreSQL it is a real transaction on a connection of the host's
(`Engine.within`).  What other storages cannot do is done for them: what is committed in
the transaction is kept back, and written when the host commits.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import Any, Final, Protocol, final

import attrs

from ...engine import Outcome
from ...engine.driving import drive, undriven
from ...errors import EscrowflowError, StorageError
from ...parties import Role
from ...payments.wallets import Wallets
from ...storage import (
    Capability,
    Change,
    CommitResult,
    Storage,
    StoredEffect,
    StoredEvent,
    StoredOrder,
    StoredText,
)
from ...wallet import PREFIX, Entry
from ..gateways import Killed
from .shadow import Said
from .world import Node, World

__all__ = ["Hosts"]

# How a host's transaction ends, and how often of a hundred.
_ENDS: Final = ("commits", "rolls back", "dies before", "dies after")
_WEIGHTS: Final = (55, 20, 12, 13)

# The host's table, where there is a database.
_TABLE: Final = "escrowflow_simulated_host"

# So many calls a command makes at the most, as a rule: one of them may fail.
_CALLS: Final = 5


class _Shop(Protocol):
    """
    A database with a table of the host's, beside those of the orders.
    """

    def begin(self) -> Any:
        """
        Begin a transaction; return its handle.
        """
        ...

    def joined(self, handle: Any) -> Storage:
        """
        Return the storage of the orders, within the transaction.
        """
        ...

    def write(self, row: str) -> None:
        """
        Write a row of the host's in the transaction, if it is not there.
        """
        ...

    def commit(self) -> None:
        """
        Commit it.
        """
        ...

    def roll_back(self) -> None:
        """
        Roll it back.
        """
        ...

    def die(self) -> None:
        """
        Be gone in the middle of it.
        """
        ...

    def rows(self) -> set[str]:
        """
        Return what is in the host's table, committed.
        """
        ...

    def close(self) -> None:
        """
        Let go of everything.
        """
        ...


# --- a host without a database ----------------------------------------------------


@final
class _Provisional:
    """
    Any storage, of which what is committed is kept back.

    Implements: `Storage`, as far as a command asks for it.
    """

    capabilities: Final[frozenset[Capability]] = frozenset()

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self.changes: list[Change] = []

    def _of(self, order_id: str) -> Iterator[Change]:
        return (one for one in self.changes if one.order_id == order_id)

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        Return an order as it is here.
        """
        loaded = self._inner.load(order_id, key)
        for change in self._of(order_id):
            head = change.events[-1].hash if change.events else loaded.head
            receipt = change.receipt
            mine = receipt is not None and receipt.key == key
            loaded = attrs.evolve(
                loaded,
                version=change.version,
                snapshot=change.snapshot,
                head=head,
                due_at=change.due_at,
                parked=None if change.events else loaded.parked,
                receipt=receipt if mine else loaded.receipt,
                texts={**loaded.texts, **{one.ref: one.text for one in change.texts}},
            )
        return loaded

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Keep changes back.
        """
        return tuple(self._kept(change) for change in changes)

    def _kept(self, change: Change) -> CommitResult:
        key = None if change.receipt is None else change.receipt.key
        loaded = self.load(change.order_id, key)
        if loaded.version != change.expected_version or (
            key is not None and loaded.receipt is not None
        ):
            return CommitResult.CONFLICT
        self.changes.append(change)
        return CommitResult.DONE

    def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """
        Return the journal as it is here.
        """
        found = [*self._inner.events(order_id, after, limit)]
        for change in self._of(order_id):
            found += (
                StoredEvent(**attrs.asdict(one, recurse=False))
                for one in change.events
                if one.seq > after
            )
        return tuple(found[:limit])

    def effects(self, order_id: str) -> Sequence[StoredEffect]:
        """
        Return the effects as they are here.
        """
        found = {one.key: one for one in self._inner.effects(order_id)}
        for change in self._of(order_id):
            for new in change.effects:
                fields = attrs.asdict(new, recurse=False)
                found[new.key] = StoredEffect(order_id=order_id, token=0, **fields)
            for result in change.results:
                found[result.key] = attrs.evolve(
                    found[result.key],
                    status=result.status,
                    attempts=result.attempts,
                    ready_at=result.ready_at,
                    result=result.body,
                )
        return tuple(sorted(found.values(), key=lambda one: one.seq))

    def texts(self, order_id: str) -> Sequence[StoredText]:
        """
        Return the texts as they are here.
        """
        new = (text for change in self._of(order_id) for text in change.texts)
        return (*self._inner.texts(order_id), *new)


@final
class _Kept:
    """
    A host whose transactions are kept back for him.

    Implements: `_Shop`
    """

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self._rows: set[str] = set()
        self._new: set[str] = set()
        self._changes: list[Change] = []

    def begin(self) -> Any:
        return object()

    def joined(self, handle: Any) -> Storage:
        found: Any = _Provisional(self._inner)
        self._changes = found.changes
        joined: Storage = found
        return joined

    def write(self, row: str) -> None:
        self._new.add(row)

    def commit(self) -> None:
        for change in self._changes:
            self._inner.commit((change,))
        self._rows |= self._new
        self.roll_back()

    def roll_back(self) -> None:
        self._changes = []
        self._new = set()

    def die(self) -> None:
        self.roll_back()

    def rows(self) -> set[str]:
        return set(self._rows)

    def close(self) -> None:
        pass


# --- a host with one --------------------------------------------------------------


@final
class _Real:
    """
    A host with a connection of his own to the database of the orders.

    Implements: `_Shop`
    """

    def __init__(self, inner: Any, connect: Any, mark: str, begin: str) -> None:
        self._inner = inner
        self._connect = connect
        self._begin = begin
        self._insert = f"INSERT INTO {_TABLE} VALUES ({mark}) ON CONFLICT DO NOTHING"
        self._link = connect()
        inner.migrate()
        # The storage is new: what is there was another seed's.
        self._link.execute(f"DROP TABLE IF EXISTS {_TABLE}")
        self._link.execute(f"CREATE TABLE {_TABLE} (name TEXT PRIMARY KEY)")
        self._link.commit()

    def begin(self) -> Any:
        if self._begin:
            self._link.execute(self._begin)
        return self._link

    def joined(self, handle: Any) -> Storage:
        found: Storage = self._inner.within(handle)
        return found

    def write(self, row: str) -> None:
        self._link.execute(self._insert, (row,))

    def commit(self) -> None:
        self._link.commit()

    def roll_back(self) -> None:
        self._link.rollback()

    def die(self) -> None:
        # Nobody says anything any more.
        self._link.close()
        self._link = self._connect()

    def rows(self) -> set[str]:
        found = {name for (name,) in self._link.execute(f"SELECT name FROM {_TABLE}")}
        self._link.rollback()
        return found

    def close(self) -> None:
        self._link.close()


def _is(storage: Any, room: str, name: str) -> bool:
    """
    Whether it is one of ours, of a kind that was imported by whoever made it.
    """
    there = sys.modules.get(f"escrowflow.storage.{room}")
    return there is not None and isinstance(storage, getattr(there, name))


def _shop_of(inner: Any) -> _Shop:
    """
    Return a host beside the orders of a storage.
    """
    if Capability.WITHIN in inner.capabilities:
        if _is(inner, "sqlite", "SqliteStorage"):
            import sqlite3

            relaxed = inner.durability == "relaxed"

            def connect() -> Any:
                link = sqlite3.connect(inner.path, isolation_level=None)
                if relaxed:
                    link.execute("PRAGMA synchronous = OFF")
                return link

            return _Real(inner, connect, "?", "BEGIN IMMEDIATE")
        if _is(inner, "postgres", "PostgresStorage"):
            import psycopg

            return _Real(inner, partial(psycopg.connect, inner.dsn), "%s", "")
    return _Kept(inner)


# --- what is done within ----------------------------------------------------------


@final
class _Inside:
    """
    A storage within a host's transaction; one of its calls may fail.

    Implements: `Storage`

    Attributes:
        wrote: What was committed in it: it is so once the host commits.
    """

    def __init__(self, joined: Any, fails_at: int, failure: BaseException) -> None:
        self._joined = joined
        self._left = fails_at
        self._failure = failure
        self.wrote: list[tuple[str, tuple[Any, ...], Any]] = []

    @property
    def capabilities(self) -> frozenset[Capability]:
        """
        What the storage inside can do beyond the verbs.
        """
        found: frozenset[Capability] = self._joined.capabilities
        return found

    def __getattr__(self, verb: str) -> Any:
        return partial(self._called, verb)

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        Return an order.
        """
        loaded: StoredOrder = self._called("load", order_id, key)
        return loaded

    def _called(self, verb: str, *values: Any) -> Any:
        self._left -= 1
        if not self._left:
            raise self._failure
        answer = getattr(self._joined, verb)(*values)
        if verb == "commit":
            self.wrote.append((verb, values, answer))
        return answer


@final
class _Front:
    """
    The storage of the orders, as the engine of a host has it.
    """

    capabilities: Final = frozenset({Capability.WITHIN})

    def __init__(self, inside: _Inside) -> None:
        self._inside = inside

    def within(self, handle: Any) -> Any:
        """
        Return the storage within the host's transaction.
        """
        return self._inside

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        """
        Refuse: nobody asks outside of it.
        """
        raise StorageError(f"{order_id!r} is asked for outside of the transaction")


@final
@attrs.frozen
class _Row:
    """
    What a row of the host's stands for: an event, by its number and its hash.
    """

    order_id: str
    seq: int
    hash: bytes

    @property
    def name(self) -> str:
        return f"{self.order_id} {self.seq}"


@final
class Hosts:
    """
    Those who give commands in transactions of their own.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._shop: _Shop | None = None
        self._storage: Storage | None = None
        # What must be in the host's table, by the name of the row.
        self._rows: dict[str, _Row] = {}
        self._backup: dict[str, _Row] = {}

    @property
    def shop(self) -> _Shop:
        """
        The database of the host: that of the orders.
        """
        if self._shop is None or self._storage is not self._world.inner:
            self.close()
            self._storage = self._world.inner
            self._shop = _shop_of(self._world.inner)
            # A backup is of the whole database.
            self._shop.begin()
            for row in self._rows:
                self._shop.write(row)
            self._shop.commit()
        return self._shop

    def close(self) -> None:
        """
        Let go of the database.
        """
        if self._shop is not None:
            self._shop.close()
        self._shop = None

    def keep(self) -> None:
        """
        Remember what is in the host's table: a backup is taken.
        """
        self._backup = {**self._rows}

    def put_back(self) -> None:
        """
        Put it back.
        """
        self._rows = {**self._backup}

    def gives(self, said: Said, node: Node, times: int = 1) -> None:
        """
        Let somebody send a command: by himself, or to a host who has a row to write
        beside it.
        """
        world = self._world
        if not world.goes("within"):
            for _ in range(times):
                world.submit(said, node)
            return
        tape = world.tape
        end = _ENDS[tape.weighted("host", _WEIGHTS, _ENDS)]
        failure: BaseException = StorageError("simulated failure")
        fails_at = 0
        if world.goes("storage fails"):
            fails_at = 1 + tape.choose("fails at", _CALLS)
        elif world.goes("killed before"):
            fails_at, failure = 1 + tape.choose("killed at", _CALLS), Killed()
        again = end == "rolls back" and tape.chance("again", 600)
        world.say(f"a host {end}")
        world.count[f"a host {end}"] += 1
        asking = self._transaction(said, node, times, end, fails_at, failure)
        # Who rolls back tells nobody anything.
        heard = None if end == "rolls back" else said
        world.begin(f"host: {said.what}", node, asking, said=heard)
        if again and not world.auditor.found:
            world.submit(said, node)

    def _transaction(
        self,
        said: Said,
        node: Node,
        times: int,
        end: str,
        fails_at: int,
        failure: BaseException,
    ) -> Generator[Any, Any, Any]:
        """
        Do everything in one transaction; return what the sender is told.
        """
        yield from ()
        shop = self.shop
        handle = shop.begin()
        inside = _Inside(shop.joined(handle), fails_at, failure)
        answers: list[Any] = []
        refused: EscrowflowError | None = None
        try:
            for _ in range(times):
                answers.append(self._answered(said, node, _Front(inside), handle))
        except StorageError:
            # What a host does then: all of it again, another time.
            shop.roll_back()
            self._left_nothing(said, inside)
            raise
        except Killed:
            shop.die()
            self._left_nothing(said, inside)
            raise
        except EscrowflowError as error:
            # No failed statement: he goes on.
            refused = error
        except Exception as error:
            # Whatever is no error of ours must never reach a host.
            shop.roll_back()
            kind = type(error).__name__
            self._world.auditor.fail(
                "I35", f"host: {said.what}: {kind} leaked", said.order_id
            )
            raise StorageError("what is no error of ours was raised") from error
        rows = [] if refused else [*self._written(inside, answers)]
        for row in rows:
            shop.write(row.name)
        if end == "rolls back":
            shop.roll_back()
            self._left_nothing(said, inside)
            return None
        if end == "dies before":
            shop.die()
            self._left_nothing(said, inside)
            raise Killed
        shop.commit()
        for written in inside.wrote:
            self._world.auditor.wrote(*written, said)
        self._rows |= {row.name: row for row in rows}
        self._agrees(said)
        if end == "dies after":
            raise Killed
        if refused is not None:
            raise refused
        for answer in answers[1:]:
            self._world.auditor.replied(said, answer)
        return answers[0]

    def _answered(self, said: Said, node: Node, front: Any, handle: Any) -> Any:
        world = self._world
        engine = world.engine(node, front).within(handle)
        wallets = Wallets(front, clock=node).within(handle)
        asks = engine if said.purse else undriven(engine)
        asking: Any = world.asked(said, node, asks, wallets)
        return drive(engine.storage, asking)

    @staticmethod
    def _written(inside: _Inside, answers: Sequence[Any]) -> Iterator[_Row]:
        """
        Yield the rows a host writes: one for what was done now, none for what was done
        before.
        """
        hashes = {
            (change.order_id, event.seq): event.hash
            for _, (changes,), results in inside.wrote
            for change, result in zip(changes, results, strict=True)
            if result is CommitResult.DONE
            for event in change.events
        }
        for answer in answers:
            if isinstance(answer, Outcome) and not answer.replayed:
                mine = [one for one in answer.events if one.by.role is not Role.SYSTEM]
                place = (answer.order.id, mine[-1].seq) if mine else ("", 0)
            elif isinstance(answer, Entry):
                # Its reference is its own key.
                wallet, _, _ = answer.reference.rpartition(":")
                place = (f"{PREFIX}{wallet}", answer.seq)
            else:
                continue
            if place in hashes:
                yield _Row(*place, hashes[place])

    def _left_nothing(self, said: Said, inside: _Inside) -> None:
        """
        I35: of what was not committed nothing is there.
        """
        auditor, inner = self._world.auditor, self._world.inner
        touched = {change.order_id for _, (some,), _ in inside.wrote for change in some}
        for order_id in sorted({said.order_id, *touched}):
            loaded = inner.load(order_id)
            shadow = auditor.orders.get(order_id)
            before = (
                (shadow.version, shadow.head)
                if shadow is not None
                else auditor.purses.head(order_id)
            )
            effects = {row.key for row in inner.effects(order_id)}
            if (loaded.version, loaded.head) != before or (
                effects != auditor.rows(order_id)
            ):
                auditor.fail("I35", "what a host rolled back is there", order_id)
        self._agrees(said)

    def _agrees(self, said: Said) -> None:
        """
        I35: the host's rows are those of what was committed with them.
        """
        if self.shop.rows() != set(self._rows):
            self._world.auditor.fail(
                "I35",
                "a row of the host, and no event; or none, and one",
                said.order_id,
            )

    def holds(self) -> None:
        """
        I35: in the end, too, each row stands for an event, and each event that was
        committed with a row has it.
        """
        if self._shop is None and not self._rows:
            return
        rows = self.shop.rows()
        for name, row in self._rows.items():
            found = self._world.inner.events(row.order_id, row.seq - 1, 1)
            there = bool(found) and found[0].hash == row.hash
            if not there or name not in rows:
                self._world.auditor.fail(
                    "I35",
                    "a row of the host and its event are not both there",
                    row.order_id,
                )
        if rows - set(self._rows):
            self._world.auditor.fail("I35", "a row of the host stands for nothing")
