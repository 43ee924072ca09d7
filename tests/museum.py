"""
Storages that are broken on purpose, each in one way.

Nothing here is collected; `test_museum` shows that the contract catches each.
"""

# What is inside of them is looked at from all sides: it has no type.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import time
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import attrs

from escrowflow.errors import StorageError
from escrowflow.storage import (
    Capability,
    Change,
    CommitResult,
    EffectResult,
    Page,
    Parked,
    Query,
    StoredEffect,
    StoredEvent,
    StoredOrder,
)
from escrowflow.storage.sqlite import SqliteStorage
from tests.curator import (
    CONFLICT,
    EXHIBITS,
    Durable,
    Flawed,
    caught_by,
    durable_caught_by,
    moved,
    said,
)

__all__ = ["EXHIBITS"]

# --- changes ----------------------------------------------------------------------


@caught_by("test_other_version")
class NoVersionCheck(Flawed):
    """
    Whoever comes last has written.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        return self.inner.commit(
            [moved(change, self.version(change.order_id)) for change in changes]
        )


@caught_by("test_other_version")
class ConflictHalfWritten(Flawed):
    """
    Texts are written before it turns out that the change conflicts.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results: Sequence[CommitResult] = self.inner.commit(changes)
        for change, answer in zip(changes, results, strict=True):
            order = self.inner._orders.get(change.order_id)
            if answer is CONFLICT and order is not None:
                for text in change.texts:
                    order.texts.setdefault(text.ref, text)
        return results


@caught_by("test_conflict_leaves_the_parties")
class ConflictLeavesParties(Flawed):
    """
    Who takes part is written whatever becomes of the rest.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results: Sequence[CommitResult] = self.inner.commit(changes)
        for change in changes:
            order = self.inner._orders.get(change.order_id)
            if order is not None and change.parties is not None:
                order.parties = frozenset(change.parties)
        return results


@caught_by("test_conflict_does_not_end_it")
class ConflictEndsTheLease(Flawed):
    """
    Who comes too late gives back what another is at work on.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results: Sequence[CommitResult] = self.inner.commit(changes)
        for change in changes:
            if change.order_id in self.inner._orders:
                self.inner._orders[change.order_id].lease_until = None
        return results


@caught_by("test_receipt_of_the_key")
class ReceiptsForgotten(Flawed):
    """
    Keys are not kept.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        bare = [attrs.evolve(change, receipt=None) for change in changes]
        return self.inner.commit(bare)


@caught_by("test_second_receipt_of_a_key")
class SecondReceiptOverwrites(Flawed):
    """
    A key stands for whatever was sent under it last.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        for change in changes:
            order = self.inner._orders.get(change.order_id)
            if order is not None and change.receipt is not None:
                order.receipts.pop(change.receipt.key, None)
        return self.inner.commit(changes)


@caught_by("test_wrong_by_itself")
class EventsInAnyOrder(Flawed):
    """
    Events are sorted on the way in, instead of being refused.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        return self.inner.commit(
            [
                attrs.evolve(
                    change,
                    events=tuple(sorted(change.events, key=lambda event: event.seq)),
                )
                for change in changes
            ]
        )


@caught_by("test_wrong_by_itself")
class GapsAccepted(Flawed):
    """
    A missing event is no reason to refuse the others.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        return self.inner.commit(
            [
                attrs.evolve(change, version=change.expected_version + 1)
                if len(change.events) == 1
                else change
                for change in changes
            ]
        )


@caught_by("test_time_does_not_run_back")
class TimeRunsBack(Flawed):
    """
    An event may be before the one before it: it is moved.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        fitted = []
        for change in changes:
            events = self.inner.events(change.order_id, 0, 1000)
            last = events[-1].effective_at if events else 0
            fitted.append(
                attrs.evolve(
                    change,
                    events=tuple(
                        attrs.evolve(e, effective_at=max(e.effective_at, last))
                        for e in change.events
                    ),
                )
            )
        return self.inner.commit(fitted)


@caught_by("test_one_settlement")
class SettlesTwice(Flawed):
    """
    Nobody counts how often an order is settled.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        try:
            return self.inner.commit(changes)
        except StorageError:
            return self.inner.commit(
                [
                    attrs.evolve(
                        change,
                        events=tuple(
                            attrs.evolve(event, settles=False)
                            for event in change.events
                        ),
                    )
                    for change in changes
                ]
            )


