"""
What every storage promises, and what the one in a SQLite file promises beyond.
"""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

import attrs
import pytest

from escrowflow.errors import InvalidInputError, OutcomeUnknownError, StorageError
from escrowflow.storage import (
    Capability,
    Change,
    Claim,
    CommitResult,
    Due,
    EffectResult,
    Found,
    Loaded,
    NewEffect,
    NewEvent,
    NewText,
    Page,
    Receipt,
    Storage,
    StoredEffect,
    StoredEvent,
    open_storage,
)
from escrowflow.storage.memory import MemoryStorage
from escrowflow.storage.sqlite import SqliteStorage

DONE = CommitResult.DONE
CONFLICT = CommitResult.CONFLICT

# The last microsecond of the year 9999.
LAST = 253_402_300_799_999_999

THREADS = 8

HOSTILE = [
    "",
    " ",
    "o'neil",
    "'; DROP TABLE escrowflow_order; --",
    "nul\0inside",
    "caf\u00e9",
    "cafe\u0301",
    "\U0001f600",
    "\u202eright to left",
    "100%_?",
    ":order_id",
    "{kinds}",
    "a\nb\tc\x1f",
    "x" * 10_000,
]


def make(
    order_id: str = "o-1",
    expected: int = 0,
    appended: int = 1,
    *,
    at: int = 100,
    **fields: Any,
) -> Change:
    """
    Return a change that appends some events.
    """
    version = expected + appended
    given: dict[str, Any] = {
        "order_id": order_id,
        "expected_version": expected,
        "version": version,
        "process": "comeup:1",
        "state": "pending",
        "snapshot": f"{order_id}@{version}".encode(),
        "parties": (("buyer", "ana"), ("seller", "luc")),
        "events": tuple(
            NewEvent(
                seq=seq,
                name="OrderPlaced",
                effective_at=at,
                recorded_at=at + 1,
                body=b"event %d" % seq,
            )
            for seq in range(expected + 1, version + 1)
        ),
    }
    return Change(**(given | fields))


def effect(key: str = "e-1", **fields: Any) -> NewEffect:
    given: dict[str, Any] = {
        "key": key,
        "kind": "notify",
        "seq": 1,
        "moves_money": False,
        "ready_at": 100,
        "body": key.encode(),
    }
    return NewEffect(**(given | fields))


def result(key: str = "e-1", token: int = 1, **fields: Any) -> EffectResult:
    given: dict[str, Any] = {
        "key": key,
        "token": token,
        "status": "done",
        "ready_at": 0,
    }
    return EffectResult(**(given | fields))


def text(ref: str = "r-1", words: str = "hello", **fields: Any) -> NewText:
    given: dict[str, Any] = {"subject_id": "ana", "salt": b"salt"}
    return NewText(ref=ref, text=words, **(given | fields))


def receipt(key: str = "ana:k", **fields: Any) -> Receipt:
    given: dict[str, Any] = {"fingerprint": "f", "first": 1, "last": 1}
    return Receipt(key=key, **(given | fields))


def put(storage: Storage, *changes: Change) -> None:
    """
    Write changes that must not conflict.
    """
    assert set(storage.commit(changes)) == {DONE}


def ids(found: Page | Sequence[Due]) -> list[str]:
    items: Sequence[Found | Due] = found.items if isinstance(found, Page) else found
    return [item.order_id for item in items]


def everything(storage: Storage, order_id: str = "o-1") -> tuple[Any, ...]:
    """
    Return all that can be seen of an order.
    """
    return (
        storage.load(order_id, "ana:k"),
        storage.events(order_id),
        storage.effects(order_id),
        storage.next_due(),
        storage.find(party="ana"),
        storage.find(party="eve"),
    )


def at_once(work: Callable[[int], None], count: int = THREADS) -> None:
    """
    Do some work in several threads that start together, and raise what they raise.
    """
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def count_up(storage: Storage, times: int, order_id: str = "o-1") -> None:
    """
    Append events one by one, against everybody else who does.
    """
    while times:
        loaded = storage.load(order_id)
        (answer,) = storage.commit([make(order_id, loaded.version)])
        times -= answer is DONE


def count_up_in_process(path: str, times: int) -> None:
    with SqliteStorage(path, durability="relaxed", busy_timeout=60) as storage:
        count_up(storage, times)


