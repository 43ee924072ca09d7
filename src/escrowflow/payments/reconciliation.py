"""
Reconciliation: what a gateway's report says, held against our books (I30, F45).

    for difference in payments.reconcile(lines, engine, since=..., until=...):
        print(difference.code, difference.message("fr"))

- Each difference is named, with what our books say and what the report says.
- Nothing is moved, nothing is written: a human looks, and sends what `command` or
  `ways` names, or asks the provider.
- What is near an end of the period, or was moved just now, may be on its way: such a
  difference is `in_transit`, and is gone, or serious, in the next report.

The report is kept in memory, the orders are not: a million lines take 0.6 GB, and
orders are read page by page.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from datetime import datetime, timedelta
from inspect import iscoroutinefunction
from typing import Any, Final, Protocol, TypeAlias, final

import attrs
from pendulum import DateTime

from ..clock import Clock, as_utc, as_window
from ..commands import (
    Command,
    ReportCharge,
    ReportChargeback,
    ReportPayout,
    ReportRefund,
)
from ..effects import Charge, PayOut, Refund
from ..errors import InvalidInputError
from ..events import (
    ChargeFailed,
    ChargePaid,
    ChargeSent,
    PayoutFailed,
    PayoutPaid,
    PayoutSent,
    Recorded,
    RefundFailed,
    RefundPaid,
    RefundSent,
)
from ..inputs import as_id, kind_of
from ..money import Money
from ..order import Order
from ..wallet import PREFIX as WALLET
from .differences import AGREE, Booked, Difference, booked_in, difference
from .lines import CHARGEBACK, PAYMENT, Line, checked

__all__ = ["reconcile", "reconcile_async"]

# How long after a movement the other side may hear of it.
#
# Precedents: Stripe sends a webhook again for up to three days
# (docs.stripe.com/webhooks, "Retry behavior"); our own worker tries for most of a day.
_MARGIN: Final = timedelta(days=3)

_PAGE: Final = 500

# What is sent under a key of ours, and how it is reported.
_REPORTS: Final[Mapping[str, type[ReportCharge | ReportPayout | ReportRefund]]] = {
    Charge.name: ReportCharge,
    PayOut.name: ReportPayout,
    Refund.name: ReportRefund,
}
_LEFT: Final = (
    *(ChargeSent, ChargePaid),
    *(PayoutSent, PayoutPaid),
    *(RefundSent, RefundPaid),
)
_FAILED: Final = (ChargeFailed, PayoutFailed, RefundFailed)

# Of these our books say, too, that nothing was moved by us.
_NOTHING: Final = ("failed", "covered", "released")


# --- asking for them --------------------------------------------------------------


class _Page(Protocol):
    @property
    def items(self) -> tuple[Order, ...]: ...
    @property
    def after(self) -> str | None: ...
    @property
    def unreadable(self) -> tuple[str, ...]: ...


class _Engine(Protocol):
    @property
    def clock(self) -> Clock: ...
    def orders(self, *, after: str | None = None, limit: int = 50) -> _Page: ...
    def history(self, order_id: str) -> tuple[Recorded, ...]: ...


class _AsyncEngine(Protocol):
    @property
    def clock(self) -> Clock: ...
    async def orders(self, *, after: str | None = None, limit: int = 50) -> _Page: ...
    async def history(self, order_id: str) -> tuple[Recorded, ...]: ...


# What is asked of an engine, or found: the answer is sent back to a question.
_Question: TypeAlias = tuple[str, dict[str, Any]]
_Comparing: TypeAlias = Generator[Difference | _Question, Any, None]

Report: TypeAlias = Iterable[Line | Mapping[str, Any]]


def reconcile(
    report: Report,
    engine: _Engine,
    *,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    margin: timedelta | str = _MARGIN,
    methods: Collection[str] | None = None,
    payouts: bool = True,
) -> Iterator[Difference]:
    """
    Yield how a gateway's report differs from our books; nothing if it does not.

    All orders are read once, by id, and those with open questions once more with
    their history.  Nothing is written.  Wallets are not read: payouts whose order is
    `wallet:...` are withdrawals, and are left out.

    Args:
        report: Its lines, in any order: `Line`s, or their fields by name.  They are
            all read before the first order is.

        engine: An `Engine`; one that only reads will do.

        since: When the report begins; without, with the first order.  The instant
            itself is on the report.

        until: When it ends; without, now.  The instant itself is not on it.

        margin: How much later one side may hear of what the other did.  What is
            nearer to an end of the period, or to now, is `in_transit`.  Let periods
            overlap by twice this, and everything is judged once.

        methods: The methods of payment that this gateway has: what came in another
            way is not looked for on the report.  Without, all of them.

        payouts: Whether it pays sellers.

    Raises:
        InvalidInputError: If an argument or a line is wrong.

        StorageError: If orders cannot be read.
    """
    if iscoroutinefunction(getattr(engine, "orders", None)):
        raise InvalidInputError(
            "engine", "an Engine; with an AsyncEngine call reconcile_async"
        )
    scope = _scope(engine, since, until, margin, methods, payouts)
    return _driven(_compared(_lines(report), scope), engine)


def reconcile_async(
    report: Report,
    engine: _AsyncEngine,
    *,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    margin: timedelta | str = _MARGIN,
    methods: Collection[str] | None = None,
    payouts: bool = True,
) -> AsyncIterator[Difference]:
    """
    See `reconcile`: with an `AsyncEngine`, for `async for`.
    """
    if not iscoroutinefunction(getattr(engine, "orders", None)):
        raise InvalidInputError("engine", f"an AsyncEngine, not {kind_of(engine)}")
    scope = _scope(engine, since, until, margin, methods, payouts)
    return _driven_async(_compared(_lines(report), scope), engine)


def _driven(comparing: _Comparing, engine: _Engine) -> Iterator[Difference]:
    answer: Any = None
    while True:
        try:
            said = comparing.send(answer)
        except StopIteration:
            return
        if isinstance(said, Difference):
            answer = None
            yield said
        else:
            verb, values = said
            answer = getattr(engine, verb)(**values)


async def _driven_async(
    comparing: _Comparing, engine: _AsyncEngine
) -> AsyncIterator[Difference]:
    answer: Any = None
    while True:
        try:
            said = comparing.send(answer)
        except StopIteration:
            return
        if isinstance(said, Difference):
            answer = None
            yield said
        else:
            verb, values = said
            answer = await getattr(engine, verb)(**values)


def _lines(report: Report) -> Iterator[Line]:
    if isinstance(report, (str, bytes, Mapping)) or not isinstance(report, Iterable):
        raise InvalidInputError("report", f"lines, not {kind_of(report)}")
    return (checked(line, number) for number, line in enumerate(report, 1))


# --- the period -------------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class _Scope:
    """
    Which movements a report has to have.
    """

    since: DateTime | None
    until: DateTime
    now: DateTime
    margin: timedelta
    methods: frozenset[str] | None
    payouts: bool

    def covers(self, booked: Booked) -> bool:
        """
        Whether this gateway is the one that has it.
        """
        if booked.kind == PayOut.name:
            return self.payouts
        return self.methods is None or booked.method in self.methods

    def reached(self, order: Order) -> bool:
        """
        Whether anything of an order can have been moved in the period.
        """
        return order.placed_at < self.until and (
            self.since is None or order.recorded_at >= self.since
        )

    def on_report(self, first: DateTime, last: DateTime) -> bool | None:
        """
        Whether a movement that we heard of from *first* to *last* is on the report;
        `None` if it may be on another one.
        """
        if first >= self.until or (self.since is not None and last < self.since):
            return False
        if last > self.until - self.margin:
            return None
        if self.since is not None and first < self.since + self.margin:
            return None
        return True

    def just_now(self, line: Line) -> bool:
        """
        Whether we may not have heard of it yet.
        """
        return line.at > self.now - self.margin

    def just_heard(self, last: DateTime | None) -> bool:
        """
        Whether the report may not have it yet.
        """
        return last is not None and last > self.until - self.margin


def _scope(
    engine: _Engine | _AsyncEngine,
    since: datetime | str | None,
    until: datetime | str | None,
    margin: timedelta | str,
    methods: Collection[str] | None,
    payouts: bool,
) -> _Scope:
    if not hasattr(engine, "orders") or not hasattr(engine, "history"):
        raise InvalidInputError("engine", f"an Engine, not {kind_of(engine)}")
    now = as_utc(engine.clock.now(), "clock")
    begins = None if since is None else as_utc(since, "since")
    ends = now if until is None else as_utc(until, "until")
    if begins is not None and begins >= ends:
        raise InvalidInputError("until", "an instant after `since`")
    if isinstance(methods, str) or not isinstance(methods, (Collection, type(None))):
        raise InvalidInputError("methods", "methods of payment, such as ['card']")
    if not isinstance(payouts, bool):
        raise InvalidInputError("payouts", "true or false")
    return _Scope(
        since=begins,
        until=ends,
        now=now,
        margin=as_window(margin, "margin", zero=True),
        methods=None
        if methods is None
        else frozenset(as_id(method, "methods") for method in methods),
        payouts=payouts,
    )


# --- comparing --------------------------------------------------------------------


@final
class _Report:
    """
    The lines of a report that nobody has claimed yet, by their names.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        self._named: dict[tuple[str, str], Line | list[Line]] = {}
        # How many of those that leave do not name our key.
        self.nameless = 0
        for line in lines:
            self.nameless += _nameless(line)
            for name in _names(line):
                known = self._named.get(name)
                if known is None:
                    # Almost always it is the only one: no list for it.
                    self._named[name] = line
                elif isinstance(known, list):
                    known.append(line)
                else:
                    self._named[name] = [known, line]

    def take(self, kind: str, names: Iterable[str]) -> list[Line]:
        """
        Return the lines with one of these names, as they stand in the report, and
        forget them.
        """
        found: list[Line] = []
        for name in names:
            known = self._named.get((kind, name))
            if known is None:
                continue
            for line in known.copy() if isinstance(known, list) else (known,):
                self._forget(line)
                found.append(line)
        return found

    def take_alike(self, booked: Booked) -> list[Line]:
        """
        Return a line without our key that says the same as our books, if there is one.
        """
        name = _alike(booked.order_id, booked.part, booked.amount)
        known = self._named.get((booked.kind, name))
        if known is None:
            return []
        line = known[0] if isinstance(known, list) else known
        self._forget(line)
        return [line]

    def _forget(self, line: Line) -> None:
        self.nameless -= _nameless(line)
        for name in _names(line):
            known = self._named[name]
            if isinstance(known, list) and len(known) > 1:
                # By identity: two lines may say the same.
                known[:] = [one for one in known if one is not line]
            else:
                del self._named[name]

    def rest(self) -> Iterator[Line]:
        """
        Yield the lines that are left, in the order of the report.
        """
        for name, known in self._named.items():
            for line in known if isinstance(known, list) else (known,):
                # Under the first of its names only.
                if next(_names(line)) == name:
                    yield line


