"""
The contract of a storage catches what it is there to catch.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from escrowflow.errors import StorageError
from escrowflow.storage import AsyncStorage, Change, CommitResult, Storage, threaded
from escrowflow.storage.memory import MemoryStorage
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.testing import AsyncStorageContract, StorageContract
from escrowflow.testing.awaited import Awaited
from tests.curator import Durable, Flawed, complaint
from tests.museum import EXHIBITS

pytestmark = pytest.mark.proof

# What random histories have no words for: odd values, threads, the end of a process,
# bytes of files; and one that needs more of them.
BEYOND_HISTORIES: Final = {
    *("EventsInAnyOrder", "GapsAccepted", "BooksNotChecked"),
    *("IdsNormalised", "TextsEndAtNul", "MicrosecondsLost", "InstantsAreFloats"),
    *("LargeOnesCut", "ChecksThenWrites", "LeasesTooLate", "TornReads"),
    *("LockedByOthers", "NeverClosed", "InTwoTransactions", "BytesStay"),
    "PartsStay",
    *("AnyCommitEndsTheLease", "SettlesLater"),
}

PROJECT: Final = Path(__file__).parent.parent


@pytest.mark.parametrize("name", EXHIBITS)
def test_exhibit_is_caught(name: str, tmp_path: Path) -> None:
    """
    Each broken storage fails the check that is there for it.
    """
    exhibit = EXHIBITS[name]

    assert complaint(exhibit(), exhibit.caught_by, tmp_path) is not None


@pytest.mark.parametrize("name", sorted(EXHIBITS.keys() - BEYOND_HISTORIES))
def test_histories_catch_most(name: str, tmp_path: Path) -> None:
    """
    Random histories catch whatever they have words for, and show a short one.
    """
    said = complaint(EXHIBITS[name](), "test_random_histories", tmp_path)

    assert said is not None
    lines = said.splitlines()
    assert len(lines) < 20
    # What is the same is not shown.
    yours = [line for line in lines if line.startswith("  yours: ")]
    theirs = [line for line in lines if line.startswith("  reference: ")]
    assert len(yours) == len(theirs) <= 3
    assert yours or "the pages have no end" in said
    assert all(
        mine.split(maxsplit=1)[1] != other.split(maxsplit=1)[1]
        for mine, other in zip(yours, theirs, strict=True)
    )
    assert max(map(len, yours + theirs), default=0) < 300


def test_enough_is_on_show() -> None:
    """
    The museum does not lose its exhibits.
    """
    assert len(EXHIBITS) >= 60


@pytest.mark.parametrize("check", sorted({e.caught_by for e in EXHIBITS.values()}))
def test_sound_one_is_not(check: str, tmp_path: Path) -> None:
    """
    No check complains of a storage that has no flaw.
    """
    assert complaint(Sound(), check, tmp_path) is None


@pytest.mark.parametrize(
    "check", ["test_any_text_comes_back", "test_all_of_them_at_once"]
)
def test_nul_may_be_refused(check: str, tmp_path: Path) -> None:
    """
    There are databases with no place for it: a storage may say no.
    """
    assert complaint(WithoutNul(), check, tmp_path) is None


def test_batch_need_not_be_whole(tmp_path: Path) -> None:
    """
    A process that is killed may leave a batch half written, but no change.
    """
    assert complaint(InTurn(), "test_killed", tmp_path) is None


def test_no_way_back(tmp_path: Path) -> None:
    """
    What says that it is durable has to say how it is opened again.
    """
    with MemoryStorage() as storage:
        for contract, opened in (
            (Forgotten(), storage),
            (ForgottenAwaited(), Awaited(threaded(storage))),
        ):
            with pytest.raises(AssertionError, match="say how"):
                contract.reopened(opened)


def test_no_fork_here(tmp_path: Path) -> None:
    """
    Whoever cannot fork, or does not want to, says so.
    """
    sound = Sound()
    sound.crashes = 0  # type: ignore[misc]

    with sound.open(tmp_path) as storage, pytest.raises(pytest.skip.Exception):
        sound.test_killed(storage)


def test_some_are_asked_for(tmp_path: Path) -> None:
    """
    Whoever runs but a part is told how many checks there are, and how many ran.
    """
    done = run(tmp_path, "pass", "left_out or unknown_order or dead_process")

    assert done.returncode == 1
    complaint = f"only 4 of {StorageContract.checks_min} checks were collected"
    assert complaint in done.stdout
    assert "TestMine: 3 checks of the storage contract ran, 1 were not" in done.stdout


@pytest.mark.parametrize(
    "body", ["test_unknown_order = None", "def test_unknown_order(self): pass"]
)
def test_nothing_is_left_out(tmp_path: Path, body: str) -> None:
    """
    A contract of which something is left out fails, and says what.
    """
    done = run(tmp_path, body, "left_out")

    assert done.returncode == 1
    assert "not those of the contract: ['test_unknown_order']" in done.stdout


@pytest.mark.parametrize(
    ("emptied", "opened"), [("storage.__init__()", "opened 1,"), ("pass", "opened 3,")]
)
def test_kept_for_the_next_check(tmp_path: Path, emptied: str, opened: str) -> None:
    """
    A storage that was emptied is given to the next check; one of which that is only
    said is not.
    """
    body = f"""
    made = []

    def open(self, path):
        self.made.append(MemoryStorage())
        return self.made[-1]

    def empty(self, storage):
        {emptied}
        return True

    @classmethod
    def teardown_class(cls):
        print(f"opened {{len(cls.made)}},")
    """

    done = run(tmp_path, body, "one_settlement or second_receipt", "-s")

    assert done.returncode == 0, done.stdout
    assert opened in done.stdout


def test_not_kept_when_its_class_is_left(tmp_path: Path) -> None:
    """
    Whoever runs the checks of a class in two parts, with others in between, is given
    no storage that was closed meanwhile.
    """
    body = """
    def empty(self, storage):
        storage.__init__()
        return True

