"""
For pytest: a clock, an engine and a test bed as fixtures, the story of an order beside
what failed, and the seeds of your simulations.

pytest finds it by itself once the package is installed.  `escrow_process` and
`escrow_storage` are there to be overridden in a `conftest.py`.
"""

from __future__ import annotations

import inspect
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
    "escrow_seeds",
    "escrow_storage",
    "pytest_addoption",
    "pytest_pycollect_makeitem",
    "pytest_runtest_makereport",
]

# Of so few, with as few steps as a test needs, nobody notices the time.
_SEEDS = "20"


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


def pytest_addoption(parser: pytest.Parser) -> None:
    """
    Take the option `--escrow-seeds`.
    """
    parser.getgroup("escrowflow").addoption(
        "--escrow-seeds",
        default=_SEEDS,
        metavar="N",
        help="how many seeds of a simulation are run, or which: 200, 17-17 "
        f"(default: {_SEEDS})",
    )


@pytest.fixture
def escrow_seeds(request: pytest.FixtureRequest) -> range:
    """
    The seeds of your simulations: `Simulation(...).run(seeds=escrow_seeds)`.
    """
    said = str(request.config.getoption("--escrow-seeds"))
    first, dash, last = said.partition("-")
    try:
        seeds = range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise pytest.UsageError(f"--escrow-seeds={said}: say 200, or 17-17")
    return seeds


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: Any
) -> None:
    """
    Refuse a contract of yours that lacks something: what is abstract pytest leaves out,
    and says nothing, so nobody would notice that no check ran.
    """
    # By its type: a proxy may refuse to say what it stands for.
    if (
        issubclass(type(obj), type)
        and inspect.isabstract(obj)
        and collector.classnamefilter(name)
    ):
        from .base import Counted

        if issubclass(obj, Counted):
            lacking = ", ".join(sorted(obj.__abstractmethods__))
            contract = next(
                one for one in obj.__mro__ if one.__module__.startswith(__package__)
            )
            raise collector.CollectError(
                f"{name} lacks {lacking} of {contract.__name__}: write it, or give "
                "the class a name that pytest does not collect"
            )


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
        # What failed tells it already, if the bed said so; pytest sets an E before.
        lines = str(report.longrepr).splitlines()
        told = {line.removeprefix("E").strip() for line in lines}
        if not told.issuperset(map(str.strip, story.splitlines())):
            report.sections.append(("story of the order", story))
    return report
