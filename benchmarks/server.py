"""
One durable command on PostgreSQL, beside hand-written code with the same statements
(six trips), and beside what many marketplaces write: SQLAlchemy and `transitions`.

Each connection is a process of its own and works on its own orders.
"""

from __future__ import annotations

import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import escrowflow as ef
from escrowflow.clock import FakeClock
from escrowflow.processes import comeup
from escrowflow.storage import open_storage
from tests.pg import Server, say

from . import dbos_orders
from .durable import ORM, OURS
from .life import BUYER, STEPS, TABLE, placing
from .orm import DATA, Marketplace
from .rounds import CONTROL, Figures, fdatasync, run

__all__ = ["BY_HAND", "CONNECTIONS", "measure"]

BY_HAND: Final = "by hand, six trips"

ORDERS: Final = 40
SECONDS: Final = 0.7
CONNECTIONS: Final = (1, 4, 8)
NEXT: Final = {(source, event): to for event, source, to in TABLE}

SCHEMA: Final = """
CREATE TABLE orders(id bigint PRIMARY KEY, state text NOT NULL,
    version int NOT NULL, due bigint, data text NOT NULL);
CREATE INDEX orders_due ON orders(due) WHERE due IS NOT NULL;
CREATE TABLE history(order_id bigint NOT NULL, seq int NOT NULL, at bigint NOT NULL,
    event text NOT NULL, data text, PRIMARY KEY(order_id, seq));
CREATE TABLE outbox(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL, kind text NOT NULL, payload text NOT NULL);
"""

# A contestant lives for a while and returns how many steps a second it took; where
# it works must not be where another process, or an earlier round, has worked.
_Life = Callable[[str, int], float]
_PLACES = itertools.count(1)
_SPACE: Final = 1_000_000


def _lives(place: Callable[[], Callable[[], int]]) -> float:
    """
    Let orders live until the time is over; placing them is not counted.
    """
    done, spent = 0, 0.0
    while spent < SECONDS:
        live = place()
        begun = time.perf_counter()
        done += live()
        spent += time.perf_counter() - begun
    return done / spent


def _by_hand(dsn: str, place: int) -> float:
    import psycopg

    numbers = itertools.count(place * _SPACE)
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=1) as link:
        execute = link.cursor().execute

        def step(number: int, event: str) -> None:
            execute("BEGIN")
            row = execute(
                "SELECT state, version, due, data FROM orders WHERE id = %s", (number,)
            ).fetchone()
            assert row is not None
            state, version, _due, data = row
            moved = execute(
                "UPDATE orders SET state = %s, version = version + 1, due = %s"
                " WHERE id = %s AND version = %s",
                (NEXT[state, event], 1_700_000_000, number, version),
            )
            assert moved.rowcount == 1
            execute(
                "INSERT INTO history VALUES(%s, %s, %s, %s, %s)",
                (number, version + 1, 1_700_000_000, event, data),
            )
            execute(
                "INSERT INTO outbox(order_id, kind, payload) VALUES(%s, %s, %s)",
                (number, "notify", data),
            )
            execute("COMMIT")

        def placed() -> Callable[[], int]:
            mine = [next(numbers) for _ in range(ORDERS)]
            link.cursor().executemany(
                "INSERT INTO orders VALUES(%s, 'pending', 0, NULL, %s)",
                [(number, DATA) for number in mine],
            )

            def live() -> int:
                for event, _source, _to in TABLE:
                    for number in mine:
                        step(number, event)
                return len(TABLE) * ORDERS

            return live

        return _lives(placed)


def _ours(url: str, place: int) -> float:
    clock = FakeClock("2026-05-05T10:00:00+02:00")
    numbers = itertools.count(place * _SPACE)
    with ef.Engine(comeup(), open_storage(url), clock=clock) as engine:

        def placed() -> Callable[[], int]:
            ids = [str(next(numbers)) for _ in range(ORDERS)]
            for order_id in ids:
                engine.place(placing(), by=BUYER, order_id=order_id)

            def live() -> int:
                for command, by in STEPS:
                    for order_id in ids:
                        engine.execute(order_id, command, by=by)
                return len(STEPS) * ORDERS

            return live

        return _lives(placed)


def _orm(url: str, place: int) -> float:
    market = Marketplace(url)
    numbers = itertools.count(place * _SPACE)

    def placed() -> Callable[[], int]:
        mine = [next(numbers) for _ in range(ORDERS)]
        market.place(mine)

        def live() -> int:
            for event, _source, _to in TABLE:
                for number in mine:
                    market.step(number, event)
            return len(TABLE) * ORDERS

        return live

    try:
        return _lives(placed)
    finally:
        market.close()


def _at_once(life: _Life, where: str, connections: int) -> float:
    """
    Return steps a second of so many processes together.
    """
    places = [next(_PLACES) for _ in range(connections)]
    if connections == 1:
        return life(where, places[0])
    context = multiprocessing.get_context("fork")
    with context.Pool(connections) as pool:
        return sum(pool.starmap(life, [(where, place) for place in places]))


def measure(*, quick: bool) -> Figures:
    """
    Return a durable command at both settings, over 1, 4 and 8 connections.
    """
    with Server(disk=True) as server:
        [[version]] = say(server.dsn, "SHOW server_version")
        return {"version": version} | {
            setting: _measured(server, setting, query, quick=quick)
            for setting, query in (("off", "durability=relaxed"), ("on", ""))
        }


def _measured(
    server: Server, setting: str, query: str, *, quick: bool
) -> dict[str, Figures]:
    import psycopg

    database = server.database()
    options = f"-c synchronous_commit={setting}"
    dsn = server.dsn_of(database, options=options)
    with psycopg.connect(dsn, autocommit=True) as link:
        link.execute(SCHEMA)
    url = server.url_of(database, query)
    orm = _sqlalchemy(server, database, options)
    Marketplace(orm).close()
    with open_storage(url) as storage:
        storage.migrate()
    places: dict[str, tuple[_Life, str]] = {
        BY_HAND: (_by_hand, dsn),
        OURS: (_ours, url),
        ORM: (_orm, orm),
    }
    figures: dict[str, Figures] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = None
        if dbos_orders.there():
            theirs = _sqlalchemy(server, server.database(), options)
            peer = stack.enter_context(dbos_orders.Peer(theirs.replace("+psycopg", "")))
        for connections in CONNECTIONS[:: 2 if quick else 1]:
            contestants: dict[str, Callable[[], float]] = {
                name: partial(_at_once, life, where, connections)
                for name, (life, where) in places.items()
            }
            if peer is not None and peer.ready:
                contestants[dbos_orders.DBOS] = partial(
                    peer.live, orders=max(16, 4 * connections), at_once=connections
                )
            contestants[CONTROL] = partial(fdatasync, folder, ORDERS)
            figures[str(connections)] = run(contestants, rounds=1 if quick else 5)
    return figures


def _sqlalchemy(server: Server, database: str, options: str) -> str:
    quoted = options.replace(" ", "%20").replace("=", "%3D")
    return (
        f"postgresql+psycopg://postgres@/{database}"
        f"?host={server.folder}&options={quoted}"
    )
