"""
The shop that all recipes work for: its engine, and what carries effects out.

ESCROWFLOW_URL names the database of the orders, `orders.db` here unless said.  The
provider is a file of its own, PROVIDER_DB, that does nothing twice under one key, as real
ones do.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import Final

import escrowflow as ef
from escrowflow.engine import Handlers
from escrowflow.processes import comeup
from escrowflow.storage import open_storage

__all__ = ["HANDLERS", "URL", "work", "worker"]

URL: Final = os.environ.get("ESCROWFLOW_URL", "sqlite:///orders.db")


def send(effect: ef.Refund | ef.PayOut) -> ef.Done:
    """
    Move money, under the key of the effect.
    """
    path = os.environ.get("PROVIDER_DB", "provider.db")
    with closing(sqlite3.connect(path, timeout=60)) as provider, provider:
        provider.execute(
            "CREATE TABLE IF NOT EXISTS moved (key TEXT PRIMARY KEY, kind TEXT,"
            " order_id TEXT, minor INTEGER, asked INTEGER)"
        )
        provider.execute(
            "INSERT INTO moved VALUES (?, ?, ?, ?, 1)"
            " ON CONFLICT (key) DO UPDATE SET asked = asked + 1",
            (effect.key, effect.name, effect.order_id, effect.amount.minor),
        )
    return ef.Done(reference=f"tr_{effect.key}")


def tell(effect: ef.Notify) -> None:
    """
    Send a mail: effect.recipient_id, effect.subject(), effect.message().
    """


HANDLERS: Final[Handlers] = {ef.Refund: send, ef.PayOut: send, ef.Notify: tell}

# Nothing is opened here: a queue may import this, and fork.
worker: Final = ef.Worker(
    ef.Engine(
        comeup(),
        open_storage(URL),
        retries=ef.Retries(lease=os.environ.get("ESCROWFLOW_LEASE", "PT1M")),
    ),
    HANDLERS,
)


def work() -> None:
    """
    Do what there is to do now.
    """
    while not worker.run_once().idle:
        pass
