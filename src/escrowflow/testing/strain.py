"""
Many at once, the end of the process, and coming back.
"""

from __future__ import annotations

import os
import random
import select
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from ..errors import StorageError
from ..storage import (
    Capability,
    Change,
    CommitResult,
    Query,
    Storage,
    StoredEffect,
    StoredOrder,
)
from ..storage.memory import MemoryStorage
from .base import Checks
from .given import (
    CONFLICT,
    DONE,
    LAST,
    THREADS,
    at_once,
    books,
    change,
    counted_up,
    digest,
    effect,
    everything,
    ids,
    park,
    parked,
    put,
    receipt,
    result,
    snapshot,
    text,
)

__all__ = ["Strain"]

_DURABLE: Final = Capability.DURABLE
_SHARED: Final = Capability.SHARED

# The orders of each round of the crash test; a batch changes all of them.
_FLEET: Final = ("crash-1", "crash-2", "crash-3")

# So often they are looked at after a kill, at most, until they are whole.
_LOOKS_MAX: Final = 20


def _full(order_id: str = "o-1") -> Change:
    """
    Return a change that writes something of every kind.
    """
    return change(
        order_id,
        appended=2,
        due_at=5,
        late=True,
        unassigned=True,
        effects=(effect(), effect("e-2", status="parked", result=b"why")),
        receipt=receipt(),
        texts=(text(),),
    )


@attrs.define
class _Child:
    """
    Another process, and the pipe it writes to.
    """

    pid: int
    pipe: int
    alive: bool = True

    def read(self, count: int) -> bytes:
        """
        Return what it wrote; nothing less while it lives.
        """
        found = os.read(self.pipe, count)
        assert len(found) == count, "the other process came to an end by itself"
        return found

    def kill(self) -> None:
        """
        End it, wherever it is.
        """
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.alive = False


def _step(order_id: str, version: int) -> Change:
    """
    Return the change of an order that has a version, with something of every kind.
    """
    # Nobody claimed it: its token is the first.
    results = (result(f"e-{version}", 0),) if version else ()
    return change(
        order_id,
        version,
        appended=3,
        at=100 + version,
        snapshot=b"%d " % version * 400,
        state=("pending", "disputed", "completed")[version % 2],
        books=books(held=1000 - version % 1000, kept=version % 1000),
        parties=(("buyer", f"b-{version}"), ("seller", "luc")),
        due_at=version,
        effects=(effect(f"e-{version + 3}", seq=version + 2, body=b"e" * 300),),
        results=results,
        receipt=receipt(f"k-{version}", last=version),
        texts=(text(f"r-{version}", "t" * 300),),
    )


def _whole(version: int) -> Change:
    """
    Return a change every part of which says to which version it leads.
    """
    reached = version + 1
    return change(expected=version, due_at=reached, texts=(text(f"{reached % 9}"),))


def _is_whole(order: StoredOrder) -> bool:
    return order == attrs.evolve(
        order,
        snapshot=snapshot(order.version),
        head=digest(order.version),
        due_at=order.version,
    ) and len(order.texts) == min(order.version, 9)


def _as_bytes(version: int) -> bytes:  # pragma: no cover - in a killed process
    return version.to_bytes(8, "big")


def _write_on(storage: Storage, told: Callable[[int], object]) -> None:
    """
    Change all orders of the fleet, again and again, and tell after each time.
    """
    while True:  # pragma: no cover - in a process that is killed
        version = storage.load(_FLEET[0]).version
        put(storage, *(_step(name, version) for name in _FLEET))
        told(version + 3)