@caught_by("test_what_must_not_become_history")
class BooksNotChecked(Flawed):
    """
    Whatever the books say is believed.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        return self.inner.commit(
            [
                attrs.evolve(
                    change, books=attrs.evolve(change.books, held=0, paid_in=0)
                )
                if change.books.held == 999
                else change
                for change in changes
            ]
        )


@caught_by("test_batch_is_not_all_or_nothing")
class BatchAllOrNothing(Flawed):
    """
    One conflict takes the whole batch along.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if any(self.version(c.order_id) != c.expected_version for c in changes):
            return [CONFLICT] * len(changes)
        return self.inner.commit(changes)


@caught_by("test_what_must_not_become_history")
class BatchLeftBehind(Flawed):
    """
    What came before the change that is refused stays.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if len(changes) > 1:
            return [answer for c in changes for answer in self.inner.commit([c])]
        return self.inner.commit(changes)


@caught_by("test_what_was_written_last")
class SnapshotOfBefore(Flawed):
    """
    A cache that is not told of changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[str, bytes] = {}

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        order: StoredOrder = self.inner.load(order_id, key)
        if order.version:
            self.cache.setdefault(order_id, order.snapshot)
            order = attrs.evolve(order, snapshot=self.cache[order_id])
        return order


@caught_by("test_what_is_found")
class SnapshotOfAnother(Flawed):
    """
    A cache whose key is only the version.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[int, bytes] = {}

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        order: StoredOrder = self.inner.load(order_id, key)
        self.cache.setdefault(order.version, order.snapshot)
        return attrs.evolve(order, snapshot=self.cache[order.version])


@caught_by("test_answer_is_the_callers_own")
class AnswersAreShared(Flawed):
    """
    What is handed out is what is stored.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[str, Any] = {}

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        order: StoredOrder = self.inner.load(order_id, key)
        texts = self.cache.setdefault(order_id, order.texts)
        return attrs.evolve(order, texts=texts)


# --- orders that are due ----------------------------------------------------------


@caught_by("test_lease")
class LeaseIgnored(Flawed):
    """
    What is due is handed out to everybody who asks.
    """

    def claim_due(
        self, now: int, until: int, limit: int, known: Any = None
    ) -> Sequence[StoredOrder]:
        due: Sequence[StoredOrder] = self.inner.claim_due(now, until, limit, known)
        for order in due:
            self.inner._orders[order.order_id].lease_until = None
        return due


@caught_by("test_parked_order")
class ParkedHandedOut(Flawed):
    """
    Being parked is noted, and nothing more.
    """

    def claim_due(
        self, now: int, until: int, limit: int, known: Any = None
    ) -> Sequence[StoredOrder]:
        kept = {n: order.parked for n, order in self.inner._orders.items()}
        for order in self.inner._orders.values():
            order.parked = None
        due: Sequence[StoredOrder] = self.inner.claim_due(now, until, limit, known)
        for name, why in kept.items():
            self.inner._orders[name].parked = why
        return due


@caught_by("test_events_end_lease_and_parking")
class ParkedForEver(Flawed):
    """
    An order that has moved on is still parked.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        kept = {n: order.parked for n, order in self.inner._orders.items()}
        results: Sequence[CommitResult] = self.inner.commit(changes)
        for name, why in kept.items():
            self.inner._orders[name].parked = why
        return results


@caught_by("test_change_without_events_ends_neither")
class AnyCommitEndsTheLease(Flawed):
    """
    What appends nothing gives the order back all the same.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results: Sequence[CommitResult] = self.inner.commit(changes)
        for change, answer in zip(changes, results, strict=True):
            if answer is not CONFLICT:
                self.inner._orders[change.order_id].lease_until = None
        return results


@caught_by("test_parking_what_moved_on")
class ParksWithoutLooking(Flawed):
    """
    An order is parked whatever its version.
    """

    def park(self, order_id: str, version: int, parked: Parked | None) -> bool:
        done: bool = self.inner.park(order_id, self.version(order_id), parked)
        return done


@caught_by("test_waiting_never_spins")
class NextDueForgetsLeases(Flawed):
    """
    The next instant is the soonest deadline, whoever is at work on it.
    """

    def next_due(self, now: int, until: int, known: Any = None) -> int | None:
        orders = self.inner._orders.values()
        due = [order.due_at for order in orders if order.due_at is not None]
        return min(due, default=None)