def _names(line: Line) -> Iterator[tuple[str, str]]:
    if line.key:
        yield line.kind, line.key
    if line.reference and line.reference != line.key:
        yield line.kind, line.reference
    if _nameless(line) and line.order_id and line.part:
        yield line.kind, _alike(line.order_id, line.part, line.amount)


def _alike(order_id: str, part: str, amount: Money) -> str:
    # No id has such a sign in it.
    return "\x1f".join((order_id, part, str(amount)))


def _nameless(line: Line) -> bool:
    return not line.key and line.kind in _REPORTS


@final
class _Told:
    """
    What a history tells of the money that left: when we heard of it, and what the
    gateway called it.
    """

    def __init__(self, history: Iterable[Recorded]) -> None:
        self._left: dict[str, tuple[DateTime, DateTime]] = {}
        self._last: dict[str, DateTime] = {}
        self._references: dict[str, list[str]] = {}
        for recorded in history:
            event, at = recorded.event, recorded.recorded_at
            if isinstance(event, _LEFT):
                first, _ = self._left.get(event.key, (at, at))
                self._left[event.key] = first, at
                if event.reference:
                    self._references.setdefault(event.key, []).append(event.reference)
            elif not isinstance(event, _FAILED):
                continue
            self._last[event.key] = at

    def left(self, booked: Booked) -> tuple[DateTime, DateTime] | None:
        """
        Return when we first and last heard that it leaves; `None` if we never did.
        """
        return self._left.get(booked.key)

    def last(self, booked: Booked) -> DateTime | None:
        """
        Return when we last heard of it, under whatever key.
        """
        heard = [
            self._last[key]
            for key in (booked.key, *booked.earlier_keys)
            if key in self._last
        ]
        return max(heard, default=None)

    def references(self, booked: Booked) -> list[str]:
        """
        Return what it was ever called, under whatever key.
        """
        return [
            reference
            for key in (booked.key, *booked.earlier_keys)
            for reference in self._references.get(key, ())
        ]