# A write of every kind, in an order that makes sense.
_WRITES: Final[tuple[Callable[[Storage], object], ...]] = (
    lambda storage: put(storage, _full(), _full("o-2")),
    lambda storage: storage.claim_due(9, 50, 1),
    lambda storage: park(storage, "o-2", parked(33)),
    lambda storage: storage.claim_effects(100, 200, 1),
    lambda storage: storage.settle_effect("o-1", result(status="waiting", ready_at=1)),
    lambda storage: storage.claim_effects(200, 300, 1),
    lambda storage: put(storage, change(expected=2, results=(result(token=2),))),
    lambda storage: park(storage, "o-2", None),
    lambda storage: put(storage, change("o-2", 2, 0, receipt=receipt("luc:k", last=0))),
    lambda storage: storage.erase_texts("ana", ["o-2"]),
    lambda storage: put(storage, change("o-2", 2, texts=(text("r-2"),))),
)


@contextmanager
def _child(work: Callable[[int], object]) -> Iterator[_Child]:
    """
    Do some work in another process that is killed at the end of the block.

    Args:
        work: Is given the end of a pipe that it writes to.
    """
    there, here = os.pipe()
    with warnings.catch_warnings():
        # The child takes no lock that a thread of the parent could hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:  # pragma: no cover - what is killed cannot tell what it reached
        try:
            os.close(there)
            work(here)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(here)
    child = _Child(pid, there)
    try:
        yield child
    finally:
        child.kill()
        os.close(there)


