"""
Ten thousand orders that are due, among ever more that are not: claimed in batches
and settled, beside the shortest hand-written code that does the same.

Ours are real orders: each settling reads the order, decides, writes history, effects
and snapshot.  The open ones around them are copies of one order, made in SQL.
"""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

import attrs

import escrowflow as ef
from escrowflow.clock import FakeClock
from escrowflow.processes import comeup
from escrowflow.storage import Storage, open_storage
from tests.pg import Server

from .life import BUYER, STEPS, placing
from .rounds import Figures, rounded

__all__ = ["OPEN", "POSTGRES", "SQLITE", "TWO", "measure"]

SQLITE: Final = "SQLite"
POSTGRES: Final = "PostgreSQL"

# Two processes on one database; they share the cores with its server.
TWO: Final = "escrowflow, two workers"

# Seconds until a worker that died is not waited for.
_PATIENCE: Final = 300

DUE: Final = 10_000
OPEN: Final = (10_000, 100_000, 1_000_000)
REPEATS: Final = 3
BATCH: Final = 500
NOW: Final = 1_700_000_000
DATA: Final = '{"buyer": "u-1001", "seller": "u-2002", "amount": 125000}'
T0: Final = "2026-05-05T10:00:00+02:00"
SAMPLE: Final = "o0000000"


@attrs.frozen
class _Size:
    """
    How many orders fall due each time, among how many that are open, and how often; one
    time before them is not counted.
    """

    open: int
    due: int = DUE
    repeats: int = REPEATS

    @property
    def total(self) -> int:
        # What was settled in one repeat is not settled again in the next.
        return self.open + self.due * self.repeats

    def chosen(self) -> list[list[int]]:
        """
        Return, for each repeat, the numbers of the orders that fall due: others each
        time.
        """
        times = self.repeats + 1
        every = random.Random(1).sample(range(1, self.total + 1), self.due * times)
        return [every[self.due * n : self.due * (n + 1)] for n in range(times)]


# --- on SQLite ----------------------------------------------------------------------


def _by_hand_sqlite(path: Path, size: _Size) -> Iterator[float]:
    link = sqlite3.connect(path, isolation_level=None)
    link.execute("PRAGMA journal_mode = WAL")
    link.execute("PRAGMA synchronous = FULL")
    link.executescript(
        """
        CREATE TABLE orders(id INTEGER PRIMARY KEY, state TEXT NOT NULL,
            version INTEGER NOT NULL, due INTEGER, data TEXT NOT NULL);
        CREATE TABLE history(order_id INTEGER NOT NULL, seq INTEGER NOT NULL,
            event TEXT NOT NULL, data TEXT,
            PRIMARY KEY(order_id, seq)) WITHOUT ROWID;
        CREATE TABLE outbox(id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL,
            kind TEXT NOT NULL, payload TEXT NOT NULL);
        CREATE INDEX orders_due ON orders(due) WHERE due IS NOT NULL;
        """
    )
    link.execute("BEGIN")
    link.executemany(
        "INSERT INTO orders VALUES(?, 'delivered', 3, ?, ?)",
        ((number, NOW + number, DATA) for number in range(1, size.total + 1)),
    )
    link.execute("COMMIT")
    for chosen in size.chosen():
        link.execute("BEGIN")
        link.executemany(
            "UPDATE orders SET due = ? WHERE id = ?",
            [(NOW - number % 1000 - 1, number) for number in chosen],
        )
        link.execute("COMMIT")
        link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        begun = time.perf_counter()
        done = 0
        while done < size.due:
            link.execute("BEGIN IMMEDIATE")
            rows = link.execute(
                "SELECT id, version, data FROM orders WHERE due <= ?"
                " ORDER BY due LIMIT ?",
                (NOW, BATCH),
            ).fetchall()
            link.executemany(
                "UPDATE orders SET state = 'completed', version = version + 1,"
                " due = NULL WHERE id = ? AND version = ?",
                [row[:2] for row in rows],
            )
            link.executemany(
                "INSERT INTO history VALUES(?, ?, 'silence', ?)",
                [(number, version + 1, data) for number, version, data in rows],
            )
            link.executemany(
                "INSERT INTO outbox(order_id, kind, payload) VALUES(?, 'pay_out', ?)",
                [(number, data) for number, _, data in rows],
            )
            link.execute("COMMIT")
            done += len(rows)
        yield time.perf_counter() - begun
    link.close()


# Copies of the sample order, each with its id in its snapshot; of those that fall
# due the history too, so that theirs goes on.
_COPY_SQLITE: Final = """
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
INSERT INTO escrowflow_order ({columns})
SELECT {values} FROM escrowflow_order, n WHERE order_id = '{sample}'
"""