@caught_by("test_lease_of_a_wrong_clock")
class AnyLeaseCounts(Flawed):
    """
    Whoever once took an order until the year 9999 keeps it.
    """

    def claim_due(
        self, now: int, until: int, limit: int, known: Any = None
    ) -> Sequence[StoredOrder]:
        orders = self.inner._orders
        leased = [
            (order, order.due_at)
            for order in orders.values()
            if (order.lease_until or 0) > now
        ]
        for order, _ in leased:
            order.due_at = None
        due = self.inner.claim_due(now, until, limit, known)
        for order, due_at in leased:
            order.due_at = due_at
        return due


@caught_by("test_lease_of_a_wrong_clock")
class NoLongerLeaseCounts(Flawed):
    """
    Whoever is a little slower to ask takes what another one has just begun with.
    """

    def claim_due(
        self, now: int, until: int, limit: int, known: Any = None
    ) -> Sequence[StoredOrder]:
        for order in self.inner._orders.values():
            if (order.lease_until or 0) > until:
                order.lease_until = None
        return self.inner.claim_due(now, until, limit, known)


@caught_by("test_lease_of_a_distant_future")
class SleepsForYears(Flawed):
    """
    When an order is next due is asked without looking at any clock.
    """

    def next_due(self, now: int, until: int, known: Any = None) -> int | None:
        return self.inner.next_due(0, 2**60, known)


@caught_by("test_known_processes")
class KnownIgnored(Flawed):
    """
    A worker gets orders that it cannot settle.
    """

    def claim_due(
        self, now: int, until: int, limit: int, known: Any = None
    ) -> Sequence[StoredOrder]:
        return self.inner.claim_due(now, until, limit)


@caught_by("test_known_processes")
class WaitsForTheUnknown(Flawed):
    """
    A worker wakes up for orders that it would not get.
    """

    def next_due(self, now: int, until: int, known: Any = None) -> int | None:
        return self.inner.next_due(now, until)


@caught_by("test_most_overdue_first")
class NewestFirst(Flawed):
    """
    The order that was overdue last is settled first.
    """

    def claim_due(
        self, now: int, until: int, limit: int, known: Any = None
    ) -> Sequence[StoredOrder]:
        due: Sequence[StoredOrder] = self.inner.claim_due(now, until, 1000, known)
        for order in due[:-limit]:
            self.inner._orders[order.order_id].lease_until = None
        return due[-limit:][::-1]


# --- effects ----------------------------------------------------------------------


@caught_by("test_stale_token")
class StaleTokenAccepted(Flawed):
    """
    Whoever was slow may still say how it ended.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        fresh = []
        for change in changes:
            tokens = {e.key: e.token for e in self.inner.effects(change.order_id)}
            fresh.append(
                attrs.evolve(
                    change,
                    results=tuple(
                        attrs.evolve(r, token=tokens.get(r.key, r.token))
                        for r in change.results
                    ),
                )
            )
        return self.inner.commit(fresh)


@caught_by("test_stale_token_alone")
class StaleTokenAcceptedAlone(Flawed):
    """
    The fence stands only where the front door is.
    """

    def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        for effect in self.inner.effects(order_id):
            if effect.key == result.key:
                result = attrs.evolve(result, token=effect.token)
        done: bool = self.inner.settle_effect(order_id, result)
        return done


@caught_by("test_claim")
class TokenNotRaised(Flawed):
    """
    Every claim of an effect has the same token.
    """

    def claim_effects(self, *asked: Any, **named: Any) -> Sequence[StoredEffect]:
        claimed = []
        for effect in self.inner.claim_effects(*asked, **named):
            same = attrs.evolve(effect, token=1)
            self.inner._orders[effect.order_id].effects[effect.key] = same
            claimed.append(same)
        return claimed


@caught_by("test_ready_to_the_microsecond")
class ClaimsTheFuture(Flawed):
    """
    What is nearly ready is handed out.
    """

    def claim_effects(
        self, now: int, until: int, *asked: Any, **named: Any
    ) -> Sequence[StoredEffect]:
        return self.inner.claim_effects(now + 1, until, *asked, **named)


@caught_by("test_kinds")
class KindsIgnored(Flawed):
    """
    A worker gets effects that it cannot carry out.
    """

    def claim_effects(
        self, now: int, until: int, limit: int, kinds: Any = None, known: Any = None
    ) -> Sequence[StoredEffect]:
        return self.inner.claim_effects(now, until, limit, None, known)


@caught_by("test_done")
class DoneClaimedAgain(Flawed):
    """
    What is done is handed out once more.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        return self.inner.commit(
            [
                attrs.evolve(
                    change,
                    results=tuple(
                        attrs.evolve(result, status="waiting")
                        for result in change.results
                    ),
                )
                for change in changes
            ]
        )


