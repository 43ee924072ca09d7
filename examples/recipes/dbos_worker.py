"""
DBOS: a scheduled workflow that does what there is to do.

    python -m examples.recipes.dbos_worker
"""

from __future__ import annotations

import os
import signal
import threading
from datetime import datetime
from typing import Any

from dbos import DBOS

from examples.recipes.shop import work


@DBOS.workflow(name="escrowflow.tick")
def tick(scheduled: datetime, context: Any) -> None:
    """
    Settle what is due, and carry effects out.

    There are no steps: each effect keeps its own account, in the commit of the order.
    """
    work()


def main() -> None:
    """
    Tick until SIGTERM.
    """
    DBOS(
        config={
            "name": "shop",
            "system_database_url": os.environ["DBOS_SYSTEM_DATABASE_URL"],
        }
    )
    DBOS.launch()
    # One at a time on each host, whatever waits.
    DBOS.register_queue("escrowflow", worker_concurrency=1)
    DBOS.apply_schedules(
        [
            {
                "schedule_name": "escrowflow.tick",
                "workflow_fn": tick,
                "schedule": "*/5 * * * * *",
                "queue_name": "escrowflow",
            }
        ]
    )
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stopped.wait()
    DBOS.destroy()


if __name__ == "__main__":
    main()
