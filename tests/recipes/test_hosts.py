"""
Several workers on one PostgreSQL, each a process of its own, one of which is killed.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

import pytest

from tests.pg import wait_until
from tests.recipes.shops import Process, Shop

# A handler takes milliseconds; others wait so long until they take over.
_LEASE: Final = "2"


def worker(shop: Shop, **env: str) -> Process:
    """
    Start a worker from the command line.
    """
    words = ("-m", "escrowflow", "worker", "--db", shop.url, "--poll", "0.1")
    handlers = ("--handlers", "tests.recipes.perils:HANDLERS", "--lease", _LEASE)
    return shop.start(*words, *handlers, **env)


@pytest.mark.parametrize("when", ["before", "after"])
def test_one_is_killed(shop: Shop, when: str) -> None:
    """
    Killed in the middle of a handler, before or after the provider heard of it: the
    others go on, and take over what it had, under the same key.
    """
    hung = shop.folder / "hung"
    with ExitStack() as stack:
        victim = stack.enter_context(worker(shop, HANGS=when, HUNG=str(hung)))
        wait_until(hung.exists)
        others = [stack.enter_context(worker(shop)) for _ in range(2)]
        wait_until(lambda: "done" in shop.statuses(money=True))
        victim.kill()

        asked = shop.check()

        # It had told nobody what came of it.
        assert asked[hung.read_text(encoding="utf-8")] >= (2 if when == "after" else 1)
        assert all(other.runs and "Traceback" not in other.said for other in others)


def test_cron(shop: Shop) -> None:
    """
    Two that cron started at once share the work, and end when there is none.
    """
    words = ("-m", "escrowflow", "worker", "--once", "--db", shop.url)
    handlers = ("--handlers", "examples.recipes.shop:HANDLERS")
    with shop.start(*words, *handlers) as one, shop.start(*words, *handlers) as other:
        with shop.busy():
            wait_until(lambda: "claimed" in shop.statuses(money=True))
        assert set(shop.check().values()) == {1}
        wait_until(lambda: not (one.runs or other.runs))
        assert (one.stop(), other.stop()) == (0, 0)


def test_one_comes_back(shop: Shop) -> None:
    """
    A host that stood still for longer than its lease finds that what it had was taken
    over; whatever it says of it now, it changes nothing.
    """
    hung = shop.folder / "hung"
    with worker(shop, HANGS="after", HUNG=str(hung)) as late:
        wait_until(hung.exists)
        key = hung.read_text(encoding="utf-8")
        with worker(shop) as other:
            asked = shop.check()
            assert other.stop() == 0
        hung.unlink()
        # Its round is over: it has said what came of it.
        wait_until(lambda: "effects: " in late.said)

        assert asked[key] >= 2
        assert shop.check() == asked
        assert late.stop() == 0
