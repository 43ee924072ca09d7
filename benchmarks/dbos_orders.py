"""
DBOS, which many would take to make an order survive: six steps of a durable workflow.

It keeps its own checkpoints and nothing else: no row of an order, no history and no
outbox; that is in its favour.  It has threads that look into its database all the time,
so it lives in a process of its own, and is asked over a pipe.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Self

from .life import TABLE
from .rounds import timed

__all__ = ["DBOS", "Peer", "there"]

DBOS: Final = "DBOS, steps of a workflow"

_READY: Final = "ready\n"

_NEXT: Final = {(source, event): to for event, source, to in TABLE}


def there() -> bool:
    """
    Whether it is installed.
    """
    return find_spec("dbos") is not None


class Peer:
    """
    DBOS on a database, in a process of its own.

    Args:
        url: Where it keeps what it keeps.

    Attributes:
        ready: Whether it has begun; on a SQLite older than 3.42 some of its versions do
            not.  What it said stands on the screen, and its lines say "not measured".
    """

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._process.stdout is not None
        self.ready = self._process.stdout.readline() == _READY

    def live(self, *, orders: int, at_once: int = 1) -> float:
        """
        Return the steps a second of so many orders, so many of them at once.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{orders} {at_once}\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("DBOS has ended; what it said stands above")
        return float(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # It ends with what it reads.
        self._process.communicate()


def _serve(url: str) -> None:
    dbos: Any = import_module("dbos").DBOS

    def step(state: str, event: str) -> str:
        return _NEXT[state, event]

    kept = dbos.step()(step)

    def order(number: int) -> str:
        state = "pending"
        for event, _source, _to in TABLE:
            state = kept(state, event)
        return state

    lived = dbos.workflow()(order)
    dbos(
        config={
            "name": "benchmarks",
            "system_database_url": url,
            "log_level": "ERROR",
        }
    )
    dbos.launch()
    print(_READY, end="", flush=True)

    def live(orders: int, at_once: int) -> None:
        if at_once == 1:
            for number in range(orders):
                assert lived(number) == "completed"
            return
        begun: list[Any] = []
        for number in range(orders):
            if len(begun) == at_once:
                assert begun.pop(0).get_result() == "completed"
            begun.append(dbos.start_workflow(lived, number))
        for handle in begun:
            assert handle.get_result() == "completed"

    try:
        for line in sys.stdin:
            orders, at_once = map(int, line.split())
            rate = timed(orders * len(TABLE), lambda: live(orders, at_once))  # noqa: B023
            print(rate, flush=True)
    finally:
        dbos.destroy()


if __name__ == "__main__":
    _serve(sys.argv[1])