def _ours_sqlite(path: Path, size: _Size) -> Iterator[float]:
    with open_storage(f"sqlite:///{path}") as storage:
        engine = _sampled(storage)
        link = sqlite3.connect(path, isolation_level=None)
        columns = [
            row[1] for row in link.execute("PRAGMA table_info(escrowflow_order)")
        ]
        changed = {
            "order_id": "printf('o%07d', n)",
            "snapshot": f"CAST(replace(CAST(snapshot AS TEXT), '{SAMPLE}',"
            " printf('o%07d', n)) AS BLOB)",
            "due_at": "due_at + 4000000000000000 + n",
        }
        link.execute(
            _COPY_SQLITE.format(
                count=size.total,
                columns=", ".join(columns),
                values=", ".join(changed.get(name, name) for name in columns),
                sample=SAMPLE,
            )
        )
        for chosen in size.chosen():
            link.execute("BEGIN")
            for number in chosen:
                link.execute(
                    "INSERT INTO escrowflow_event SELECT"
                    " printf('o%07d', ?), seq, name, effective_at, recorded_at,"
                    " settles, body, hash FROM escrowflow_event"
                    " WHERE order_id = ? ORDER BY seq",
                    (number, SAMPLE),
                )
            link.execute("COMMIT")
        # The sample itself is due, too.
        engine.run_due()
        for chosen in size.chosen():
            link.execute("BEGIN")
            link.executemany(
                "UPDATE escrowflow_order SET due_at = ?"
                " WHERE order_id = printf('o%07d', ?)",
                [(1_000 + number % 1000, number) for number in chosen],
            )
            link.execute("COMMIT")
            link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            yield _swept(engine, size.due)
        link.close()


def _sampled(storage: Storage) -> ef.Engine:
    """
    Return an engine whose sample order was delivered, and whose buyer said nothing:
    the next sweep completes it and pays the seller.
    """
    clock = FakeClock(T0)
    engine = ef.Engine(comeup(), storage, clock=clock)
    engine.place(placing(), by=BUYER, order_id=SAMPLE)
    for command, by in STEPS[:2]:
        engine.execute(SAMPLE, command, by=by)
    due_at = engine.next_due_at()
    assert due_at is not None
    clock.advance(due_at - clock.now() + timedelta(seconds=1))
    return engine


def _swept(engine: ef.Engine, due: int) -> float:
    begun = time.perf_counter()
    done = 0
    while done < due:
        report = engine.run_due(BATCH)
        assert report.orders == report.moves, report
        done += report.orders
    return time.perf_counter() - begun


# --- on PostgreSQL --------------------------------------------------------------------


def _by_hand_postgres(dsn: str, size: _Size) -> Iterator[float]:
    import psycopg

    link = psycopg.connect(dsn, autocommit=True)
    link.execute("DROP TABLE IF EXISTS orders, history, outbox")
    link.execute(
        "CREATE TABLE orders(id bigint PRIMARY KEY, state text NOT NULL,"
        " version int NOT NULL, due bigint, data text NOT NULL)"
    )
    link.execute(
        "CREATE TABLE history(order_id bigint NOT NULL, seq int NOT NULL,"
        " event text NOT NULL, data text, PRIMARY KEY(order_id, seq))"
    )
    link.execute(
        "CREATE TABLE outbox(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " order_id bigint NOT NULL, kind text NOT NULL, payload text NOT NULL)"
    )
    link.execute("CREATE INDEX orders_due ON orders(due) WHERE due IS NOT NULL")
    link.execute(
        "INSERT INTO orders SELECT n, 'delivered', 3, %s + n, %s"
        " FROM generate_series(1, %s) n",
        (NOW, DATA, size.total),
    )
    for chosen in size.chosen():
        link.execute(
            "UPDATE orders SET due = %s - id %% 1000 - 1 WHERE id = ANY(%s)",
            (NOW, chosen),
        )
        link.execute("VACUUM ANALYZE orders")
        begun = time.perf_counter()
        done = 0
        while done < size.due:
            with link.transaction():
                rows = link.execute(
                    "SELECT id, version, data FROM orders WHERE due <= %s"
                    " ORDER BY due LIMIT %s FOR UPDATE SKIP LOCKED",
                    (NOW, BATCH),
                ).fetchall()
                numbers = [row[0] for row in rows]
                versions = [row[1] for row in rows]
                data = [row[2] for row in rows]
                link.execute(
                    "UPDATE orders o SET state = 'completed', version = o.version + 1,"
                    " due = NULL FROM unnest(%s::bigint[], %s::int[]) AS x(id, version)"
                    " WHERE o.id = x.id AND o.version = x.version",
                    (numbers, versions),
                )
                link.execute(
                    "INSERT INTO history SELECT a, b + 1, 'silence', c"
                    " FROM unnest(%s::bigint[], %s::int[], %s::text[]) AS x(a, b, c)",
                    (numbers, versions, data),
                )
                link.execute(
                    "INSERT INTO outbox(order_id, kind, payload) SELECT a, 'pay_out', b"
                    " FROM unnest(%s::bigint[], %s::text[]) AS x(a, b)",
                    (numbers, data),
                )
            done += len(rows)
        yield time.perf_counter() - begun
    link.close()


