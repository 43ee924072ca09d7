"""
Orders by who takes part and by how they are.
"""

from __future__ import annotations

from collections import ChainMap
from functools import cache
from itertools import chain, combinations, product
from typing import Any, Final

import pytest

from ..errors import InvalidInputError
from ..storage import Page, Query, Storage, StoredOrder
from ..storage.memory import MemoryStorage
from .base import Checks
from .given import (
    CONFLICT,
    books,
    change,
    digest,
    ids,
    pages,
    park,
    parked,
    put,
    snapshot,
    text,
)

__all__ = ["Search"]

_ORDERS: Final = (
    change("o-1", state="pending", due_at=30, texts=(text(),)),
    change(
        "o-2",
        state="disputed",
        unassigned=True,
        texts=(text("r-1", subject_id="eve"), text("r-2", subject_id="eve")),
    ),
    change(
        "o-3",
        state="completed",
        parties=(("buyer", "luc"),),
        due_at=20,
        books=books(held=0, released=1000),
    ),
    change("o-4", state="pending", due_at=20),
    change(
        "o-5",
        state="late",
        fingerprint="f2",
        parties=(("seller", "ana"), ("buyer", "ana")),
    ),
)

# Whoever is asked about, in either order, each of these is asked for alone and with each
# of the others, of the storage and of the reference.
_PARTIES: Final = (None, "ana", "luc", "eve")
_CONDITIONS: Final[tuple[tuple[dict[str, Any], ...], ...]] = (
    tuple({"role": role} for role in ("buyer", "seller", "mediator")),
    tuple(
        {"states": states}
        for states in ((), ("pending",), ["late", "disputed", "never"])
    ),
    ({"unassigned": True},),
    ({"parked": True},),
    ({"holding": True},),
    # Until when they are due, and to whom their process is unknown.
    (
        {"due_by": 5},
        {"unknown_to": ("f1", "f2")},
        {"due_by": 7, "unknown_to": ["f3"]},
    ),
)


def _found(storage: Storage, query: Query, limit: int) -> list[str]:
    found = pages(
        lambda after, limit: storage.find(query, after=after, limit=limit), limit
    )
    # A page that is not the last is full, and the last is not a page too many.
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1] or len(found) == 1
    return [order.order_id for page in found for order in page]


def _put_some(storage: Storage) -> None:
    put(storage, *_ORDERS)
    park(storage, "o-4", parked(1))


def _put_many(storage: Storage) -> None:
    """
    Write orders of every kind, whose ids do not sort as they were written.
    """
    kinds = product((None, 5, 7), (False, True), (None, parked(6)), range(3))
    for n, (due_at, unassigned, why, kind) in enumerate(kinds):
        order = change(
            f"{chr(0x6D - n % 13)}\u00e9{n}" if n % 2 else f"{chr(0x61 + n % 13)}{n}",
            state=("pending", "disputed", "late")[n % 3],
            due_at=due_at,
            fingerprint=("f1", "f2", "f3", "f4", "f5")[n % 5],
            unassigned=unassigned,
            books=books(held=1000 * (n % 2), released=1000 * (1 - n % 2)),
            parties=(
                (("buyer", "ana"), ("seller", "luc")),
                (("buyer", "luc"), ("seller", "ana"), ("mediator", "eve")),
                (("seller", "ana"), ("buyer", "ana")),
            )[kind],
        )
        put(storage, order)
        park(storage, order.order_id, why)


@cache
def _combinations(
    party: str | None, *, by_due: bool
) -> tuple[tuple[Query, list[str]], ...]:
    """
    Return every query about a party with up to two conditions, and what the reference finds: it is asked once,
    however many storages are.
    """
    found = []
    with MemoryStorage() as reference:
        _put_many(reference)
        for subjects in chain.from_iterable(
            combinations(_CONDITIONS, count) for count in range(3)
        ):
            for conditions in product(*subjects):
                fields = ChainMap(*conditions)
                query = Query(party=party, by_due=by_due, **fields)
                found.append((query, ids(reference.find(query))))
    return tuple(found)


