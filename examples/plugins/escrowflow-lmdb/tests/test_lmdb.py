"""
The storage in an LMDB folder keeps the contract, and what its README says.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from escrowflow_lmdb import LmdbStorage

from escrowflow.errors import InvalidInputError, StorageError
from escrowflow.storage import Storage, open_storage
from escrowflow.testing import StorageContract
from escrowflow.testing.given import change, put


class TestLmdb(StorageContract):
    """
    All that every storage promises.
    """

    # LMDB leaves the bytes in pages that are free.
    overwrites = False

    def open(self, path: Path) -> Storage:
        return LmdbStorage(path / "orders", sync=False)

    def reopen(self, storage: Storage) -> Storage:
        assert isinstance(storage, LmdbStorage)
        return LmdbStorage(storage.path, sync=False)


def test_by_url(tmp_path: Path) -> None:
    """
    The scheme of a URL finds it.
    """
    with open_storage(f"lmdb:///{tmp_path}/a%20b") as storage:
        assert isinstance(storage, LmdbStorage)
        assert storage.path == str(tmp_path / "a b")
        storage.migrate()

    assert (tmp_path / "a b" / "data.mdb").exists()


@pytest.mark.parametrize("url", ["lmdb://", "lmdb://host/x", "lmdb:///x?a=b", "x:///y"])
def test_other_urls(url: str) -> None:
    """
    Whatever else a URL says is refused.
    """
    with pytest.raises(InvalidInputError):
        LmdbStorage.from_url(url)


def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    """
    A storage may be built at import.
    """
    with LmdbStorage(tmp_path / "orders"):
        assert not (tmp_path / "orders").exists()


def test_full(tmp_path: Path) -> None:
    """
    What does not fit is refused whole, and what was there stays.
    """
    with LmdbStorage(tmp_path / "orders", size=2**20, sync=False) as storage:
        put(storage, change())
        with pytest.raises(StorageError, match="MDB_MAP_FULL"):
            storage.commit([change("o-2"), change("o-3", snapshot=bytes(2**21))])
        assert storage.load("o-2").version == 0
        put(storage, change(expected=1))