def _compared(lines: Iterable[Line], scope: _Scope) -> _Comparing:
    """
    Yield differences, and what has to be asked to find them.
    """
    report = _Report(lines)
    unreadable: set[str] = set()
    after: str | None = None
    while True:
        page: _Page = yield "orders", {"after": after, "limit": _PAGE}
        for order_id in page.unreadable:
            unreadable.add(order_id)
            yield Difference(
                code="unreadable", otherwise="unreadable", order_id=order_id
            )
        for order in page.items:
            yield from _order(order, report, scope)
        after = page.after
        if after is None:
            break
    for line in report.rest():
        # Where nothing was moved nothing is missing: declined cards, for the most part.
        if line.status == "failed" or line.order_id in unreadable:
            continue
        # A withdrawal is known to its wallet, and to no order.
        if line.kind != PayOut.name or not line.order_id.startswith(WALLET):
            yield _unknown(line, scope)


def _unknown(line: Line, scope: _Scope) -> Difference:
    command: Command | None = None
    if line.kind == CHARGEBACK and line.reference and line.part and line.order_id:
        command = _charged_back(line)
    return difference(
        "unknown_to_us", None, line, fresh=scope.just_now(line), command=command
    )


def _charged_back(line: Line) -> ReportChargeback:
    return ReportChargeback(
        chargeback_id=line.reference,
        payment_reference=line.part,
        status=line.status,  # type: ignore[arg-type]
        amount=None if line.status == "won" else line.amount,
    )


