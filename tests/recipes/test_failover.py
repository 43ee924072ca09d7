"""
Two PostgreSQL nodes with synchronous replication, the first of which is killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Final, Self

import pytest

import escrowflow as ef
from tests.given import ANA, an_order
from tests.pg import OTHER, Server, wait_until
from tests.recipes.shops import Process, Shop

pytestmark = pytest.mark.skipif(bool(OTHER), reason="a server that is not ours")

_BUYERS: Final = 4
_ENOUGH: Final = 40


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """
    A server, and its copy: what was confirmed is in both.
    """
    with Server() as primary, Server(primary=primary) as standby:
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("ALTER SYSTEM SET synchronous_commit = 'remote_apply'")
        primary.execute("SELECT pg_reload_conf()")
        yield primary, standby


class Crowd:
    """
    Buyers who order until they are told to stop; who is not answered asks again.

    Attributes:
        confirmed: The orders that somebody was told of.
    """

    def __init__(self, engine: ef.Engine) -> None:
        self.confirmed: list[str] = []
        self._engine = engine
        self._over = Event()
        self._buyers = [Thread(target=self._buy, args=(one,)) for one in range(_BUYERS)]

    def _buy(self, buyer: int) -> None:
        for number in count():
            order_id = f"b-{buyer}-{number}"
            while not self._ordered(order_id):
                if self._over.is_set():
                    return
            # A person, not a flood.
            if self._over.wait(0.02):
                return

    def _ordered(self, order_id: str) -> bool:
        try:
            self._engine.place(an_order(), by=ANA, order_id=order_id, key="k")
        except ef.StorageError:
            # Nobody knows, or nobody is there.
            return False
        self.confirmed.append(order_id)
        return True

    def stop(self) -> None:
        """
        Let them finish what they are at.
        """
        self._over.set()
        for buyer in self._buyers:
            buyer.join()

    def __enter__(self) -> Self:
        for buyer in self._buyers:
            buyer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def worker(shop: Shop) -> Process:
    """
    Start a worker from the command line.
    """
    words = ("-m", "escrowflow", "worker", "--db", shop.url, "--poll", "0.1")
    handlers = ("--handlers", "examples.recipes.shop:HANDLERS", "--lease", "2")
    return shop.start(*words, *handlers)


def test_primary_is_killed(pair: tuple[Server, Server], tmp_path: Path) -> None:
    """
    Nothing that was confirmed is lost, and nothing is there twice; buyers and workers go
    on with the other node, under the same URL.
    """
    primary, standby = pair
    hosts = f"host={primary.folder},{standby.folder}"
    url = primary.url_of(primary.database(), "target_session_attrs=read-write")
    url = url.replace(f"host={primary.folder}", hosts)
    with closing(Shop(url, tmp_path)) as shop:
        shop.open(20)
        crowd = Crowd(shop.engine)
        with crowd, worker(shop), worker(shop):
            wait_until(lambda: "done" in shop.statuses(money=True))
            wait_until(lambda: len(crowd.confirmed) >= _ENOUGH)
            primary.kill()
            before = len(crowd.confirmed)
            standby.promote()
            wait_until(lambda: len(crowd.confirmed) >= before + _ENOUGH)
            crowd.stop()
            shop.check()

        assert len({*crowd.confirmed}) == len(crowd.confirmed)
        for order_id in crowd.confirmed:
            placed, *_ = shop.engine.history(order_id)
            assert placed.seq == 1