class Search(Checks):
    """
    Finding, paging, and who takes part.
    """

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (Query(), "12345"),
            (Query(party="ana"), "1245"),
            (Query(party="luc"), "1234"),
            (Query(party="eve"), ""),
            (Query(party="ana", role="seller"), "5"),
            (Query(party="luc", role="buyer"), "3"),
            (Query(party="luc", role="mediator"), ""),
            (Query(role="seller"), "1245"),
            (Query(states=["pending"]), "14"),
            (Query(states=("late", "disputed", "never")), "25"),
            (Query(states=()), ""),
            (Query(states=frozenset({"late"})), "5"),
            (Query(unassigned=True), "2"),
            (Query(parked=True), "4"),
            (Query(parked=True, unassigned=True), ""),
            (Query(holding=True), "1245"),
            (Query(holding=True, party="luc", by_due=True), "412"),
            (Query(holding=True, states=["completed"]), ""),
            (Query(holding=True, unassigned=True), "2"),
            (Query(party="luc", states=["pending"], parked=True), "4"),
            (Query(subject="ana"), "1"),
            (Query(subject="eve"), "2"),
            (Query(subject="luc"), ""),
            (Query(subject="ana", party="luc", role="seller"), "1"),
            (Query(subject="eve", states=["pending"]), ""),
            (Query(subject="ana", states=["pending"], by_due=True), "1"),
            (Query(due_by=19), ""),
            (Query(due_by=20), "34"),
            (Query(due_by=29, parked=True), "4"),
            (Query(due_by=30, by_due=True), "341"),
            (Query(due_by=30, by_due=True, party="ana"), "41"),
            (Query(unknown_to=()), "12345"),
            (Query(unknown_to=["f1"]), "5"),
            (Query(unknown_to={"f2", "f3"}, states=["pending"]), "14"),
            (Query(unknown_to=("f1", "f2")), ""),
            (Query(unknown_to=("f2",), due_by=20, by_due=True), "34"),
            (Query(by_due=True), "34125"),
            (Query(by_due=True, party="ana"), "4125"),
            (Query(by_due=True, party="luc", role="seller"), "412"),
            (Query(by_due=True, role="buyer", states=["pending"]), "41"),
        ],
        ids=lambda given: given if isinstance(given, str) else None,
    )
    def test_query(self, storage: Storage, query: Query, expected: str) -> None:
        """
        Every condition narrows; each order comes once; pages put end to end are
        the whole, whatever their size.
        """
        _put_some(storage)
        whole = [f"o-{number}" for number in expected]

        for limit in (50, 5, 4, 3, 2, 1):
            assert _found(storage, query, limit) == whole

    @pytest.mark.parametrize("by_due", [False, True], ids=["by id", "by due"])
    @pytest.mark.parametrize("party", _PARTIES, ids=str)
    def test_conditions_together(
        self, storage: Storage, party: str | None, by_due: bool
    ) -> None:
        """
        Whatever is combined, the answer is that of the reference.
        """
        _put_many(storage)
        for number, (query, whole) in enumerate(_combinations(party, by_due=by_due)):
            assert ids(storage.find(query)) == whole, query
            if len(whole) > 1:
                # In pages of one size each; in pages of every size, above.
                limit = (1, 4, len(whole))[number % 3]
                assert _found(storage, query, limit) == whole, query

    def test_what_is_found(self, storage: Storage) -> None:
        """
        What is found is ready to be read, as it would be loaded.
        """
        _put_some(storage)

        page = storage.find(Query(party="ana"), limit=1)

        assert list(page.items) == [
            StoredOrder(
                order_id="o-1",
                version=1,
                snapshot=snapshot(1),
                head=digest(1),
                due_at=30,
                texts={"r-1": "hello"},
            )
        ]
        assert page.after is not None
        for order in storage.find(Query()).items:
            assert order == storage.load(order.order_id)

    def test_last_page(self, storage: Storage) -> None:
        """
        A page that holds all says so; so does one that holds nothing.
        """
        _put_some(storage)

        assert storage.find(Query(), limit=5).after is None
        assert storage.find(Query(), limit=4).after is not None
        assert storage.find(Query(party="eve")) == Page(())

    def test_page_while_others_write(self, storage: Storage) -> None:
        """
        What is written behind a page comes on the next one; what was before it
        does not come twice.
        """
        _put_some(storage)
        first = storage.find(Query(), limit=2)
        put(storage, change("o-0"), change("o-2b"), change("o-1", 1))

        second = storage.find(Query(), after=first.after)

        assert ids(second) == ["o-2b", "o-3", "o-4", "o-5"]

    def test_state_of_the_last_change(self, storage: Storage) -> None:
        """
        An order is found by what it is, not by what it was.
        """
        put(storage, change(state="pending", unassigned=True))
        park(storage, "o-1", parked(5))
        put(
            storage,
            change(expected=1, state="frozen", books=books(held=0, released=1000)),
        )

        assert ids(storage.find(Query(states=["frozen"]))) == ["o-1"]
        for query in (
            Query(states=["pending"]),
            Query(unassigned=True),
            Query(parked=True),
            Query(holding=True),
        ):
            assert ids(storage.find(query)) == []

    def test_other_parties(self, storage: Storage) -> None:
        """
        Who takes part is what the last change says that says anything.
        """
        _put_some(storage)
        parties = (("buyer", "ana"), ("mediator", "mia"))
        put(storage, change("o-1", 1, parties=parties))
        put(storage, change("o-1", 2, appended=0, state="frozen"))

        assert ids(storage.find(Query(party="mia", states=["frozen"]))) == ["o-1"]
        assert ids(storage.find(Query(party="luc"))) == ["o-2", "o-3", "o-4"]
        buys = storage.find(Query(party="ana", role="buyer"))
        assert ids(buys) == ["o-1", "o-2", "o-4", "o-5"]

        put(storage, change("o-1", 2, parties=()))
        assert ids(storage.find(Query(party="mia"))) == []
        assert ids(storage.find(Query(role="mediator"))) == []
        assert "o-1" in ids(storage.find(Query()))

    def test_conflict_leaves_the_parties(self, storage: Storage) -> None:
        """
        Who comes too late changes nobody's part.
        """
        _put_some(storage)
        late = change("o-1", 4, parties=(("buyer", "eve"),))

        assert list(storage.commit([late])) == [CONFLICT]
        assert ids(storage.find(Query(party="eve"))) == []
        assert "o-1" in ids(storage.find(Query(party="luc")))

    def test_party_twice(self, storage: Storage) -> None:
        """
        Who is named twice takes part once.
        """
        put(storage, change(parties=(("buyer", "tom"), ("buyer", "tom"))))

        assert ids(storage.find(Query(party="tom"))) == ["o-1"]
        assert ids(storage.find(Query(role="buyer"))) == ["o-1"]

    def test_order_in_a_lease(self, storage: Storage) -> None:
        """
        Who is at work on an order does not hide it.
        """
        _put_some(storage)
        storage.claim_due(30, 100, 9)

        assert ids(storage.find(Query(due_by=30))) == ["o-1", "o-3", "o-4"]
        assert _found(storage, Query(by_due=True), 2) == [
            f"o-{number}" for number in "34125"
        ]

    @pytest.mark.parametrize("by_due", [True, False], ids=["by due", "by id"])
    @pytest.mark.parametrize("after", ["", "nonsense", "\0", "\ud800"], ids=ascii)
    def test_after_nowhere(self, storage: Storage, after: str, by_due: bool) -> None:
        """
        Only what a page gave leads to the next one.
        """
        with pytest.raises(InvalidInputError) as caught:
            storage.find(Query(by_due=by_due), after=after)
        assert caught.value.field == "after"

    def test_after_of_the_other_ordering(self, storage: Storage) -> None:
        """
        A page by deadline does not lead to a page by id, nor the other way round.
        """
        _put_some(storage)
        for by_due in (True, False):
            page = storage.find(Query(by_due=by_due), limit=1)
            assert page.after is not None
            with pytest.raises(InvalidInputError):
                storage.find(Query(by_due=not by_due), after=page.after)