@caught_by("test_done_alone_is_done")
class DoneCanBeUndone(Flawed):
    """
    With its own token, what is done becomes something else.
    """

    def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        order = self.inner._orders.get(order_id)
        if order is not None and result.key in order.effects:
            effect = order.effects[result.key]
            order.effects[result.key] = attrs.evolve(effect, status="claimed")
        done: bool = self.inner.settle_effect(order_id, result)
        return done


@caught_by("test_claim_of_a_wrong_clock")
class AnyClaimCounts(Flawed):
    """
    What was once claimed until the year 9999 is never tried again.
    """

    def claim_effects(
        self, now: int, until: int, limit: int, *narrow: Any, **named: Any
    ) -> Sequence[StoredEffect]:
        held = [
            (order, effect)
            for order in self.inner._orders.values()
            for effect in order.effects.values()
            if effect.status == "claimed" and effect.ready_at > now
        ]
        for order, effect in held:
            order.effects[effect.key] = attrs.evolve(effect, status="parked")
        claimed = self.inner.claim_effects(now, until, limit, *narrow, **named)
        for order, effect in held:
            order.effects[effect.key] = effect
        return claimed


@caught_by("test_effects_of_known_processes")
class EffectsOfAnybody(Flawed):
    """
    A worker gets effects of orders whose process it does not know.
    """

    def claim_effects(
        self, now: int, until: int, limit: int, kinds: Any = None, known: Any = None
    ) -> Sequence[StoredEffect]:
        return self.inner.claim_effects(now, until, limit, kinds)


@caught_by("test_not_ready_by_then")
class OnlyTheParkedAreStuck(Flawed):
    """
    What waits for the next century is left to wait.
    """

    def stuck_effects(self, overdue: int, beyond: int, *page: Any, **named: Any) -> Any:
        return self.inner.stuck_effects(overdue, 2**60, *page, **named)


@caught_by("test_ready_for_too_long")
class NobodyMissesMoney(Flawed):
    """
    Money that no worker ever takes is left to lie.
    """

    def stuck_effects(self, overdue: int, *page: Any, **named: Any) -> Any:
        return self.inner.stuck_effects(-(2**60), *page, **named)


@caught_by("test_claim")
class AttemptsNotCounted(Flawed):
    """
    An effect is always tried for the first time.
    """

    def claim_effects(self, *asked: Any, **named: Any) -> Sequence[StoredEffect]:
        return [
            attrs.evolve(effect, attempts=1)
            for effect in self.inner.claim_effects(*asked, **named)
        ]


# --- reading ----------------------------------------------------------------------