@pytest.fixture(params=["memory", "sqlite", "sqlite-memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    with (
        MemoryStorage()
        if request.param == "memory"
        else SqliteStorage(
            tmp_path / "orders.db" if request.param == "sqlite" else ":memory:",
            durability="relaxed",
            busy_timeout=60,
        )
    ) as opened:
        yield opened


class TestLoad:
    """
    One trip brings the order, the receipt and the texts.
    """

    def test_unknown_order(self, storage: Storage) -> None:
        """
        An order that was never written has version 0, and nothing else.
        """
        assert storage.load("o-1", "ana:k") == Loaded()
        assert storage.events("o-1") == ()
        assert storage.effects("o-1") == ()

    def test_what_was_written(self, storage: Storage) -> None:
        """
        Version and snapshot come back as they were written last.
        """
        put(storage, make(appended=2))
        put(storage, make(expected=2, snapshot=b"\0\xff"))

        assert storage.load("o-1") == Loaded(version=3, snapshot=b"\0\xff")

    def test_receipt_of_the_key(self, storage: Storage) -> None:
        """
        Only the receipt of the key that was asked for comes along.
        """
        put(storage, make(receipt=receipt(first=1, last=0)))
        put(storage, make("o-2", receipt=receipt(fingerprint="other")))

        assert storage.load("o-1", "ana:k").receipt == receipt(first=1, last=0)
        assert storage.load("o-2", "ana:k").receipt == receipt(fingerprint="other")
        assert storage.load("o-1", "ana:other").receipt is None
        assert storage.load("o-1").receipt is None

    def test_texts_of_the_order(self, storage: Storage) -> None:
        """
        The texts of the order come along, and those of no other.
        """
        put(storage, make(texts=(text("r-1", "one"), text("r-2", ""))))
        put(storage, make("o-2", texts=(text("r-3"),)))

        assert storage.load("o-1").texts == {"r-1": "one", "r-2": ""}

    def test_answer_is_the_callers_own(self, storage: Storage) -> None:
        """
        Whatever a caller does to an answer, what is stored stays as it is.
        """
        put(storage, make(texts=(text(),)))
        for texts in (storage.load("o-1").texts, storage.texts(["r-1"])):
            assert isinstance(texts, dict)
            texts.clear()

        assert storage.load("o-1").texts == {"r-1": "hello"}
        assert storage.texts(["r-1"]) == {"r-1": "hello"}

    def test_key_that_is_no_text(self, storage: Storage) -> None:
        """
        What cannot be stored is not stored: half a character finds nothing.
        """
        put(storage, make())

        assert storage.load("\ud800") == Loaded()
        assert storage.events("\ud800") == ()
        assert storage.texts(["\ud800"]) == {}
        assert storage.find(party="\ud800") == Page(items=())


class TestCommit:
    """
    A change is written whole, if the order is where it is expected.
    """

    def test_nothing_to_do(self, storage: Storage) -> None:
        """
        No changes, no results.
        """
        assert storage.commit([]) == ()

    def test_order_that_exists(self, storage: Storage) -> None:
        """
        A new order with the id of another one conflicts, whoever asks twice.
        """
        put(storage, make())
        before = everything(storage)

        assert storage.commit([make(snapshot=b"other")]) == (CONFLICT,)
        assert everything(storage) == before

    @pytest.mark.parametrize("expected", [1, 3])
    def test_other_version(self, storage: Storage, expected: int) -> None:
        """
        A change for a version that the order has not writes nothing at all.
        """
        put(storage, make(appended=2))
        before = everything(storage)
        change = make(
            expected=expected,
            parties=(("buyer", "eve"),),
            due_at=5,
            effects=(effect(),),
            receipt=receipt(),
            texts=(text(),),
        )

        assert storage.commit([change]) == (CONFLICT,)
        assert everything(storage) == before
        assert storage.texts(["r-1"]) == {}

    def test_unknown_order_cannot_go_on(self, storage: Storage) -> None:
        """
        A change of an order that was never placed conflicts.
        """
        assert storage.commit([make(expected=1)]) == (CONFLICT,)
        assert storage.load("o-1") == Loaded()

    def test_conflict_comes_before_any_other_complaint(self, storage: Storage) -> None:
        """
        Who repeats what was written hears of a conflict, not of a taken key.
        """
        change = make(effects=(effect(),), receipt=receipt(), texts=(text(),))
        put(storage, change)

        assert storage.commit([change]) == (CONFLICT,)

    def test_same_version_appends_nothing(self, storage: Storage) -> None:
        """
        A change may leave the version as it is, but must know it.
        """
        put(storage, make())
        still = make(expected=1, appended=0, snapshot=b"new", receipt=receipt(last=0))

        assert storage.commit([attrs.evolve(still, receipt=None)]) == (DONE,)
        put(storage, make(expected=1))
        assert storage.commit([still]) == (CONFLICT,)
        assert storage.load("o-1", "ana:k") == Loaded(version=2, snapshot=b"o-1@2")

    def test_second_receipt_of_a_key(self, storage: Storage) -> None:
        """
        One key stands for one command of an order: the second one conflicts.
        """
        put(storage, make(receipt=receipt()))
        before = everything(storage)

        assert storage.commit([make(expected=1, receipt=receipt())]) == (CONFLICT,)
        assert everything(storage) == before

    def test_batch_is_not_all_or_nothing(self, storage: Storage) -> None:
        """
        In a batch each change has its own result, in order; a conflict takes
        nothing along and leaves nothing behind.
        """
        put(storage, make("o-2", receipt=receipt()), make("o-4"))

        results = storage.commit(
            [
                make("o-1"),
                make("o-2", 1, receipt=receipt(), texts=(text("r-2"),)),
                make("o-3"),
                make("o-4", 3),
            ]
        )

        assert results == (DONE, CONFLICT, DONE, CONFLICT)
        versions = [storage.load(f"o-{n}").version for n in range(1, 5)]
        assert versions == [1, 1, 1, 1]
        assert storage.texts(["r-2"]) == {}

    def test_batch_has_an_end(self, storage: Storage) -> None:
        """
        Fifty changes are a batch, one more is refused.
        """
        changes = [make(f"o-{n}") for n in range(51)]

        with pytest.raises(InvalidInputError, match="at most 50"):
            storage.commit(changes)
        assert storage.find() == Page(items=())
        put(storage, *changes[:50])

    def test_batch_names_an_order_once(self, storage: Storage) -> None:
        """
        Two changes of one order are no batch.
        """
        with pytest.raises(InvalidInputError, match="another order"):
            storage.commit([make(), make(expected=1)])

    @pytest.mark.parametrize(
        "change",
        [
            make(appended=0),
            make(version=2),
            make(appended=2, version=1),
            make(expected=2, appended=0, version=1),
            attrs.evolve(make(), events=()),
            attrs.evolve(make(appended=2), events=make(expected=1).events),
            attrs.evolve(make(appended=2), events=make(appended=2).events[::-1]),
            attrs.evolve(make(), expected_version=-1),
        ],
        ids=lambda change: f"{change.expected_version}-{change.version}",
    )
    def test_events_lead_from_version_to_version(
        self, storage: Storage, change: Change
    ) -> None:
        """
        A change whose events do not count from one version to the other is wrong.
        """
        with pytest.raises(InvalidInputError, match="do not lead"):
            storage.commit([change])
        assert storage.load("o-1") == Loaded()

    @pytest.mark.parametrize("count", [1, 2])
    @pytest.mark.parametrize(
        "fields",
        [
            {"effects": (effect(seq=2),)},
            {"effects": (effect(seq=0),)},
            {"effects": (effect(), effect())},
            {"effects": (effect("taken"),)},
            {"effects": (effect(ready_at=1.5),)},
            {"due_at": 1.5},
            {"due_at": 2**63},
            {"due_at": "soon"},
            {"parked_until": 0.1},
            {"snapshot": "text"},
            {"process": "\ud800"},
            {"state": b"bytes"},
            {"parties": (("buyer", "\udfff"),)},
            {"texts": (text(words="\ud800"),)},
            {"texts": (text(salt="salt"),)},
            {"receipt": receipt(fingerprint=None)},
            {"receipt": receipt(last=1.5)},
            {"events": (attrs.evolve(make().events[0], effective_at=-1),)},
            {
                "events": (
                    NewEvent(**(attrs.asdict(make().events[0]) | {"body": None})),
                )
            },
        ],
        ids=str,
    )
    def test_what_must_not_become_history(
        self, storage: Storage, fields: dict[str, Any], count: int
    ) -> None:
        """
        What contradicts itself, or is of another type, is refused; nothing of the
        call is written.
        """
        put(storage, make("o-0", effects=(effect("taken"),)))

        with pytest.raises(StorageError):
            storage.commit([make(f"o-{n}", **fields) for n in range(1, 1 + count)])
        assert ids(storage.find()) == ["o-0"]
        assert storage.texts(["r-1"]) == {}
        put(storage, make())

    def test_refusal_takes_the_batch_along(self, storage: Storage) -> None:
        """
        After an error nothing was written, not even what came before it.
        """
        with pytest.raises(StorageError):
            storage.commit([make("o-1"), make("o-2", due_at=1.5)])
        assert storage.find() == Page(items=())

    def test_key_of_an_effect_in_one_batch(self, storage: Storage) -> None:
        """
        Two orders cannot ask for effects with one key, in one batch either.
        """
        with pytest.raises(StorageError):
            storage.commit([make(n, effects=(effect(),)) for n in ("o-1", "o-2")])

    def test_time_does_not_run_back(self, storage: Storage) -> None:
        """
        An event is never before the event before it.
        """
        put(storage, make(at=100))

        with pytest.raises(StorageError):
            storage.commit([make(expected=1, at=99)])
        put(storage, make(expected=1, at=100))

    @pytest.mark.parametrize("words", HOSTILE, ids=range(len(HOSTILE)))
    def test_any_text_comes_back(self, storage: Storage, words: str) -> None:
        """
        Every text there is can be an id, a name or a body, and is only itself.
        """
        change = make(
            words,
            process=words,
            state=words,
            snapshot=words.encode(),
            parties=((words, words),),
            due_at=1,
            unassigned=True,
            effects=(effect(words, kind=words),),
            receipt=receipt(words, fingerprint=words),
            texts=(text(words, words, subject_id=words),),
        )
        put(storage, make("other"), change)

        loaded = storage.load(words, words)
        assert loaded == Loaded(
            version=1,
            snapshot=words.encode(),
            receipt=change.receipt,
            texts={words: words},
        )
        assert ids(storage.find(party=words, role=words, states=[words])) == [words]
        first = storage.find(unassigned=True, by_due=True, limit=1)
        assert ids(first) == [words]
        (claim,) = storage.claim_effects(100, 200, 1, kinds=[words])
        assert claim.effect == storage.effects(words)[0]
        assert claim.effect.key == claim.effect.kind == words
        assert ids(storage.claim_due(1, 2, 1)) == [words]
        assert storage.erase_texts([words]) == 1

    @pytest.mark.parametrize("instant", [0, 1, LAST])
    def test_any_instant_comes_back(self, storage: Storage, instant: int) -> None:
        """
        From 1970 to the end of the year 9999, no microsecond is lost.
        """
        put(
            storage,
            make(
                at=instant,
                due_at=instant,
                effects=(effect(ready_at=instant),),
            ),
        )

        (event,) = storage.events("o-1")
        assert (event.effective_at, event.recorded_at) == (instant, instant + 1)
        assert storage.effects("o-1")[0].ready_at == instant
        assert storage.next_due() == instant
        assert ids(storage.claim_due(instant, instant + 1, 1)) == ["o-1"]
        assert storage.next_due() == instant + 1


class TestJournal:
    """
    Events are kept for ever, in order.
    """

    def test_oldest_first(self, storage: Storage) -> None:
        """
        Events come back as they were written, oldest first.
        """
        put(storage, make(appended=2))
        put(storage, make("o-2"))
        put(storage, make(expected=2, at=200))

        events = storage.events("o-1")

        assert [event.seq for event in events] == [1, 2, 3]
        assert events[2] == StoredEvent(
            seq=3,
            name="OrderPlaced",
            effective_at=200,
            recorded_at=201,
            body=b"event 3",
        )

    def test_part_of_it(self, storage: Storage) -> None:
        """
        A journal can be read in parts: so many, after that number.
        """
        put(storage, make(appended=5))

        parts = [
            [event.seq for event in storage.events("o-1", after, 2)]
            for after in (0, 2, 4, 5)
        ]

        assert parts == [[1, 2], [3, 4], [5], []]

    @pytest.mark.parametrize("limit", [0, -1, 1001])
    def test_limit(self, storage: Storage, limit: int) -> None:
        """
        Whatever returns many returns 1 to 1000.
        """
        for ask in (
            lambda: storage.events("o-1", 0, limit),
            lambda: storage.claim_due(1, 2, limit),
            lambda: storage.claim_effects(1, 2, limit),
            lambda: storage.find(limit=limit),
        ):
            with pytest.raises(InvalidInputError) as caught:
                ask()
            assert caught.value.field == "limit"


class TestDue:
    """
    An index of deadlines, with leases.
    """

    def test_most_overdue_first(self, storage: Storage) -> None:
        """
        What is due by now is handed out, most overdue first, then by id.
        """
        due = {"o-1": 30, "o-2": 10, "o-3": 20, "o-4": 10, "o-5": 31, "o-6": None}
        put(storage, *(make(name, due_at=at) for name, at in due.items()))

        first = storage.claim_due(30, 100, 3)

        assert first == (
            Due(order_id="o-2", version=1, due_at=10),
            Due(order_id="o-4", version=1, due_at=10),
            Due(order_id="o-3", version=1, due_at=20),
        )
        assert ids(storage.claim_due(30, 100, 3)) == ["o-1"]
        assert storage.claim_due(30, 100, 3) == ()

    def test_lease(self, storage: Storage) -> None:
        """
        What was handed out is not handed out again before the lease is over.
        """
        put(storage, make(due_at=10))
        assert ids(storage.claim_due(10, 20, 1)) == ["o-1"]

        assert storage.claim_due(19, 40, 1) == ()
        assert storage.next_due() == 20
        assert ids(storage.claim_due(20, 40, 1)) == ["o-1"]

    @pytest.mark.parametrize("appended", [0, 1])
    def test_commit_ends_the_lease(self, storage: Storage, appended: int) -> None:
        """
        Whoever moves an order gives it back.
        """
        put(storage, make(due_at=10))
        storage.claim_due(10, 1000, 1)

        put(storage, make(expected=1, appended=appended, due_at=11))

        assert storage.next_due() == 11
        assert ids(storage.claim_due(11, 1000, 1)) == ["o-1"]

    def test_conflict_does_not_end_it(self, storage: Storage) -> None:
        """
        Who comes too late gives nothing back.
        """
        put(storage, make(due_at=10))
        storage.claim_due(10, 1000, 1)

        assert storage.commit([make(expected=2)]) == (CONFLICT,)
        assert storage.claim_due(11, 1000, 1) == ()

    def test_parked(self, storage: Storage) -> None:
        """
        A parked order keeps its deadline, but waits; the others do not.
        """
        put(storage, make("o-1", due_at=10, parked_until=50), make("o-2", due_at=20))

        assert storage.next_due() == 20
        assert ids(storage.claim_due(49, 100, 9)) == ["o-2"]
        assert storage.next_due() == 50
        assert ids(storage.claim_due(50, 100, 9)) == ["o-1"]
        assert storage.next_due() == 100

    def test_parked_until_before_it_is_due(self, storage: Storage) -> None:
        """
        Being parked never makes an order due earlier.
        """
        put(storage, make(due_at=50, parked_until=10))

        assert storage.next_due() == 50
        assert storage.claim_due(49, 100, 9) == ()

    def test_nothing_is_due(self, storage: Storage) -> None:
        """
        Orders that wait for nothing are never due, parked or not.
        """
        assert storage.next_due() is None
        put(storage, make("o-1"), make("o-2", parked_until=5))

        assert storage.next_due() is None
        assert storage.claim_due(LAST, LAST, 9) == ()

    def test_deadline_goes(self, storage: Storage) -> None:
        """
        The deadline of an order is the one of the last change.
        """
        put(storage, make(due_at=10))
        put(storage, make(expected=1))

        assert storage.next_due() is None


class TestEffects:
    """
    An outbox: every effect is handed out until somebody says what became of it.
    """

    def test_in_the_order_they_were_asked_for(self, storage: Storage) -> None:
        """
        Effects of an order are listed by event, then as they were written.
        """
        put(storage, make(appended=2, effects=(effect("z", seq=2), effect("y", seq=1))))
        put(storage, make(expected=2, effects=(effect("x", seq=3), effect("w"))))

        effects = storage.effects("o-1")

        assert [effect.key for effect in effects] == ["y", "w", "z", "x"]
        assert effects[0] == StoredEffect(
            order_id="o-1",
            key="y",
            kind="notify",
            seq=1,
            moves_money=False,
            status="waiting",
            attempts=0,
            ready_at=100,
            body=b"y",
        )

    def test_longest_ready_first(self, storage: Storage) -> None:
        """
        Ready effects are handed out by instant, order and event.
        """
        put(
            storage,
            make("o-2", effects=(effect("a", ready_at=2), effect("b", ready_at=1))),
            make("o-1", appended=2, effects=(effect("d", seq=2, ready_at=1),)),
            make("o-3", effects=(effect("e", ready_at=3),)),
        )

        claimed = [claim.effect.key for claim in storage.claim_effects(2, 9, 9)]

        assert claimed == ["d", "b", "a"]

    def test_claim(self, storage: Storage) -> None:
        """
        A claim counts the attempt, and is a lease: the same effect, with a higher
        token, to the next one.
        """
        put(storage, make(effects=(effect(moves_money=True),)))

        (first,) = storage.claim_effects(100, 200, 5)
        assert storage.claim_effects(199, 300, 5) == ()
        (second,) = storage.claim_effects(200, 300, 5)

        stored = StoredEffect(
            order_id="o-1",
            key="e-1",
            kind="notify",
            seq=1,
            moves_money=True,
            status="claimed",
            attempts=1,
            ready_at=200,
            body=b"e-1",
        )
        assert first == Claim(effect=stored, token=first.token)
        assert second == Claim(
            effect=attrs.evolve(stored, attempts=2, ready_at=300), token=second.token
        )
        assert second.token > first.token
        assert storage.effects("o-1") == (second.effect,)

    def test_kinds(self, storage: Storage) -> None:
        """
        A worker may take some kinds only; none is none.
        """
        kinds = ("refund", "notify", "pay_out")
        put(storage, make(effects=tuple(effect(kind, kind=kind) for kind in kinds)))

        assert storage.claim_effects(100, 200, 9, kinds=[]) == ()
        some = storage.claim_effects(100, 200, 9, kinds=["refund", "pay_out"])
        rest = storage.claim_effects(100, 200, 9)

        assert [claim.effect.kind for claim in some] == ["refund", "pay_out"]
        assert [claim.effect.kind for claim in rest] == ["notify"]

    def test_limit(self, storage: Storage) -> None:
        """
        No more are claimed than were asked for.
        """
        put(storage, make(effects=tuple(effect(f"e-{n}") for n in range(5))))

        claims = [storage.claim_effects(100, 200, 2) for _ in range(4)]

        assert [len(claim) for claim in claims] == [2, 2, 1, 0]

    def test_done(self, storage: Storage) -> None:
        """
        What is done is never handed out again, and stays on the list.
        """
        put(storage, make(effects=(effect(),)))
        (claim,) = storage.claim_effects(100, 200, 1)

        put(storage, make(expected=1, results=(result(token=claim.token),)))

        assert storage.claim_effects(LAST, LAST, 1) == ()
        (stored,) = storage.effects("o-1")
        assert (stored.status, stored.attempts, stored.body) == ("done", 1, b"e-1")

    def test_try_again(self, storage: Storage) -> None:
        """
        What is to be tried again is ready when the result says.
        """
        put(storage, make(effects=(effect(),)))
        (claim,) = storage.claim_effects(100, 200, 1)

        again = result(token=claim.token, status="waiting", ready_at=500, body=b"why")
        put(storage, make(expected=1, appended=0, results=(again,)))

        assert storage.effects("o-1")[0].status == "waiting"
        assert storage.claim_effects(499, 600, 1) == ()
        (second,) = storage.claim_effects(500, 600, 1)
        assert second.effect.body == b"e-1"

    def test_parked(self, storage: Storage) -> None:
        """
        A parked effect waits for a person, who can send it on its way again.
        """
        put(storage, make(effects=(effect(),)))
        (claim,) = storage.claim_effects(100, 200, 1)
        put(
            storage,
            make(expected=1, results=(result(token=claim.token, status="parked"),)),
        )
        assert storage.claim_effects(LAST, LAST, 1) == ()
        assert storage.effects("o-1")[0].status == "parked"

        again = result(token=claim.token, status="waiting", ready_at=300)
        put(storage, make(expected=2, results=(again,)))

        assert storage.claim_effects(300, 400, 1)[0].token > claim.token

    @pytest.mark.parametrize(
        ("order_id", "key", "stale"),
        [
            ("o-1", "e-1", -1),
            ("o-1", "e-1", 1),
            ("o-1", "unknown", 0),
            ("o-2", "e-1", 0),
        ],
    )
    def test_stale_token(
        self, storage: Storage, order_id: str, key: str, stale: int
    ) -> None:
        """
        A result for another claim, another effect or another order's effect makes
        the whole change a conflict.
        """
        put(storage, make(effects=(effect(),)), make("o-2"))
        storage.claim_effects(100, 200, 1)
        (claim,) = storage.claim_effects(200, 300, 1)
        before = everything(storage)

        late = make(
            order_id,
            1,
            results=(result(key, claim.token + stale),),
            texts=(text(),),
        )

        assert storage.commit([late]) == (CONFLICT,)
        assert everything(storage) == before
        assert storage.load("o-2") == Loaded(version=1, snapshot=b"o-2@1")
        assert storage.texts(["r-1"]) == {}

    def test_done_is_done(self, storage: Storage) -> None:
        """
        What is done cannot become anything else, not even with its own token.
        """
        put(storage, make(effects=(effect(),)))
        (claim,) = storage.claim_effects(100, 200, 1)
        put(storage, make(expected=1, appended=0, results=(result(token=claim.token),)))

        again = result(token=claim.token, status="waiting")

        late = make(expected=1, appended=0, results=(again,))
        assert storage.commit([late]) == (CONFLICT,)

    @pytest.mark.parametrize("status", ["claimed", "lost", ""])
    def test_no_result(self, storage: Storage, status: str) -> None:
        """
        An attempt ends with done, waiting or parked.
        """
        put(storage, make(effects=(effect(),)))
        (claim,) = storage.claim_effects(100, 200, 1)
        odd = result(token=claim.token, status=status)

        with pytest.raises(StorageError, match="no result of an effect"):
            storage.commit([make(expected=1, results=(odd,))])

    def test_effect_and_its_key_are_for_ever(self, storage: Storage) -> None:
        """
        A key that was used once is never free again.
        """
        put(storage, make(effects=(effect(),)))
        (claim,) = storage.claim_effects(100, 200, 1)
        put(storage, make(expected=1, results=(result(token=claim.token),)))

        with pytest.raises(StorageError):
            storage.commit([make(expected=2, effects=(effect(),))])


class TestFind:
    """
    Orders by who takes part and by how they are.
    """

    @pytest.fixture(autouse=True)
    def _orders(self, storage: Storage) -> None:
        put(
            storage,
            make("o-1", state="pending", due_at=30, texts=(text(),)),
            make("o-2", state="disputed", unassigned=True),
            make("o-3", state="completed", parties=(("buyer", "luc"),), due_at=20),
            make("o-4", state="pending", parked_until=1, due_at=20),
            make("o-5", parties=(("seller", "ana"), ("buyer", "ana")), state="late"),
        )

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, "12345"),
            ({"party": "ana"}, "1245"),
            ({"party": "luc"}, "1234"),
            ({"party": "eve"}, ""),
            ({"party": "ana", "role": "seller"}, "5"),
            ({"party": "luc", "role": "buyer"}, "3"),
            ({"party": "luc", "role": "mediator"}, ""),
            ({"role": "seller"}, "1245"),
            ({"states": ["pending"]}, "14"),
            ({"states": ("late", "disputed", "never")}, "25"),
            ({"states": ()}, ""),
            ({"unassigned": True}, "2"),
            ({"parked": True}, "4"),
            ({"parked": True, "unassigned": True}, ""),
            ({"party": "luc", "states": ["pending"], "parked": True}, "4"),
            ({"by_due": True}, "34125"),
            ({"by_due": True, "party": "ana"}, "4125"),
            ({"by_due": True, "party": "luc", "role": "seller"}, "412"),
            ({"by_due": True, "role": "buyer", "states": ["pending"]}, "41"),
        ],
        ids=str,
    )
    def test_query(
        self, storage: Storage, query: dict[str, Any], expected: str
    ) -> None:
        """
        Every condition narrows; each order comes once; pages put end to end are
        the whole, whatever their size.
        """
        whole = [f"o-{number}" for number in expected]

        assert ids(storage.find(**query)) == whole
        for limit in (1, 2, 3):
            pages = [storage.find(**query, limit=limit)]
            while pages[-1].after is not None:
                after = pages[-1].after
                pages.append(storage.find(**query, limit=limit, after=after))
            assert [name for page in pages for name in ids(page)] == whole
            assert all(len(page.items) == limit for page in pages[:-1])

    def test_what_is_found(self, storage: Storage) -> None:
        """
        What is found is ready to be read: version, snapshot and texts.
        """
        page = storage.find(party="ana", limit=1)

        assert page.items == (
            Found(order_id="o-1", version=1, snapshot=b"o-1@1", texts={"r-1": "hello"}),
        )
        assert page.after is not None

    def test_other_parties(self, storage: Storage) -> None:
        """
        Who takes part is what the last change says.
        """
        parties = (("buyer", "ana"), ("mediator", "mia"))
        put(storage, make("o-1", 1, parties=parties))
        put(storage, make("o-1", 2, appended=0, parties=parties, state="frozen"))

        assert ids(storage.find(party="mia", states=["frozen"])) == ["o-1"]
        assert ids(storage.find(party="luc")) == ["o-2", "o-3", "o-4"]
        assert ids(storage.find(party="ana", role="buyer")) == [
            "o-1",
            "o-2",
            "o-4",
            "o-5",
        ]

    def test_conflict_leaves_the_parties(self, storage: Storage) -> None:
        """
        Who comes too late changes nobody's part.
        """
        late = make("o-1", 4, parties=(("buyer", "eve"),))

        assert storage.commit([late]) == (CONFLICT,)
        assert ids(storage.find(party="eve")) == []

    def test_party_twice(self, storage: Storage) -> None:
        """
        Who is named twice takes part once.
        """
        put(storage, make("o-6", parties=(("buyer", "tom"), ("buyer", "tom"))))

        assert ids(storage.find(party="tom")) == ["o-6"]

    @pytest.mark.parametrize("by_due", [True, False])
    @pytest.mark.parametrize("after", ["", "o-1", "x:o-1", "-1:o-1", "\u00b2:o-1"])
    def test_after_of_nowhere(self, storage: Storage, after: str, by_due: bool) -> None:
        """
        Only what a page gave leads to the next one.
        """
        with pytest.raises(InvalidInputError) as caught:
            storage.find(after=after, by_due=by_due)
        assert caught.value.field == "after"

    def test_after_of_the_other_ordering(self, storage: Storage) -> None:
        """
        A page by deadline does not lead to a page by id, nor the other way round.
        """
        for by_due in (True, False):
            page = storage.find(by_due=by_due, limit=1)
            with pytest.raises(InvalidInputError):
                storage.find(by_due=not by_due, after=page.after)

    def test_after_an_instant_that_is_none(self, storage: Storage) -> None:
        """
        A number too great for an instant lies behind all of them.
        """
        assert storage.find(by_due=True, after="9" * 5000 + ":z") == Page(items=())


