"""
Deadlines: settling what is due, and leaving alone for a while what cannot be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, final

import attrs
from pendulum import DateTime

from .. import wallet
from ..clock import as_window, from_micros, to_micros
from ..errors import (
    EscrowflowError,
    InvalidInputError,
    OutcomeUnknownError,
)
from ..storage import (
    LIMIT_MAX,
    Change,
    CommitResult,
    Page,
    Parked,
    Query,
    StoredOrder,
    Summary,
)
from .answers import SweepReport
from .core import Asking, Core

__all__ = [
    "Retries",
    "as_limit",
    "next_due_at",
    "run_due",
    "said_by",
    "unknown_due",
]

_MICROSECOND: Final = timedelta(microseconds=1)

# How long a sweep keeps an order to itself.  It only spreads the load.
_LEASE: Final = 60_000_000

# How many orders are claimed, and written, in one trip.
_BATCH: Final = 50

_PAGE: Final = 100

_REASON_MAX: Final = 500

# Beyond this the wait has long reached its longest.
_DOUBLINGS_MAX: Final = 30


def _as_wait(value: object) -> timedelta:
    return as_window(value, "wait")


def _as_lease(value: object) -> timedelta:
    return as_window(value, "lease")


def _as_under_way(value: object) -> timedelta:
    return as_window(value, "under_way")


def _as_held_back(value: object) -> timedelta:
    return as_window(value, "held_back")


# How long a bank may take to decide on a chargeback.
#
# The merchant has 30 days to answer (Visa) or 45 (Mastercard), the issuer reviews it for
# several weeks, and who does not agree has as long again before it is arbitrated.
# - https://docs.chargeflow.io/docs/reference/concepts/network-timelines
_HELD_BACK: Final = timedelta(days=120)


@final
@attrs.frozen(kw_only=True)
class Retries:
    """
    When to try again what did not work.

    The wait doubles each time, up to the longest, and then a part of it is left
    out, another one for each order and effect: a crowd that failed together does
    not come back together.  The same attempt at the same thing waits as long in
    every process.

    Attributes:
        first: The wait after the first attempt.

        longest: No wait is longer.

        attempts: How often an effect is tried before a human must look; with the
            defaults, for most of a day.

        lease: How long a worker has for the effects it has taken on before others
            may try them.  A handler must return within it: set your HTTP timeouts
            below.  All workers of a storage need about the same: one that is more
            than twice as long as another's is taken for that of a wrong clock.

        under_way: How long money may be under way, that is a handler asks for later
            and nobody reports, before a human must look.  `redrive` then has it looked
            at once more.

        held_back: How long a chargeback may hold money back before a human must look
            whether its end was missed.  Once it is reported the money leaves by itself.
    """

    first: timedelta = attrs.field(default=timedelta(seconds=10), converter=_as_wait)
    longest: timedelta = attrs.field(default=timedelta(hours=1), converter=_as_wait)
    attempts: int = attrs.field(default=32)
    lease: timedelta = attrs.field(default=timedelta(minutes=1), converter=_as_lease)
    under_way: timedelta = attrs.field(
        default=timedelta(days=30), converter=_as_under_way
    )
    held_back: timedelta = attrs.field(default=_HELD_BACK, converter=_as_held_back)

    @attempts.validator
    def _check_attempts(self, _: object, value: object) -> None:
        if type(value) is not int or value < 1:
            raise InvalidInputError("attempts", "a whole number, 1 or more")

    def wait(self, attempts: int, name: str) -> timedelta:
        """
        Return how long to wait after so many attempts, 1 or more.

        Args:
            name: What is tried; it decides which part of the wait is left out.
        """
        longest = min(self.first, self.longest)
        for _ in range(min(attempts, _DOUBLINGS_MAX) - 1):
            longest = min(longest * 2, self.longest)
        digest = hashlib.sha256(f"{name}\x1f{attempts}".encode()).digest()
        # Between a half and the whole.
        part = 128 + digest[0] // 2
        waited: timedelta = longest * part / 255
        return waited


def as_limit(limit: int) -> int:
    """
    Return a limit.

    Raises:
        InvalidInputError: If it is not a whole number, 1 or more.
    """
    if type(limit) is not int or limit < 1:
        raise InvalidInputError("limit", "a whole number, 1 or more")
    return limit


# --- the sweep --------------------------------------------------------------------


def run_due(core: Core, limit: int, retries: Retries) -> Asking[SweepReport]:
    """
    See `Engine.run_due`.
    """
    limit = as_limit(limit)
    sweep = _Sweep(core, retries)
    while limit > 0:
        now = core.now()
        micros = to_micros(now)
        claimed: tuple[StoredOrder, ...] = yield (
            "claim_due",
            (micros, micros + _LEASE, min(limit, _BATCH), core.known),
        )
        if not claimed:
            break
        limit -= len(claimed)
        changes = []
        for loaded in claimed:
            change = sweep.settled(loaded, now)
            if isinstance(change, Parked):
                yield "park", (loaded.order_id, loaded.version, change)
            elif change is not None:
                changes.append((loaded, change))
        if changes:
            yield from sweep.write(changes, now)
    unknown = yield from unknown_due(core, _PAGE)
    return attrs.evolve(
        sweep.report,
        unknown=tuple((loaded.order_id, print_) for loaded, print_ in unknown),
    )


@final
class _Sweep:
    """
    One sweep, and what it has come to so far.
    """

    def __init__(self, core: Core, retries: Retries) -> None:
        self._core = core
        self._retries = retries
        self.report = SweepReport()

    def settled(self, loaded: StoredOrder, now: DateTime) -> Change | Parked | None:
        """
        Return what is to be written of an order; what cannot be settled is parked.
        """
        core = self._core
        try:
            order = core.decoded(loaded)
            process = core.process_of(order)
            due = core.settled(process, order, now)
            if due.recorded:
                return core.change(process, loaded, order, due, now)
        except Exception as error:
            # Whatever went wrong, a host's own rules included: the others go on.
            return self._failed(loaded, now, error)
        self.report = attrs.evolve(self.report, faster=self.report.faster + 1)
        return None

    def write(
        self, changes: list[tuple[StoredOrder, Change]], now: DateTime
    ) -> Asking[None]:
        """
        Write what was settled; what cannot be written is parked.
        """
        try:
            results = yield "commit", (tuple(change for _, change in changes),)
        except OutcomeUnknownError:
            # What was written is settled; the rest is claimed again later, and
            # comes out the same.
            results = (CommitResult.CONFLICT,) * len(changes)
            self._count_ended(change for _, change in changes)
        except EscrowflowError as error:
            if len(changes) == 1:
                ((loaded, _),) = changes
                # If nothing at all can be written, this cannot either, and says so.
                parked = self._failed(loaded, now, error)
                yield "park", (loaded.order_id, loaded.version, parked)
                return
            # One of them keeps the others from being written.
            for one in changes:
                yield from self.write([one], now)
            return
        for (_, change), result in zip(changes, results, strict=True):
            self._count(change, done=result is CommitResult.DONE)

    def _count_ended(self, changes: Iterable[Change]) -> None:
        """
        Count those whose money is divided by what was settled.
        """
        ended = sum(any(event.settles for event in one.events) for one in changes)
        self.report = attrs.evolve(self.report, ended=self.report.ended + ended)

    def _count(self, change: Change, *, done: bool) -> None:
        """
        Count an order that was written, or that somebody else was faster with.
        """
        if done:
            self._count_ended([change])
        report = self.report
        self.report = (
            attrs.evolve(
                report,
                orders=report.orders + 1,
                moves=report.moves + len(change.events),
            )
            if done
            else attrs.evolve(report, faster=report.faster + 1)
        )

    def _failed(self, loaded: StoredOrder, now: DateTime, error: Exception) -> Parked:
        why = said_by(error)
        parked = (*self.report.parked, (loaded.order_id, why))
        self.report = attrs.evolve(self.report, parked=parked)
        before = loaded.parked
        micros = to_micros(now)
        attempts = 1 if before is None else before.attempts + 1
        wait = self._retries.wait(attempts, loaded.order_id)
        return Parked(
            since=micros if before is None else before.since,
            until=micros + wait // _MICROSECOND,
            attempts=attempts,
            reason=why,
        )


def unknown_due(core: Core, limit: int) -> Asking[list[tuple[StoredOrder, str]]]:
    """
    Return orders that are due under a process that this engine lacks, most overdue
    first, each with the fingerprint of that process.
    """
    due = to_micros(core.now())
    # Wallets have a sweep of their own.
    known = (*core.known, wallet.FINGERPRINT)
    query = Query(due_by=due, unknown_to=known, by_due=True)
    page: Page[StoredOrder] = yield "find", (query, None, min(limit, LIMIT_MAX))
    found = []
    for loaded in page.items:
        kept: Summary | None = yield "summary", (loaded.order_id,)
        if kept is not None:
            found.append((loaded, kept.fingerprint))
    return found


def said_by(error: Exception) -> str:
    """
    Return what is kept of an error: its own words if it is one of ours, otherwise
    only its kind.  What else it says may be what somebody wrote.
    """
    if not isinstance(error, EscrowflowError):
        return type(error).__name__
    text = str(error)[:_REASON_MAX].encode("utf-8", "replace").decode()
    return "".join(sign if sign.isprintable() else " " for sign in text)


def next_due_at(core: Core) -> Asking[DateTime | None]:
    """
    See `Engine.next_due_at`.
    """
    now = to_micros(core.now())
    due: int | None = yield "next_due", (now, now + _LEASE, core.known)
    return None if due is None else from_micros(due)
