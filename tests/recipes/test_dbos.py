"""
DBOS as the worker, beside the orders in PostgreSQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.pg import wait_until

if TYPE_CHECKING:
    from tests.pg import Server
    from tests.recipes.shops import Process, Shop

pytest.importorskip("dbos", reason="no dbos here: `make recipes` has it")


@pytest.fixture
def system(postgres: Server) -> str:
    """
    A database for what DBOS remembers.
    """
    parts = conninfo_to_dict(postgres.dsn_of(postgres.database()))
    name, user, host = (parts[key] for key in ("dbname", "user", "host"))
    return f"postgresql://{user}@/{name}?host={host}"


def worker(shop: Shop, system: str) -> Process:
    """
    Start a process that ticks.
    """
    return shop.start(
        *("-m", "examples.recipes.dbos_worker"),
        DBOS_SYSTEM_DATABASE_URL=system,
        ESCROWFLOW_LEASE="PT2S",
    )


def test_killed(shop: Shop, system: str) -> None:
    """
    A workflow that ends with its process is recovered by the next one, or the next tick
    does its work: there is nothing in it that could be done twice.
    """
    with shop.busy(), worker(shop, system) as victim:
        wait_until(lambda: "claimed" in shop.statuses(money=True))
        victim.kill()
    with worker(shop, system) as next_one:
        shop.check()
        assert next_one.stop() == 0
