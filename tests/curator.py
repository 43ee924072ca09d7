"""
How a storage that is broken on purpose is put on show, and looked at.
"""

# What is inside of them is looked at from all sides: it has no type.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Self

import attrs
import pytest

from escrowflow.storage import Change, CommitResult, Storage
from escrowflow.storage.memory import MemoryStorage
from escrowflow.storage.sqlite import SqliteStorage
from escrowflow.testing import StorageContract

CONFLICT = CommitResult.CONFLICT


class Flawed:
    """
    A sound storage, as far as nothing below says otherwise.
    """

    inner: Any

    def __init__(self) -> None:
        self.inner = MemoryStorage()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.inner.close()

    def version(self, order_id: str) -> int:
        version: int = self.inner.load(order_id).version
        return version


def moved(change: Change, version: int) -> Change:
    """
    Return a change as if it had been made at another version.
    """
    shift = version - change.expected_version
    return attrs.evolve(
        change,
        expected_version=version,
        version=change.version + shift,
        parties=change.parties if version else (change.parties or ()),
        events=tuple(
            attrs.evolve(event, seq=event.seq + shift) for event in change.events
        ),
        effects=tuple(
            attrs.evolve(effect, seq=effect.seq + shift) for effect in change.effects
        ),
    )


class Exhibit(StorageContract):
    """
    What is on show.

    Attributes:
        storage_type: The flawed storage.

        caught_by: The check that is there to catch it.
    """

    storage_type: type[Flawed]
    caught_by: str

    def open(self, path: Path) -> Storage:
        return self.storage_type()


EXHIBITS: dict[str, type[Exhibit]] = {}


def caught_by(check: str) -> Any:
    """
    Put a flawed storage on show, with the name of the check that catches it.
    """

    def show(kind: type[Flawed]) -> type[Flawed]:
        EXHIBITS[kind.__name__] = type(
            kind.__name__, (Exhibit,), {"storage_type": kind, "caught_by": check}
        )
        return kind

    return show


class Durable(Flawed):
    """
    A flawed storage in a SQLite file.
    """

    def __init__(self, path: str | Path) -> None:
        self.inner = SqliteStorage(path, durability="relaxed", busy_timeout=60)


class DurableExhibit(Exhibit):
    """
    What is on show in a folder.
    """

    storage_type: type[Durable]

    def open(self, path: Path) -> Storage:
        return self.storage_type(path / "orders.db")

    def reopen(self, storage: Any) -> Storage:
        return self.storage_type(storage.inner.path)


def durable_caught_by(check: str) -> Any:
    """
    Put a flawed storage in a file on show.
    """

    def show(kind: type[Durable]) -> type[Durable]:
        EXHIBITS[kind.__name__] = type(
            kind.__name__,
            (DurableExhibit,),
            {"storage_type": kind, "caught_by": check},
        )
        return kind

    return show


def said(sql: str) -> Any:
    """
    Return a statement as a verb that nobody has thought of.
    """
    return (yield sql, ())


# --- how to look at them ----------------------------------------------------------


def complaint(exhibit: StorageContract, check: str, path: Path) -> str | None:
    """
    Return what a check says against a storage; `None` if it is content.
    """
    function = getattr(exhibit, check)
    for number, values in enumerate(cases(function)):
        folder = path / f"{number}"
        folder.mkdir()
        given = dict(values)
        wanted = inspect.signature(function).parameters
        if "tmp_path" in wanted:
            given["tmp_path"] = folder
        storage = exhibit.opened(folder)
        try:
            if "storage" in wanted:
                given["storage"] = storage
            function(**given)
        except (Exception, pytest.fail.Exception) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            storage.close()
    return None


def cases(function: Any) -> Iterator[dict[str, Any]]:
    """
    Yield the arguments of every case of a parametrized test.
    """
    axes = []
    for mark in getattr(function, "pytestmark", ()):
        if mark.name == "parametrize":
            names, values = mark.args
            if isinstance(names, str):
                names = [name.strip() for name in names.split(",")]
            rows = [value if len(names) > 1 else (value,) for value in values]
            axes.append([dict(zip(names, row, strict=True)) for row in rows])
    for parts in product(*axes):
        yield {name: value for part in parts for name, value in part.items()}
