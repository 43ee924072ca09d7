"""
A shop whose orders were forgotten for months, and the processes that work for it.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Final, Self, final

import escrowflow as ef
from escrowflow.clock import FakeClock, SystemClock
from escrowflow.storage import Storage, open_storage
from escrowflow.worker import Worker
from tests.given import COMEUP, an_engine, brought_to
from tests.pg import wait_until

__all__ = ["Process", "Shop"]

_PROJECT: Final = Path(__file__).parent.parent.parent

# How they stood when everybody left; each comes to an end by itself.
_STATES: Final = ("pending", "delivered", "cancelled", "completed")

# Who was told to stop has as many seconds; only a test that fails waits for it.
_PATIENCE: Final = 60


def moved(effect: ef.Refund | ef.PayOut) -> tuple[str, str, str, int]:
    """
    Return what the provider writes down of an effect.
    """
    return effect.key, effect.name, effect.order_id, effect.amount.minor


@final
class Process:
    """
    A process of one's own, and all that it starts.

    Attributes:
        log: What it says.
    """

    def __init__(self, log: Path, words: tuple[str, ...], env: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                words,
                cwd=_PROJECT,
                env={**os.environ, "PYTHONPATH": f"{_PROJECT / 'src'}", **env},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """
        What it has said.
        """
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def runs(self) -> bool:
        """
        Whether it is still there.
        """
        return self._process.poll() is None

    def kill(self) -> None:
        """
        End it as a power cut would, with all that it has started.
        """
        if self.runs:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """
        Tell it to stop; return its status.
        """
        self._process.terminate()
        return self._process.wait(_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.kill()
        if kind is not None:
            print(self.said[-8000:])


@final
class Shop:
    """
    A database of orders, and the file of a provider.

    Args:
        url: The database.

        folder: Where the files lie.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.provider = folder / "provider.db"
        self.engine = ef.Engine(COMEUP, open_storage(url), clock=SystemClock())
        self.order_ids: list[str] = []
        self._processes = 0

    def open(self, count: int) -> None:
        """
        Place orders, and forget them.
        """
        self.order_ids = [f"o-{number:03}" for number in range(count)]
        with self.storage() as storage:
            self._fill(storage)

    def storage(self) -> Storage:
        """
        Return another storage of the same database.
        """
        return open_storage(self.url)

    def _fill(self, storage: Storage) -> None:
        engine = an_engine(storage)
        for order_id, state in zip(self.order_ids, cycle(_STATES), strict=False):
            brought_to(engine, state, order_id)

    def start(self, *words: str, **env: str) -> Process:
        """
        Start a process that knows where everything is.
        """
        self._processes += 1
        return Process(
            self.folder / f"log-{self._processes}",
            (sys.executable, *words),
            {"ESCROWFLOW_URL": self.url, "PROVIDER_DB": str(self.provider), **env},
        )

    @contextmanager
    def busy(self) -> Iterator[None]:
        """
        Keep the provider from answering anybody.
        """
        with closing(sqlite3.connect(self.provider, isolation_level=None)) as file:
            file.execute("BEGIN EXCLUSIVE")
            yield
            file.execute("ROLLBACK")

    def statuses(self, *, money: bool = False) -> list[str]:
        """
        Return how the effects stand.
        """
        return [
            one.status
            for order_id in self.order_ids
            for one in self.engine.effects(order_id)
            if one.effect.moves_money or not money
        ]

    def is_done(self) -> bool:
        """
        Whether every order has ended, and nothing is left to do.
        """
        ended = {self.engine.order(one).state for one in self.order_ids}
        return ended <= {"cancelled", "completed"} and not (
            {*self.statuses()} - {"done", "lapsed"}
        )

    def rows(self) -> list[Any]:
        """
        Return what the provider has moved, and how often it was asked.
        """
        with closing(sqlite3.connect(self.provider, timeout=60)) as file:
            return file.execute(
                "SELECT key, kind, order_id, minor, asked FROM moved ORDER BY key"
            ).fetchall()

    def check(self) -> dict[str, int]:
        """
        Wait until all is done; see that it is what one worker alone would have done, in
        one go; return how often the provider was asked for each key.
        """
        wait_until(self.is_done)
        wanted = self._wanted()
        rows = self.rows()
        assert [tuple(row[:4]) for row in rows] == wanted
        assert self.engine.verify().faults == ()
        assert self.engine.stuck() == ()
        for order_id in self.order_ids:
            ledger = self.engine.order(order_id).ledger
            assert not ledger.held
            assert ledger.refunded + ledger.released + ledger.kept == ledger.paid_in
        return {row[0]: row[4] for row in rows}

    def _wanted(self) -> list[Any]:
        """
        Return what moves if nothing ever goes wrong.
        """
        sent: list[Any] = []

        def send(effect: Any) -> None:
            sent.append(moved(effect))

        with open_storage("memory://") as storage:
            self._fill(storage)
            late = an_engine(storage, clock=FakeClock(SystemClock().now()))
            handlers = {ef.Refund: send, ef.PayOut: send, ef.Notify: lambda _: None}
            worker = Worker(late, handlers)
            while not worker.run_once().idle:
                pass
        return sorted(sent)

    def close(self) -> None:
        """
        Hang up.
        """
        self.engine.close()
