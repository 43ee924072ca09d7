"""
What workers take: orders that are due, and effects to carry out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from ..errors import InvalidInputError, StorageError
from ..storage import Query, Storage, StoredEffect, StoredOrder
from .base import Checks
from .given import (
    CONFLICT,
    LAST,
    change,
    digest,
    effect,
    everything,
    ids,
    pages,
    park,
    parked,
    put,
    result,
    snapshot,
    text,
)

__all__ = ["Queues"]


def _keys(effects: Sequence[StoredEffect]) -> list[tuple[str, str]]:
    return [(effect.order_id, effect.key) for effect in effects]


class Queues(Checks):
    """
    Deadlines with leases, and an outbox with claims, tokens and parking.
    """

    # --- orders that are due ------------------------------------------------------

    def test_most_overdue_first(self, storage: Storage) -> None:
        """
        What is due by now is handed out, most overdue first, then by id.
        """
        due = {"o-1": 30, "o-2": 10, "o-3": 20, "o-4": 10, "o-5": 31, "o-6": None}
        put(storage, *(change(name, due_at=at) for name, at in due.items()))

        first = storage.claim_due(30, 100, 3)

        assert ids(first) == ["o-2", "o-4", "o-3"]
        assert [order.due_at for order in first] == [10, 10, 20]
        assert ids(storage.claim_due(30, 100, 3)) == ["o-1"]
        assert list(storage.claim_due(30, 100, 3)) == []

    def test_due_order_comes_whole(self, storage: Storage) -> None:
        """
        A due order can be settled without being loaded once more.
        """
        put(storage, change(appended=2, due_at=10, texts=(text(),)))
        park(storage, "o-1", parked(4))

        assert list(storage.claim_due(10, 20, 5)) == [
            StoredOrder(
                order_id="o-1",
                version=2,
                snapshot=snapshot(2),
                head=digest(2),
                due_at=10,
                parked=parked(4),
                texts={"r-1": "hello"},
            )
        ]
        assert storage.load("o-1").due_at == 10

    def test_due_to_the_microsecond(self, storage: Storage) -> None:
        """
        An order is due at its instant, not a microsecond before it.
        """
        put(storage, change(due_at=10))

        assert list(storage.claim_due(9, 100, 1)) == []
        assert ids(storage.claim_due(10, 100, 1)) == ["o-1"]

    def test_lease(self, storage: Storage) -> None:
        """
        What was handed out is not handed out again before the lease is over.
        """
        put(storage, change(due_at=10))
        assert ids(storage.claim_due(10, 20, 1)) == ["o-1"]

        assert list(storage.claim_due(19, 40, 1)) == []
        assert storage.next_due(0, LAST) == 20
        assert ids(storage.claim_due(20, 40, 1)) == ["o-1"]
        assert storage.next_due(0, LAST) == 40

    def test_events_end_lease_and_parking(self, storage: Storage) -> None:
        """
        Whoever moves an order on gives it back, and it is well again.
        """
        put(storage, change(due_at=10))
        park(storage, "o-1", parked(5))
        storage.claim_due(10, 1000, 1)

        put(storage, change(expected=1, due_at=11))

        assert storage.load("o-1").parked is None
        assert storage.next_due(0, LAST) == 11
        assert ids(storage.claim_due(11, 1000, 1)) == ["o-1"]

    def test_change_without_events_ends_neither(self, storage: Storage) -> None:
        """
        What appends nothing has not moved the order on.
        """
        put(storage, change(due_at=10))
        park(storage, "o-1", parked(5))
        storage.claim_due(10, 1000, 1)

        put(storage, change(expected=1, appended=0, due_at=11))

        assert storage.load("o-1").parked == parked(5)
        assert storage.next_due(0, LAST) == 1000
        assert list(storage.claim_due(999, 2000, 1)) == []
        assert ids(storage.claim_due(1000, 2000, 1)) == ["o-1"]

    def test_conflict_does_not_end_it(self, storage: Storage) -> None:
        """
        Who comes too late gives nothing back.
        """
        put(storage, change(due_at=10))
        storage.claim_due(10, 1000, 1)

        assert list(storage.commit([change(expected=2, due_at=1)])) == [CONFLICT]
        assert list(storage.claim_due(11, 1000, 1)) == []
        assert storage.next_due(0, LAST) == 1000

    def test_lease_is_of_one_order(self, storage: Storage) -> None:
        """
        A lease holds back the orders that were handed out, and no other.
        """
        put(storage, change("o-1", due_at=10), change("o-2", due_at=11))
        storage.claim_due(10, 1000, 5)

        assert storage.next_due(0, LAST) == 11
        assert ids(storage.claim_due(11, 1000, 5)) == ["o-2"]

    def test_parked_order(self, storage: Storage) -> None:
        """
        A parked order keeps its deadline, but waits; the others do not.
        """
        put(storage, change("o-1", due_at=10), change("o-2", due_at=20))
        park(storage, "o-1", parked(50))

        assert storage.next_due(0, LAST) == 20
        assert ids(storage.claim_due(49, 100, 9)) == ["o-2"]
        assert storage.next_due(0, LAST) == 50
        assert ids(storage.claim_due(50, 90, 9)) == ["o-1"]
        assert storage.next_due(0, LAST) == 90
        assert storage.load("o-1").due_at == 10

    def test_parking_comes_back_whole(self, storage: Storage) -> None:
        """
        Since when, until when, how often and why: as it was said last.
        """
        put(storage, change())
        for why in (parked(LAST, since=0, attempts=0, reason=""), parked(9), None):
            park(storage, "o-1", why)
            assert storage.load("o-1").parked == why
            assert [o.parked for o in storage.find(Query()).items] == [why]
            assert len(storage.find(Query(parked=True)).items) == (why is not None)

    @pytest.mark.parametrize("version", [0, 1, 3])
    def test_parking_what_moved_on(self, storage: Storage, version: int) -> None:
        """
        An order at another version is not parked, nor is an unknown one; who was
        at work on it keeps it.
        """
        put(storage, change(appended=2, due_at=10))
        storage.claim_due(10, 1000, 1)
        before = everything(storage)

        assert storage.park("o-1", version, parked(99)) is False
        assert storage.park("o-1", version, None) is False
        assert storage.park("o-2", version, parked(99)) is False
        assert everything(storage) == before

    @pytest.mark.parametrize(
        "fields",
        [
            {"until": 0.1},
            {"until": 2**63},
            {"until": None},
            {"since": "then"},
            {"attempts": 1.5},
            {"reason": None},
            {"reason": b"bytes"},
            {"reason": "\ud800"},
        ],
        ids=ascii,
    )
    def test_parked_for_no_reason(
        self, storage: Storage, fields: dict[str, Any]
    ) -> None:
        """
        What is of another type is refused, and nothing is written.
        """
        put(storage, change(due_at=5))
        before = everything(storage)

        with pytest.raises(StorageError):
            storage.park("o-1", 1, parked(**({"until": 1} | fields)))
        assert everything(storage) == before

    def test_parked_until_before_it_is_due(self, storage: Storage) -> None:
        """
        Being parked never makes an order due earlier.
        """
        put(storage, change(due_at=50))
        park(storage, "o-1", parked(10))

        assert storage.next_due(0, LAST) == 50
        assert list(storage.claim_due(49, 100, 9)) == []

    def test_lease_does_not_end_the_parking(self, storage: Storage) -> None:
        """
        A parked order that was handed out is still parked; who parks it gives it
        back.
        """
        put(storage, change(due_at=10))
        storage.claim_due(10, 30, 1)
        park(storage, "o-1", parked(20))
        assert storage.next_due(0, LAST) == 20

        (due,) = storage.claim_due(20, 70, 1)
        assert due.parked == parked(20)
        assert storage.next_due(0, LAST) == 70
        assert storage.load("o-1").parked == parked(20)

    def test_order_that_is_well_again(self, storage: Storage) -> None:
        """
        Without parking an order is due at its deadline.
        """
        put(storage, change(due_at=10))
        park(storage, "o-1", parked(LAST))
        assert storage.next_due(0, LAST) == LAST
        park(storage, "o-1", None)

        assert storage.load("o-1").parked is None
        assert storage.next_due(0, LAST) == 10
        assert ids(storage.claim_due(10, 20, 1)) == ["o-1"]

    def test_nothing_is_due(self, storage: Storage) -> None:
        """
        Orders that wait for nothing are never due, parked or not.
        """
        assert storage.next_due(0, LAST) is None
        put(storage, change("o-1"), change("o-2"))
        park(storage, "o-2", parked(5))

        assert storage.next_due(0, LAST) is None
        assert list(storage.claim_due(LAST, LAST, 9)) == []

    def test_deadline_goes(self, storage: Storage) -> None:
        """
        The deadline of an order is the one of the last change.
        """
        put(storage, change(due_at=10))
        put(storage, change(expected=1))

        assert storage.next_due(0, LAST) is None
        assert list(storage.claim_due(LAST, LAST, 9)) == []

    def test_soonest_of_many(self, storage: Storage) -> None:
        """
        The next instant is the soonest of free, leased and parked orders.
        """
        put(
            storage,
            change("o-1", due_at=10),
            change("o-2", due_at=40),
            change("o-3", due_at=1),
        )
        park(storage, "o-3", parked(30))
        assert storage.next_due(0, LAST) == 10
        storage.claim_due(10, 35, 9)
        assert storage.next_due(0, LAST) == 30
        storage.claim_due(30, 50, 9)
        assert storage.next_due(0, LAST) == 35
        storage.claim_due(35, 60, 9)
        assert storage.next_due(0, LAST) == 40

    def test_lease_of_a_wrong_clock(self, storage: Storage) -> None:
        """
        Whoever takes a lease of 10 believes one that ends 20 from now, since no clock
        is quite right, and none that ends later.
        """
        put(storage, change("o-1", due_at=10), change("o-2", due_at=11))
        storage.claim_due(10, 40, 1)
        storage.claim_due(11, 41, 1)

        assert storage.next_due(20, 30) == 11
        assert ids(storage.claim_due(20, 30, 9)) == ["o-2"]
        assert storage.next_due(20, 30) == 30
        assert list(storage.claim_due(21, 31, 9)) == []
        assert ids(storage.claim_due(30, 40, 9)) == ["o-2"]
        assert ids(storage.claim_due(40, 50, 9)) == ["o-1", "o-2"]

    def test_lease_of_a_distant_future(self, storage: Storage) -> None:
        """
        An order that somebody took who lives in another century is due at its
        deadline, or when its parking is over, all the same.
        """
        put(storage, change("o-1", due_at=100), change("o-2", due_at=50))
        park(storage, "o-2", parked(120))
        assert len(storage.claim_due(LAST - 9, LAST, 9)) == 2

        assert storage.next_due(20, 30) == 100
        assert list(storage.claim_due(99, 109, 9)) == []
        assert ids(storage.claim_due(100, 110, 9)) == ["o-1"]
        assert storage.next_due(100, 110) == 110
        assert storage.next_due(100, 105) == 110
        put(storage, change("o-1", 1))
        assert storage.next_due(100, 110) == 120
        assert ids(storage.claim_due(120, 130, 9)) == ["o-2"]

    def test_known_processes(self, storage: Storage) -> None:
        """
        Who asks for orders of some processes gets no others, and does not wait for
        them; none is none.
        """
        put(
            storage,
            change("o-1", due_at=1, fingerprint="new"),
            change("o-2", due_at=2, fingerprint="old"),
            change("o-3", due_at=3, fingerprint="older"),
            change("o-4", due_at=4, fingerprint="old"),
        )

        assert storage.next_due(5, 9, known=()) is None
        assert list(storage.claim_due(5, 9, 9, known=[])) == []
        assert storage.next_due(5, 9, known=["older", "never"]) == 3
        assert ids(storage.claim_due(5, 9, 1, known={"old", "older"})) == ["o-2"]
        assert ids(storage.claim_due(5, 9, 9, known=("old", "older"))) == ["o-3", "o-4"]
        assert storage.next_due(5, 9, known=["old"]) == 9
        assert storage.next_due(5, 9) == 1
        assert ids(storage.claim_due(5, 9, 9)) == ["o-1"]

    def test_waiting_never_spins(self, storage: Storage) -> None:
        """
        A worker that waits until the next instant always gets something then.
        """
        put(storage, *(change(f"o-{n}", due_at=n * 7 % 30) for n in range(20)))
        for n in range(0, 20, 2):
            park(storage, f"o-{n}", parked(n * 5 % 40))
        now = 0
        for _ in range(60):
            soonest = storage.next_due(now, now + 17)
            assert soonest is not None
            now = soonest
            assert list(storage.claim_due(now - 1, now + 9, 3)) == []
            assert storage.claim_due(now, now + 17, 3)

    # --- effects ------------------------------------------------------------------

    def test_in_the_order_they_were_asked_for(self, storage: Storage) -> None:
        """
        Effects of an order are listed by event, then as they were written.
        """
        first = (effect("z", seq=2), effect("y", seq=1), effect("a", seq=2))
        put(storage, change(appended=2, effects=first))
        put(storage, change(expected=2, effects=(effect("b", seq=3),)))

        effects = storage.effects("o-1")

        assert [effect.key for effect in effects] == ["y", "z", "a", "b"]
        assert effects[0] == StoredEffect(
            order_id="o-1",
            key="y",
            kind="notify",
            seq=1,
            moves_money=False,
            status="waiting",
            attempts=0,
            token=0,
            ready_at=100,
            body=b"body",
        )

    def test_longest_ready_first(self, storage: Storage) -> None:
        """
        Those that have been ready longest are handed out first.
        """
        put(
            storage,
            change("o-2", effects=(effect("a", ready_at=2), effect("b", ready_at=1))),
            change("o-1", appended=2, effects=(effect("d", seq=2, ready_at=3),)),
            change("o-3", effects=(effect("e", ready_at=4),)),
        )

        claimed = [_keys(storage.claim_effects(3, 9, 1)) for _ in range(4)]

        assert claimed == [[("o-2", "b")], [("o-2", "a")], [("o-1", "d")], []]

    def test_ready_to_the_microsecond(self, storage: Storage) -> None:
        """
        An effect is ready at its instant, not a microsecond before it.
        """
        put(storage, change(effects=(effect(ready_at=100),)))

        assert storage.next_effect(0, LAST) == 100
        assert list(storage.claim_effects(99, 200, 1)) == []
        assert len(storage.claim_effects(100, 200, 1)) == 1

    def test_claim(self, storage: Storage) -> None:
        """
        A claim counts the attempt, and is a lease: the same effect, with a higher
        token, to the next one.
        """
        put(storage, change(effects=(effect(moves_money=True),)))

        (first,) = storage.claim_effects(100, 200, 5)
        assert list(storage.claim_effects(199, 300, 5)) == []
        assert storage.next_effect(0, LAST) == 200
        (second,) = storage.claim_effects(200, 300, 5)

        assert first == StoredEffect(
            order_id="o-1",
            key="e-1",
            kind="notify",
            seq=1,
            moves_money=True,
            status="claimed",
            attempts=1,
            token=first.token,
            ready_at=200,
            body=b"body",
        )
        assert second.token > first.token > 0
        assert second == attrs.evolve(
            first, attempts=2, ready_at=300, token=second.token
        )
        assert list(storage.effects("o-1")) == [second]
        assert storage.next_effect(0, LAST) == 300

    def test_commit_does_not_end_a_claim(self, storage: Storage) -> None:
        """
        What happens to the order does not touch its effects.
        """
        put(storage, change(effects=(effect(),)))
        claimed = list(storage.claim_effects(100, 200, 5))
        put(storage, change(expected=1))

        assert list(storage.effects("o-1")) == claimed
        assert list(storage.claim_effects(199, 300, 5)) == []

    def test_kinds(self, storage: Storage) -> None:
        """
        A worker may take some kinds only; none is none.
        """
        kinds = ("refund", "notify", "pay_out")
        put(
            storage,
            change(
                effects=tuple(
                    effect(kind, kind=kind, ready_at=n) for n, kind in enumerate(kinds)
                )
            ),
        )

        assert list(storage.claim_effects(100, 200, 9, kinds=[])) == []
        assert storage.next_effect(0, LAST, kinds=[]) is None
        assert storage.next_effect(0, LAST, kinds=("pay_out", "notify")) == 1
        some = storage.claim_effects(100, 200, 9, kinds={"refund", "pay_out"})
        assert storage.next_effect(0, LAST, kinds=("refund",)) == 200
        rest = storage.claim_effects(100, 300, 9)

        assert {effect.kind for effect in some} == {"refund", "pay_out"}
        assert [effect.kind for effect in rest] == ["notify"]
        assert storage.next_effect(0, LAST) == 200
        assert storage.next_effect(0, LAST, kinds=("notify", "unheard of")) == 300

    def test_claim_of_a_wrong_clock(self, storage: Storage) -> None:
        """
        A claim that ends later than twice as far ahead as one's own does not keep an
        effect from being tried; whoever holds it has an old token.
        """
        put(storage, change(effects=(effect("a"), effect("b"), effect("c"))))
        wrong, right = storage.claim_effects(100, 1021, 2)
        assert storage.settle_effect("o-1", result("b", right.token, status="waiting"))
        storage.claim_effects(100, 1020, 1, kinds=["notify"])

        assert storage.next_effect(1000, 1010, known=["f1"]) == 100
        assert storage.next_effect(1000, 1010, known=["f2"]) is None
        assert _keys(storage.claim_effects(1000, 1010, 1)) == [("o-1", "c")]
        assert storage.next_effect(1000, 1010) == 1000
        (again,) = storage.claim_effects(1000, 1010, 9)
        assert (again.key, again.attempts, again.ready_at) == ("a", 2, 1010)
        assert storage.next_effect(1000, 1010) == 1010
        assert storage.settle_effect("o-1", result("a", wrong.token)) is False
        assert storage.settle_effect("o-1", result("a", again.token)) is True

    def test_effect_that_waits_is_not_claimed(self, storage: Storage) -> None:
        """
        What waits for its time waits, however long.
        """
        put(storage, change(effects=(effect(ready_at=LAST),)))

        assert storage.next_effect(100, 110) == LAST
        assert list(storage.claim_effects(100, 110, 9)) == []

    def test_effects_of_known_processes(self, storage: Storage) -> None:
        """
        Who asks for effects of orders of some processes gets no others.
        """
        put(
            storage,
            change("o-1", fingerprint="new", effects=(effect(ready_at=1),)),
            change("o-2", fingerprint="old", effects=(effect(ready_at=2),)),
            change("o-3", fingerprint="older", effects=(effect(ready_at=3),)),
        )

        assert storage.next_effect(5, 9, known=()) is None
        assert list(storage.claim_effects(5, 9, 9, known=[])) == []
        assert storage.next_effect(5, 9, known=["older", "old"]) == 2
        assert storage.next_effect(5, 9, ["refund"], ["old"]) is None
        some = storage.claim_effects(5, 9, 9, known={"old", "older", "never"})
        assert _keys(some) == [("o-2", "e-1"), ("o-3", "e-1")]
        assert storage.next_effect(5, 9, ["notify"], ["old"]) == 9
        assert storage.next_effect(5, 9) == 1
        put(storage, change("o-2", 1, fingerprint="new"))
        assert storage.next_effect(5, 9, known=["new"]) == 1
        claimed = storage.claim_effects(9, 19, 9, ["notify"], ["new"])
        assert _keys(claimed) == [("o-1", "e-1"), ("o-2", "e-1")]

    def test_as_many_as_asked_for(self, storage: Storage) -> None:
        """
        No more are claimed than were asked for.
        """
        put(storage, change(effects=tuple(effect(f"e-{n}") for n in range(5))))

        claims = [storage.claim_effects(100, 200, 2) for _ in range(4)]

        assert [len(claim) for claim in claims] == [2, 2, 1, 0]
        assert {effect.key for claim in claims for effect in claim} == {
            f"e-{n}" for n in range(5)
        }

    def test_done(self, storage: Storage) -> None:
        """
        What is done is never handed out again, and stays on the list with what it
        asked for and what became of it.
        """
        put(storage, change(effects=(effect(),)))
        (claimed,) = storage.claim_effects(100, 200, 1)
        done = result(token=claimed.token, body=b"ref", ready_at=150)

        put(storage, change(expected=1, results=(done,)))

        assert storage.next_effect(0, LAST) is None
        assert list(storage.claim_effects(LAST, LAST, 1)) == []
        assert list(storage.effects("o-1")) == [
            attrs.evolve(claimed, status="done", result=b"ref", ready_at=150)
        ]

    def test_try_again(self, storage: Storage) -> None:
        """
        What is to be tried again is ready when the result says; the attempts are
        those of the result.
        """
        put(storage, change(effects=(effect(),)))
        (claimed,) = storage.claim_effects(100, 200, 1)

        again = result(
            token=claimed.token, status="waiting", ready_at=500, attempts=7, body=b"why"
        )
        put(storage, change(expected=1, appended=0, results=(again,)))

        assert storage.effects("o-1")[0].status == "waiting"
        assert storage.next_effect(0, LAST) == 500
        assert list(storage.claim_effects(499, 600, 1)) == []
        (second,) = storage.claim_effects(500, 600, 1)
        assert second.token > claimed.token
        assert second == attrs.evolve(
            claimed, attempts=8, ready_at=600, result=b"why", token=second.token
        )

    def test_parked_effect(self, storage: Storage) -> None:
        """
        A parked effect waits for a person, who can send it on its way again.
        """
        put(storage, change(effects=(effect(),)))
        (claimed,) = storage.claim_effects(100, 200, 1)
        aside = result(token=claimed.token, status="parked", body=b"why", attempts=3)
        put(storage, change(expected=1, results=(aside,)))

        assert storage.next_effect(0, LAST) is None
        assert list(storage.claim_effects(LAST, LAST, 1)) == []
        (found,) = storage.stuck_effects(0, LAST).items
        assert found == storage.effects("o-1")[0]
        assert (found.status, found.attempts, found.result) == ("parked", 3, b"why")

        again = result(token=claimed.token, status="waiting", ready_at=300)
        put(storage, change(expected=2, results=(again,)))

        assert storage.stuck_effects(0, LAST).items == ()
        assert storage.claim_effects(300, 400, 1)[0].token > claimed.token

    @pytest.mark.parametrize(
        ("order_id", "key", "drift"),
        [
            ("o-1", "e-1", -1),
            ("o-1", "e-1", 1),
            ("o-1", "unknown", 0),
            ("o-2", "e-1", 0),
        ],
        ids=["earlier", "later", "unknown effect", "other order"],
    )
    @pytest.mark.parametrize("appended", [0, 1])
    def test_stale_token(
        self, storage: Storage, order_id: str, key: str, drift: int, appended: int
    ) -> None:
        """
        A result for another claim, another effect or another order's effect makes
        the whole change a conflict.
        """
        put(storage, change(effects=(effect(),)), change("o-2"))
        storage.claim_effects(100, 200, 1)
        (claimed,) = storage.claim_effects(200, 300, 1)
        before = everything(storage)

        late = change(
            order_id,
            1,
            appended,
            results=(result(key, claimed.token + drift),),
            texts=(text(),),
        )

        assert list(storage.commit([late])) == [CONFLICT]
        assert everything(storage) == before

    def test_token_survives_the_result(self, storage: Storage) -> None:
        """
        Who was slow is told so, also when another has sent the effect back.
        """
        put(storage, change(effects=(effect(),)))
        (slow,) = storage.claim_effects(100, 200, 1)
        (fast,) = storage.claim_effects(200, 300, 1)
        again = result(token=fast.token, status="waiting", ready_at=400)
        put(storage, change(expected=1, appended=0, results=(again,)))

        late = change(expected=1, appended=0, results=(result(token=slow.token),))
        assert list(storage.commit([late])) == [CONFLICT]
        assert storage.effects("o-1")[0].status == "waiting"

    def test_unclaimed_effect_has_a_token(self, storage: Storage) -> None:
        """
        An effect that nobody claimed can be settled with the token it has.
        """
        put(storage, change(effects=(effect(),)))
        (waiting,) = storage.effects("o-1")
        put(storage, change(expected=1, results=(result(token=waiting.token),)))

        assert storage.effects("o-1")[0].status == "done"

    @pytest.mark.parametrize("status", ["done", "waiting", "parked"])
    def test_done_is_done(self, storage: Storage, status: str) -> None:
        """
        What is done cannot become anything else, not even with its own token.
        """
        put(storage, change(effects=(effect(),)))
        (claimed,) = storage.claim_effects(100, 200, 1)
        done = result(token=claimed.token, body=b"first")
        put(storage, change(expected=1, appended=0, results=(done,)))
        before = everything(storage)

        again = result(token=claimed.token, status=status, body=b"second")
        late = change(expected=1, appended=0, results=(again,))

        assert list(storage.commit([late])) == [CONFLICT]
        assert everything(storage) == before

    def test_several_results(self, storage: Storage) -> None:
        """
        One change may tell of several effects, and ask for new ones.
        """
        kept = change(effects=(effect("a"), effect("b"), effect("c")))
        put(storage, kept)
        tokens = {e.key: e.token for e in storage.claim_effects(100, 200, 9)}
        results = (
            result("a", tokens["a"]),
            result("b", tokens["b"], status="parked"),
            result("c", tokens["c"], status="waiting", ready_at=300),
        )
        put(
            storage,
            change(expected=1, results=results, effects=(effect("d", seq=2),)),
        )

        found = {effect.key: effect.status for effect in storage.effects("o-1")}
        assert found == {"a": "done", "b": "parked", "c": "waiting", "d": "waiting"}

    def test_settled_without_a_change(self, storage: Storage) -> None:
        """
        What became of an effect can be written by itself; the order stays as it is.
        """
        put(storage, change(due_at=10, effects=(effect(),)))
        storage.claim_due(10, 1000, 1)
        (claimed,) = storage.claim_effects(100, 200, 1)
        order = storage.load("o-1")

        for status in ("claimed", "waiting", "parked", "done"):
            mine = result(
                token=claimed.token,
                status=status,
                attempts=4,
                ready_at=300,
                body=status.encode(),
            )
            assert storage.settle_effect("o-1", mine) is True
            settled = attrs.evolve(
                claimed, status=status, attempts=4, ready_at=300, result=mine.body
            )
            assert list(storage.effects("o-1")) == [settled]
            assert storage.next_effect(0, LAST) == (
                300 if status in ("claimed", "waiting") else None
            )
        assert storage.load("o-1") == order
        assert storage.next_due(0, LAST) == 1000

    @pytest.mark.parametrize(
        ("order_id", "key", "drift"),
        [
            ("o-1", "e-1", -1),
            ("o-1", "e-1", 1),
            ("o-1", "unknown", 0),
            ("o-2", "e-1", 0),
            ("o-3", "e-1", 0),
        ],
        ids=["earlier", "later", "unknown effect", "other order", "no order"],
    )
    def test_stale_token_alone(
        self, storage: Storage, order_id: str, key: str, drift: int
    ) -> None:
        """
        A result for another claim, another effect or another order's effect is
        not written.
        """
        put(storage, change(effects=(effect(),)), change("o-2"))
        storage.claim_effects(100, 200, 1)
        (claimed,) = storage.claim_effects(200, 300, 1)
        before = everything(storage)

        late = result(key, claimed.token + drift)
        assert storage.settle_effect(order_id, late) is False
        assert everything(storage) == before

    @pytest.mark.parametrize("status", ["done", "waiting", "parked"])
    def test_done_alone_is_done(self, storage: Storage, status: str) -> None:
        """
        What is done stays so, whichever way it was written.
        """
        put(storage, change(effects=(effect(),)))
        (claimed,) = storage.claim_effects(100, 200, 1)
        done = result(token=claimed.token, body=b"first")
        assert storage.settle_effect("o-1", done) is True
        before = everything(storage)

        again = result(token=claimed.token, status=status, body=b"second")
        assert storage.settle_effect("o-1", again) is False
        late = change(expected=1, results=(again,))
        assert list(storage.commit([late])) == [CONFLICT]
        assert everything(storage) == before

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": "lost"},
            {"status": "\ud800"},
            {"attempts": -1},
            {"attempts": 0.5},
            {"ready_at": 2**63},
            {"ready_at": "soon"},
            {"body": "text"},
            {"body": None},
        ],
        ids=ascii,
    )
    def test_no_result_alone(self, storage: Storage, fields: dict[str, Any]) -> None:
        """
        What is of another type, or no end of an attempt, is refused.
        """
        put(storage, change(effects=(effect(),)))
        (claimed,) = storage.claim_effects(100, 200, 1)
        before = everything(storage)

        with pytest.raises(StorageError):
            storage.settle_effect("o-1", result(token=claimed.token, **fields))
        assert everything(storage) == before
        assert storage.settle_effect("o-1", result(token=claimed.token)) is True

    def test_begun(self, storage: Storage) -> None:
        """
        What begins goes on being claimed, as long as it was, by whoever claimed it.
        """
        put(storage, change(effects=(effect(), effect("e-2"))))
        claimed, _ = storage.claim_effects(100, 200, 2)

        begins = result(
            token=claimed.token, status="claimed", attempts=1, ready_at=200, body=b"on"
        )
        assert storage.settle_effect("o-1", begins) is True

        assert storage.effects("o-1")[0] == attrs.evolve(claimed, result=b"on")
        assert list(storage.claim_effects(199, 300, 2)) == []
        again, other = storage.claim_effects(200, 300, 2)
        assert (again.attempts, again.result, other.result) == (2, b"on", b"")
        assert again.token > claimed.token
        assert storage.settle_effect("o-1", begins) is False

    @pytest.mark.parametrize("status", ["begun", "lost", "", "DONE"])
    def test_no_result(self, storage: Storage, status: str) -> None:
        """
        An attempt ends with done, waiting or parked, and is claimed until then.
        """
        put(storage, change(effects=(effect(),)))
        (claimed,) = storage.claim_effects(100, 200, 1)
        before = everything(storage)

        odd = result(token=claimed.token, status=status)
        with pytest.raises(StorageError):
            storage.commit([change(expected=1, results=(odd,))])
        assert everything(storage) == before

    def test_from_another_storage(self, storage: Storage) -> None:
        """
        An effect can come with its past: done and parked ones stay so.
        """
        past = tuple(
            effect(status, status=status, attempts=n, result=b"then")
            for n, status in enumerate(("waiting", "done", "parked"))
        )
        put(storage, change(effects=past))

        found = storage.effects("o-1")
        assert [(e.key, e.status, e.attempts, e.result) for e in found] == [
            ("waiting", "waiting", 0, b"then"),
            ("done", "done", 1, b"then"),
            ("parked", "parked", 2, b"then"),
        ]
        assert _keys(storage.stuck_effects(0, LAST).items) == [("o-1", "parked")]
        assert _keys(storage.claim_effects(100, 200, 9)) == [("o-1", "waiting")]

    # --- stuck effects ------------------------------------------------------------

    @pytest.mark.parametrize("beyond", [99, 100, 150, 199, 200, LAST])
    def test_not_ready_by_then(self, storage: Storage, beyond: int) -> None:
        """
        What is not ready by an instant is listed as well, whether it waits or is
        claimed; what is done is not.
        """
        put(
            storage,
            change(
                effects=(
                    effect("claimed", ready_at=1),
                    effect("done", status="done", ready_at=LAST),
                    effect("parked", status="parked", ready_at=1),
                    effect("soon", ready_at=100),
                    effect("later", ready_at=200),
                )
            ),
        )
        storage.claim_effects(1, 150, 1)
        ready = {"claimed": 150, "later": 200, "soon": 100, "parked": LAST + 1}

        found = storage.stuck_effects(0, beyond).items

        assert _keys(found) == [
            ("o-1", key) for key in sorted(ready) if ready[key] > beyond
        ]
        for one in found:
            assert one in storage.effects("o-1")

    @pytest.mark.parametrize("overdue", [0, 1, 2, 100, 101, 150, 151, 201, LAST])
    def test_ready_for_too_long(self, storage: Storage, overdue: int) -> None:
        """
        Money that was ready before an instant is listed as well, whether it waits or
        its claim has ended; a letter is not, and nothing twice.
        """
        put(
            storage,
            change(
                effects=(
                    effect("claimed", ready_at=1, moves_money=True),
                    effect("done", status="done", ready_at=1, moves_money=True),
                    effect("letter", ready_at=2),
                    effect("money", ready_at=100, moves_money=True),
                    effect("parked", status="parked", ready_at=1, moves_money=True),
                    effect("later", ready_at=200, moves_money=True),
                )
            ),
        )
        storage.claim_effects(1, 150, 1)
        ready = {"claimed": 150, "money": 100, "later": 200, "parked": -1}

        for beyond in (0, 199, LAST):
            found = storage.stuck_effects(overdue, beyond).items

            listed = {key for key in ready if ready[key] < overdue}
            listed |= {key for key in ready if ready[key] > beyond}
            if not beyond:
                listed.add("letter")
            assert _keys(found) == [("o-1", key) for key in sorted({*listed, "parked"})]

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 50])
    def test_stuck_effects(self, storage: Storage, limit: int) -> None:
        """
        Stuck effects are listed by order and key, each on one page.
        """
        names = ("o-2", "o-1", "O", "o-10", "")
        for name in names:
            put(
                storage,
                change(
                    name,
                    effects=(
                        effect("b", status="parked"),
                        effect("done", status="done"),
                        effect("a", ready_at=500),
                        effect("c", ready_at=9, moves_money=True),
                        effect("waiting"),
                    )[: 1 if name == "O" else 5],
                ),
            )
        whole = sorted(
            (name, key) for name in names for key in "abc" if name != "O" or key == "b"
        )

        found = pages(
            lambda after, limit: storage.stuck_effects(10, 499, after, limit), limit
        )

        assert [key for page in found for key in _keys(page)] == whole
        assert all(len(page) == limit for page in found[:-1])
        assert found[-1]

    @pytest.mark.parametrize("after", ["", "nonsense", "\0", "\ud800"], ids=ascii)
    def test_stuck_after_nowhere(self, storage: Storage, after: str) -> None:
        """
        Only what a page gave leads to the next one.
        """
        with pytest.raises(InvalidInputError) as caught:
            storage.stuck_effects(0, LAST, after=after)
        assert caught.value.field == "after"