class Strain(Checks):
    """
    Races, crashes, reopening and closing.
    """

    # --- opening and closing ------------------------------------------------------

    def test_capabilities(self, storage: Storage) -> None:
        """
        What it can do is said before it is used, and by known words.
        """
        assert storage.capabilities <= set(Capability)
        if Capability.WITHIN in storage.capabilities:
            assert hasattr(storage, "within")
        if Capability.CLOCK in storage.capabilities:
            told: Any = storage
            micros = told.clock()
            assert type(micros) is int
            # Not milliseconds, nor seconds: any year since 2001.
            assert micros > 10**15

    def test_migrate(self, storage: Storage) -> None:
        """
        A schema can be brought up to date at any time, and more than once.
        """
        storage.migrate()
        put(storage, _full())
        before = everything(storage)
        storage.migrate()

        assert everything(storage) == before

    @pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
    def test_closed(self, storage: Storage, used: bool) -> None:
        """
        A storage can be closed twice, and not used after that.
        """
        if used:
            put(storage, change())
        storage.close()
        storage.close()

        asks: list[Callable[[], object]] = [
            lambda: storage.load("o-1"),
            lambda: storage.commit([change()]),
            lambda: storage.events("o-1"),
            lambda: storage.effects("o-1"),
            lambda: storage.summary("o-1"),
            lambda: storage.receipts("o-1"),
            lambda: storage.texts("o-1"),
            lambda: storage.claim_due(1, 2, 1),
            lambda: storage.next_due(0, LAST),
            lambda: storage.park("o-1", 1, None),
            lambda: storage.claim_effects(1, 2, 1),
            lambda: storage.settle_effect("o-1", result()),
            lambda: storage.next_effect(0, LAST),
            lambda: storage.stuck_effects(0, LAST),
            lambda: storage.find(Query()),
            lambda: storage.erase_texts("ana", ["o-1"]),
            lambda: storage.migrate(),
        ]
        for ask in asks:
            with pytest.raises(StorageError):
                ask()

    def test_with(self, storage: Storage) -> None:
        """
        A `with` block closes it.
        """
        with storage as same:
            assert same is storage
            put(storage, change())

        with pytest.raises(StorageError):
            storage.load("o-1")

    def test_two_storages(self, storage: Storage, tmp_path: Path) -> None:
        """
        What is written to one storage is not in another one.
        """
        (tmp_path / "other").mkdir()
        other = self.opened(tmp_path / "other")
        with other:
            put(storage, _full())
            assert other.load("o-1") == StoredOrder(order_id="o-1")
            put(other, change(snapshot=b"other"))

        assert storage.load("o-1").snapshot == snapshot(2)

    def test_reopened(self, storage: Storage) -> None:
        """
        What was written is there after it was opened again: leases, claims, texts
        and what was erased, too.
        """
        self.need(storage, _DURABLE)
        put(storage, _full(), _full("o-2"), change("o-3", due_at=1))
        storage.claim_due(1, 50, 1)
        park(storage, "o-1", parked(33))
        assert storage.claim_effects(100, 200, 1)
        storage.erase_texts("ana", ["o-1"])
        put(storage, change("o-2", 2, texts=(text("r-9"),)))
        before = everything(storage, ("o-1", "o-2", "o-3"))
        storage.close()

        with self.reopened(storage) as again:
            assert everything(again, ("o-1", "o-2", "o-3")) == before
            assert again.claim_effects(199, 300, 1)[0].ready_at == 300
            put(again, change("o-3", 1))

    def test_reopened_while_open(self, storage: Storage) -> None:
        """
        A storage need not be closed well to be opened again.
        """
        self.need(storage, _DURABLE)
        put(storage, _full())
        before = everything(storage)

        with self.reopened(storage) as again:
            assert everything(again) == before

    # --- races --------------------------------------------------------------------

    def test_one_winner(self, storage: Storage) -> None:
        """
        Of several who append to one order at once, exactly one does.
        """
        put(storage, change())
        for version in range(1, 6):
            results: list[tuple[int, CommitResult]] = []

            def race(
                number: int,
                version: int = version,
                results: list[tuple[int, CommitResult]] = results,
            ) -> None:
                mine = change(
                    expected=version,
                    snapshot=b"%d" % number,
                    texts=(text(f"{version} {number}"),),
                )
                (answer,) = storage.commit([mine])
                results.append((number, answer))

            at_once(race)

            (winner,) = [number for number, answer in results if answer is DONE]
            assert [answer for _, answer in results].count(CONFLICT) == THREADS - 1
            stored = storage.load("o-1")
            assert stored.version == version + 1
            assert stored.snapshot == b"%d" % winner
            assert f"{version} {winner}" in stored.texts
            assert len(stored.texts) == version
            assert len(storage.events("o-1")) == version + 1

    def test_one_first(self, storage: Storage) -> None:
        """
        Of several who place one order at once, exactly one does.
        """
        for name in ("o-1", "o-2", "o-3"):
            results: list[CommitResult] = []

            def race(
                number: int, name: str = name, results: list[CommitResult] = results
            ) -> None:
                mine = change(name, parties=(("buyer", f"{number}"),))
                results.extend(storage.commit([mine]))

            at_once(race)

            assert sorted(results, key=str) == [CONFLICT] * (THREADS - 1) + [DONE]
            found = [ids(storage.find(Query(party=f"{n}"))) for n in range(THREADS)]
            assert sum(name in names for names in found) == 1

    def test_one_receipt(self, storage: Storage) -> None:
        """
        Of several who send one command under one key at once, one is written;
        the others try again at each version, and find the receipt.
        """
        put(storage, change())
        done: list[int] = []

        def send(number: int) -> None:
            while True:
                loaded = storage.load("o-1", "ana:k")
                if loaded.receipt is not None:
                    return
                mine = change(
                    expected=loaded.version,
                    receipt=receipt(fingerprint=f"{number}"),
                )
                (answer,) = storage.commit([mine])
                if answer is DONE:
                    done.append(number)
                    return

        at_once(send)

        assert len(done) == 1
        assert storage.load("o-1", "ana:k").receipt == receipt(fingerprint=f"{done[0]}")
        assert len(storage.receipts("o-1")) == 1

    def test_one_result(self, storage: Storage) -> None:
        """
        Of several who say what became of one effect, at most one is believed: of
        those with the newest token.
        """
        put(storage, change(effects=(effect(),)))
        tokens = [
            storage.claim_effects(now, now + 1, 1)[0].token
            for now in range(100, 100 + THREADS)
        ]
        answers: list[tuple[int, CommitResult]] = []

        def settle(number: int) -> None:
            token = tokens[-1] if number % 2 else tokens[number]
            mine = result(token=token, body=b"%d" % number)
            (answer,) = storage.commit([change(expected=1, results=(mine,))])
            answers.append((number, answer))

        at_once(settle)

        (winner,) = [number for number, answer in answers if answer is DONE]
        assert winner % 2
        (stored,) = storage.effects("o-1")
        assert (stored.status, stored.result) == ("done", b"%d" % winner)

    def test_nothing_is_lost(self, storage: Storage) -> None:
        """
        Whatever eight threads write to one order, and to their own, is there.
        """

        def work(number: int) -> None:
            counted_up(storage, 8, "o-1")
            counted_up(storage, 8, f"own-{number}")

        at_once(work)

        names = ["o-1", *(f"own-{number}" for number in range(THREADS))]
        seqs = [[event.seq for event in storage.events(name)] for name in names]
        assert seqs == [[*range(1, 8 * THREADS + 1)]] + [[*range(1, 9)]] * THREADS

    def test_each_due_order_once(self, storage: Storage) -> None:
        """
        Workers that claim at once share the orders.
        """
        put(storage, *(change(f"o-{n}", due_at=n) for n in range(48)))
        due: list[StoredOrder] = []

        def work(_: int) -> None:
            while found := storage.claim_due(100, 200, 5):
                due.extend(found)

        at_once(work)

        assert len(due) == 48
        assert set(ids(due)) == {f"o-{n}" for n in range(48)}

    def test_each_effect_once(self, storage: Storage) -> None:
        """
        Workers that claim at once share the effects; each has a claim of its own.
        """
        put(
            storage,
            *(
                change(f"o-{n}", effects=tuple(effect(f"e-{k}") for k in range(4)))
                for n in range(12)
            ),
        )
        claims: list[StoredEffect] = []

        def work(_: int) -> None:
            while found := storage.claim_effects(100, 200, 5):
                claims.extend(found)

        at_once(work)

        keys = {(claimed.order_id, claimed.key) for claimed in claims}
        assert len(keys) == len(claims) == 48
        assert {claimed.attempts for claimed in claims} == {1}

    def test_readers_see_whole_changes(self, storage: Storage) -> None:
        """
        Whoever loads an order while it is changed sees it before or after.
        """
        put(storage, _whole(0))
        torn: list[StoredOrder] = []
        readers: list[int] = []

        def work(number: int) -> None:
            if number == 0:
                # As long as somebody reads, but not for ever.
                for version in range(1, 400):  # pragma: no branch
                    put(storage, _whole(version))
                    if len(readers) == 2:
                        return
            else:
                for _ in range(25):
                    loaded, (found,) = storage.load("o-1"), storage.find(Query()).items
                    torn.extend(seen for seen in (loaded, found) if not _is_whole(seen))
                readers.append(number)

        at_once(work, 3)

        assert torn == []

    # --- several processes, and the end of one ------------------------------------

    def test_processes_share(self, storage: Storage) -> None:
        """
        What several processes write at once is all there, for each of them.
        """
        self.need(storage, _DURABLE, _SHARED)
        self._need_fork()
        storage.load("o-1")
        storage.close()

        def work(here: int) -> None:  # pragma: no cover - in another process
            with self.reopened(storage) as mine:
                counted_up(mine, 15, "o-1")
            os.write(here, b"!")

        with (
            _child(work) as one,
            _child(work) as other,
            self.reopened(storage) as mine,
        ):
            counted_up(mine, 15, "o-1")
            assert one.read(1) == other.read(1) == b"!"
            assert [event.seq for event in mine.events("o-1")] == [*range(1, 46)]

    def test_killed(self, storage: Storage) -> None:
        """
        Whenever a process is killed, each order is as before a change or as after
        it; what was said to be written is there.
        """
        self.need(storage, _DURABLE)
        self._need_fork()
        storage.load("o-1")
        storage.close()
        seed = random.randrange(2**32)
        choice = random.Random(seed)

        with MemoryStorage() as reference:
            whole = [{name: _seen(reference, name) for name in _FLEET}]
            for _ in range(self.crashes):
                said = self._killed(storage, choice)
                storage = self.reopened(storage)
                for _ in range(_LOOKS_MAX):
                    last = max(storage.load(name).version for name in _FLEET)
                    while (before := reference.load(_FLEET[0]).version) < last:
                        put(reference, *(_step(name, before) for name in _FLEET))
                        whole.append({name: _seen(reference, name) for name in _FLEET})
                    found = {name: _seen(storage, name) for name in _FLEET}
                    # A change is whole, the batch need not be: its orders may differ.
                    halves = [
                        name
                        for name in _FLEET
                        if found[name] not in [orders[name] for orders in whole[-2:]]
                    ]
                    # A server may still carry out what was sent before, while we look.
                    if not halves:
                        break
                assert halves == [], f"half of a change; seed {seed}"
                for name in _FLEET:
                    there = found[name]["load"].version
                    assert there >= said, f"forgotten; seed {seed}"
                # The next round begins with all of them at one version.
                for name in _FLEET:
                    if storage.load(name).version < last:
                        put(storage, _step(name, last - 3))
                storage.close()

    def _killed(self, storage: Storage, choice: random.Random) -> int:
        """
        Let a process write until it is killed; return the last version it told of.
        """

        def work(here: int) -> None:  # pragma: no cover - in another process
            with self.reopened(storage) as mine:
                _write_on(mine, lambda version: os.write(here, _as_bytes(version)))

        with _child(work) as child:
            for _ in range(choice.randrange(1, 9)):
                said = child.read(8)
            # Some moment of the next change, or just after it.
            select.select([child.pipe], [], [], choice.random() * 0.01)
            child.kill()
            # What it told of before it died counts.
            while told := os.read(child.pipe, 8):
                said = told
        return int.from_bytes(said, "big")

    @pytest.mark.parametrize("done", range(len(_WRITES) + 1))
    def test_killed_between_two_writes(self, storage: Storage, done: int) -> None:
        """
        A process that is killed after any write, before the next, has written all of
        it: leases, claims and what was erased, too.
        """
        self.need(storage, _DURABLE)
        self._need_fork()
        storage.load("o-1")
        storage.close()

        def work(here: int) -> None:  # pragma: no cover - in another process
            with self.reopened(storage) as mine:
                for write in _WRITES[:done]:
                    write(mine)
                os.write(here, b"!")
                signal.pause()

        with _child(work) as child:
            assert child.read(1) == b"!"
        with MemoryStorage() as reference, self.reopened(storage) as again:
            for write in _WRITES[:done]:
                write(reference)
            assert everything(again) == everything(reference)
            # And the next ones are as good as if nothing had happened.
            for write in _WRITES[done:]:
                write(reference)
                write(again)
            assert everything(again) == everything(reference)

    def test_dead_process_locks_nobody_out(self, storage: Storage) -> None:
        """
        Who is at work when another process is killed goes on.
        """
        self.need(storage, _DURABLE, _SHARED)
        self._need_fork()
        storage.load("o-1")
        storage.close()

        def work(here: int) -> None:  # pragma: no cover - in another process
            with self.reopened(storage) as mine:
                _write_on(mine, lambda _: os.write(here, b"!"))

        for _ in range(3):
            with _child(work) as child, self.reopened(storage) as mine:
                assert child.read(1) == b"!"
                counted_up(mine, 3, "o-1")
                child.kill()
                counted_up(mine, 3, "o-1")
                put(mine, *(change(f"{name} of {child.pid}") for name in _FLEET))
                storage = mine
        with self.reopened(storage) as mine:
            assert mine.load("o-1").version == 18

    def _need_fork(self) -> None:
        if not self.crashes or not hasattr(os, "fork"):
            pytest.skip("no fork here")


def _seen(storage: Storage, name: str) -> dict[str, Any]:
    return {
        "load": storage.load(name),
        "events": list(storage.events(name)),
        "effects": list(storage.effects(name)),
        "receipts": list(storage.receipts(name)),
        "texts": list(storage.texts(name)),
        "found": name in ids(storage.find(Query(party="luc"))),
    }
