"""
Celery as the worker: a real one, whose broker is a folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pg import wait_until

if TYPE_CHECKING:
    from tests.recipes.shops import Process, Shop

pytest.importorskip("celery", reason="no celery here: `make recipes` has it")

from celery import Celery


def worker(shop: Shop, *words: str, **env: str) -> Process:
    """
    Start a worker; two ticks at once.
    """
    queue = shop.folder / "queue"
    queue.mkdir(exist_ok=True)
    return shop.start(
        *("-m", "celery", "--app", "examples.recipes.celery_tick", "worker"),
        *("--concurrency", "2", "--loglevel", "info"),
        *("--without-gossip", "--without-mingle", *words),
        CELERY_CONFIG_MODULE="tests.recipes.folder_broker",
        QUEUE_FOLDER=str(queue),
        **env,
    )


def tick(shop: Shop) -> None:
    """
    Send a tick that beat has not sent.
    """
    folder = str(shop.folder / "queue")
    folders = dict.fromkeys(("data_folder_in", "data_folder_out"), folder)
    options = {**folders, "control_folder": f"{folder}/control"}
    with Celery(broker="filesystem://") as app:
        app.conf.broker_transport_options = options
        app.send_task("escrowflow.tick")


def test_two_ticks_at_once(shop: Shop) -> None:
    """
    Ticks that overlap share the work, and double nothing.
    """
    with worker(shop) as working:
        with shop.busy():
            tick(shop)
            tick(shop)
            wait_until(lambda: working.said.count("received") == 2)
            wait_until(lambda: "claimed" in shop.statuses(money=True))
            # The first one is in the middle of it.
            assert working.said.count("succeeded in") < 2
        asked = shop.check()
        wait_until(lambda: working.said.count("succeeded in") == 2)

        assert set(asked.values()) == {1}


def test_killed(shop: Shop) -> None:
    """
    What a worker had that was killed is done by the next one, which its beat wakes.
    """
    with shop.busy(), worker(shop, ESCROWFLOW_LEASE="PT2S") as victim:
        tick(shop)
        wait_until(lambda: "claimed" in shop.statuses(money=True))
        victim.kill()
    beat = ("--beat", "--schedule", str(shop.folder / "beat"))
    with worker(shop, *beat, ESCROWFLOW_LEASE="PT2S") as next_one:
        shop.check()
        assert next_one.stop() == 0
