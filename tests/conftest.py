"""
What all tests may ask for; and how patient Hypothesis is, by four profiles.

`fast` is the default, `ci` is the default where the variable `CI` is set,
`--hypothesis-profile=long` is for the night, and `mutants` for `make mutants`.  No
profile has a deadline: how busy the machine is must not decide whether a test passes.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings

from escrowflow.clock import FakeClock
from tests.given import T0, a_storage, an_engine

if TYPE_CHECKING:
    from escrowflow.engine import Engine
    from escrowflow.storage import Storage
    from tests.hosts import Databases
    from tests.pg import Server, Spare
    from tests.stripes import Localstripe

# Where the files of the tests lie, where it can: nobody waits for a disk here.  What is
# killed is always a process, and never the machine.
_MEMORY: Final = Path("/dev/shm")
_ROOM_MIN: Final = 2 * 2**30

if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM_MIN:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

settings.register_profile(
    "fast",
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
# The same examples in every run: a red build is about the change it belongs to.
settings.register_profile(
    "ci",
    settings.get_profile("fast"),
    derandomize=True,
    print_blob=True,
)
settings.register_profile(
    "long",
    settings.get_profile("fast"),
    max_examples=2_000,
    stateful_step_count=100,
    print_blob=True,
)
# The same tests are run thousands of times, in one process and its children; that one
# fails is enough, and by which example does not matter.
settings.register_profile(
    "mutants",
    settings.get_profile("ci"),
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.differing_executors,
    ],
)
settings.load_profile("ci" if os.environ.get("CI") else "fast")


def pytest_collection_finish() -> None:
    """
    Nothing that was collected goes away before the end: it need not be looked through
    for garbage again and again.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    """
    One database of each kind, shared, with the tables of a shop and of the orders.
    """
    from tests.hosts import Databases

    # Whoever needs only a file starts no server.
    server = partial(request.getfixturevalue, "postgres")
    with closing(Databases(tmp_path_factory.mktemp("shop"), server)) as found:
        yield found


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """
    A new storage of each kind that needs no server.
    """
    with a_storage(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def clock() -> FakeClock:
    """
    A clock that stands at `T0`.
    """
    return FakeClock(T0)


@pytest.fixture
def engine(storage: Storage, clock: FakeClock) -> Engine:
    """
    An engine for the ComeUp process.
    """
    return an_engine(storage, clock=clock)


@pytest.fixture
def order_id() -> str:
    """
    An id that nobody has yet.
    """
    return uuid4().hex


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """
    A PostgreSQL server of the newest version.
    """
    from tests.pg import Server

    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def spare(postgres: Server) -> Iterator[Spare]:
    """
    Empty databases in it, as many as a test wants.
    """
    from tests.pg import Spare

    with closing(Spare(postgres)) as spare:
        yield spare


@pytest.fixture
def dsn(spare: Spare) -> Iterator[str]:
    """
    An empty database.
    """
    yield spare.take()
    spare.give_back()


@pytest.fixture
def fresh(postgres: Server) -> str:
    """
    A database that nobody else will have: for what cannot be undone.
    """
    return postgres.dsn_of(postgres.database())


@pytest.fixture(scope="session")
def localstripe() -> Iterator[Localstripe]:
    """
    A mock of Stripe, in a process of its own.
    """
    from tests.stripes import Localstripe

    with Localstripe() as mock:
        yield mock
