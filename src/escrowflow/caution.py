"""
Caution: when a worker had better do nothing that cannot be undone.

- While the engine's clock and another one quarrel, nobody knows what is due: no order
  is settled, and no money is sent.
- At all times so much a minute and no more: what goes wrong for all orders at once is
  seen before it has happened to all of them.

What is held back is late, and nothing else: what an order comes to never depends on
when a worker looks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final, final

import attrs

from .clock import Clock, as_window, monotonic, to_micros
from .errors import InvalidInputError
from .inputs import kind_of

__all__ = ["Caution", "HeldBack", "Lookout", "Pace"]

_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000

# Seconds.
_MINUTE: Final = 60

# So much may a clock gain or lose all the time, and be no worse than others: no
# machine that is kept right by NTP is slewed faster.
#
# Source: adjtimex(2), the limit of `freq`; RFC 5905 has the same 500 ppm.
_DRIFT: Final = 500e-6


def _as_tolerance(value: object) -> timedelta:
    return as_window(value, "tolerance")


def _as_look_back(value: object) -> timedelta:
    window = as_window(value, "look_back")
    # A minute is measured by the one before it; and nobody needs to know years.
    if not timedelta(minutes=2) <= window <= timedelta(days=1):
        raise InvalidInputError("look_back", "from two minutes (PT2M) to a day (P1D)")
    return window


def _check_count(_: object, field: attrs.Attribute[int], value: object) -> None:
    if type(value) is not int or value < 1:
        raise InvalidInputError(field.name, "a whole number, 1 or more")


def _check_monotonic(_: object, __: object, value: object) -> None:
    if not callable(value):
        raise InvalidInputError(
            "monotonic", f"something to call that gives seconds, not {kind_of(value)}"
        )


@final
@attrs.frozen(kw_only=True)
class Caution:
    """
    When a worker holds back what cannot be undone: settling orders, and sending money.

    Two things are counted, each by itself: orders that the worker's sweeps end, and
    attempts at money that it hands to your handlers.  In any minute there are at most
    *factor* times as many as in the busiest minute before it, and never fewer than
    *floor* are let through.

    Each worker counts for itself, from when it was made: so many workers, so many
    times as much.

    Attributes:
        floor: So many a minute are let through in any case.

        factor: How many times as busy as before a minute may be.

        look_back: How far back the busiest minute is looked for; two minutes to a day.

        tolerance: How far the engine's clock may be apart from others: from the time
            that has passed since the worker was made, and from the clock of the
            storage, if that has one of its own (`Capability.CLOCK`).

        monotonic: Returns the seconds since some instant, whatever anybody sets clocks
            to.  In your tests: `FakeClock.monotonic`.

    Raises:
        InvalidInputError: If one of them is anything else.
    """

    floor: int = attrs.field(default=50, validator=_check_count)
    factor: int = attrs.field(default=3, validator=_check_count)
    look_back: timedelta = attrs.field(
        default=timedelta(hours=1), converter=_as_look_back
    )
    tolerance: timedelta = attrs.field(
        default=timedelta(minutes=1), converter=_as_tolerance
    )
    monotonic: Callable[[], float] = attrs.field(
        default=monotonic, validator=_check_monotonic
    )


@final
@attrs.frozen(kw_only=True)
class HeldBack:
    """
    Why a worker holds back what cannot be undone.

    Attributes:
        reason: `"clock"`: the engine's clock was set, or the machine was stopped, since
            the worker was made.  `"storage_clock"`: it differs from that of the storage.
            `"cap"`: no more in this minute.

        orders: Whether it settles no orders.

        money: Whether it sends no money.

        gap: By how much the engine's clock is ahead of the other one; negative if it
            is behind; `None` for a cap.

        cap: How many there may be in this minute; `None` for clocks.
    """

    reason: str
    orders: bool = True
    money: bool = True
    gap: timedelta | None = None
    cap: int | None = None

    def __str__(self) -> str:
        what = " and ".join(
            words
            for words, held in (
                ("no order is settled", self.orders),
                ("no money is sent", self.money),
            )
            if held
        )
        if self.gap is None:
            return f"{what} until the minute is over: there were {self.cap} in it"
        seconds = self.gap.total_seconds()
        side = "ahead of" if seconds > 0 else "behind"
        if self.reason == "clock":
            return (
                f"{what}: the clock is {abs(seconds):.0f} s {side} where it would be "
                "since this worker began: set it right, or, if it is right now, start "
                "the worker anew"
            )
        return (
            f"{what}: the clock is {abs(seconds):.0f} s {side} that of the storage: "
            "set it right"
        )


@final
class Pace:
    """
    How many there were, second by second, and how many there may still be.

    A second counts whole as long as a part of it is within the last minute: a minute
    is never too short, and up to a second too long.
    """

    def __init__(self, caution: Caution) -> None:
        self._caution = caution
        self._look_back = int(caution.look_back.total_seconds())
        # Seconds with how many there were in each, oldest first.
        self._counts: deque[tuple[int, int]] = deque()
        self._busiest_at: int | None = None
        self._busiest = 0

    def add(self, at: float, count: int = 1) -> None:
        """
        Count some at this moment of the monotonic clock.
        """
        second = math.floor(at)
        if self._counts and self._counts[-1][0] >= second:
            second, before = self._counts.pop()
            count += before
        self._counts.append((second, count))

    def cap(self, at: float) -> int:
        """
        Return how many there may be in the minute that ends at this moment.
        """
        second = math.floor(at)
        if second != self._busiest_at:
            self._busiest_at, self._busiest = second, self._looked_up(second)
        return max(self._caution.floor, self._caution.factor * self._busiest)

    def left(self, at: float) -> int:
        """
        Return how many more there may be now.
        """
        begin = math.floor(at) - _MINUTE
        recent = 0
        for second, count in reversed(self._counts):
            if second < begin:
                break
            recent += count
        return max(0, self.cap(at) - recent)

    def _looked_up(self, now: int) -> int:
        """
        Return how many there were in the busiest minute that was over before this one
        began.
        """
        while self._counts and self._counts[0][0] < now - self._look_back:
            self._counts.popleft()
        busiest = within = 0
        minute: deque[tuple[int, int]] = deque()
        for second, count in self._counts:
            if second >= now - _MINUTE:
                break
            minute.append((second, count))
            within += count
            while minute[0][0] <= second - _MINUTE:
                within -= minute.popleft()[1]
            busiest = max(busiest, within)
        return busiest


@final
class Lookout:
    """
    What a cautious worker keeps an eye on: clocks, and how much it has done.

    Args:
        clock: That of the engine.

    Raises:
        InvalidInputError: If the monotonic clock gives no number.
    """

    def __init__(self, caution: Caution, clock: Clock) -> None:
        self._caution = caution
        self._clock = clock
        self._tolerance = caution.tolerance // _MICROSECOND
        self.orders = Pace(caution)
        self.money = Pace(caution)
        self.doubt: HeldBack | None = None
        self._looked_at = self.passed()
        # What the engine's clock shows beyond what has passed, in microseconds.
        self._beyond = self._ahead_of_passed(self._looked_at)

    def passed(self) -> float:
        """
        Return the seconds on the monotonic clock.
        """
        seconds: object = self._caution.monotonic()
        if not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
            raise InvalidInputError(
                "monotonic", f"it has to give seconds, and gave {kind_of(seconds)}"
            )
        return seconds

    def look(self) -> bool:
        """
        Look at the clocks; return whether they can be trusted.

        A doubt stays until `begin`: whoever saw one does nothing more in this round.
        """
        if self.doubt is None:
            passed = self.passed()
            gap = self._ahead_of_passed(passed) - self._beyond
            if abs(gap) > self._tolerance:
                self._doubted("clock", gap)
            else:
                # Two clocks never run alike.  Only as far as that explains the gap, or
                # a clock that is set in small steps would be believed.
                slack = max(0.0, passed - self._looked_at) * _DRIFT * _SECOND
                self._beyond += round(math.copysign(min(abs(gap), slack), gap))
                self._looked_at = passed
        return self.doubt is None

    def compare(self, there: int) -> None:
        """
        Look at the clock of a storage, in microseconds since 1970.
        """
        gap = to_micros(self._clock.now()) - there
        if self.doubt is None and abs(gap) > self._tolerance:
            self._doubted("storage_clock", gap)

    def begin(self) -> None:
        """
        Begin a round: what was doubted may be settled meanwhile.
        """
        self.doubt = None
        self.look()

    def held_back(self) -> HeldBack | None:
        """
        Return why something is held back now.
        """
        if self.doubt is not None:
            return self.doubt
        passed = self.passed()
        orders, money = (not one.left(passed) for one in (self.orders, self.money))
        if not orders and not money:
            return None
        caps = [
            one.cap(passed)
            for one, full in ((self.orders, orders), (self.money, money))
            if full
        ]
        return HeldBack(reason="cap", orders=orders, money=money, cap=min(caps))

    def _ahead_of_passed(self, passed: float) -> int:
        return to_micros(self._clock.now()) - round(passed * _SECOND)

    def _doubted(self, reason: str, gap: int) -> None:
        self.doubt = HeldBack(reason=reason, gap=timedelta(microseconds=gap))
