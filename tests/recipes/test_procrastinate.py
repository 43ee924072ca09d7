"""
procrastinate as the worker: its jobs lie in the database of the orders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from escrowflow.clock import FakeClock, SystemClock
from tests.given import an_engine, brought_to
from tests.pg import say, wait_until

if TYPE_CHECKING:
    from tests.recipes.shops import Process, Shop

pytest.importorskip("procrastinate", reason="no procrastinate here: `make recipes`")

_APP = ("-m", "procrastinate", "--app", "examples.recipes.procrastinate_worker.app")
_WAITING = "SELECT task_name FROM procrastinate_jobs WHERE status = 'todo'"


@pytest.fixture(autouse=True)
def _schema(shop: Shop) -> None:
    with shop.start(*_APP, "schema", "--apply") as applying:
        wait_until(lambda: not applying.runs)


def worker(shop: Shop, **env: str) -> Process:
    """
    Start a worker of procrastinate's own.
    """
    return shop.start(*_APP, "worker", "--delete-jobs", "successful", **env)


def test_wakes_when_something_is_due(shop: Shop) -> None:
    """
    What is due is done, each thing once, and somebody is told when more will be; that
    waits once, whoever asks for it.
    """
    # Its buyer can have his money back in ten minutes from now.
    clock = FakeClock(SystemClock().now().subtract(hours=48).add(minutes=10))
    with an_engine(shop.storage(), clock=clock) as engine:
        brought_to(engine, "pending", "soon")
    with worker(shop) as one, worker(shop) as other:
        asked = shop.check()
        wait_until(lambda: ("escrowflow.wake",) in say(shop.url, _WAITING))
        # The next tick has asked for the same again.
        wait_until(lambda: (one.said + other.said).count("status: Success") >= 2)

        assert set(asked.values()) == {1}
        ((at,),) = say(
            shop.url,
            "SELECT scheduled_at FROM procrastinate_jobs WHERE status = 'todo'"
            " AND task_name = 'escrowflow.wake'",
        )
        assert at == shop.engine.order("soon").due_at
        assert [one.stop(), other.stop()] == [0, 0]


def test_killed(shop: Shop) -> None:
    """
    A job that ends with its worker keeps nobody from going on; ticks do not pile up.
    """
    with shop.busy(), worker(shop, ESCROWFLOW_LEASE="PT2S") as victim:
        wait_until(lambda: "claimed" in shop.statuses(money=True))
        victim.kill()
    with worker(shop, ESCROWFLOW_LEASE="PT2S") as next_one:
        shop.check()
        assert len(say(shop.url, _WAITING)) <= 1
        assert next_one.stop() == 0
