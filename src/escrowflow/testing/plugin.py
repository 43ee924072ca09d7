"""
For pytest: a clock, an engine and a test bed as fixtures, and the story of an order
beside what failed.

pytest finds it by itself once the package is installed.  `escrow_process` and
`escrow_storage` are there to be overridden in a `conftest.py`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..clock import FakeClock
    from ..engine import Engine
    from ..states import Process
    from ..storage import Storage
    from .bed import Bed

__all__ = [
    "escrow_bed",
    "escrow_clock",
    "escrow_engine",
    "escrow_process",
    "escrow_storage",
    "pytest_runtest_makereport",
]


@pytest.fixture
def escrow_clock() -> FakeClock:
    """
    A clock that stands still until it is turned.
    """
    from ..clock import FakeClock
    from .bed import START

    return FakeClock(START)


@pytest.fixture
def escrow_process() -> Process[Any]:
    """
    The process of the other fixtures: `comeup()`, unless it is overridden.
    """
    from ..processes import comeup

    return comeup()


@pytest.fixture
def escrow_storage() -> Storage:
    """
    The storage of the other fixtures: memory, unless it is overridden.
    """
    from ..storage.memory import MemoryStorage

    return MemoryStorage()


@pytest.fixture
def escrow_engine(
    escrow_process: Process[Any], escrow_storage: Storage, escrow_clock: FakeClock
) -> Engine:
    """
    An engine on `escrow_process`, `escrow_storage` and `escrow_clock`.
    """
    from ..engine import Engine

    return Engine(escrow_process, escrow_storage, clock=escrow_clock)


@pytest.fixture
def escrow_bed(escrow_engine: Engine) -> Iterator[Bed]:
    """
    A test bed on `escrow_engine`.  A refusal that nobody expected fails the test.
    """
    from .bed import Bed

    bed = Bed(engine=escrow_engine)
    yield bed
    bed.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Put the story of the order beside what failed.
    """
    report = yield
    bed = getattr(item, "funcargs", {}).get("escrow_bed")
    if report.failed and bed is not None:
        story = bed.story()
        if story and story.strip() not in str(report.longrepr):
            report.sections.append(("story of the order", story))
    return report