def _ours_postgres(
    url: str, dsn: str, size: _Size, workers: int = 1
) -> Iterator[float]:
    import psycopg
    from psycopg.rows import tuple_row

    with open_storage(url) as storage:
        engine = _sampled(storage)
        link: Any = psycopg.connect(dsn, autocommit=True, row_factory=tuple_row)
        columns = [
            row[0]
            for row in link.execute(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_name = 'escrowflow_order' ORDER BY ordinal_position"
            )
        ]
        name = "'o' || lpad(n::text, 7, '0')"
        changed = {
            "order_id": name,
            "snapshot": "convert_to(replace(convert_from(snapshot, 'UTF8'),"
            f" '{SAMPLE}', {name}), 'UTF8')",
            "due_at": "due_at + 4000000000000000 + n",
        }
        link.execute(
            f"INSERT INTO escrowflow_order ({', '.join(columns)}) SELECT "
            + ", ".join(changed.get(column, column) for column in columns)
            + " FROM escrowflow_order, generate_series(1, %s) n WHERE order_id = %s",
            (size.total, SAMPLE),
        )
        every = sorted({number for chosen in size.chosen() for number in chosen})
        for seq in range(1, storage.load(SAMPLE).version + 1):
            link.execute(
                f"INSERT INTO escrowflow_event SELECT {name}, seq, name, effective_at,"
                " recorded_at, settles, body, hash"
                " FROM escrowflow_event, unnest(%s::bigint[]) n"
                " WHERE order_id = %s AND seq = %s",
                (every, SAMPLE, seq),
            )
        # The sample itself is due, too.
        engine.run_due()
        for chosen in size.chosen():
            names = [f"o{number:07}" for number in chosen]
            link.execute(
                "UPDATE escrowflow_order SET due_at = due_at %% 1000 + 1000"
                " WHERE order_id = ANY(%s)",
                (names,),
            )
            link.execute("VACUUM ANALYZE escrowflow_order")
            if workers == 1:
                yield _swept(engine, size.due)
            else:
                yield _swept_by(workers, url, engine.clock.now().isoformat(), size.due)
        link.close()


def _swept_by(workers: int, url: str, now: str, due: int) -> float:
    """
    Return how long so many processes take until all is settled, from the moment at
    which the last of them was ready.
    """
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(workers + 1)
    settled: Queue[int] = context.Queue()
    everybody = [
        context.Process(target=_work, args=(url, now, ready, settled), daemon=True)
        for _ in range(workers)
    ]
    for one in everybody:
        one.start()
    ready.wait(_PATIENCE)
    begun = time.perf_counter()
    done = sum(settled.get(timeout=_PATIENCE) for _ in everybody)
    seconds = time.perf_counter() - begun
    for one in everybody:
        one.join(_PATIENCE)
    assert done == due, done
    return seconds


def _work(url: str, now: str, ready: Barrier, settled: Queue[int]) -> None:
    with open_storage(url) as storage:
        engine = ef.Engine(comeup(), storage, clock=FakeClock(now))
        # Everything is loaded, and a connection open.
        engine.next_due_at()
        ready.wait(_PATIENCE)
        done = 0
        while (report := engine.run_due(BATCH)).orders:
            done += report.moves
        settled.put(done)


def measure(*, quick: bool) -> list[Figures]:
    """
    Return the seconds of sweeps on both databases, in turn with those by hand.
    """
    sizes = [_Size(count) for count in OPEN]
    if quick:
        sizes = [_Size(count // 1_000, 10, 1) for count in (OPEN[0], OPEN[-1])]
    figures: list[Figures] = []
    with tempfile.TemporaryDirectory() as name, Server(disk=True) as server:
        for size in sizes:
            hand = _by_hand_sqlite(Path(name) / f"hand{size.open}.db", size)
            ours = _ours_sqlite(Path(name) / f"ours{size.open}.db", size)
            figures.append(_in_turn(SQLITE, size, hand, ours))
        for size in sizes:
            one, *others = (server.database() for _ in range(3))
            hand = _by_hand_postgres(server.dsn_of(one), size)
            ours, two = (
                _ours_postgres(server.url_of(name), server.dsn_of(name), size, workers)
                for workers, name in enumerate(others, start=1)
            )
            figures.append(_in_turn(POSTGRES, size, hand, ours, two))
    return figures


def _in_turn(
    database: str,
    size: _Size,
    hand: Iterator[float],
    ours: Iterator[float],
    two: Iterator[float] | None = None,
) -> Figures:
    contestants = {"by hand": hand, "escrowflow": ours}
    if two is not None:
        contestants[TWO] = two
    rounds = [*zip(*contestants.values(), strict=True)][1:]
    return {"database": database, "open": size.open, "due": size.due} | {
        name: [rounded(one[place]) for one in rounds]
        for place, name in enumerate(contestants)
    }
