"""
A little of the long run (`make soak`), so that it is known to work, and to bite.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from escrowflow.storage import open_storage
from escrowflow.testing import PROFILES
from tests.pg import OTHER, Server
from tests.soak.faults import FAULTS, LIVES, lived, points
from tests.soak.trials import (
    crashes,
    gateways,
    histories,
    kills,
    races,
    sequences,
    simulated,
    storm,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from escrowflow.storage import Change, CommitResult

pytestmark = pytest.mark.proof


class Forgetful:
    """
    A storage without receipts.
    """

    def __init__(self) -> None:
        self._storage = open_storage("memory://")

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._storage, verb)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._storage.close()

    def load(self, order_id: str, key: str | None = None) -> Any:
        """
        Load, and know of no key but that of the placing.
        """
        return self._storage.load(order_id, key if key and key[-1] == "0" else None)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """
        Write, but for the receipts.
        """
        return self._storage.commit(
            tuple(
                attrs.evolve(change, receipt=None)
                if change.expected_version
                else change
                for change in changes
            )
        )


# Each of them goes through other chapters of an order's life.
SOME = [
    "in_progress, 0",
    "disputed, 0",
    "cancellation_requested, 1",
    "pending, silence",
]


class TestFaults:
    """
    Wherever a storage fails, nothing is lost, doubled or half done (I35).
    """

    @pytest.mark.parametrize("life", LIVES)
    def test_in_memory(self, life: str) -> None:
        """
        Every call of every life, in every way.
        """
        runs, different = points(life, lambda: open_storage("memory://"))

        assert different == []
        assert runs >= 4 * len(FAULTS)

    @pytest.mark.parametrize("life", SOME)
    def test_on_sqlite(self, life: str) -> None:
        """
        The same on a real database.
        """
        assert points(life, lambda: open_storage("sqlite://"))[1] == []

    def test_same_everywhere(self, tmp_path: Path) -> None:
        """
        One life, two databases, the same bytes (I16).
        """
        for life in LIVES:
            with open_storage("memory://") as one, open_storage("sqlite://") as other:
                assert lived(life, one) == lived(life, other)

    def test_it_bites(self) -> None:
        """
        An engine that did not look before it repeats would be found out.
        """

        forgetful: Any = Forgetful

        assert points("in_progress, 0", forgetful)[1] != []


class TestTrials:
    """
    Processes that are killed, and a crowd.
    """

    def test_kills(self, tmp_path: Path) -> None:
        """
        What was confirmed is there, whenever the power went.
        """
        figures = kills(f"sqlite:///{tmp_path}/orders.db", 6)

        assert figures.violations == 0
        assert figures.commands > 0

    def test_storm(self, tmp_path: Path) -> None:
        """
        A crowd on few orders loses nothing.
        """
        figures = storm(f"sqlite:///{tmp_path}/orders.db", 5, clients=8, count=3)

        assert figures.violations == 0
        assert figures.commands > 0

    def test_histories(self, tmp_path: Path) -> None:
        """
        Whatever is asked, the answers are those of the reference.
        """
        figures = histories(
            lambda path: f"sqlite:///{path}/orders.db", 5, tmp_path / "here"
        )

        assert figures.violations == 0
        assert figures.answers >= 300

    def test_histories_bite(self, tmp_path: Path) -> None:
        """
        A database that has something in it already answers otherwise.
        """
        figures = histories(
            lambda path: f"sqlite:///{tmp_path}/orders.db", 5, tmp_path / "here"
        )

        assert figures.violations == 1

    @pytest.mark.parametrize("profile", PROFILES)
    def test_gateways(self, profile: str) -> None:
        """
        Money moves once, whatever becomes of calls, answers, webhooks and backups.
        """
        figures = gateways(profile, 25)

        assert figures.violations == 0
        assert figures.commands > 25

    def test_sequences(self) -> None:
        """
        Money that moves in any order adds up.
        """
        figures = sequences(50)

        assert figures.violations == 0
        assert figures.commands > 100

    def test_simulated(self) -> None:
        """
        A storm comes to the same in a file as in memory.
        """
        figures = simulated("sqlite", 2)

        assert figures.violations == 0
        assert figures.answers == 2

    def test_races(self) -> None:
        """
        What two do at once is what one after the other would have done.
        """
        figures = races(lambda: open_storage("memory://"), 1, share=0.15)

        assert figures.violations == 0
        assert figures.rounds > 50


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """
    A PostgreSQL that may be crashed.
    """
    if OTHER:
        pytest.skip("somebody else's server is not crashed")
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    with Server() as server:
        yield server


class TestServer:
    """
    A server of our own, which nobody else is hurt with.
    """

    def test_kills(self, server: Server) -> None:
        """
        What was confirmed is there, whichever client went.
        """
        assert kills(server.url_of(server.database()), 4).violations == 0

    def test_crashes(self, server: Server) -> None:
        """
        What was confirmed is there after a crash of the server.
        """
        figures = crashes(server.url_of(server.database()), 2, server.crash, clients=2)

        assert figures.violations == 0
        assert figures.commands > 0