class TestTexts:
    """
    Personal texts can be erased; nothing else can.
    """

    def test_first_one_stays(self, storage: Storage) -> None:
        """
        A text that is there already is left as it is, also from another order.
        """
        put(storage, make(texts=(text("r-1", "first"),)))
        put(storage, make("o-2", texts=(text("r-1", "second"), text("r-2"))))

        assert storage.texts(["r-1", "r-2", "r-3"]) == {"r-1": "first", "r-2": "hello"}
        assert storage.load("o-2").texts == {"r-2": "hello"}

    def test_none(self, storage: Storage) -> None:
        """
        Asked for nothing, it answers nothing.
        """
        assert storage.texts([]) == {}
        assert storage.erase_texts([]) == 0

    def test_erased(self, storage: Storage) -> None:
        """
        An erased text is gone wherever it was, and can be counted once.
        """
        put(storage, make(texts=(text("r-1"), text("r-2"))))

        assert storage.erase_texts(["r-1", "r-1", "r-9"]) == 1
        assert storage.erase_texts(["r-1"]) == 0
        assert storage.texts(["r-1", "r-2"]) == {"r-2": "hello"}
        assert storage.load("o-1") == Loaded(
            version=1, snapshot=b"o-1@1", texts={"r-2": "hello"}
        )
        assert storage.find().items[0].texts == {"r-2": "hello"}

    def test_history_stays(self, storage: Storage) -> None:
        """
        Erasing a text does not touch the journal.
        """
        put(storage, make(texts=(text(),)))
        before = storage.events("o-1")

        storage.erase_texts(["r-1"])

        assert storage.events("o-1") == before


