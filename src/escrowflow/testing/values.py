"""
What is written, to the bit: any text, any bytes, any instant.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from random import Random
from typing import Any, Final

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import example as explicit
from hypothesis import strategies as st

from ..errors import InvalidInputError, StorageError
from ..storage import Change, Page, Query, Storage, StoredOrder
from ..storage.memory import MemoryStorage
from .base import Checks
from .given import (
    HALVES,
    HOSTILE,
    LAST,
    change,
    effect,
    everything,
    ids,
    kept,
    pages,
    park,
    parked,
    put,
    receipt,
    result,
    text,
)

__all__ = ["Values"]

# One storage for all examples: each brings ids of its own.
_EXAMPLES: Final = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
# All that UTF-8 has.  Asked for it by that name, Hypothesis encodes every code point
# there is, which takes seconds.
_SIGNS: Final = st.characters(exclude_categories=["Cs"])
_TEXTS: Final = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60
)
_INSTANTS: Final = st.integers(0, LAST) | st.sampled_from(
    [0, 1, 999_999, 1_000_000, 2**31 * 10**6, 2**53, 2**53 + 1, LAST - 1, LAST]
)


def _found(
    storage: Storage, query: Query, after: str | None, limit: int
) -> Page[StoredOrder]:
    return storage.find(query, after=after, limit=limit)


def _everywhere(words: str, order_id: str | None = None) -> Change:
    """
    Return a change that has a text in all its places, which is an order by itself.
    """
    (event,) = change().events
    return change(
        words if order_id is None else order_id,
        process=words,
        fingerprint=words,
        state=words,
        snapshot=b"",
        parties=((words, words),),
        due_at=1,
        events=(attrs.evolve(event, name=words),),
        effects=(effect(words, kind=words), effect(f"{words}!", status="parked")),
        receipt=receipt(words, fingerprint=words),
        texts=(text(words, words, subject_id=words),),
    )


_PLACES: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "order_id": lambda half: {"order_id": half},
    "process": lambda half: {"process": half},
    "fingerprint": lambda half: {"fingerprint": half},
    "state": lambda half: {"state": half},
    "role": lambda half: {"parties": ((half, "ana"),)},
    "party": lambda half: {"parties": (("buyer", half),)},
    "currency": lambda half: {"books": attrs.evolve(change().books, currency=half)},
    "event": lambda half: {"events": (attrs.evolve(change().events[0], name=half),)},
    "effect": lambda half: {"effects": (effect(half),)},
    "kind": lambda half: {"effects": (effect(kind=half),)},
    "key": lambda half: {"receipt": receipt(half)},
    "receipt": lambda half: {"receipt": receipt(fingerprint=half)},
    "ref": lambda half: {"texts": (text(half),)},
    "subject": lambda half: {"texts": (text(subject_id=half),)},
    "text": lambda half: {"texts": (text(words=half),)},
}


class Values(Checks):
    """
    The same bytes out as in, or a refusal.
    """

    @pytest.mark.parametrize("words", HOSTILE, ids=range(len(HOSTILE)))
    def test_any_text_comes_back(self, storage: Storage, words: str) -> None:
        """
        Every text there is can be an id, a name or a body, and is only itself.
        """
        with MemoryStorage() as reference:
            for asked in (storage, reference):
                put(asked, change("other"))
                if not kept(asked, _everywhere(words)):
                    return
                park(asked, words, parked(1, reason=words))

            def seen(asked: Storage) -> dict[str, Any]:
                return everything(asked, ("other", words), (words, "ana:k"))

            assert seen(storage) == seen(reference)
            for query in (
                Query(party=words),
                Query(role=words),
                Query(party=words, role=words, parked=True),
                Query(subject=words),
                Query(states=None if "\0" in words else ["x", words], parked=True),
            ):
                assert ids(storage.find(query)) == [words], query
            # Nobody can ask for a kind whose name has a NUL in it.
            kinds = None if "\0" in words else ["x", words]
            known = None if "\0" in words else ["f", words]
            (claimed,) = storage.claim_effects(100, 200, 9, kinds, known)
            assert claimed == reference.claim_effects(100, 200, 9, kinds)[0]
            assert storage.next_effect(0, LAST, kinds, known) == 200
            assert ids(storage.claim_due(1, 2, 9, known)) == [words]
            reference.claim_due(1, 2, 9)
            for asked in (storage, reference):
                done = (result(words, claimed.token),)
                again = change(words, 1, results=done, receipt=receipt("new"))
                put(asked, again)
                assert asked.erase_texts(words, ["other", words]) == 1
            assert seen(storage) == seen(reference)

    @pytest.mark.parametrize("limit", [1, 3, 50])
    def test_all_of_them_at_once(self, storage: Storage, limit: int) -> None:
        """
        Texts that look alike are different ids; they are sorted by code point, and
        a page may end at each of them.
        """
        written = [words for words in HOSTILE if kept(storage, _everywhere(words))]
        for words in written:
            park(storage, words, parked(1, reason=words))

        for query in (Query(), Query(by_due=True), Query(parked=True)):
            found = pages(partial(_found, storage, query), limit)
            assert [order.order_id for page in found for order in page] == sorted(
                written
            )
        effects = pages(
            lambda after, limit: storage.stuck_effects(0, LAST, after, limit), limit
        )
        assert [effect.order_id for page in effects for effect in page] == sorted(
            written
        )
        for words in written:
            assert ids(storage.find(Query(party=words))) == [words]
            assert storage.load(words).texts == {words: words}
        composed, decomposed = "caf\u00e9", "cafe\u0301"
        assert storage.erase_texts(composed, [composed, decomposed]) == 1
        assert storage.load(decomposed).texts == {decomposed: decomposed}

    def test_longest_ids(self, storage: Storage) -> None:
        """
        Ids and keys of 255 characters of 4 bytes, none like the other, so that none
        can be packed: each has room in every index, and two of them in one.
        """
        choice = Random(1)

        def wide() -> str:
            return "".join(chr(choice.randrange(0x20000, 0x2A000)) for _ in range(255))

        order_id, key, ref, subject, buyer, seller = (wide() for _ in range(6))
        effects = effect(key), effect(wide(), status="parked")
        first = change(
            order_id,
            due_at=1,
            unassigned=True,
            parties=(("buyer", buyer), ("seller", seller)),
            effects=effects,
            receipt=receipt(key),
            texts=(text(ref, subject_id=subject),),
        )
        put(storage, first)
        park(storage, order_id, parked(1))

        assert storage.load(order_id, key).receipt == receipt(key)
        assert [one.key for one in storage.effects(order_id)] == [
            one.key for one in effects
        ]
        for query in (Query(party=buyer), Query(party=seller), Query(subject=subject)):
            assert ids(storage.find(query)) == [order_id]
        assert ids(storage.claim_due(1, 2, 9)) == [order_id]
        (claimed,) = storage.claim_effects(100, 200, 9)
        assert storage.settle_effect(order_id, result(key, claimed.token))
        assert storage.erase_texts(subject, [order_id]) == 1

    def test_composed_and_decomposed(self, storage: Storage) -> None:
        """
        Texts that look the same but are written in different ways are not the same.
        """
        put(storage, change("caf\u00e9"))

        assert storage.load("cafe\u0301").version == 0
        assert storage.load("CAF\u00c9").version == 0
        assert storage.load("caf\u00e9 ").version == 0
        put(storage, change("cafe\u0301"))

    @pytest.mark.parametrize("place", _PLACES)
    def test_half_a_character(self, storage: Storage, place: str) -> None:
        """
        What is no text is refused wherever it stands, and nothing is written.
        """
        put(storage, change("o-0"))
        before = everything(storage)
        for half in HALVES:
            wrong = change(**({"order_id": "o-1"} | _PLACES[place](half)))
            with pytest.raises(StorageError):
                storage.commit([wrong])
            assert everything(storage) == before
        assert ids(storage.find(Query())) == ["o-0"]
        put(storage, change())

    @pytest.mark.parametrize("half", HALVES, ids=ascii)
    def test_half_a_character_finds_nothing(self, storage: Storage, half: str) -> None:
        """
        What cannot be stored is not stored, and asking for it is no error.
        """
        put(storage, change(due_at=1, effects=(effect(),)))

        assert storage.load(half, half) == StoredOrder(order_id=half)
        assert storage.load("o-1", half).receipt is None
        assert list(storage.events(half)) == []
        assert list(storage.effects(half)) == []
        assert list(storage.receipts(half)) == []
        assert storage.summary(half) is None
        assert list(storage.texts(half)) == []
        for query in (
            Query(party=half),
            Query(role=half),
            Query(states=[half]),
            Query(subject=half),
        ):
            assert ids(storage.find(query)) == []
        assert ids(storage.find(Query(unknown_to=[half]))) == ["o-1"]
        assert list(storage.claim_due(100, 200, 9, known=[half])) == []
        assert storage.next_due(100, 200, known=[half]) is None
        assert list(storage.claim_effects(100, 200, 9, kinds=[half])) == []
        assert list(storage.claim_effects(100, 200, 9, known=[half])) == []
        assert storage.next_effect(0, LAST, kinds=[half]) is None
        asks: list[Callable[[], int]] = [
            lambda: storage.erase_texts(half, ["o-1"]),
            lambda: storage.erase_texts("ana", [half]),
            lambda: storage.park(half, 1, parked(5)),
            lambda: storage.settle_effect(half, result(token=0)),
            lambda: storage.settle_effect("o-1", result(half, 1)),
        ]
        for ask in asks:
            # Those that write may also say that they cannot.
            with suppress(StorageError):
                assert not ask()

    def test_random_texts(self, storage: Storage) -> None:
        """
        Any text comes back as it was.
        """
        number = count()

        @_EXAMPLES
        @given(_TEXTS)
        def example(words: str) -> None:
            name = f"o-{next(number)}"
            put(storage, _everywhere(words, name))
            park(storage, name, parked(1, reason=words))

            loaded = storage.load(name, words)
            assert loaded.texts == {words: words}
            assert loaded.receipt == receipt(words, fingerprint=words)
            assert loaded.parked == parked(1, reason=words)
            assert storage.events(name)[0].name == words
            assert sorted(effect.key for effect in storage.effects(name)) == sorted(
                [words, f"{words}!"]
            )

        example()

    def test_random_bytes(self, storage: Storage) -> None:
        """
        Bodies are bytes, whatever is in them, and never looked into.
        """
        number = count()

        @_EXAMPLES
        @given(st.binary(max_size=500) | st.text(_SIGNS, max_size=99).map(str.encode))
        def example(body: bytes) -> None:
            name = f"o-{next(number)}"
            (event,) = change().events
            digest = body.ljust(32, b"\0")[:32]
            put(
                storage,
                change(
                    name,
                    snapshot=body,
                    events=(attrs.evolve(event, body=body, hash=digest),),
                    effects=(effect(body=body, result=body[::-1]),),
                    texts=(text(salt=body),),
                ),
            )

            loaded, (stored,) = storage.load(name), storage.effects(name)
            assert (loaded.snapshot, loaded.head) == (body, digest)
            assert (stored.body, stored.result) == (body, body[::-1])
            assert [(e.body, e.hash) for e in storage.events(name)] == [(body, digest)]
            assert [found.salt for found in storage.texts(name)] == [body]

        example()

    def test_large_ones(self, storage: Storage) -> None:
        """
        A snapshot of a megabyte and a text of 16 KiB are nothing special.
        """
        body, words = bytes(range(256)) * 4096, "\u00e9" * 8192
        put(storage, change(snapshot=body, texts=(text("r-1", words),)))

        assert storage.load("o-1").snapshot == body
        assert storage.load("o-1").texts == {"r-1": words}

    def test_random_instants(self, storage: Storage) -> None:
        """
        From 1970 to the end of the year 9999, no microsecond is lost.
        """
        number = count()

        @_EXAMPLES
        @given(_INSTANTS, _INSTANTS, _INSTANTS)
        # The last microsecond there is, which is odd: no float can hold it.
        @explicit(LAST, LAST, LAST)
        @explicit(0, 0, 0)
        def example(first: int, second: int, third: int) -> None:
            name = f"o-{next(number)}"
            (event,) = change().events
            why = parked(third, since=second)
            put(
                storage,
                change(
                    name,
                    due_at=first,
                    events=(
                        attrs.evolve(event, effective_at=second, recorded_at=first),
                    ),
                    effects=(effect(ready_at=third),),
                ),
            )
            park(storage, name, why)

            loaded = storage.load(name)
            (written,) = storage.events(name)
            assert (loaded.due_at, loaded.parked) == (first, why)
            assert (written.effective_at, written.recorded_at) == (second, first)
            assert storage.effects(name)[0].ready_at == third
            assert storage.next_effect(0, LAST) == min(
                effect.ready_at
                for n in range(int(name[2:]) + 1)
                for effect in storage.effects(f"o-{n}")
            )

        example()

    @pytest.mark.parametrize("instant", [0, 1, 2**53 + 1, LAST - 1])
    def test_instant_decides(self, storage: Storage, instant: int) -> None:
        """
        A microsecond decides whether something is due, whatever the century.
        """
        ready = (effect(ready_at=instant),)
        put(storage, change(at=instant, due_at=instant, effects=ready))

        assert storage.next_due(0, LAST) == storage.next_effect(0, LAST) == instant
        assert list(storage.claim_due(instant - 1, LAST, 1)) == []
        assert list(storage.claim_effects(instant - 1, LAST, 1)) == []
        assert ids(storage.claim_due(instant, instant + 1, 1)) == ["o-1"]
        (claimed,) = storage.claim_effects(instant, instant + 1, 1)
        assert storage.next_due(0, LAST) == storage.next_effect(0, LAST) == instant + 1
        assert claimed.ready_at == instant + 1
        assert list(storage.claim_due(instant, LAST, 1)) == []
        assert list(storage.claim_effects(instant, LAST, 1)) == []

    def test_greatest_amounts(self, storage: Storage) -> None:
        """
        Amounts have room for 63 bits, to the unit.
        """
        much = 2**63 - 1
        put(storage, change(books=attrs.evolve(change().books, price=much)))
        rich = attrs.evolve(change().books, paid_in=much, held=much - 1, kept=1)
        put(storage, change("o-2", books=rich))

        with pytest.raises(StorageError):
            storage.commit([change("o-3", books=attrs.evolve(rich, kept=2))])
        assert ids(storage.find(Query())) == ["o-1", "o-2"]

    def test_limits_are_whole_numbers(self, storage: Storage) -> None:
        """
        A limit of one is one.
        """
        put(storage, change("o-1", due_at=1), change("o-2", due_at=1))

        assert len(storage.claim_due(1, 2, 1)) == 1
        with pytest.raises(InvalidInputError):
            storage.claim_due(1, 2, 0)
