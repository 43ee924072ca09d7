"""
One durable command on SQLite, beside the shortest hand-written code that does the
same: read the order, write it back at the next version, append a history row and
an outbox row, commit.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import escrowflow as ef
from escrowflow.clock import FakeClock
from escrowflow.processes import comeup
from escrowflow.storage import open_storage

from . import dbos_orders
from .life import BUYER, STEPS, TABLE, placing
from .orm import Marketplace
from .rounds import CONTROL, Figures, fdatasync, run, timed

__all__ = ["BY_HAND", "ORM", "OURS", "measure"]

BY_HAND: Final = "by hand"
OURS: Final = "escrowflow, execute"
ORM: Final = "SQLAlchemy ORM and transitions"

ORDERS = 60

SCHEMA = """
CREATE TABLE orders(id INTEGER PRIMARY KEY, state TEXT NOT NULL,
    version INTEGER NOT NULL, due INTEGER, data TEXT NOT NULL);
CREATE INDEX orders_due ON orders(due) WHERE due IS NOT NULL;
CREATE TABLE history(order_id INTEGER NOT NULL, seq INTEGER NOT NULL,
    at INTEGER NOT NULL, event TEXT NOT NULL, data TEXT,
    PRIMARY KEY(order_id, seq)) WITHOUT ROWID;
CREATE TABLE outbox(id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL,
    kind TEXT NOT NULL, payload TEXT NOT NULL, done_at INTEGER);
CREATE INDEX outbox_todo ON outbox(id) WHERE done_at IS NULL;
"""
DATA = json.dumps(
    {"buyer": "u-1001", "seller": "u-2002", "amount": 125000, "items": [1, 2, 3]}
)
NEXT = {(source, event): to for event, source, to in TABLE}


class _ByHand:
    def __init__(self, folder: Path, synchronous: str) -> None:
        self._connection = sqlite3.connect(
            folder / f"hand-{synchronous}.db", isolation_level=None
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA synchronous={synchronous}")
        self._connection.executescript(SCHEMA)
        self._last = 0

    def close(self) -> None:
        self._connection.close()

    def live(self) -> float:
        execute = self._connection.execute
        first, self._last = self._last + 1, self._last + ORDERS
        execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO orders VALUES(?, 'pending', 0, NULL, ?)",
            [(number, DATA) for number in range(first, self._last + 1)],
        )
        execute("COMMIT")

        def work() -> None:
            for event, _source, _to in TABLE:
                for number in range(first, self._last + 1):
                    self._step(number, event)

        return timed(ORDERS * len(TABLE), work)

    def _step(self, number: int, event: str) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        state, version, _due, data = execute(
            "SELECT state, version, due, data FROM orders WHERE id=?", (number,)
        ).fetchone()
        state = NEXT[state, event]
        moved = execute(
            "UPDATE orders SET state=?, version=version+1, due=? "
            "WHERE id=? AND version=?",
            (state, 1_700_000_000, number, version),
        )
        assert moved.rowcount == 1
        execute(
            "INSERT INTO history VALUES(?,?,?,?,?)",
            (number, version + 1, 1_700_000_000, event, data),
        )
        execute(
            "INSERT INTO outbox(order_id, kind, payload) VALUES(?,?,?)",
            (number, "notify", data),
        )
        execute("COMMIT")


class _Ours:
    def __init__(self, folder: Path, durability: str) -> None:
        path = folder / f"ours-{durability}.db"
        self._storage = open_storage(f"sqlite:///{path}?durability={durability}")
        self._engine = ef.Engine(
            comeup(), self._storage, clock=FakeClock("2026-05-05T10:00:00+02:00")
        )

    def close(self) -> None:
        self._storage.close()

    def live(self) -> float:
        engine = self._engine
        ids = [engine.place(placing(), by=BUYER).order.id for _ in range(ORDERS)]

        def work() -> None:
            for command, by in STEPS:
                for order_id in ids:
                    engine.execute(order_id, command, by=by)

        return timed(ORDERS * len(STEPS), work)


class _Orm:
    def __init__(self, folder: Path, synchronous: str) -> None:
        def connected() -> sqlite3.Connection:
            link = sqlite3.connect(folder / f"orm-{synchronous}.db")
            link.execute("PRAGMA journal_mode=WAL")
            link.execute(f"PRAGMA synchronous={synchronous}")
            return link

        self._market = Marketplace("sqlite://", creator=connected)
        self._last = 0

    def close(self) -> None:
        self._market.close()

    def live(self) -> float:
        numbers = range(self._last + 1, self._last + ORDERS + 1)
        self._last += ORDERS
        self._market.place(numbers)

        def work() -> None:
            for event, _source, _to in TABLE:
                for number in numbers:
                    self._market.step(number, event)

        return timed(ORDERS * len(TABLE), work)


def measure(*, quick: bool) -> dict[str, Figures]:
    """
    Return a durable command at both settings.
    """
    return {
        synchronous: _measured(synchronous, durability, rounds=1 if quick else 9)
        for synchronous, durability in (("NORMAL", "relaxed"), ("FULL", "full"))
    }


def _measured(synchronous: str, durability: str, *, rounds: int) -> Figures:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        hand = stack.enter_context(closing(_ByHand(folder, synchronous)))
        ours = stack.enter_context(closing(_Ours(folder, durability)))
        orm = stack.enter_context(closing(_Orm(folder, synchronous)))
        contestants: dict[str, Callable[[], float]] = {
            BY_HAND: hand.live,
            OURS: ours.live,
            ORM: orm.live,
        }
        # It has one setting: every commit is synced.
        if synchronous == "FULL" and dbos_orders.there():
            peer = stack.enter_context(dbos_orders.Peer(f"sqlite:///{folder}/dbos.db"))
            if peer.ready:
                contestants[dbos_orders.DBOS] = lambda: peer.live(orders=15)
        contestants[CONTROL] = lambda: fdatasync(folder, ORDERS)
        return run(contestants, rounds=rounds)