class TestLife:
    """
    Opening, closing, and everybody at once.
    """

    def test_protocol(self, storage: Storage) -> None:
        """
        What is tested here is what the engine asks for.
        """
        assert_type(storage, Storage)
        storage.migrate()
        storage.migrate()

    @pytest.mark.parametrize("used", [True, False])
    def test_closed(self, storage: Storage, used: bool) -> None:
        """
        A storage can be closed twice, and not used after that.
        """
        if used:
            put(storage, make())
        storage.close()
        storage.close()

        for ask in (
            lambda: storage.load("o-1"),
            lambda: storage.commit([make()]),
            lambda: storage.events("o-1"),
            lambda: storage.effects("o-1"),
            lambda: storage.claim_due(1, 2, 1),
            lambda: storage.next_due(),
            lambda: storage.claim_effects(1, 2, 1),
            lambda: storage.find(),
            lambda: storage.texts(["r-1"]),
            lambda: storage.erase_texts(["r-1"]),
            lambda: storage.migrate(),
        ):
            with pytest.raises(StorageError, match="is closed"):
                ask()

    def test_with(self, storage: Storage) -> None:
        """
        A `with` block closes it.
        """
        with storage as same:
            assert same is storage

        with pytest.raises(StorageError, match="is closed"):
            storage.load("o-1")

    def test_one_winner(self, storage: Storage) -> None:
        """
        Of several who change one order at once, exactly one does.
        """
        put(storage, make())
        results: list[CommitResult] = []

        at_once(lambda _: results.extend(storage.commit([make(expected=1)])))

        assert sorted(results, key=str) == [CONFLICT] * (THREADS - 1) + [DONE]
        assert storage.load("o-1").version == 2

    def test_one_first(self, storage: Storage) -> None:
        """
        Of several who place one order at once, exactly one does.
        """
        results: list[CommitResult] = []

        at_once(lambda _: results.extend(storage.commit([make()])))

        assert results.count(DONE) == 1

    def test_nothing_is_lost(self, storage: Storage) -> None:
        """
        Whatever eight threads write to one order, and to their own, is there.
        """

        def work(number: int) -> None:
            count_up(storage, 10)
            count_up(storage, 10, f"own-{number}")

        at_once(work)

        names = ["o-1", *(f"own-{number}" for number in range(THREADS))]
        seqs = [[event.seq for event in storage.events(name)] for name in names]
        assert seqs == [list(range(1, 10 * THREADS + 1))] + [list(range(1, 11))] * 8

    def test_each_due_order_once(self, storage: Storage) -> None:
        """
        Workers that claim at once share the orders and the effects.
        """
        put(
            storage,
            *(make(f"o-{n}", due_at=n, effects=(effect(f"e-{n}"),)) for n in range(40)),
        )
        due: list[Due] = []
        claims: list[Claim] = []

        def work(_: int) -> None:
            due.extend(storage.claim_due(100, 200, 5))
            claims.extend(storage.claim_effects(100, 200, 5))

        at_once(work)

        assert len(set(ids(due))) == len(due) == 40
        assert len({claim.effect.key for claim in claims}) == len(claims) == 40