def _order(order: Order, report: _Report, scope: _Scope) -> _Comparing:
    """
    Yield the differences of one order.
    """
    told: _Told | None = None
    reached = scope.reached(order)
    pairs: list[tuple[Booked, list[Line]]] = []
    for booked in booked_in(order):
        names = [booked.key, *booked.earlier_keys, booked.reference]
        if booked.earlier_keys and report.nameless and told is None:
            # What came back was called something that only the history knows.
            told = _Told((yield "history", {"order_id": order.id}))
        if told is not None:
            names += told.references(booked)
        found = report.take(booked.kind, names)
        if booked.kind == Charge.name:
            # Some report a charge as the payment that it makes of a hold.
            found = found or report.take(Charge.name, [booked.part])
            paid = report.take(PAYMENT, [booked.part])
            found = found or paid
        pairs.append((booked, found))
    for booked, found in pairs:
        if not found and booked.key and not booked.reference:
            # Nobody ever told us what it is called: known by what it is.
            found = report.take_alike(booked)
        if not found and not (reached and booked.expected and scope.covers(booked)):
            continue
        against = _Against(order, booked, found)
        if against.open and booked.at is None and told is None:
            told = _Told((yield "history", {"order_id": order.id}))
        yield from against.differences(scope, told)


@final
class _Against:
    """
    One movement of our books, and the lines that are about it.
    """

    def __init__(self, order: Order, booked: Booked, found: Iterable[Line]) -> None:
        self._order = order
        self._booked = booked
        self._twice: list[Line] = []
        said: set[tuple[str, str]] = set()
        latest: dict[str, Line] = {}
        for line in found:
            if (line.name, line.status) in said:
                self._twice.append(line)
                continue
            said.add((line.name, line.status))
            known = latest.get(line.name)
            if known is None or line.at >= known.at:
                latest[line.name] = line
        self._lines = list(latest.values())
        # What was moved; that of today's key first.
        moved = [line for line in self._lines if line.status != "failed"]
        moved.sort(key=lambda line: not self._is_current(line))
        self._line = moved[0] if moved else None
        self._twice += moved[1:]

    def _is_current(self, line: Line) -> bool:
        """
        Whether a line is about the attempt that is owed now, and no earlier one.
        """
        booked = self._booked
        if not booked.earlier_keys or line.kind == PAYMENT:
            return True
        # What it is called decides: it may have been reported under a later key.
        if line.reference and line.reference == booked.reference:
            return True
        return bool(line.key) and line.key == booked.key

    @property
    def _refused(self) -> Line | None:
        """
        The line that says that what is owed now did not happen.
        """
        if self._line is not None or self._booked.status in _NOTHING:
            return None
        return next(filter(self._is_current, self._lines), None)

    @property
    def _agrees(self) -> bool:
        """
        Whether both sides say the same of how it stands.
        """
        line, booked = self._line, self._booked
        if line is None:
            return self._refused is None and not booked.expected
        return self._is_current(line) and (booked.status, line.status) in AGREE

    @property
    def open(self) -> bool:
        """
        Whether it depends on instants what is to be said.
        """
        return not self._agrees

    def differences(self, scope: _Scope, told: _Told | None) -> Iterator[Difference]:
        """
        Yield what differs.
        """
        booked = self._booked
        for line in self._lines:
            for code in self._parts_that_differ(line):
                yield difference(code, booked, line)
        for line in self._twice:
            yield difference("twice", booked, line)
        if self._agrees:
            return
        other = self._line or self._refused
        last = booked.at
        if booked.at is None and told is not None:
            last = told.last(booked)
        if other is not None:
            yield difference(
                "status_differs",
                booked,
                other,
                fresh=scope.just_now(other) or scope.just_heard(last),
                command=self._command(other),
            )
            return
        if booked.at is not None:
            heard: tuple[DateTime, DateTime] | None = (booked.at, booked.at)
        else:
            # Asked for where it depends on instants what is to be said.
            assert told is not None
            heard = told.left(booked)
        # Whatever the history does not tell happened when the order was last written.
        due = scope.on_report(
            *(heard or (self._order.recorded_at, self._order.recorded_at))
        )
        if due is not False and scope.covers(booked):
            yield difference("missing_at_gateway", booked, None, fresh=due is None)

    def _parts_that_differ(self, line: Line) -> Iterator[str]:
        booked, order = self._booked, self._order
        current = self._is_current(line)
        amounts = {booked.amount.minor}
        taken = order.chargeback(booked.reference)
        if booked.kind == CHARGEBACK and taken is not None and taken.lost is not None:
            amounts.add(taken.lost.minor)
        # What a chargeback has made good was less from then on, under another key.
        was_less = not current and any(one.covered for one in order.chargebacks)
        if line.amount.currency != booked.amount.currency:
            yield "currency_differs"
        elif line.amount.minor not in amounts and not was_less:
            yield "amount_differs"
        # Somebody else may have been named in the payee's place since.
        if line.part and line.part != booked.part and current:
            yield "part_differs"
        if line.order_id and line.order_id != order.id:
            yield "order_differs"

    def _command(self, line: Line) -> Command | None:
        """
        Return what brings our books to where the report is, if they may go there.
        """
        booked = self._booked
        if booked.kind == CHARGEBACK:
            return _charged_back(line) if line.part and line.reference else None
        report = _REPORTS.get(booked.kind)
        if report is None or line.amount != booked.amount:
            # Of another amount it would be refused (`amount_differs`).
            return None
        status: Any = {"paid": "paid", "pending": "sent", "failed": "failed"}
        unsent = booked.status in ("owed", "failed", "released")
        if booked.status == "covered" or (
            booked.status == "paid" and line.status == "pending"
        ):
            return None
        if not self._is_current(line) and not unsent:
            # It may have been moved twice.
            return None
        if not booked.key and line.status == "pending":
            # Nobody asked for it: it counts once it is done.
            return None
        return report(
            key=booked.key,
            status=status[line.status],
            # Without a key a charge is known by its payment.
            reference=line.reference if booked.key else booked.part,
            amount=line.amount,
            reason="reported as failed" if line.status == "failed" else "",
        )
