"""
What the checks write, and how they look at what was written.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ..errors import StorageError
from ..storage import (
    Books,
    Change,
    CommitResult,
    EffectResult,
    NewEffect,
    NewEvent,
    Page,
    Parked,
    Query,
    Receipt,
    Storage,
    StoredOrder,
    StoredText,
)

__all__ = [
    "CONFLICT",
    "DONE",
    "HALVES",
    "HOSTILE",
    "LAST",
    "THREADS",
    "at_once",
    "books",
    "change",
    "counted_up",
    "digest",
    "effect",
    "everything",
    "ids",
    "kept",
    "pages",
    "park",
    "parked",
    "put",
    "receipt",
    "result",
    "snapshot",
    "text",
]

DONE: Final = CommitResult.DONE
CONFLICT: Final = CommitResult.CONFLICT

# The last microsecond of the year 9999.
LAST: Final = 253_402_300_799_999_999

THREADS: Final = 8

# Texts that some layer of some storage may want to read as more than a text.  The
# longest are as long as the engine lets an id be.
HOSTILE: Final = (
    "",
    " ",
    "o'neil",
    "'; DROP TABLE escrowflow_order; --",
    '"; DELETE FROM escrowflow_order; --',
    "nul\0inside",
    "\0",
    "caf\u00e9",
    "cafe\u0301",
    "\U0001f600",
    "\u202eright to left\u2066",
    "\ufeffmark",
    "\uffff\U0010ffff",
    "100%_?",
    "%s %(a)s %%",
    ":order_id",
    "? ?1 $1 @a",
    "{kinds}{}",
    '["\\ud800", null]',
    "a\nb\tc\x1f\x7f\u0085\u2028",
    "NULL",
    "0",
    "1e999",
    "\\x00\\",
    "x" * 255,
    "\U0001f600" * 255,
)

# Halves of a character: no text at all, so they can be neither stored nor found.
HALVES: Final = ("\ud800", "a\udfffb")


def digest(seq: int, order_id: str = "o-1") -> bytes:
    """
    Return the hash of an event, as far as a storage can tell.
    """
    return hashlib.sha256(ascii((order_id, seq)).encode()).digest()


def snapshot(version: int, order_id: str = "o-1") -> bytes:
    """
    Return the snapshot of an order at a version.
    """
    return ascii((order_id, version)).encode()


def books(**fields: Any) -> Books:
    """
    Return the books of an order of 10.00 euros that holds them.
    """
    given: dict[str, Any] = {
        "currency": "EUR",
        "price": 1000,
        "paid_in": 1000,
        "held": 1000,
        "refunded": 0,
        "released": 0,
        "kept": 0,
    }
    return Books(**(given | fields))


def change(
    order_id: str = "o-1",
    expected: int = 0,
    appended: int = 1,
    *,
    at: int = 100,
    settles: bool = False,
    **fields: Any,
) -> Change:
    """
    Return a change that appends some events.

    Args:
        at: When the events count, in microseconds.

        settles: Whether the last of them settles the order.
    """
    version = expected + appended
    given: dict[str, Any] = {
        "order_id": order_id,
        "expected_version": expected,
        "version": version,
        "process": "comeup",
        "fingerprint": "f1",
        "state": "pending",
        "books": books(),
        "snapshot": snapshot(version, order_id),
        "parties": None if expected else (("buyer", "ana"), ("seller", "luc")),
        "events": tuple(
            NewEvent(
                seq=seq,
                name="order_placed",
                effective_at=at,
                recorded_at=at + 1,
                settles=settles and seq == version,
                body=ascii((order_id, seq)).encode(),
                hash=digest(seq, order_id),
            )
            for seq in range(expected + 1, version + 1)
        ),
    }
    return Change(**(given | fields))


def effect(key: str = "e-1", **fields: Any) -> NewEffect:
    """
    Return an effect that the first event asks for, ready at 100.
    """
    given: dict[str, Any] = {
        "kind": "notify",
        "seq": 1,
        "moves_money": False,
        "ready_at": 100,
        "body": b"body",
    }
    return NewEffect(key=key, **(given | fields))


def result(key: str = "e-1", token: int = 1, **fields: Any) -> EffectResult:
    """
    Return that an effect was carried out.
    """
    given: dict[str, Any] = {"status": "done", "attempts": 1, "ready_at": 0}
    return EffectResult(key=key, token=token, **(given | fields))


def text(ref: str = "r-1", words: str = "hello", **fields: Any) -> StoredText:
    """
    Return a text of ana's.
    """
    given: dict[str, Any] = {"subject_id": "ana", "salt": b"salt"}
    return StoredText(ref=ref, text=words, **(given | fields))


def receipt(key: str = "ana:k", **fields: Any) -> Receipt:
    """
    Return what a key stands for.
    """
    given: dict[str, Any] = {"fingerprint": "f", "first": 1, "last": 1}
    return Receipt(key=key, **(given | fields))


def parked(until: int, **fields: Any) -> Parked:
    """
    Return why an order is left alone until an instant.
    """
    given: dict[str, Any] = {"since": 1, "attempts": 1, "reason": "no process"}
    return Parked(until=until, **(given | fields))


def put(storage: Storage, *changes: Change) -> None:
    """
    Write changes that must not conflict.
    """
    assert list(storage.commit(changes)) == [DONE] * len(changes)


def ids(found: Page[StoredOrder] | Iterable[StoredOrder]) -> list[str]:
    """
    Return the ids of orders, in their order.
    """
    items = found.items if isinstance(found, Page) else found
    return [item.order_id for item in items]


def kept(storage: Storage, change: Change) -> bool:
    """
    Write a change with a NUL somewhere, which some databases have no place for;
    return whether it was written.
    """
    try:
        put(storage, change)
    except StorageError:
        assert "\0" in change.order_id
        assert storage.load(change.order_id).version == 0
        return False
    return True


def park(storage: Storage, order_id: str, why: Parked | None) -> None:
    """
    Park an order as it is.
    """
    assert storage.park(order_id, storage.load(order_id).version, why) is True


def pages(
    ask: Callable[[str | None, int], Page[Any]], limit: int
) -> list[Sequence[Any]]:
    """
    Return all pages of what is found, so many at a time.
    """
    found: list[Sequence[Any]] = []
    after: str | None = None
    # More pages than anybody wrote orders: somebody goes round in a circle.
    while len(found) < 1000:
        page = ask(after, limit)
        found.append(page.items)
        after = page.after
        if after is None:
            return found
    raise AssertionError("the pages have no end")


def everything(
    storage: Storage,
    orders: Iterable[str] = ("o-1", "o-2"),
    keys: Iterable[str] = ("ana:k", "ana:other"),
) -> dict[str, Any]:
    """
    Return all that can be seen without changing it, under the name of its verb.
    """
    seen: dict[str, Any] = {}
    for name in orders:
        seen |= {
            f"load {name!r}": storage.load(name),
            f"events {name!r}": list(storage.events(name)),
            f"effects {name!r}": list(storage.effects(name)),
            f"summary {name!r}": storage.summary(name),
            f"receipts {name!r}": list(storage.receipts(name)),
            f"texts {name!r}": list(storage.texts(name)),
        }
        for key in keys:
            seen[f"load {name!r} {key!r}"] = storage.load(name, key)
    # Whoever asks for short leases believes no long ones.
    for now, until, known in ((0, LAST, None), (20, 25, None), (0, LAST, ("f1",))):
        seen[f"next_due {now} {until} {known}"] = storage.next_due(now, until, known)
        for kinds in (None, ("notify",), ("refund", "charge")):
            seen[f"next_effect {now} {until} {kinds} {known}"] = storage.next_effect(
                now, until, kinds, known
            )
    for overdue, beyond in ((0, LAST), (30, 20)):
        seen[f"stuck_effects {overdue} {beyond}"] = storage.stuck_effects(
            overdue, beyond
        ).items
    for query in (
        Query(by_due=True),
        Query(unassigned=True),
        Query(parked=True),
        Query(holding=True),
        Query(party="ana", role="buyer"),
        Query(party="luc"),
        Query(party="eve", role="mediator"),
        Query(subject="ana"),
        Query(due_by=20),
        Query(unknown_to=("f1",), by_due=True),
        *(Query(states=(state,)) for state in ("pending", "disputed", "completed")),
    ):
        seen[f"find {query}"] = ids(storage.find(query, limit=1000))
    seen["find"] = storage.find(Query(), limit=1000).items
    return seen


def at_once(work: Callable[[int], object], count: int = THREADS) -> None:
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


def counted_up(storage: Storage, times: int, order_id: str) -> int:
    """
    Append events one by one, against everybody else who does; return how often
    somebody else was faster.
    """
    lost = 0
    while times:
        version = storage.load(order_id).version
        (answer,) = storage.commit([change(order_id, version)])
        times -= answer is DONE
        lost += answer is CONFLICT
        # A storage that always says no is not raced with for ever.
        assert lost < 100_000
    return lost