class TestOpenStorage:
    """
    A URL names a storage.
    """

    def test_memory(self) -> None:
        """
        `memory://` is a new storage each time, which can do nothing special.
        """
        with open_storage("memory://") as storage, open_storage("memory://") as other:
            put(storage, make())

            assert other.load("o-1") == Loaded()
            assert storage.capabilities == frozenset()
            assert repr(storage) == "MemoryStorage()"

    def test_sqlite(self, tmp_path: Path) -> None:
        """
        `sqlite:///` names a file.
        """
        with open_storage(f"sqlite:///{tmp_path}/orders.db") as storage:
            put(storage, make())

        assert (tmp_path / "orders.db").exists()

    @pytest.mark.parametrize(
        ("url", "path", "durability"),
        [
            ("sqlite:///orders.db", "orders.db", "full"),
            ("sqlite:///data/orders.db?durability=full", "data/orders.db", "full"),
            ("sqlite:////var/orders.db", "/var/orders.db", "full"),
            ("sqlite:////a%20b/100%25%3F.db", "/a b/100%?.db", "full"),
            ("sqlite:////x.db?durability=relaxed", "/x.db", "relaxed"),
            ("sqlite://", ":memory:", "full"),
            ("sqlite:///:memory:?durability=relaxed", ":memory:", "relaxed"),
        ],
    )
    def test_forms(self, url: str, path: str, durability: str) -> None:
        """
        Three slashes are relative, four absolute, two are in memory.
        """
        storage = SqliteStorage.from_url(url)

        expected = path if path == ":memory:" else str(Path(path).absolute())
        assert (storage.path, storage.durability) == (expected, durability)

    @pytest.mark.parametrize(
        "url",
        [
            "sqlite://orders.db",
            "sqlite://host/orders.db",
            "sqlite:///",
            "sqlite:///a.db?mode=ro",
            "sqlite:///a.db?durability=full&durability=relaxed",
            "sqlite:///a.db?durability=",
            "sqlite:///a.db?durability=none",
            "sqlite:///a.db#part",
            "sqlite:///a%00.db",
            "sqlite://[",
            "postgresql:///orders",
        ],
    )
    def test_other_forms(self, url: str) -> None:
        """
        Whatever else a URL says is refused, not guessed.
        """
        with pytest.raises(InvalidInputError):
            SqliteStorage.from_url(url)