@caught_by("test_summary")
class SummaryOfBefore(Flawed):
    """
    What is kept beside the snapshot is that of the first change.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[str, Any] = {}

    def summary(self, order_id: str) -> Any:
        found = self.inner.summary(order_id)
        return found and self.cache.setdefault(order_id, found)


@caught_by("test_query")
class DueToTheMicrosecond(Flawed):
    """
    What is due at the very instant is left out.
    """

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        if query.due_by is not None:
            query = attrs.evolve(query, due_by=query.due_by - 1)
        return self.inner.find(query, after, limit)


@caught_by("test_long_journal")
class JournalSortedAsText(Flawed):
    """
    After event 1 comes event 10.
    """

    def events(
        self, order_id: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        found = self.inner.events(order_id, after, limit)
        return sorted(found, key=lambda event: str(event.seq))


@caught_by("test_query")
class PageSkips(Flawed):
    """
    The next page begins behind the order that it should begin with.
    """

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        page: Page[StoredOrder] = self.inner.find(query, after, limit)
        if page.after is None or limit == 1000:
            return page
        more: Page[StoredOrder] = self.inner.find(query, after, limit + 1)
        return Page(page.items, more.after)


@caught_by("test_query")
class PageRepeats(Flawed):
    """
    The next page begins with the last order of this one.
    """

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        page: Page[StoredOrder] = self.inner.find(query, after, limit)
        if page.after is None or limit < 2:
            return page
        less: Page[StoredOrder] = self.inner.find(query, after, limit - 1)
        return Page(page.items, less.after)


@caught_by("test_last_page")
class PageTooMany(Flawed):
    """
    A full page always promises another one.
    """

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        page: Page[StoredOrder] = self.inner.find(query, after, limit)
        if page.after is None and len(page.items) == limit:
            return Page(page.items, f":{page.items[-1].order_id}")
        return page


@caught_by("test_query")
class PagesWithoutEnd(Flawed):
    """
    After the last page comes the first one.
    """

    def find(
        self, query: Query, after: str | None = None, limit: int = 50
    ) -> Page[StoredOrder]:
        page: Page[StoredOrder] = self.inner.find(query, after, limit)
        if page.after is None and query.by_due:
            return Page(page.items, "0:")
        return Page(page.items, page.after or ":")


@caught_by("test_other_parties")
class PartiesPileUp(Flawed):
    """
    Whoever took part once takes part for ever.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        before = {n: order.parties for n, order in self.inner._orders.items()}
        results: Sequence[CommitResult] = self.inner.commit(changes)
        for name, parties in before.items():
            self.inner._orders[name].parties |= parties
        return results


# --- texts and values -------------------------------------------------------------


@caught_by("test_erased")
class TextsSurvive(Flawed):
    """
    Texts are said to be erased.
    """

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        return sum(
            text.subject_id == subject_id
            for order_id in order_ids
            for text in self.inner.texts(order_id)
        )


@caught_by("test_erased_in_some_orders")
class ErasesEverywhere(Flawed):
    """
    Texts of a person are erased in orders that were not named, too.
    """

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        return self.inner.erase_texts(subject_id, [*self.inner._orders])


