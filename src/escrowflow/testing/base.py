"""
What all checks stand on: a storage for each, and a count of them.
"""

from __future__ import annotations

import abc
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final, NoReturn

import attrs
import pytest

from ..errors import StorageError
from ..storage import Capability, Query, Storage

__all__ = ["Checks", "Counted"]


@attrs.define
class _Tally:
    """
    How many checks of a class were begun, and how many there was no reason for.

    Attributes:
        collected: All checks of the class that this process may run.
    """

    collected: list[pytest.Item]
    begun: int = 0
    skipped: int = 0
    answers: int = 0


_TALLIES: Final = pytest.StashKey[dict[type, _Tally]]()

# A storage that the checks of a class are given one after the other.
_KEPT: Final = pytest.StashKey[list[Storage]]()


class Counted(abc.ABC):
    """
    A contract whose checks are counted.
    """

    # How many checks there are at least; fewer, and the run fails.
    checks_min: ClassVar[int]

    # What the contract is about.
    subject: ClassVar[str]

    _needless = False
    answers = 0

    @pytest.fixture(autouse=True)
    def _told(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """
        Say how many checks there were, after the last one of the class.
        """
        tally = self._tally(request)
        tally.begun += 1
        yield
        tally.skipped += self._needless
        tally.answers += self.answers
        if tally.begun == len(tally.collected):  # pragma: no cover - see `_tell`
            self._tell(request.config, tally)

    def _tell(
        self, config: pytest.Config, tally: _Tally
    ) -> None:  # pragma: no cover - a process of pytest-xdist runs but a part
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        capture = config.pluginmanager.get_plugin("capturemanager")
        if terminal is not None and capture is not None:
            with capture.global_and_fixture_disabled():
                terminal.write_line(
                    f"\n{type(self).__name__}: {tally.begun - tally.skipped} checks of "
                    f"the {self.subject} contract ran, {tally.skipped} were not needed"
                    f"{self._besides(tally)}"
                )

    def _besides(self, tally: _Tally) -> str:
        """
        Return what else is to be said.
        """
        return ""

    @classmethod
    def _tally(cls, request: pytest.FixtureRequest) -> _Tally:
        tallies = request.config.stash.setdefault(_TALLIES, {})
        if cls not in tallies:
            # Once a class: a session may have many thousand tests of others.
            items = request.session.items
            tallies[cls] = _Tally(
                [item for item in items if getattr(item, "cls", None) is cls]
            )
        return tallies[cls]

    def _nothing_left_out(
        self, contract: type[Counted], request: pytest.FixtureRequest
    ) -> None:
        """
        Raise unless all checks of a contract are there, as they are written.
        """
        changed = [
            name
            for name in dir(contract)
            if name.startswith("test_")
            and inspect.getattr_static(type(self), name)
            is not inspect.getattr_static(contract, name)
        ]
        assert not changed, f"these checks are not those of the contract: {changed}"
        found = sum(
            hasattr(contract, getattr(item, "originalname", ""))
            for item in self._tally(request).collected
        )
        assert found >= contract.checks_min, (
            f"only {found} of {contract.checks_min} checks were collected"
        )

    def skip(self, why: str) -> NoReturn:
        """
        Skip a check of what is not promised.
        """
        self._needless = True
        pytest.skip(why)


def _close(checks: pytest.Class) -> None:
    """
    Close what was kept; whoever comes back to the class later begins anew.
    """
    kept = checks.stash[_KEPT]
    del checks.stash[_KEPT]
    for storage in kept:
        storage.close()


class Checks(Counted):
    """
    What one check of a storage is given.
    """

    checks_min = 380
    subject = "storage"

    # How many random histories are compared with the reference, and how many
    # answers in each of them, on average at least.
    histories: ClassVar[int] = 60
    answers_min: ClassVar[int] = 60

    # How often a writing process is killed; 0 where there is no fork.
    crashes: ClassVar[int] = 8

    # Whether no byte of an erased text is left in the files of its folder.
    overwrites: ClassVar[bool] = True

    @abc.abstractmethod
    def opened(self, path: Path) -> Storage:
        """
        Return a new storage, whose verbs block.
        """

    @abc.abstractmethod
    def reopened(self, storage: Storage) -> Storage:
        """
        Return a storage of the same data.
        """

    @abc.abstractmethod
    def emptied(self, storage: Storage) -> bool:
        """
        Take everything out of a storage; return whether that was done.
        """

    @pytest.fixture
    def storage(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> Iterator[Storage]:
        """
        A storage that nobody has written to, or of which everything was taken out.
        """
        kept = self._kept(request)
        failed = request.session.testsfailed
        # Who looks into the folder wants the storage that was opened there.
        looks = "tmp_path" in inspect.signature(request.function).parameters
        storage = kept.pop() if kept and not looks else self.opened(tmp_path)
        yield storage
        sound = request.session.testsfailed == failed
        if sound and not kept and self._is_empty(storage):
            kept.append(storage)
        else:
            storage.close()

    def _kept(self, request: pytest.FixtureRequest) -> list[Storage]:
        """
        Return the storages, one at most, that are kept for the next check of the class.
        """
        checks = request.node.getparent(pytest.Class)
        if _KEPT not in checks.stash:
            checks.stash[_KEPT] = []
            checks.addfinalizer(lambda: _close(checks))
        kept: list[Storage] = checks.stash[_KEPT]
        return kept

    def _is_empty(self, storage: Storage) -> bool:
        """
        Whether a storage can be given to the next check, too.
        """
        try:
            return self.emptied(storage) and not storage.find(Query()).items
        except StorageError:
            return False

    def _besides(self, tally: _Tally) -> str:
        return f"; {tally.answers:,} answers in {self.histories:,} random histories"

    def need(self, storage: Storage, *capabilities: Capability) -> None:
        """
        Skip a check of what this storage does not promise.
        """
        lacking = set(capabilities) - storage.capabilities
        if lacking:
            self.skip(f"not {', '.join(sorted(lacking))}")