class TestOther(TestMine):
    pass
    """
    names = ("TestMine::test_one_settlement", "TestOther::test_one_settlement")
    other = "TestMine::test_summary"
    items = [f"{tmp_path / 'test_mine.py'}::{name}" for name in (*names, other)]

    done = run(tmp_path, body, "test_", "-p", "no:randomly", items=items)

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_small_checks_come_first(tmp_path: Path) -> None:
    """
    Whoever stops at the first complaint is shown a small one, not a long history.
    """
    done = run(tmp_path, "pass", "test_", "--collect-only", "-p", "no:randomly")

    names = [line.rpartition("::")[2] for line in done.stdout.splitlines()]
    assert "test_unknown_order" in names
    assert [name for name in names if name.startswith("test_")][-1] == (
        "test_random_histories"
    )


class Sound(StorageContract):
    """
    What is not on show.
    """

    def open(self, path: Path) -> Storage:
        return SqliteStorage(path / "orders.db", durability="relaxed", busy_timeout=60)

    def reopen(self, storage: Any) -> Storage:
        return SqliteStorage(storage.path, durability="relaxed", busy_timeout=60)


class WithoutNul(StorageContract):
    """
    A storage that cannot keep every text.
    """

    def open(self, path: Path) -> Storage:
        return NoNul()


class NoNul(Flawed):
    """
    What has a NUL in its id is refused.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if any("\0" in change.order_id for change in changes):
            raise StorageError("no place for a NUL")
        results: Sequence[CommitResult] = self.inner.commit(changes)
        return results


class InTurn(StorageContract):
    """
    A storage that writes the changes of a batch one by one.
    """

    def open(self, path: Path) -> Storage:
        return OneByOne(path / "orders.db")

    def reopen(self, storage: Any) -> Storage:
        return OneByOne(storage.inner.path)


class OneByOne(Durable):
    """
    Each change has a transaction of its own, on a slow disk.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results: list[CommitResult] = []
        for change in changes:
            results += self.inner.commit([change])
            time.sleep(0.01)
        return results


class Forgotten(StorageContract):
    """
    Nobody has said how it is opened again.
    """

    def open(self, path: Path) -> Storage:
        return MemoryStorage()


class ForgottenAwaited(AsyncStorageContract):
    """
    Nor here.
    """

    def open(self, path: Path) -> AsyncStorage:
        return threaded(MemoryStorage())


def run(
    folder: Path,
    body: str,
    wanted: str,
    *options: str,
    items: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """
    Run pytest as somebody else would, in a folder of his own.
    """
    source = f"""\
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing import StorageContract

class TestMine(StorageContract):
    def open(self, path):
        return MemoryStorage()

    {body}
"""
    (folder / "test_mine.py").write_text(source)
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(
                f"--rootdir={folder}",
                "-W",
                "error",
                "-k",
                wanted,
                *(items or (str(folder),)),
                *options,
            ),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(PROJECT / "src")},
    )
