"""
One order: what is written of it, and what comes back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
import pytest

from ..errors import InvalidInputError, StorageError
from ..storage import Change, Query, Storage, StoredEvent, StoredOrder, Summary
from .base import Checks
from .given import (
    CONFLICT,
    DONE,
    LAST,
    books,
    change,
    digest,
    effect,
    everything,
    ids,
    put,
    receipt,
    result,
    snapshot,
    text,
)

__all__ = ["Orders"]


_PEOPLE: Final = ("ana", "ben", "cleo", "dan", "eve", "fay")

# Half of a piece that is too long to be there by chance.
_HALF: Final = 20


def _left_of(gone: Iterable[str], raw: bytes) -> list[str]:
    """
    Return those texts of which a piece of 40 bytes is left.
    """
    # Each such piece has a whole half in it that begins at a multiple of its length.
    halves = {
        said[start : start + _HALF]: said
        for said in map(str.encode, gone)
        for start in range(0, len(said) - _HALF + 1, _HALF)
    }
    # Nor is it in anything but a row of their letters.
    letters = re.escape(bytes(sorted(set(b"".join(halves)))))
    rows = re.findall(b"[%b]{%d,}" % (letters, _HALF), raw) if halves else ()
    found = (
        row[start : start + _HALF]
        for row in rows
        for start in range(len(row) - _HALF + 1)
    )
    return sorted({halves[half].decode() for half in found if half in halves})


def _with_event(**fields: Any) -> Change:
    (event,) = change().events
    return change(events=(attrs.evolve(event, **fields),))


# Each contradicts itself, or is of another type than it says.
_REFUSED: Final[dict[str, Change]] = {
    "effect of a later event": change(effects=(effect(seq=2),)),
    "effect of no event": change(effects=(effect(seq=0),)),
    "two effects of one key": change(effects=(effect(), effect())),
    "effect ready at a fraction": change(effects=(effect(ready_at=1.5),)),
    "effect of no status": change(effects=(effect(status="lost"),)),
    "effect tried less than never": change(effects=(effect(attempts=-1),)),
    "effect whose body is a text": change(effects=(effect(body="text"),)),
    "due at a fraction": change(due_at=1.5),
    "due after the end of time": change(due_at=2**63),
    "due soon": change(due_at="soon"),
    "snapshot that is a text": change(snapshot="text"),
    "process that is half a character": change(process="\ud800"),
    "fingerprint of bytes": change(fingerprint=b"f"),
    "state of bytes": change(state=b"pending"),
    "party that is half a character": change(parties=(("buyer", "\udfff"),)),
    "text that is half a character": change(texts=(text(words="\ud800"),)),
    "salt that is a text": change(texts=(text(salt="salt"),)),
    "receipt of nothing": change(receipt=receipt(fingerprint=None)),
    "receipt up to a fraction": change(receipt=receipt(last=1.5)),
    "event before 1970": _with_event(effective_at=-1),
    "event written before 1970": _with_event(recorded_at=-1),
    "event without a body": _with_event(body=None),
    "short hash": _with_event(hash=b"short"),
    "long hash": _with_event(hash=bytes(33)),
    "books that do not add up": change(books=books(held=999)),
    "books below zero": change(books=books(held=-1, refunded=1001)),
    "price below zero": change(books=books(price=-1)),
    "books of a fraction": change(books=books(price=0.5)),
    "books without a currency": change(books=books(currency=None)),
    "books of too much": change(
        books=books(**dict.fromkeys(("price", "paid_in", "held"), 2**63))
    ),
    "two settlements": change(
        events=tuple(
            attrs.evolve(event, settles=True) for event in change(appended=2).events
        ),
        version=2,
    ),
    "time runs back in a change": change(
        events=(
            *change().events,
            *(attrs.evolve(e, effective_at=99) for e in change("o-1", 1).events),
        ),
        version=2,
    ),
}

# Each is wrong by itself, whatever is stored.
_WRONG: Final[dict[str, Change]] = {
    "new order without an event": change(appended=0),
    "event missing": change(version=2),
    "event too many": change(appended=2, version=1),
    "version going down": change(expected=2, appended=0, version=1),
    "version without events": attrs.evolve(change(), events=()),
    "events of another version": attrs.evolve(
        change(appended=2), events=change(expected=1).events
    ),
    "events turned round": attrs.evolve(
        change(appended=2), events=change(appended=2).events[::-1]
    ),
    "version below nothing": attrs.evolve(change(), expected_version=-1),
    "new order of nobody": change(parties=None),
}


def _by_name(cases: dict[str, Change]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("wrong", cases.values(), ids=cases.keys())


class Orders(Checks):
    """
    Loading, committing, the journal and the texts.
    """

    # --- load ---------------------------------------------------------------------

    def test_unknown_order(self, storage: Storage) -> None:
        """
        An order that was never written has version 0, and nothing else.
        """
        assert storage.load("o-1", "ana:k") == StoredOrder(order_id="o-1")
        assert list(storage.events("o-1")) == []
        assert list(storage.effects("o-1")) == []
        assert list(storage.receipts("o-1")) == []
        assert list(storage.texts("o-1")) == []

    def test_what_was_written_last(self, storage: Storage) -> None:
        """
        Everything of an order comes back as it was written last.
        """
        put(storage, change(appended=2, due_at=7))
        assert storage.load("o-1") == StoredOrder(
            order_id="o-1",
            version=2,
            snapshot=snapshot(2),
            head=digest(2),
            due_at=7,
        )

        put(storage, change(expected=2, snapshot=b"\0\xff"))
        assert storage.load("o-1") == StoredOrder(
            order_id="o-1", version=3, snapshot=b"\0\xff", head=digest(3)
        )

    def test_head_stays_without_events(self, storage: Storage) -> None:
        """
        A change that appends nothing leaves the hash of the last event.
        """
        put(storage, change(appended=2))
        put(storage, change(expected=2, appended=0))

        assert storage.load("o-1").head == digest(2)

    def test_receipt_of_the_key(self, storage: Storage) -> None:
        """
        Only the receipt of the key that was asked for comes along.
        """
        put(storage, change(receipt=receipt(first=1, last=0)))
        put(storage, change("o-2", receipt=receipt(fingerprint="other")))

        assert storage.load("o-1", "ana:k").receipt == receipt(first=1, last=0)
        assert storage.load("o-2", "ana:k").receipt == receipt(fingerprint="other")
        assert storage.load("o-1", "ana:other").receipt is None
        assert storage.load("o-1").receipt is None

    def test_summary(self, storage: Storage) -> None:
        """
        What a report may want to know is kept beside the snapshot, as the last change
        said it; those who take part are sorted, each of them once.
        """
        assert storage.summary("o-1") is None
        parties = (("seller", "luc"), ("buyer", "zoe"), ("buyer", "ana"))
        first = change(parties=(*parties, parties[0]))
        put(storage, first, change("o-2"))
        said = Summary(
            process="comeup",
            fingerprint="f1",
            state="pending",
            late=False,
            books=first.books,
            parties=(("buyer", "ana"), ("buyer", "zoe"), ("seller", "luc")),
            unassigned=False,
        )
        assert storage.summary("o-1") == said

        amounts = {"paid_in": 10, "held": 4, "refunded": 3, "released": 2, "kept": 1}
        other = books(currency="JPY", price=7, **amounts)
        fields: dict[str, Any] = {"process": "p", "fingerprint": "f2", "state": "late"}
        flags: dict[str, Any] = {"late": True, "unassigned": True}
        put(storage, change(expected=1, books=other, **fields, **flags))
        said = attrs.evolve(said, books=other, **fields, **flags)
        assert storage.summary("o-1") == said
        assert list(storage.commit([change(expected=1)])) == [CONFLICT]
        storage.claim_due(LAST, LAST, 9)
        assert storage.summary("o-1") == said

        put(storage, change(expected=2, appended=0, parties=()))
        found = storage.summary("o-1")
        assert found is not None
        assert (found.parties, found.state) == ((), "pending")
        assert storage.summary("o-3") is None

    def test_receipts_by_key(self, storage: Storage) -> None:
        """
        All receipts of an order are listed by key, for ever as they were.
        """
        keys = ("b", "a", "A", "\u00e9", "")
        for version, key in enumerate(keys):
            put(storage, change(expected=version, receipt=receipt(key, last=version)))
        put(storage, change("o-2", receipt=receipt("of another order")))

        assert [found.key for found in storage.receipts("o-1")] == sorted(keys)
        assert {found.key: found.last for found in storage.receipts("o-1")} == {
            key: version for version, key in enumerate(keys)
        }

    def test_answer_is_the_callers_own(self, storage: Storage) -> None:
        """
        Whatever a caller does to an answer, what is stored stays as it is.
        """
        put(storage, change(texts=(text(),)))
        texts = storage.load("o-1").texts
        # It may also be one that cannot be changed.
        getattr(texts, "clear", bool)()

        assert storage.load("o-1").texts == {"r-1": "hello"}

    # --- commit -------------------------------------------------------------------

    def test_nothing_to_do(self, storage: Storage) -> None:
        """
        No changes, no results.
        """
        assert list(storage.commit([])) == []

    def test_order_that_exists(self, storage: Storage) -> None:
        """
        A new order with the id of another one conflicts, whoever asks twice.
        """
        put(storage, change())
        before = everything(storage)

        assert list(storage.commit([change(snapshot=b"other")])) == [CONFLICT]
        assert everything(storage) == before

    @pytest.mark.parametrize("expected", [1, 3, 4, 2**40])
    @pytest.mark.parametrize("appended", [0, 1, 2])
    def test_other_version(
        self, storage: Storage, expected: int, appended: int
    ) -> None:
        """
        A change for a version that the order has not writes nothing at all.
        """
        put(storage, change(appended=2, due_at=7, effects=(effect("old"),)))
        before = everything(storage)
        late = change(
            expected=expected,
            appended=appended,
            at=900,
            state="disputed",
            parties=(("buyer", "eve"),),
            due_at=5,
            unassigned=True,
            effects=(effect(),),
            results=(result("old", 0),),
            receipt=receipt(),
            texts=(text(),),
        )

        assert list(storage.commit([late])) == [CONFLICT]
        assert everything(storage) == before

    def test_unknown_order_cannot_go_on(self, storage: Storage) -> None:
        """
        A change of an order that was never placed conflicts.
        """
        assert list(storage.commit([change(expected=1, texts=(text(),))])) == [CONFLICT]
        assert storage.load("o-1") == StoredOrder(order_id="o-1")
        assert list(storage.events("o-1")) == []

    def test_new_order_has_no_effects_yet(self, storage: Storage) -> None:
        """
        A new order that says what became of an effect conflicts.
        """
        early = change(effects=(effect(),), results=(result(token=0),))

        assert list(storage.commit([early])) == [CONFLICT]
        assert storage.load("o-1").version == 0

    def test_conflict_comes_before_any_other_complaint(self, storage: Storage) -> None:
        """
        Who repeats what was written hears of a conflict, not of a taken key, a
        second settlement or a time that runs back.
        """
        first = change(
            settles=True, effects=(effect(),), receipt=receipt(), texts=(text(),)
        )
        put(storage, first)
        put(storage, change(expected=1, at=200))
        before = everything(storage)

        assert list(storage.commit([first])) == [CONFLICT]
        again = attrs.evolve(
            change(expected=1, at=90, settles=True), effects=(effect(),)
        )
        assert list(storage.commit([again])) == [CONFLICT]
        assert everything(storage) == before

    def test_wrong_batch_comes_before_a_conflict(self, storage: Storage) -> None:
        """
        What is wrong by itself is wrong, conflict or not.
        """
        put(storage, change())
        before = everything(storage)

        with pytest.raises(InvalidInputError):
            storage.commit([change(version=2)])
        with pytest.raises(StorageError):
            storage.commit([change(books=books(held=1))])
        with pytest.raises(InvalidInputError):
            storage.commit([change("o-2"), change(), change("o-2", 1)])
        assert everything(storage) == before

    def test_same_version_appends_nothing(self, storage: Storage) -> None:
        """
        A change may leave the version as it is, but must know it.
        """
        put(storage, change())
        still = change(expected=1, appended=0, snapshot=b"new", due_at=3)
        put(storage, still)
        assert storage.load("o-1").snapshot == b"new"
        assert storage.load("o-1").due_at == 3
        assert len(storage.events("o-1")) == 1

        put(storage, change(expected=1))
        before = everything(storage)
        assert list(storage.commit([still])) == [CONFLICT]
        assert everything(storage) == before

    @pytest.mark.parametrize("appended", [0, 1])
    def test_second_receipt_of_a_key(self, storage: Storage, appended: int) -> None:
        """
        One key stands for one command of an order: the second one conflicts.
        """
        put(storage, change(receipt=receipt()))
        before = everything(storage)
        second = change(
            expected=1,
            appended=appended,
            receipt=receipt(fingerprint="other"),
            texts=(text(),),
        )

        assert list(storage.commit([second])) == [CONFLICT]
        assert everything(storage) == before

    def test_one_reason_is_enough(self, storage: Storage) -> None:
        """
        Version, receipt and token: any one of them that does not fit keeps the
        change from being written, and so do all at once.
        """
        put(
            storage,
            change(receipt=receipt(), effects=(effect("a"), effect("b"))),
            change("o-2", effects=(effect("a"),)),
        )
        tokens = {
            claimed.key: claimed.token
            for claimed in storage.claim_effects(100, 200, 9)
            if claimed.order_id == "o-1"
        }
        before = everything(storage)

        for expected in (0, 1, 2):
            for used in (False, True):
                for drift in (-1, 0, 1):
                    late = change(
                        expected=expected,
                        parties=(("buyer", "eve"),),
                        due_at=50,
                        receipt=receipt("ana:k" if used else "ana:other"),
                        results=(
                            result("a", tokens["a"]),
                            result("b", tokens["b"] + drift),
                        ),
                        effects=(effect("c"),),
                        texts=(text(),),
                    )
                    if (expected, used, drift) != (1, False, 0):
                        assert list(storage.commit([late])) == [CONFLICT]
                        assert everything(storage) == before

    def test_batch_is_not_all_or_nothing(self, storage: Storage) -> None:
        """
        In a batch each change has its own result, in order; a conflict takes
        nothing along and leaves nothing behind.
        """
        put(storage, change("o-2", receipt=receipt()), change("o-4"))

        results = storage.commit(
            [
                change("o-1", texts=(text(),)),
                change("o-2", 1, receipt=receipt(), texts=(text("r-2"),)),
                change("o-3"),
                change("o-4", 3),
                change("o-5"),
            ]
        )

        assert list(results) == [DONE, CONFLICT, DONE, CONFLICT, DONE]
        versions = [storage.load(f"o-{n}").version for n in range(1, 6)]
        assert versions == [1, 1, 1, 1, 1]
        assert storage.load("o-1").texts == {"r-1": "hello"}
        assert list(storage.texts("o-2")) == []

    def test_batch_of_conflicts(self, storage: Storage) -> None:
        """
        A batch in which nothing fits writes nothing.
        """
        put(storage, change(), change("o-2"))
        before = everything(storage)

        late = [change("o-1", 2), change("o-2")]
        assert list(storage.commit(late)) == [CONFLICT] * 2
        assert everything(storage) == before

    def test_batch_has_an_end(self, storage: Storage) -> None:
        """
        Fifty changes are a batch, one more is refused.
        """
        changes = [change(f"o-{n}") for n in range(51)]

        with pytest.raises(InvalidInputError, match="at most 50"):
            storage.commit(changes)
        assert ids(storage.find(Query())) == []
        put(storage, *changes[:50])
        put(storage, *(change(f"o-{n}", 1) for n in range(50)))
        assert {storage.load(f"o-{n}").version for n in range(50)} == {2}

    def test_batch_names_an_order_once(self, storage: Storage) -> None:
        """
        Two changes of one order are no batch.
        """
        with pytest.raises(InvalidInputError, match="another order"):
            storage.commit([change(), change(expected=1)])
        assert storage.load("o-1").version == 0

    @_by_name(_WRONG)
    def test_wrong_by_itself(self, storage: Storage, wrong: Change) -> None:
        """
        A change whose events do not count from one version to the other is wrong,
        and so is a new order of nobody.
        """
        with pytest.raises(InvalidInputError):
            storage.commit([change("o-0"), wrong])
        assert ids(storage.find(Query())) == []

    @pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a batch"])
    @_by_name(_REFUSED)
    def test_what_must_not_become_history(
        self, storage: Storage, wrong: Change, alone: bool
    ) -> None:
        """
        What contradicts itself, or is of another type, is refused; nothing of the
        call is written, not even what came before it.
        """
        put(storage, change("o-2"))
        before = everything(storage)

        with pytest.raises(StorageError):
            storage.commit([wrong] if alone else [change("o-0"), wrong, change("o-3")])
        assert everything(storage) == before
        put(storage, change())

    def test_one_settlement(self, storage: Storage) -> None:
        """
        An order is settled once in its life; another order has its own.
        """
        put(storage, change(settles=True))
        put(storage, change(expected=1))
        before = everything(storage)

        with pytest.raises(StorageError):
            storage.commit([change("o-2"), change(expected=2, settles=True)])
        assert everything(storage) == before
        put(storage, change("o-2", settles=True))
        assert [event.settles for event in storage.events("o-1")] == [True, False]

    def test_time_does_not_run_back(self, storage: Storage) -> None:
        """
        An event is never before the event before it, but may be at its instant.
        """
        put(storage, change(at=100))
        before = everything(storage)

        with pytest.raises(StorageError):
            storage.commit([change(expected=1, at=99)])
        assert everything(storage) == before
        put(storage, change(expected=1, at=100))

    def test_key_of_an_effect_is_taken_for_ever(self, storage: Storage) -> None:
        """
        A key that an order used once is never free again, not even when it is done;
        another order may use it.
        """
        put(storage, change(effects=(effect(),)))
        (claimed,) = storage.claim_effects(100, 200, 1)
        put(storage, change(expected=1, results=(result(token=claimed.token),)))
        before = everything(storage)

        with pytest.raises(StorageError):
            storage.commit([change(expected=2, effects=(effect(),))])
        assert everything(storage) == before
        put(storage, change("o-2", effects=(effect(),)))

    # --- the journal --------------------------------------------------------------

    def test_oldest_first(self, storage: Storage) -> None:
        """
        Events come back as they were written, oldest first.
        """
        put(storage, change(appended=2))
        put(storage, change("o-2"))
        put(storage, change(expected=2, at=200, settles=True))

        events = storage.events("o-1")

        assert [event.seq for event in events] == [1, 2, 3]
        assert events[2] == StoredEvent(
            seq=3,
            name="order_placed",
            effective_at=200,
            recorded_at=201,
            settles=True,
            body=b"('o-1', 3)",
            hash=digest(3),
        )

    def test_written_before_it_counts(self, storage: Storage) -> None:
        """
        When an event is written and when it counts need not agree.
        """
        put(storage, change(events=(attrs.evolve(change().events[0], recorded_at=3),)))

        (event,) = storage.events("o-1")
        assert (event.effective_at, event.recorded_at) == (100, 3)

    def test_part_of_the_journal(self, storage: Storage) -> None:
        """
        A journal can be read in parts: so many, after that number.
        """
        put(storage, change(appended=5))

        parts = [
            [event.seq for event in storage.events("o-1", after, 2)]
            for after in (0, 2, 4, 5, 2**40)
        ]

        assert parts == [[1, 2], [3, 4], [5], [], []]

    def test_long_journal(self, storage: Storage) -> None:
        """
        500 events come in one trip by default, 1000 if they are asked for; in
        order, also beyond what sorts well as text.
        """
        put(storage, change(appended=1100))

        assert [event.seq for event in storage.events("o-1")] == [*range(1, 501)]
        found = storage.events("o-1", 99, 1000)
        assert [event.seq for event in found] == [*range(100, 1100)]
        assert len({event.hash for event in found}) == 1000

    @pytest.mark.parametrize("limit", [-1, 0, 1001, 2**40])
    def test_limit(self, storage: Storage, limit: int) -> None:
        """
        Whatever returns many returns 1 to 1000.
        """
        put(storage, change(due_at=1, effects=(effect(ready_at=1),)))
        asks: list[Callable[[], object]] = [
            lambda: storage.events("o-1", 0, limit),
            lambda: storage.claim_due(1, 2, limit),
            lambda: storage.claim_effects(1, 2, limit),
            lambda: storage.find(Query(), limit=limit),
            lambda: storage.stuck_effects(0, LAST, limit=limit),
        ]
        for ask in asks:
            with pytest.raises(InvalidInputError) as caught:
                ask()
            assert caught.value.field == "limit"
        assert storage.next_due(0, LAST) == storage.next_effect(0, LAST) == 1

    def test_greatest_limit(self, storage: Storage) -> None:
        """
        1000 may be asked for.
        """
        put(storage, change(due_at=1, effects=(effect(ready_at=1),)))

        assert len(storage.events("o-1", 0, 1000)) == 1
        assert len(storage.claim_due(1, 2, 1000)) == 1
        assert len(storage.claim_effects(1, 2, 1000)) == 1
        assert len(storage.find(Query(), limit=1000).items) == 1
        assert storage.stuck_effects(0, LAST, limit=1000).items == ()

    # --- texts --------------------------------------------------------------------

    def test_texts_of_the_order(self, storage: Storage) -> None:
        """
        The texts of the order come along, and those of no other; listed by ref,
        with their salts, to take them elsewhere.
        """
        second = text("r-2", "", subject_id="luc", salt=b"\0\xff")
        put(storage, change(texts=(second, text("r-1", "one"))))
        put(storage, change("o-2", texts=(text("r-3"),)))

        assert storage.load("o-1").texts == {"r-1": "one", "r-2": ""}
        assert list(storage.texts("o-1")) == [text("r-1", "one"), second]
        assert list(storage.texts("o-2")) == [text("r-3")]

    def test_first_text_stays(self, storage: Storage) -> None:
        """
        A text that the order has already is left as it is; another order has its
        own.
        """
        put(storage, change(texts=(text("r-1", "first"),)))
        put(storage, change(expected=1, texts=(text("r-1", "second"), text("r-2"))))
        put(storage, change("o-2", texts=(text("r-1", "third"),)))

        assert storage.load("o-1").texts == {"r-1": "first", "r-2": "hello"}
        assert storage.load("o-2").texts == {"r-1": "third"}

    @pytest.mark.parametrize("behind", [0, 1], ids=["alone", "beside a conflict"])
    @pytest.mark.parametrize("count", [1, 3])
    def test_first_text_of_a_change(
        self, storage: Storage, count: int, behind: int
    ) -> None:
        """
        Of texts with one ref in one change the first is kept, whatever else is
        written with it.
        """
        words = [text("r-1", "first"), text("r-1", "second", subject_id="luc")]
        changes = [change(f"o-{n}", texts=tuple(words)) for n in range(count)]
        lost = [change(f"x-{n}", 1) for n in range(behind)]

        storage.commit([*lost, *changes])

        for written in changes:
            assert list(storage.texts(written.order_id)) == words[:1]

    def test_erased(self, storage: Storage) -> None:
        """
        The texts of a person are gone from all orders, and counted once; those of
        others stay.
        """
        mine, yours = text("r-1"), text("r-2", subject_id="luc")
        put(storage, change(texts=(mine, yours)), change("o-2", texts=(mine,)))

        assert storage.erase_texts("ana", ["o-1", "o-2", "o-3"]) == 2
        assert storage.erase_texts("ana", ["o-1", "o-2", "o-3"]) == 0
        assert storage.erase_texts("eve", ["o-1", "o-2"]) == 0
        assert storage.load("o-1").texts == {"r-2": "hello"}
        assert storage.load("o-2").texts == {}
        assert list(storage.texts("o-1")) == [yours]
        assert list(storage.texts("o-2")) == []
        found = storage.find(Query()).items
        assert [order.texts for order in found] == [{"r-2": "hello"}, {}]

    def test_erased_in_some_orders(self, storage: Storage) -> None:
        """
        Only the orders that are named are touched: one that was placed a moment ago
        keeps its texts.
        """
        put(storage, change(texts=(text(),)), change("o-2", texts=(text(),)))

        assert storage.erase_texts("ana", []) == 0
        assert storage.erase_texts("ana", ["o-2"]) == 1

        assert storage.load("o-1").texts == {"r-1": "hello"}
        assert storage.load("o-2").texts == {}
        assert ids(storage.find(Query(subject="ana"))) == ["o-1"]

    def test_too_many_orders_to_erase_in(self, storage: Storage) -> None:
        """
        At most 1000 orders at once.
        """
        put(storage, change(texts=(text(),)))
        names = ["o-1", *(f"x-{n}" for n in range(1000))]

        with pytest.raises(InvalidInputError):
            storage.erase_texts("ana", names)

        assert storage.erase_texts("ana", names[:-1]) == 1

    def test_erased_from_the_files(self, storage: Storage, tmp_path: Path) -> None:
        """
        Not a byte of an erased text is left in the folder.
        """
        choice = Random(1)
        words: dict[str, dict[str, str]] = {person: {} for person in _PEOPLE}
        for _ in range(16):
            batch = []
            for _ in range(50):
                order_id, person = choice.randbytes(12).hex(), choice.choice(_PEOPLE)
                # Most of them short: many of those share a page.
                longest = choice.choice((450, 450, 450, 450, 1500))
                said = choice.randbytes(choice.randint(50, longest)).hex()
                words[person][order_id] = said
                batch.append(
                    change(order_id, texts=(text("r", said, subject_id=person),))
                )
            put(storage, *batch)
        gone = {said for name in _PEOPLE[::2] for said in words[name].values()}

        # Somebody who is erased first has to be gone when others were erased, too.
        for name in _PEOPLE[::2]:
            assert storage.erase_texts(name, [*words[name]]) == len(words[name])

        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        raw = b"".join(file.read_bytes() for file in files)
        left = _left_of(gone, raw)
        assert not left or not self.overwrites, f"pieces of {len(left)} texts"
        for name in _PEOPLE[1::2]:
            for order_id, said in words[name].items():
                assert storage.load(order_id).texts == {"r": said}

    def test_erased_again(self, storage: Storage, tmp_path: Path) -> None:
        """
        Erasing what was erased already finds nothing, and changes nothing.
        """
        put(storage, change(texts=(text(),)), change("o-2", texts=(text(),)))
        assert storage.erase_texts("ana", ["o-1"]) == 1
        before = everything(storage)

        assert storage.erase_texts("ana", ["o-1"]) == 0
        assert storage.erase_texts("ana", []) == 0
        assert everything(storage) == before

    def test_erased_text_can_be_written_again(self, storage: Storage) -> None:
        """
        What was erased leaves no trace, not even that it was there.
        """
        put(storage, change(texts=(text(),)))
        storage.erase_texts("ana", ["o-1"])
        put(storage, change(expected=1, texts=(text("r-1", "again"),)))

        assert storage.load("o-1").texts == {"r-1": "again"}
        assert storage.erase_texts("ana", ["o-1"]) == 1

    def test_erasing_leaves_the_history(self, storage: Storage) -> None:
        """
        Erasing a text touches nothing else.
        """
        put(
            storage,
            change(
                due_at=5,
                unassigned=True,
                effects=(effect(),),
                receipt=receipt(),
                texts=(text(),),
            ),
        )
        storage.claim_due(5, 50, 1)
        storage.claim_effects(100, 200, 1)
        before = everything(storage)

        storage.erase_texts("ana", ["o-1"])

        after = everything(storage)
        touched = {name for name in after if after[name] != before[name]}
        loads = {name for name in after if name.startswith("load 'o-1'")}
        assert touched == {
            "find",
            "texts 'o-1'",
            f"find {Query(subject='ana')}",
            *loads,
        }
        assert attrs.evolve(before["load 'o-1'"], texts={}) == after["load 'o-1'"]