def raw(path: Path, *statements: str) -> list[Any]:
    """
    Do what somebody else could do to the file.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        rows: list[Any] = []
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        return rows
    finally:
        connection.close()


def pragma(storage: SqliteStorage, name: str) -> Any:
    return storage._read(f"PRAGMA {name}")[0][0]


def failing(
    happens: Callable[[sqlite3.Cursor, str], str | None],
) -> type[sqlite3.Connection]:
    """
    Return a kind of connection whose statements can fail.

    Args:
        happens: Does something with the cursor before a statement, and returns
            what to execute; `None` to go wrong.
    """

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = ()) -> Any:
            instead = happens(self, sql)
            if instead is None:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(instead, parameters)

    class Connection(sqlite3.Connection):
        def cursor(self, _: Any = None) -> Any:
            return super().cursor(Cursor)

    return Connection


class TestSqlite:
    """
    What the one in a file does beyond the protocol.
    """

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "orders.db"

    @pytest.fixture
    def sqlite(self, path: Path) -> Iterator[SqliteStorage]:
        with SqliteStorage(path, durability="relaxed") as storage:
            yield storage

    def test_constructor_opens_nothing(self, path: Path) -> None:
        """
        Nothing is opened before it is used, nor by closing it.
        """
        with SqliteStorage(path) as storage:
            assert not path.exists()
            assert repr(storage) == (
                f"SqliteStorage(path={str(path)!r}, durability='full', "
                "busy_timeout=5.0)"
            )
        assert not path.exists()

    def test_relative_path(self, tmp_path: Path, monkeypatch: Any) -> None:
        """
        A relative path is relative to where the storage was built.
        """
        monkeypatch.chdir(tmp_path)
        storage = SqliteStorage("orders.db")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")

        with storage:
            storage.migrate()

        assert (tmp_path / "orders.db").exists()

    @pytest.mark.parametrize(
        ("field", "arguments"),
        [
            ("path", {"path": ""}),
            ("path", {"path": "a\0b"}),
            ("path", {"path": b"orders.db"}),
            ("durability", {"durability": "none"}),
            ("busy_timeout", {"busy_timeout": -1}),
            ("busy_timeout", {"busy_timeout": float("nan")}),
            ("busy_timeout", {"busy_timeout": float("inf")}),
            ("busy_timeout", {"busy_timeout": True}),
            ("busy_timeout", {"busy_timeout": "5"}),
            ("busy_timeout", {"busy_timeout": timedelta(days=2)}),
        ],
        ids=str,
    )
    def test_arguments(self, field: str, arguments: dict[str, Any]) -> None:
        """
        What cannot be meant is refused at once.
        """
        with pytest.raises(InvalidInputError) as caught:
            SqliteStorage(**({"path": "orders.db"} | arguments))
        assert caught.value.field == field

    def test_capabilities(self, sqlite: SqliteStorage) -> None:
        """
        A file outlives the process and can be shared; memory cannot.
        """
        both = frozenset({Capability.DURABLE, Capability.SHARED})

        assert sqlite.capabilities == both
        assert SqliteStorage(":memory:").capabilities == frozenset()

    @pytest.mark.parametrize(("durability", "level"), [("full", 2), ("relaxed", 1)])
    def test_pragmas(self, path: Path, durability: str, level: int) -> None:
        """
        Each connection is as durable and as strict as was promised.
        """
        with SqliteStorage(
            path, durability=durability, busy_timeout=timedelta(seconds=1.5)
        ) as storage:

            def check(_: int) -> None:
                assert pragma(storage, "journal_mode") == "wal"
                assert pragma(storage, "synchronous") == level
                assert pragma(storage, "foreign_keys") == 1
                assert pragma(storage, "secure_delete") == 1
                assert pragma(storage, "busy_timeout") == 1500

            check(0)
            at_once(check, 2)

    def test_full_is_the_default(self, path: Path) -> None:
        """
        Nobody gets less than full durability without asking.
        """
        with SqliteStorage(path) as storage:
            assert pragma(storage, "synchronous") == 2

    def test_everything_is_kept(self, path: Path) -> None:
        """
        What was written is there after the file was closed.
        """
        with SqliteStorage(path) as storage:
            put(
                storage,
                make(
                    due_at=5,
                    effects=(effect(),),
                    receipt=receipt(),
                    texts=(text(),),
                ),
            )
            before = everything(storage)
        with SqliteStorage(path) as storage:
            assert everything(storage) == before

    def test_tables_are_strict(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        Every table is STRICT, and named as ours.
        """
        sqlite.migrate()
        tables = raw(path, "SELECT name, strict FROM pragma_table_list")

        ours = {name: strict for name, strict in tables if "sqlite" not in name}

        assert all(name.startswith("escrowflow_") for name in ours)
        assert set(ours.values()) == {1}
        assert len(ours) == 7

    @pytest.mark.parametrize(
        ("statement", "complaint"),
        [
            ("UPDATE escrowflow_event SET body = x''", "never changed"),
            ("UPDATE escrowflow_event SET seq = 7", "never changed"),
            ("DELETE FROM escrowflow_event", "never deleted"),
            (
                "INSERT OR REPLACE INTO escrowflow_event"
                " SELECT order_id, 1, 'Forged', 500, 500, x'' FROM escrowflow_order",
                "follows the last one",
            ),
            (
                "INSERT INTO escrowflow_event"
                " SELECT order_id, 3, 'Gap', 500, 500, x'' FROM escrowflow_order",
                "follows the last one",
            ),
            (
                "INSERT INTO escrowflow_event"
                " SELECT order_id, 2, 'Early', 99, 500, x'' FROM escrowflow_order",
                "follows the last one",
            ),
            (
                "INSERT INTO escrowflow_event VALUES ('new', 2, 'Gap', 1, 1, x'')",
                "follows the last one",
            ),
            (
                "INSERT INTO escrowflow_event"
                " SELECT order_id, 2, 'Real', 500.5, 500, x'' FROM escrowflow_order",
                "REAL",
            ),
            (
                "INSERT INTO escrowflow_event VALUES ('none', 1, 'A', 1, 1, x'')",
                "FOREIGN KEY",
            ),
            ("UPDATE escrowflow_order SET version = 0", "only grows"),
            ("UPDATE escrowflow_order SET order_id = 'x'", "only grows"),
            ("UPDATE escrowflow_order SET version = 'many'", "TEXT"),
            ("UPDATE escrowflow_order SET unassigned = 2", "CHECK"),
            ("DELETE FROM escrowflow_order", "never deleted"),
            ("UPDATE escrowflow_effect SET key = 'k'", "never changed"),
            ("UPDATE escrowflow_effect SET moves_money = 1", "never changed"),
            ("UPDATE escrowflow_effect SET body = x'00'", "never changed"),
            ("UPDATE escrowflow_effect SET token = 0", "only grows"),
            ("UPDATE escrowflow_effect SET status = 'gone'", "CHECK"),
            ("DELETE FROM escrowflow_effect", "before it is done"),
        ],
    )
    def test_raw_sql_cannot_rewrite_history(
        self, sqlite: SqliteStorage, path: Path, statement: str, complaint: str
    ) -> None:
        """
        The schema refuses what must not happen, whoever asks for it.
        """
        put(sqlite, make(effects=(effect(),)))
        sqlite.claim_effects(100, 200, 1)
        before = everything(sqlite)

        with pytest.raises(sqlite3.IntegrityError, match=complaint):
            raw(path, "PRAGMA foreign_keys = ON", statement)
        assert everything(sqlite) == before

    def test_done_effects(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        Only an effect that is done can be cleared away; it cannot be undone.
        """
        put(sqlite, make(effects=(effect(),)))
        (claim,) = sqlite.claim_effects(100, 200, 1)
        put(sqlite, make(expected=1, results=(result(token=claim.token),)))

        with pytest.raises(sqlite3.IntegrityError, match="done once"):
            raw(path, "UPDATE escrowflow_effect SET status = 'waiting'")
        raw(path, "DELETE FROM escrowflow_effect")
        assert sqlite.effects("o-1") == ()

    def test_result_is_kept_beside_the_effect(
        self, sqlite: SqliteStorage, path: Path
    ) -> None:
        """
        What became of an effect does not overwrite what it asks for.
        """
        put(sqlite, make(effects=(effect(),)))
        (claim,) = sqlite.claim_effects(100, 200, 1)
        put(sqlite, make(expected=1, results=(result(token=claim.token, body=b"ok"),)))

        rows = raw(path, "SELECT body, result FROM escrowflow_effect")

        assert rows == [(b"e-1", b"ok")]

    def test_erased_for_good(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        Not a byte of an erased text is left in the file or its log.
        """
        words = "canary-" * 900
        texts = tuple(text(f"r-{n}", f"{n}{words}") for n in range(9))
        put(sqlite, make(texts=texts))
        files = list(path.parent.iterdir())
        assert any(b"canary" in file.read_bytes() for file in files)

        assert sqlite.erase_texts([text.ref for text in texts]) == 9

        assert not any(b"canary" in file.read_bytes() for file in files)

    def test_indexes_are_used(self, sqlite: SqliteStorage) -> None:
        """
        No question that workers ask all day reads a whole table.
        """
        plans: list[str] = []
        sqlite._link().connection.set_trace_callback(plans.append)
        sqlite.load("o-1", "k")
        sqlite.claim_due(1, 2, 3)
        sqlite.next_due()
        sqlite.claim_effects(1, 2, 3)
        sqlite.find(party="ana")
        sqlite.find(party="ana", role="buyer", after=":o")
        sqlite.find(by_due=True)
        sqlite.find(unassigned=True)
        sqlite.find(parked=True, after=":o")
        sqlite._link().connection.set_trace_callback(None)

        for statement in plans:
            if statement.split()[0] in ("SELECT", "UPDATE"):
                steps = sqlite._read(f"EXPLAIN QUERY PLAN {statement}")
                scans = [
                    step[3]
                    for step in steps
                    if step[3].startswith("SCAN") and "INDEX" not in step[3]
                ]
                assert all(
                    "(subquery" in scan or scan == "SCAN (join" for scan in scans
                )

    def test_threads_have_their_own(self, sqlite: SqliteStorage) -> None:
        """
        Each thread has a connection, which is closed when the thread ends.
        """
        links = []

        def work(_: int) -> None:
            sqlite.migrate()
            links.append(id(sqlite._link()))
            assert sqlite._link() is sqlite._link()
            barrier.wait()

        barrier = threading.Barrier(3)
        at_once(work, 3)

        assert len(set(links)) == 3
        assert len(sqlite._home.links) == 0

    def test_threads_share_what_is_in_memory(self) -> None:
        """
        A database in memory is one, for all threads.
        """
        with SqliteStorage(":memory:") as storage:
            at_once(lambda number: put(storage, make(f"o-{number}")))

            assert len(storage.find().items) == THREADS
            assert len(storage._home.links) == 1

    def test_closed_under_other_threads(self, sqlite: SqliteStorage) -> None:
        """
        Closing closes the connections of all threads; who still had one hears it.
        """
        opened, closed = threading.Barrier(2), threading.Barrier(2)
        links = []

        def work() -> None:
            links.append(sqlite._link())
            opened.wait()
            closed.wait()

        thread = threading.Thread(target=work)
        thread.start()
        opened.wait()
        sqlite.close()
        closed.wait()
        thread.join()

        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            links[0].connection.execute("SELECT 1")

    def test_closed_in_between(self, sqlite: SqliteStorage) -> None:
        """
        A connection that somebody closed is an error of ours, not of SQLite.
        """
        sqlite._link().connection.close()

        with pytest.raises(StorageError, match="closed"):
            sqlite.load("o-1")
        with pytest.raises(StorageError, match="closed"):
            sqlite.commit([make()])

    def test_two_storages_on_one_file(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        What one has committed, the other sees.
        """
        with SqliteStorage(path, durability="relaxed") as other:
            put(sqlite, make())
            put(other, make(expected=1))

            assert sqlite.load("o-1") == other.load("o-1")
            assert sqlite.commit([make(expected=1)]) == (CONFLICT,)

    def test_processes(self, sqlite: SqliteStorage, path: Path) -> None:
        """
        Two processes that begin with no file lose nothing of each other.
        """
        spawn = multiprocessing.get_context("spawn")
        workers = [
            spawn.Process(target=count_up_in_process, args=(str(path), 40))
            for _ in range(2)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

        assert [worker.exitcode for worker in workers] == [0, 0]
        assert [event.seq for event in sqlite.events("o-1")] == list(range(1, 81))

    def test_threads_begin_at_once(self, path: Path) -> None:
        """
        Many may make the file and its schema at the same moment.
        """

        def work(_: int) -> None:
            with SqliteStorage(path, durability="relaxed", busy_timeout=60) as storage:
                storage.migrate()

        at_once(work)

    def test_fork(self, path: Path) -> None:
        """
        A child opens its own connections and leaves those of its parent alone.
        """
        source = Path(sys.modules["escrowflow.storage"].__file__ or "").parents[2]
        script = """
            import os, sys, threading
            sys.path.insert(0, sys.argv[2])
            from escrowflow.errors import StorageError
            from escrowflow.storage.sqlite import SqliteStorage
            storage = SqliteStorage(sys.argv[1], busy_timeout=60)
            memory = SqliteStorage(":memory:")
            unused = SqliteStorage(":memory:")
            storage.migrate()
            memory.migrate()
            parent = id(storage._link())
            storage._link().writer.acquire()
            pid = os.fork()
            if not pid:
                assert storage.erase_texts(["r"]) == 0
                unused.migrate()
                try:
                    memory.load("o-1")
                except StorageError as error:
                    assert "fork" in str(error)
                else:
                    raise AssertionError
                memory.close()
                storage.close()
                sys.exit()
            assert os.waitpid(pid, 0)[1] == 0
            storage._link().writer.release()
            assert id(storage._link()) == parent
            assert storage.erase_texts(["r"]) == 0
            storage.close()
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(path), str(source)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONDEVMODE": "1"},
        )

        assert (done.returncode, done.stderr) == (0, "")

    def test_after_a_fork(self, path: Path, monkeypatch: Any) -> None:
        """
        In another process everything begins anew; what was opened is let be.
        """
        file, memory = SqliteStorage(path), SqliteStorage(":memory:")
        put(file, make())
        put(memory, make())
        link = file._link()
        pid = os.getpid()

        monkeypatch.setattr(os, "getpid", lambda: pid + 1)
        assert file.load("o-1").version == 1
        assert file._link() is not link
        with pytest.raises(StorageError, match="does not survive a fork"):
            memory.load("o-1")
        connection = link.connection
        link.__del__()
        memory.close()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]

        monkeypatch.undo()
        connection.close()
        memory.close()
        file.close()

    def test_read_only_file(self, path: Path) -> None:
        """
        A file that cannot be written can be read, and says so.
        """
        with SqliteStorage(path) as storage:
            put(storage, make())

        with SqliteStorage(path) as storage:
            storage.migrate()
            # As root, every file can be written; this connection cannot.
            storage._read("PRAGMA query_only = ON")

            assert storage.load("o-1").version == 1
            with pytest.raises(StorageError, match="readonly"):
                storage.commit([make(expected=1)])

    @pytest.mark.parametrize("content", [b"no database" * 100, None])
    def test_no_database(self, path: Path, content: bytes | None) -> None:
        """
        What is not a database, or not a file, is not used.
        """
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)

        with SqliteStorage(path) as storage, pytest.raises(StorageError) as caught:
            storage.load("o-1")
        assert isinstance(caught.value.__cause__, sqlite3.Error)
        assert content is None or path.read_bytes() == content

    @pytest.mark.parametrize(
        ("statement", "version"),
        [
            ("UPDATE escrowflow_meta SET value = 2", "2"),
            ("DELETE FROM escrowflow_meta", "unknown"),
        ],
    )
    def test_unknown_schema(self, path: Path, statement: str, version: str) -> None:
        """
        A schema of another release is left alone.
        """
        with SqliteStorage(path) as storage:
            storage.migrate()
        raw(path, statement)

        with (
            SqliteStorage(path) as storage,
            pytest.raises(StorageError, match=f"schema version {version}, but"),
        ):
            storage.migrate()

    @pytest.mark.parametrize(
        "statement",
        [
            "DROP TRIGGER escrowflow_event_fixed",
            "DROP INDEX escrowflow_order_due",
            "ALTER TABLE escrowflow_order ADD COLUMN more TEXT",
            "DROP TABLE escrowflow_meta",
        ],
    )
    def test_damaged_schema(self, path: Path, statement: str) -> None:
        """
        Without one of its guards it does not begin to work.
        """
        with SqliteStorage(path) as storage:
            storage.migrate()
        raw(path, statement)

        with (
            SqliteStorage(path) as storage,
            pytest.raises(StorageError, match="its schema was changed: 1 parts"),
        ):
            storage.load("o-1")

    def test_tables_of_others(self, path: Path) -> None:
        """
        The host may keep its own tables in the file, before us and after us.
        """
        raw(path, "PRAGMA user_version = 7", "CREATE TABLE app (id)")
        with SqliteStorage(path) as storage:
            put(storage, make())
        raw(path, "CREATE TABLE more (id)")

        with SqliteStorage(path) as storage:
            assert storage.load("o-1").version == 1

    def test_other_writers_are_waited_for(self, path: Path) -> None:
        """
        Who cannot get the lock in time hears so, and nothing was written.
        """
        with SqliteStorage(path, busy_timeout=0) as storage:
            storage.migrate()
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")

            with pytest.raises(StorageError, match="locked"):
                storage.commit([make()])
            other.close()
            put(storage, make())

            storage._link().writer.acquire()
            with pytest.raises(StorageError, match="other threads"):
                storage.commit([make(expected=1)])
            storage._link().writer.release()
            put(storage, make(expected=1))

    def test_log_cannot_be_switched(self, path: Path) -> None:
        """
        Somebody who keeps reading in the old mode is waited for, but not for ever.
        """
        raw(path, "CREATE TABLE app (id)")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM app").fetchall()

        with SqliteStorage(path, busy_timeout=0) as storage:
            with pytest.raises(StorageError, match="locked"):
                storage.migrate()
            other.close()
            storage.migrate()

    @pytest.mark.parametrize(
        ("failures", "complaint"), [(1, None), (100, "somebody is always in the way")]
    )
    def test_log_is_switched_later(
        self, path: Path, failures: int, complaint: str | None
    ) -> None:
        """
        The switch is tried again, though not for ever.
        """
        left = [failures]

        def happens(_: sqlite3.Cursor, sql: str) -> str | None:
            if "journal_mode" in sql and left[0]:
                left[0] -= 1
                return None
            return sql

        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            if complaint is None:
                storage.migrate()
                assert pragma(storage, "journal_mode") == "wal"
            else:
                with pytest.raises(StorageError, match=complaint):
                    storage.migrate()

    def test_no_log_here(self, path: Path) -> None:
        """
        Without a write-ahead log it does not begin to work.
        """
        with SqliteStorage(path) as storage:
            storage._connection = failing(
                lambda _, sql: sql.replace("journal_mode = WAL", "journal_mode")
            )
            with pytest.raises(StorageError, match="no write-ahead log"):
                storage.migrate()

    def test_schema_by_somebody_faster(self, path: Path) -> None:
        """
        Who finds the schema made while it waited for the lock takes it.
        """

        def happens(_: sqlite3.Cursor, sql: str) -> str | None:
            if sql == "BEGIN IMMEDIATE" and not made:
                made.append(True)
                with SqliteStorage(path) as faster:
                    faster.migrate()
            return sql

        made: list[bool] = []
        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            put(storage, make())

        assert made == [True]

    @pytest.mark.parametrize("count", [1, 2])
    @pytest.mark.parametrize(
        ("first", "expected"),
        [
            # Nothing happened: the transaction is still open, or was rolled back.
            ("", StorageError),
            ("ROLLBACK", StorageError),
            # It was committed all the same.
            ("COMMIT", None),
            # Committed, and somebody went on: who knows whose it is.
            ("COMMIT; UPDATE escrowflow_order SET version = 9", OutcomeUnknownError),
            ("COMMIT; close", OutcomeUnknownError),
        ],
    )
    def test_commit_that_fails(
        self,
        path: Path,
        count: int,
        first: str,
        expected: type[StorageError] | None,
    ) -> None:
        """
        When COMMIT itself fails, what is said afterwards is true.
        """
        armed: list[bool] = []

        def happens(cursor: sqlite3.Cursor, sql: str) -> str | None:
            if sql != "COMMIT" or not armed:
                return sql
            armed.clear()
            for statement in filter(None, first.split("; ")):
                if statement == "close":
                    cursor.connection.close()
                else:
                    cursor.connection.execute(statement)
            return None

        changes = [make("o-1", 1), make("o-2")][:count]
        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            put(storage, make())
            armed.append(True)
            if expected is None:
                put(storage, *changes)
            else:
                with pytest.raises(StorageError) as caught:
                    storage.commit(changes)
                assert type(caught.value) is expected
        with SqliteStorage(path) as storage:
            written = storage.load("o-1").version
            assert written == (1 if expected is StorageError else written)

    @pytest.mark.parametrize("outcome", ["COMMIT", "ROLLBACK"])
    def test_commit_that_tells_nothing(self, path: Path, outcome: str) -> None:
        """
        A change that moves no version leaves nothing to tell by, and neither does
        one that conflicted.
        """
        armed: list[bool] = []

        def happens(cursor: sqlite3.Cursor, sql: str) -> str | None:
            if sql == "COMMIT" and armed:
                cursor.connection.execute(outcome)
                return None
            return sql

        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            put(storage, make())
            armed.append(True)

            with pytest.raises(OutcomeUnknownError, match="repeat with the same key"):
                storage.commit([make(expected=1, appended=0), make("o-2", 5)])

    def test_interrupted(self, path: Path) -> None:
        """
        Whatever interrupts a change, nothing of it is left, and the next one works.
        """

        def happens(_: sqlite3.Cursor, sql: str) -> str | None:
            if "escrowflow_event" in sql and interrupted:
                interrupted.pop()
                raise KeyboardInterrupt
            return sql

        interrupted: list[bool] = []
        with SqliteStorage(path) as storage:
            storage._connection = failing(happens)
            storage.migrate()
            interrupted.append(True)
            with pytest.raises(KeyboardInterrupt):
                storage.commit([make(texts=(text(),))])

            assert storage.load("o-1") == Loaded()
            put(storage, make())
