"""
What open orders cost that nobody touches: the memory of the process that serves them,
and bytes on the disk.

The orders are copies of one that was delivered, whole: its row, history, effects,
receipts and parties.  Each size is served by a process of its own, which places and lives
a few orders among them, lists a page, sweeps, and then says how large it is.
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Final

import escrowflow as ef
from escrowflow.clock import FakeClock
from escrowflow.processes import comeup
from escrowflow.storage import open_storage

from .life import BUYER, STEPS, placing
from .rounds import Figures

__all__ = ["measure"]

OPEN: Final = (10_000, 100_000)
T0: Final = "2026-05-05T10:00:00+02:00"
SAMPLE: Final = "o0000000"
# After so many orders, a process has made what it makes once.
LIVES: Final = 20

# Every table that has a row of an order, those that others point at first.
_TABLES: Final = ("order", "event", "effect", "receipt", "party", "text")


def measure(*, quick: bool) -> list[Figures]:
    """
    Return, for each number of open orders, what a process holds and what a file.
    """
    figures = []
    with tempfile.TemporaryDirectory() as name:
        for count in (200, 1_000) if quick else OPEN:
            path = Path(name) / f"{count}.db"
            _fill(path, count)
            done = subprocess.run(
                [sys.executable, "-m", __name__, str(path)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            figures.append(
                {"open": count, "file": path.stat().st_size, **json.loads(done.stdout)}
            )
    return figures


def _fill(path: Path, count: int) -> None:
    with open_storage(f"sqlite:///{path}") as storage:
        engine = ef.Engine(comeup(), storage, clock=FakeClock(T0))
        engine.place(placing(), by=BUYER, order_id=SAMPLE)
        for command, by in STEPS[:2]:
            engine.execute(SAMPLE, command, by=by)
    link = sqlite3.connect(path, isolation_level=None)
    link.execute("BEGIN")
    for table in _TABLES:
        name = f"escrowflow_{table}"
        columns = [row[1] for row in link.execute(f"PRAGMA table_info({name})")]
        changed = {
            "order_id": "printf('o%07d', n)",
            "snapshot": f"CAST(replace(CAST(snapshot AS TEXT), '{SAMPLE}',"
            " printf('o%07d', n)) AS BLOB)",
        }
        link.execute(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n"
            f" WHERE n < {count - 1}) INSERT INTO {name} ({', '.join(columns)}) SELECT "
            + ", ".join(changed.get(column, column) for column in columns)
            + f" FROM {name}, n WHERE order_id = '{SAMPLE}'"
        )
    link.execute("COMMIT")
    link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    link.close()


def _served(path: str) -> Figures:
    """
    Return what this process has come to hold by serving the orders of a file, in bytes.
    """
    tracemalloc.start()
    with open_storage(f"sqlite:///{path}") as storage:
        engine = ef.Engine(comeup(), storage, clock=FakeClock(T0))
        for _ in range(LIVES):
            order_id = engine.place(placing(), by=BUYER).order.id
            for command, by in STEPS:
                engine.execute(order_id, command, by=by)
        engine.orders(limit=100)
        engine.run_due()
        engine.next_due_at()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return {"python": held, "process": pages * os.sysconf("SC_PAGE_SIZE")}


if __name__ == "__main__":
    print(json.dumps(_served(sys.argv[1])))