@caught_by("test_first_text_stays")
class TextsOverwritten(Flawed):
    """
    A commitment stands for another text than the one that was committed to.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        for change in changes:
            order = self.inner._orders.get(change.order_id)
            for text in change.texts if order is not None else ():
                order.texts.pop(text.ref, None)
        return self.inner.commit(changes)


@caught_by("test_composed_and_decomposed")
class IdsNormalised(Flawed):
    """
    Two ids that look the same are one.
    """

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        name = unicodedata.normalize("NFC", order_id)
        return attrs.evolve(self.inner.load(name, key), order_id=order_id)


@caught_by("test_any_text_comes_back")
class TextsEndAtNul(Flawed):
    """
    A text ends where C thinks that it does.
    """

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        order: StoredOrder = self.inner.load(order_id, key)
        texts = {ref: text.partition("\0")[0] for ref, text in order.texts.items()}
        return attrs.evolve(order, texts=texts)


@caught_by("test_instant_decides")
class MicrosecondsLost(Flawed):
    """
    Deadlines are kept in milliseconds.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        return self.inner.commit(
            [
                attrs.evolve(change, due_at=change.due_at // 1000 * 1000)
                if type(change.due_at) is int and change.due_at > 1000
                else change
                for change in changes
            ]
        )


@caught_by("test_random_instants")
class InstantsAreFloats(Flawed):
    """
    Late instants are rounded to what a float can hold.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        return self.inner.commit(
            [
                attrs.evolve(change, due_at=int(float(change.due_at)))
                if type(change.due_at) is int and change.due_at < 2**62
                else change
                for change in changes
            ]
        )


@caught_by("test_large_ones")
class LargeOnesCut(Flawed):
    """
    What is longer than a column is cut.
    """

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        order: StoredOrder = self.inner.load(order_id, key)
        return attrs.evolve(order, snapshot=order.snapshot[:65535])


# --- many at once, and the end ----------------------------------------------------


@caught_by("test_one_winner")
class ChecksThenWrites(Flawed):
    """
    The version is looked at in one step, and written in another.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if any(self.version(c.order_id) != c.expected_version for c in changes):
            return self.inner.commit(changes)
        # A slow disk.
        time.sleep(0.002)
        return self.inner.commit(
            [moved(change, self.version(change.order_id)) for change in changes]
        )


@caught_by("test_each_due_order_once")
class LeasesTooLate(Flawed):
    """
    What is due is read in one step, and leased in another.
    """

    def claim_due(
        self, now: int, until: int, limit: int, known: Any = None
    ) -> Sequence[StoredOrder]:
        due: Sequence[StoredOrder] = self.inner.claim_due(now, until, limit, known)
        for order in due:
            self.inner._orders[order.order_id].lease_until = None
        # A slow disk: the gap is as wide as it may be in a crowd.
        time.sleep(0.002)
        for order in due:
            self.inner._orders[order.order_id].lease_until = until
        return due


@caught_by("test_readers_see_whole_changes")
class TornReads(Flawed):
    """
    An order is read in two steps.
    """

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        first: StoredOrder = self.inner.load(order_id, key)
        # A slow disk.
        time.sleep(0.0005)
        return attrs.evolve(self.inner.load(order_id, key), version=first.version)


@caught_by("test_nothing_is_lost")
class LockedByOthers(Flawed):
    """
    It does not wait for whoever is at work.
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy = Lock()

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if not self.busy.acquire(blocking=False):
            raise StorageError("locked")
        # A slow disk.
        time.sleep(0.001)
        try:
            return self.inner.commit(changes)
        finally:
            self.busy.release()


@caught_by("test_closed")
class NeverClosed(Flawed):
    """
    It goes on after it was closed.
    """

    def close(self) -> None:
        pass


@durable_caught_by("test_reopened")
class ForgetsOnReopening(Durable):
    """
    What is durable is gone after a new start.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(":memory:")
        self.capabilities = frozenset({Capability.DURABLE})


@durable_caught_by("test_reopened")
class LeasesEndWithTheProcess(Durable):
    """
    Leases are kept, but only in memory.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        with SqliteStorage(path) as fresh:
            fresh._write(said("UPDATE escrowflow_order SET lease_until = NULL"))


@durable_caught_by("test_killed")
class SaysSoTooEarly(Durable):
    """
    What is said to be written is written with what comes next.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.later: Sequence[Change] = ()

    def load(self, order_id: str, key: str | None = None) -> StoredOrder:
        order: StoredOrder = self.inner.load(order_id, key)
        for change in self.later:
            if change.order_id == order_id:
                order = attrs.evolve(order, version=change.version)
        return order

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if self.later:
            self.inner.commit(self.later)
        self.later = changes
        return [CommitResult.DONE] * len(changes)


@durable_caught_by("test_killed")
class InTwoTransactions(Durable):
    """
    The texts of a change are written after the rest of it.
    """

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        bare = [attrs.evolve(change, texts=()) for change in changes]
        results: Sequence[CommitResult] = self.inner.commit(bare)
        # A slow disk.
        time.sleep(0.02)
        rest = [
            attrs.evolve(
                change,
                expected_version=change.version,
                events=(),
                effects=(),
                results=(),
                receipt=None,
            )
            for change, answer in zip(changes, results, strict=True)
            if answer is not CONFLICT
        ]
        self.inner.commit(rest)
        return results


@durable_caught_by("test_killed_between_two_writes")
class SettlesLater(Durable):
    """
    What became of an effect is written with whatever comes next.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.later: list[tuple[str, EffectResult]] = []

    def __getattr__(self, name: str) -> Any:
        for later in self.later:
            self.inner.settle_effect(*later)
        self.later = []
        return super().__getattr__(name)

    def settle_effect(self, order_id: str, result: EffectResult) -> bool:
        tokens = [
            effect.token
            for effect in self.effects(order_id)
            if effect.key == result.key and effect.status == "claimed"
        ]
        if tokens == [result.token]:
            self.later = [(order_id, result)]
        return bool(self.later)


@durable_caught_by("test_erased_from_the_files")
class BytesStay(Durable):
    """
    Erased texts cannot be found any more, except by reading the file.
    """

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        self.inner._read(said("PRAGMA secure_delete = OFF"))
        erased: int = self.inner._write(
            self.inner._verbs.erase_texts(subject_id, order_ids)
        )
        return erased


@durable_caught_by("test_erased_from_the_files")
class PartsStay(Durable):
    """
    What is deleted is overwritten, but not the copies of it that are left where pages
    were put in order.
    """

    def erase_texts(self, subject_id: str, order_ids: Collection[str]) -> int:
        erased: int = self.inner._write(
            self.inner._verbs.erase_texts(subject_id, order_ids)
        )
        self.inner._read(said("PRAGMA wal_checkpoint(TRUNCATE)"))
        return erased
