"""
The outbox and the sweep: what is handed out, what becomes of it, and what is left
for a human.

Everything here runs on each storage.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowflow import commands as c
from escrowflow.clock import FakeClock, from_micros, to_micros
from escrowflow.decisions import Refusal
from escrowflow.effects import (
    Done,
    Effect,
    NotDone,
    Notify,
    PayOut,
    Publish,
    Refund,
    RetryAt,
    Unknown,
)
from escrowflow.engine import (
    EffectReport,
    Engine,
    Outcome,
    Retries,
    Stuck,
    SweepReport,
)
from escrowflow.errors import (
    CorruptJournalError,
    InvalidInputError,
    OrderNotFoundError,
    OutcomeUnknownError,
    StorageError,
)
from escrowflow.storage import (
    Books,
    Change,
    CommitResult,
    EffectResult,
    NewEffect,
    Parked,
    Storage,
)
from escrowflow.storage.memory import MemoryStorage
from escrowflow.terms import FullRefund
from escrowflow.testing.given import LAST
from tests.given import (
    ANA,
    COMEUP,
    LUC,
    MIA,
    OPS,
    STRIPE,
    T0,
    an_engine,
    an_order,
    any_text,
    brought_to,
    eur,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from escrowflow.money import Money

LEASE = timedelta(seconds=60)
MICROSECOND = timedelta(microseconds=1)

# Three attempts, and waits that are easily counted.
FEW = Retries(first=timedelta(seconds=10), longest=timedelta(minutes=1), attempts=3)


@pytest.fixture
def engine(storage: Storage, clock: FakeClock) -> Engine:
    """
    An engine that tries three times.
    """
    return an_engine(storage, clock=clock, retries=FEW)


def chargeback(
    status: Literal["opened", "won", "lost"],
    name: str = "dp_1",
    amount: Money | None = None,
) -> c.ReportChargeback:
    """
    Return what a bank says of the payment of an order.
    """
    return c.ReportChargeback(
        chargeback_id=name, payment_reference="pi_1", status=status, amount=amount
    )


class Hands:
    """
    What carries effects out: writes down each one, and answers as it was told.
    """

    def __init__(self, answer: Callable[[Any], Any] = lambda effect: None) -> None:
        self.answer = answer
        self.seen: list[Any] = []

    def __call__(self, effect: Effect) -> Any:
        self.seen.append(effect)
        return self.answer(effect)

    @property
    def keys(self) -> list[str]:
        """
        The keys of what was seen, in its order.
        """
        return [effect.key for effect in self.seen]

    @property
    def handlers(self) -> dict[type[Effect], Any]:
        """
        These hands for every kind of effect that is asked for without more.
        """
        return {Refund: self, PayOut: self, Notify: self}


def statuses(engine: Engine, order_id: str = "o1") -> list[tuple[str, str, int]]:
    """
    Return kind, status and attempts of every effect of an order.
    """
    return [
        (one.effect.name, one.status, one.attempts) for one in engine.effects(order_id)
    ]


def raises(error: BaseException) -> Callable[[Any], Any]:
    """
    Return what only ever raises.
    """

    def raising(_: Any) -> Any:
        raise error

    return raising


def pausing(clock: FakeClock, pause: timedelta = LEASE) -> Callable[[Any], None]:
    """
    Return what takes its time.
    """

    def paused(_: Any) -> None:
        clock.advance(pause)

    return paused


# --- handing out --------------------------------------------------------------------


class TestHandingOut:
    """
    What a handler gets, and how often.
    """

    def test_each_is_carried_out_once(self, engine: Engine) -> None:
        """
        Each handler gets its own kind, with the order, the key and what it is about.
        """
        brought_to(engine, "cancelled")
        refunds, notes = Hands(), Hands()

        report = engine.run_effects(
            {Refund: refunds, Notify: notes, PayOut: raises(AssertionError())}
        )

        assert report == EffectReport(done=3)
        (refund,) = refunds.seen
        assert (type(refund), refund.order_id) == (Refund, "o1")
        assert (refund.amount, refund.payment.reference) == (eur(100), "pi_1")
        assert [(note.kind, note.to, note.recipient_id) for note in notes.seen] == [
            ("order_paid", "seller", "luc"),
            ("order_cancelled", "seller", "luc"),
        ]
        asked = [one.effect for one in engine.effects("o1")]
        assert sorted(refunds.seen + notes.seen, key=asked.index) == asked
        assert len({effect.key for effect in asked}) == 3

    def test_done_is_done(self, engine: Engine, clock: FakeClock) -> None:
        """
        What was carried out is never handed out again.
        """
        brought_to(engine, "cancelled")
        hands = Hands()
        engine.run_effects(hands.handlers)
        clock.advance(days=400)

        assert engine.run_effects(hands.handlers) == EffectReport()

        assert len(hands.seen) == 3
        assert [status for _, status, _ in statuses(engine)] == ["done"] * 3
        assert engine.stuck() == ()

    @pytest.mark.parametrize(
        ("answer", "reference"),
        [(None, ""), (Done(), ""), (Done("re_17"), "re_17"), (Done("\0é\n"), " é ")],
    )
    def test_what_it_is_called_elsewhere(
        self, engine: Engine, answer: Any, reference: str
    ) -> None:
        """
        `None` is done; a reference is kept, as far as it can be printed.
        """
        brought_to(engine, "cancelled")

        engine.run_effects(Hands(lambda _: answer).handlers)

        assert {
            (one.status, one.attempts, one.reference, one.reason)
            for one in engine.effects("o1")
        } == {("done", 1, reference, "")}

    def test_before_anybody_tried(self, engine: Engine) -> None:
        """
        An effect that nobody tried waits, and an unknown order has none.
        """
        brought_to(engine, "pending")

        assert statuses(engine) == [("notify", "waiting", 0)]
        with pytest.raises(OrderNotFoundError):
            engine.effects("o2")

    def test_while_it_is_carried_out(self, engine: Engine) -> None:
        """
        Whoever looks meanwhile sees that somebody is at it.
        """
        brought_to(engine, "pending")
        looks: list[Any] = []

        engine.run_effects(Hands(lambda _: looks.append(statuses(engine))).handlers)

        assert looks == [[("notify", "claimed", 1)]]

    def test_only_some_kinds(self, engine: Engine) -> None:
        """
        A worker may do some kinds only, and needs handlers for no others.
        """
        brought_to(engine, "cancelled")
        hands = Hands()

        report = engine.run_effects({Refund: hands}, kinds=["refund"])

        assert report == EffectReport(done=1)
        assert [effect.name for effect in hands.seen] == ["refund"]
        assert [status for _, status, _ in statuses(engine)] == [
            "waiting",
            "done",
            "waiting",
        ]

    @pytest.mark.parametrize("limit", [1, 2, 24, 25, 26, 500])
    def test_no_more_than_the_limit(self, engine: Engine, limit: int) -> None:
        """
        One call hands out so many at the most, and several calls all of them.
        """
        for number in range(25):
            brought_to(engine, "pending", f"o{number}")
        hands = Hands()

        report = engine.run_effects(hands.handlers, limit=limit)

        assert report.handled == report.done == len(hands.seen) == min(limit, 25)
        engine.run_effects(hands.handlers)
        assert len(set(hands.keys)) == len(hands.keys) == 25

    def test_those_that_wait_longest_first(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        What has been ready longest is carried out first.
        """
        for name in ("c", "a", "b"):
            brought_to(engine, "pending", name)
            clock.advance(minutes=1)
        hands = Hands()

        for _ in range(3):
            engine.run_effects(hands.handlers, limit=1)

        assert [effect.order_id for effect in hands.seen] == ["c", "a", "b"]

    def test_a_message_that_comes_too_late(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        A reminder whose time is over is settled and never sent; at its very last
        instant it still is.
        """
        for name in ("o1", "o2"):
            brought_to(engine, "pending", name)
        engine.run_effects(Hands().handlers)
        clock.advance(hours=24)
        engine.run_due()
        reminder = engine.effects("o1")[-1].effect
        assert isinstance(reminder, Notify)
        assert reminder.useless_after is not None
        hands = Hands()

        clock.advance_to(reminder.useless_after)
        assert engine.run_effects(hands.handlers, limit=1) == EffectReport(done=1)
        clock.advance(MICROSECOND)
        assert engine.run_effects(hands.handlers) == EffectReport(lapsed=1)

        assert [effect.order_id for effect in hands.seen] == ["o1"]
        assert statuses(engine, "o2")[-1] == ("notify", "lapsed", 1)
        assert engine.effects("o2")[-1].reference == ""
        clock.advance(days=1)
        assert engine.run_effects(hands.handlers, kinds=["notify"]).handled == 0


# --- what is wrong by itself --------------------------------------------------------


class Colour:
    """
    What is no effect.
    """


async def awaited(effect: Any) -> None:
    """
    Carry an effect out, for whoever awaits it.
    """


class Awaited:
    """
    Carries effects out, for whoever awaits it.
    """

    async def __call__(self, effect: Any) -> None:
        raise AssertionError("nobody awaits this")


class TestRefused:
    """
    What cannot work is said before anything is handed out.
    """

    @pytest.mark.parametrize(
        "handlers",
        [
            None,
            "refund",
            [Refund],
            {"refund": print},
            {Colour: print},
            {7: print},
            {Refund: "print", PayOut: print, Notify: print},
            {Refund: None, PayOut: print, Notify: print},
            {Refund: awaited, PayOut: print, Notify: print},
            {Refund: Awaited(), PayOut: print, Notify: print},
        ],
    )
    def test_what_is_no_handler(self, engine: Engine, handlers: Any) -> None:
        """
        Handlers are effect classes with something to call, which does not have to
        be awaited.
        """
        brought_to(engine, "cancelled")

        with pytest.raises(InvalidInputError) as caught:
            engine.run_effects(handlers)
        with pytest.raises(InvalidInputError):
            engine.check_handlers(handlers)

        assert caught.value.field == "handlers"
        assert {status for _, status, _ in statuses(engine)} == {"waiting"}

    @pytest.mark.parametrize(
        ("kinds", "lacking"),
        [
            (None, "notify, pay_out"),
            (["notify"], "notify"),
            (["refund", "pay_out"], "pay_out"),
            (["withdraw"], "withdraw"),
            ({"publish"}, "publish"),
        ],
    )
    def test_a_kind_without_a_handler(
        self, engine: Engine, kinds: Any, lacking: str
    ) -> None:
        """
        A kind that nobody would carry out is named, and nothing is claimed.
        """
        brought_to(engine, "cancelled")
        hands = Hands()

        with pytest.raises(InvalidInputError, match=f"carries out {lacking}:"):
            engine.run_effects({Refund: hands}, kinds)

        assert hands.seen == []
        assert {(status, tries) for _, status, tries in statuses(engine)} == {
            ("waiting", 0)
        }

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [("refunds", "'refund'"), ("payout", "'pay_out'"), ("PayOut", "'pay_out'")],
    )
    def test_a_kind_that_was_mistyped(
        self, engine: Engine, typed: str, meant: str
    ) -> None:
        """
        Who has mistyped a kind is told which one he may have meant.
        """
        with pytest.raises(InvalidInputError) as caught:
            engine.run_effects(Hands().handlers, ["notify", typed])

        assert caught.value.field == "kinds"
        assert caught.value.problem == (
            f"there is no effect {typed!r}: did you mean {meant}?  There are charge, "
            "notify, pay_out, publish, refund, release_hold, withdraw"
        )

    def test_a_kind_that_nobody_knows(self, engine: Engine) -> None:
        """
        Of what is like nothing it is said that there is none.
        """
        with pytest.raises(InvalidInputError, match="no effect 'x': there are charge"):
            engine.check_handlers(Hands().handlers, ["x"])

    @pytest.mark.parametrize(
        "kinds", ["refund", 7, [7], [Refund], b"refund", map(str, ())]
    )
    def test_what_are_no_kinds(self, engine: Engine, kinds: Any) -> None:
        """
        Kinds are several names, and may be looked at twice.
        """
        with pytest.raises(InvalidInputError) as caught:
            engine.run_effects(Hands().handlers, kinds)

        assert caught.value.field == "kinds"

    @pytest.mark.parametrize("limit", [0, -1, True, 1.5, "5", None])
    def test_a_bad_limit(self, engine: Engine, limit: Any) -> None:
        """
        A limit is a whole number, 1 or more, here as everywhere.
        """
        with pytest.raises(InvalidInputError) as caught:
            engine.run_effects(Hands().handlers, limit=limit)
        with pytest.raises(InvalidInputError) as second:
            engine.stuck(limit)

        assert {caught.value.field, second.value.field} == {"limit"}

    def test_retries_are_retries(self, storage: Storage) -> None:
        """
        An engine takes nothing else for them.
        """
        with pytest.raises(InvalidInputError) as caught:
            an_engine(storage, retries=3)

        assert caught.value.field == "retries"


# --- waiting ------------------------------------------------------------------------


class TestRetries:
    """
    How long to wait.
    """

    @given(
        st.integers(1, 10**9),
        any_text(max_size=9),
        st.timedeltas(MICROSECOND, timedelta(days=3660)),
        st.timedeltas(MICROSECOND, timedelta(days=3660)),
    )
    def test_between_half_and_whole(
        self, attempts: int, name: str, first: timedelta, longest: timedelta
    ) -> None:
        """
        A wait doubles up to the longest, and up to a half of it is left out.
        """
        retries = Retries(first=first, longest=longest)

        wait = retries.wait(attempts, name)

        seconds = first.total_seconds() * 2.0 ** min(attempts - 1, 90)
        whole = min(seconds, longest.total_seconds())
        assert whole / 2 - 1e-6 <= wait.total_seconds() <= whole * (1 + 1e-9)
        assert wait == retries.wait(attempts, name)

    def test_the_same_in_every_process(self) -> None:
        """
        What is waited depends on nothing but the name and the number of the attempt.
        """
        script = (
            "from escrowflow import Retries\n"
            "print([Retries().wait(n, 'key').total_seconds() for n in range(1, 40)])"
        )

        there = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )

        here = [Retries().wait(n, "key").total_seconds() for n in range(1, 40)]
        assert there.stdout == f"{here}\n"

    def test_a_crowd_does_not_come_back_together(self) -> None:
        """
        What failed together is spread over half of the wait.
        """
        waits = {Retries().wait(20, f"key {number}") for number in range(200)}

        assert len(waits) > 60
        assert max(waits) - min(waits) > timedelta(minutes=25)

    def test_the_last_attempt_is_after_a_day(self) -> None:
        """
        With the defaults a provider may be away for a day.
        """
        retries = Retries()

        waits = [retries.wait(n, "key") for n in range(1, retries.attempts)]

        assert sum(waits, timedelta()) > timedelta(hours=16)
        assert max(waits) <= retries.longest

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("attempts", 0),
            ("attempts", True),
            ("attempts", 2.0),
            ("attempts", "3"),
            ("wait", timedelta()),
            ("wait", -timedelta(seconds=1)),
            ("wait", "P1M"),
            ("wait", 10),
        ],
    )
    def test_malformed(self, field: str, value: Any) -> None:
        """
        No attempt, no wait and months are refused.
        """
        named = {"first": value} if field == "wait" else {field: value}

        with pytest.raises(InvalidInputError) as caught:
            Retries(**named)

        assert caught.value.field == field

    @pytest.mark.parametrize("value", [timedelta(), "P1M", 60, None])
    def test_a_malformed_lease(self, value: Any) -> None:
        """
        A lease is a length of time, too, and a text may say it.
        """
        with pytest.raises(InvalidInputError) as caught:
            Retries(lease=value)

        assert caught.value.field == "lease"
        assert Retries(lease="PT2M").lease == timedelta(minutes=2)
        assert Retries().lease == LEASE

    @pytest.mark.parametrize("value", [timedelta(), "P1M", 30, None])
    @pytest.mark.parametrize("field", ["under_way", "held_back"])
    def test_malformed_patience(self, field: str, value: Any) -> None:
        """
        So is how long money may be under way, or held back.
        """
        with pytest.raises(InvalidInputError) as caught:
            Retries(**{field: value})

        assert caught.value.field == field
        longer: Any = {field: "P10D"}
        assert getattr(Retries(**longer), field) == timedelta(days=10)


# --- what does not work -------------------------------------------------------------

# What says that something may have happened -> its reason.
UNCLEAR: dict[str, tuple[Callable[[Any], Any], str]] = {
    "unknown": (lambda _: Unknown("timeout"), "timeout"),
    "error": (raises(ConnectionError("no route")), "ConnectionError"),
    "stop": (raises(StopIteration(7)), "StopIteration"),
    "ours": (raises(StorageError("full")), "full"),
    "number": (lambda _: 7, "the handler returned int, which is no result"),
    "true": (lambda _: True, "the handler returned bool, which is no result"),
    "class": (lambda _: Done, "the handler returned type, which is no result"),
}

each_unclear = pytest.mark.parametrize(
    ("answer", "reason"), UNCLEAR.values(), ids=UNCLEAR
)


class TestFailing:
    """
    What a handler cannot carry out.
    """

    def test_refused_for_good(self, engine: Engine, clock: FakeClock) -> None:
        """
        What would not help to try again is left for a human at once, with the
        reason.
        """
        brought_to(engine, "cancelled")
        hands = Hands(lambda _: NotDone("account\nclosed"))

        report = engine.run_effects({Refund: hands}, kinds=["refund"])

        assert report == EffectReport(parked=1)
        (refund,) = hands.seen
        # It is owed under another key: under the first one nothing is sent again.
        (owed,) = engine.order("o1").refunds
        assert (owed.status, owed.epoch) == ("failed", 1)
        assert engine.stuck() == (
            Stuck(
                order_id="o1",
                key=owed.key,
                kind="refund",
                reason="account closed",
                since=clock.now(),
                attempts=0,
            ),
        )
        clock.advance(days=30)
        assert engine.run_effects({Refund: hands}, kinds=["refund"]) == EffectReport()
        said = [
            (one.effect.key, one.status, one.reason)
            for one in engine.effects("o1")
            if isinstance(one.effect, Refund)
        ]
        assert said == [
            (refund.key, "failed", "account closed"),
            (owed.key, "parked", "account closed"),
        ]

    @each_unclear
    def test_unclear_is_tried_again_under_its_key(
        self,
        engine: Engine,
        clock: FakeClock,
        answer: Callable[[Any], Any],
        reason: str,
    ) -> None:
        """
        What may have happened is tried again, each time later, under the same key;
        after the last attempt it is a human's, and it is never dropped.
        """
        brought_to(engine, "cancelled")
        hands = Hands(answer)
        waits = []

        for attempt in (1, 2):
            report = engine.run_effects({Refund: hands}, kinds=["refund"])
            assert report == EffectReport(again=1)
            assert statuses(engine)[1] == ("refund", "waiting", attempt)
            assert engine.effects("o1")[1].reason == reason
            assert engine.stuck() == ()
            began = clock.now()
            ready_at = engine.storage.next_effect(0, LAST, ["refund"])
            assert ready_at is not None
            clock.advance_to(from_micros(ready_at) - MICROSECOND)
            assert engine.run_effects({Refund: hands}, ["refund"]).handled == 0
            clock.advance(MICROSECOND)
            waits.append(clock.now() - began)
        report = engine.run_effects({Refund: hands}, kinds=["refund"])

        assert report == EffectReport(parked=1)
        assert len(set(hands.keys)) == 1
        assert hands.seen == [hands.seen[0]] * 3
        assert waits == [FEW.wait(n, hands.keys[0]) for n in (1, 2)]
        assert waits[0] < waits[1]
        (stuck,) = engine.stuck()
        assert (stuck.kind, stuck.key, stuck.reason) == (
            "refund",
            hands.keys[0],
            reason,
        )
        assert (stuck.since, stuck.attempts) == (clock.now(), 3)
        clock.advance(days=365)
        assert engine.run_effects({Refund: hands}, kinds=["refund"]).handled == 0

    def test_it_works_in_the_end(self, engine: Engine, clock: FakeClock) -> None:
        """
        An effect that fails twice and then works is done, and nothing is left of
        the reason.
        """
        brought_to(engine, "pending")
        answers = iter([Unknown("a"), Unknown("b"), Done("m_1")])
        hands = Hands(lambda _: next(answers))

        for _ in range(3):
            engine.run_effects(hands.handlers)
            clock.advance(minutes=1)

        (status,) = engine.effects("o1")
        assert (status.status, status.attempts) == ("done", 3)
        assert (status.reference, status.reason) == ("m_1", "")

    def test_later_is_no_attempt(self, engine: Engine, clock: FakeClock) -> None:
        """
        Who asks to be asked again at an instant is asked then, however often.
        """
        brought_to(engine, "pending")
        hands = Hands(lambda _: RetryAt(clock.now().add(hours=6)))

        for _ in range(20):
            assert engine.run_effects(hands.handlers) == EffectReport(again=1)
            assert statuses(engine) == [("notify", "waiting", 0)]
            clock.advance(timedelta(hours=6) - MICROSECOND)
            assert engine.run_effects(hands.handlers) == EffectReport()
            clock.advance(MICROSECOND)

        assert len(hands.seen) == 20
        assert len(set(hands.keys)) == 1

    def test_later_that_is_over(self, engine: Engine, clock: FakeClock) -> None:
        """
        Who asks to be asked again at an instant that is over is not asked in a
        circle.
        """
        brought_to(engine, "pending")
        hands = Hands(lambda _: RetryAt(clock.now()))

        assert engine.run_effects(hands.handlers) == EffectReport(again=1)

        ready_at = engine.storage.next_effect(0, LAST)
        assert ready_at is not None
        assert from_micros(ready_at) == clock.now() + FEW.wait(1, hands.keys[0])

    @pytest.mark.parametrize("reference", ["", "po_1"])
    def test_later_that_is_always_over(
        self, engine: Engine, clock: FakeClock, reference: str
    ) -> None:
        """
        He is asked less and less often, and for ever: he has failed at nothing.
        """
        brought_to(engine, "completed")
        pay = Hands(lambda _: RetryAt(clock.now(), reference))
        asked = []

        for _ in range(3 * FEW.attempts):
            assert engine.run_effects({PayOut: pay}, ["pay_out"]).again == 1
            asked.append(engine.storage.next_effect(0, LAST, ["pay_out"]) or 0)
            clock.advance(from_micros(asked[-1]) - clock.now())

        assert len(pay.seen) == 3 * FEW.attempts
        assert engine.stuck() == ()
        waits = [b - a for a, b in pairwise(asked)]
        assert waits[:3] == sorted(waits[:3])
        assert max(waits) <= FEW.longest // MICROSECOND
        (status,) = (
            one for one in engine.effects("o1") if one.effect.name == "pay_out"
        )
        assert (status.status, status.attempts) == ("waiting", 0)

        clock.advance(hours=1)
        assert engine.run_effects({PayOut: Hands()}, ["pay_out"]).done == 1
        assert engine.order("o1").payouts[0].status == "paid"

    def test_money_under_way_for_ever(self, engine: Engine, clock: FakeClock) -> None:
        """
        Money that is always "under way" is asked for for a month, and then parked: a
        human looks, has it asked for once more, or reports.
        """
        brought_to(engine, "completed")
        first = clock.now()
        pay = Hands(lambda _: RetryAt(clock.now().add(days=1), "po_1"))
        said = []

        for _ in range(40):
            report = engine.run_effects({PayOut: pay}, ["pay_out"])
            said += [report.again * "again" + report.parked * "parked"]
            clock.advance(days=1)

        assert said == 30 * ["again"] + ["parked"] + 9 * [""]
        (one,) = engine.stuck()
        assert (one.kind, one.since) == ("pay_out", first + timedelta(days=30))
        assert one.reason.startswith(f"under way since {first.isoformat()}: ")
        assert engine.order("o1").payouts[0].reference == "po_1"

        assert engine.redrive("o1") == 1
        assert engine.run_effects({PayOut: pay}, ["pay_out"]).parked == 1
        assert engine.redrive("o1") == 1
        pay.answer = lambda _: Done("po_1")
        assert engine.run_effects({PayOut: pay}, ["pay_out"]).done == 1
        assert engine.order("o1").payouts[0].status == "paid"
        assert engine.stuck() == ()

    def test_a_bank_that_never_decides(self, engine: Engine, clock: FakeClock) -> None:
        """
        Money held back by a chargeback is asked for again for four months, and then
        parked, nobody having tried it: a human is told which one.  Once it is closed it
        leaves by itself.
        """
        brought_to(engine, "cancelled")
        opened_at = clock.now()
        engine.execute("o1", chargeback("opened"), by=STRIPE)
        sends = Hands()
        said = []

        for _ in range(122):
            report = engine.run_effects({Refund: sends}, ["refund"])
            said += [report.again * "again" + report.parked * "parked"]
            clock.advance(days=1)

        assert said == 120 * ["again"] + ["parked", ""]
        (one,) = engine.stuck()
        assert (one.order_id, one.kind, one.attempts) == ("o1", "refund", 0)
        assert one.since == opened_at + timedelta(days=120)
        assert one.reason == (
            f"held back since {opened_at.isoformat()} by the chargeback dp_1 of the "
            "payment pi_1: look how the bank decided, and report it"
        )

        # A report of another payment decides nothing; nor does another try.
        answer = engine.attempt(
            "o1", attrs.evolve(chargeback("won"), payment_reference="pi_2"), by=STRIPE
        )
        assert isinstance(answer, Refusal)
        assert engine.redrive("o1") == 1
        assert engine.run_effects({Refund: sends}, ["refund"]).parked == 1
        assert len(engine.stuck()) == 1
        assert sends.seen == []

        engine.execute("o1", chargeback("won"), by=STRIPE)
        assert engine.stuck() == ()
        assert engine.run_effects({Refund: sends}, ["refund"]).done == 1
        (refund,) = engine.order("o1").refunds
        assert refund.status == "paid"

    def test_a_bank_that_keeps_it(self, engine: Engine, clock: FakeClock) -> None:
        """
        What the bank took for good is not sent again, however long it was parked.
        """
        brought_to(engine, "cancelled")
        engine.execute("o1", chargeback("opened"), by=STRIPE)
        clock.advance(days=120)
        assert engine.run_effects({Refund: Hands()}, ["refund"]).parked == 1

        engine.execute("o1", chargeback("lost"), by=STRIPE)

        assert engine.stuck() == ()
        assert engine.run_effects({Refund: Hands()}, ["refund"]) == EffectReport()

    def test_two_banks(self, engine: Engine, clock: FakeClock) -> None:
        """
        The oldest chargeback that is open counts; the end of one is not that of the
        other.
        """
        brought_to(engine, "cancelled")
        for name, days in (("dp_1", 100), ("dp_2", 20)):
            engine.execute("o1", chargeback("opened", name, eur(40)), by=STRIPE)
            clock.advance(days=days)
        sends = Hands()
        assert engine.run_effects({Refund: sends}, ["refund"]).parked == 1
        assert "dp_1" in engine.stuck()[0].reason

        engine.execute("o1", chargeback("won", "dp_1"), by=STRIPE)
        assert engine.run_effects({Refund: sends}, ["refund"]).again == 1
        assert engine.stuck() == ()

        clock.advance(days=100)
        assert engine.run_effects({Refund: sends}, ["refund"]).parked == 1
        assert "dp_2" in engine.stuck()[0].reason
        assert sends.seen == []

    def test_a_message_for_ever(self, engine: Engine, clock: FakeClock) -> None:
        """
        What moves no money may be put off for as long as its handler likes.
        """
        brought_to(engine, "pending")
        hands = Hands(lambda _: RetryAt(clock.now().add(days=20)))

        for _ in range(5):
            assert engine.run_effects(hands.handlers).again == 1
            clock.advance(days=20)

        assert engine.stuck() == ()

    def test_later_after_it_was_over(self, engine: Engine, clock: FakeClock) -> None:
        """
        Once he names an instant that is to come, it is believed again.
        """
        brought_to(engine, "pending")
        over, later = RetryAt(clock.now()), RetryAt(clock.now().add(days=1))
        answers = [*[over] * 5, later, over]
        hands = Hands(lambda _: answers.pop(0))
        waits = []

        while answers:
            engine.run_effects(hands.handlers)
            ready_at = from_micros(engine.storage.next_effect(0, LAST) or 0)
            waits.append(to_micros(ready_at) - to_micros(clock.now()))
            clock.advance_to(ready_at)

        assert waits[0] == waits[6] < waits[4]

    def test_one_that_always_fails_delays_no_other(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        While one order's effect fails until it is given up, those of all others are
        carried out as soon as they are asked for.
        """
        bad = an_order()
        engine.place(bad, by=ANA, order_id="bad")
        asked: dict[str, Any] = {}
        hands = Hands(
            lambda effect: (
                Unknown("down")
                if effect.order_id == "bad"
                else asked.update({effect.order_id: clock.now()})
            )
        )
        placed = {}

        for number in range(30):
            placed[f"o{number}"] = clock.now()
            engine.place(an_order(), by=ANA, order_id=f"o{number}")
            engine.run_effects(hands.handlers)
            clock.advance(seconds=7)

        assert asked == placed
        assert [stuck.order_id for stuck in engine.stuck()] == ["bad"]

    def test_one_that_cannot_be_read(self, engine: Engine, storage: Storage) -> None:
        """
        An effect that this release cannot read is left for a human, and the others
        are carried out.
        """
        brought_to(engine, "pending", "good")
        brought_to(engine, "pending", "bad")
        smuggle(storage, engine, "bad", kind="notify", body=b'{"from": "tomorrow"}')
        hands = Hands()

        report = engine.run_effects(hands.handlers)

        assert report == EffectReport(done=2, parked=1)
        (stuck,) = engine.stuck()
        assert (stuck.order_id, stuck.key) == ("bad", "smuggled")
        assert stuck.reason

    def test_one_of_an_unknown_kind(self, engine: Engine, storage: Storage) -> None:
        """
        A kind of effect of a later release is left alone, and said to be unknown.
        """
        brought_to(engine, "pending")
        smuggle(storage, engine, "o1", kind="teleport", body=b"{}")

        assert engine.run_effects(Hands().handlers) == EffectReport(done=1)

        assert [effect.status for effect in storage.effects("o1")] == [
            "done",
            "waiting",
        ]
        with pytest.raises(CorruptJournalError, match="teleport"):
            engine.effects("o1")


def smuggle(storage: Storage, engine: Engine, order_id: str, **fields: Any) -> None:
    """
    Put an effect into a storage behind the engine's back.
    """
    values = {
        "key": "smuggled",
        "kind": "notify",
        "seq": 3,
        "moves_money": False,
        "ready_at": 0,
        "body": b"{}",
        **fields,
    }
    put(storage, engine, order_id, effects=(NewEffect(**values),))


def put(storage: Storage, engine: Engine, order_id: str, **changes: Any) -> None:
    """
    Write to an order behind the engine's back; its history stays as it is.
    """
    order = engine.order(order_id)
    loaded = storage.load(order_id)
    values: dict[str, Any] = {
        "snapshot": loaded.snapshot,
        "due_at": loaded.due_at,
        **changes,
    }
    ledger = order.ledger
    change = Change(
        order_id=order_id,
        expected_version=loaded.version,
        version=loaded.version,
        process=order.process,
        fingerprint=order.fingerprint,
        state=str(order.state),
        books=Books(
            currency="EUR",
            price=order.price.minor,
            paid_in=ledger.paid_in.minor,
            held=ledger.held.minor,
            refunded=ledger.refunded.minor,
            released=ledger.released.minor,
            kept=ledger.kept.minor,
        ),
        **values,
    )
    assert tuple(storage.commit((change,))) == (CommitResult.DONE,)


# --- several workers ----------------------------------------------------------------


class Killed(BaseException):
    """
    The end of a worker, as if somebody had pulled the plug.
    """


class TestWorkers:
    """
    Workers that die, pause, and get in each other's way.
    """

    @pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, Killed])
    def test_one_that_dies(
        self, engine: Engine, clock: FakeClock, end: type[BaseException]
    ) -> None:
        """
        What ends a worker is not swallowed, and what it was doing is handed out
        again after its lease.
        """
        brought_to(engine, "pending")

        with pytest.raises(end):
            engine.run_effects(Hands(raises(end())).handlers)

        hands = Hands()
        clock.advance(LEASE - MICROSECOND)
        assert engine.run_effects(hands.handlers) == EffectReport()
        clock.advance(MICROSECOND)
        assert engine.run_effects(hands.handlers) == EffectReport(done=1)
        assert statuses(engine) == [("notify", "done", 2)]

    def test_one_effect_that_kills_its_workers(
        self, storage: Storage, clock: FakeClock
    ) -> None:
        """
        An effect that kills whoever tries it is given up like any other, and those
        that were claimed together with it are carried out.
        """
        engine = an_engine(
            storage, clock=clock, retries=Retries(longest=LEASE, attempts=20)
        )
        for number in range(9):
            brought_to(engine, "pending", f"o{number}")
        done: list[str] = []

        def carry_out(effect: Notify) -> None:
            if effect.order_id == "o0":
                raise Killed
            done.append(effect.order_id)

        deaths = 0
        while not engine.stuck():
            try:
                engine.run_effects(Hands(carry_out).handlers)
            except Killed:
                deaths += 1
            clock.advance(LEASE)

        assert sorted(done) == [f"o{number}" for number in range(1, 9)]
        assert deaths == 20
        (stuck,) = engine.stuck()
        assert stuck.order_id == "o0"
        assert stuck.reason == "every worker that tried it never came back in time"

    @pytest.mark.parametrize("before", [0, 1, 5])
    def test_money_of_one_that_dies(
        self, engine: Engine, clock: FakeClock, before: int
    ) -> None:
        """
        Of the money that waits only what it was about to send may have left; what it
        never began is a first attempt for the next one (I29).
        """
        for number in range(12):
            brought_to(engine, "cancelled", f"o{number:02}")
        sent = Hands()

        def dies(effect: Refund) -> None:
            if len(sent.seen) == before:
                raise Killed
            sent(effect)

        with pytest.raises(Killed):
            engine.run_effects({Refund: dies}, kinds=["refund"])
        clock.advance(LEASE)
        hands = Hands()
        engine.run_effects({Refund: hands}, kinds=["refund"])

        assert len(hands.seen) == 12 - before
        assert sorted(one.attempt for one in hands.seen) == [1] * (11 - before) + [2]

    def test_money_of_one_that_dies_may_be_redirected(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        What it never began has surely not left: staff may still pay somebody else.
        """
        for name in ("o1", "o2"):
            brought_to(engine, "completed", name)

        with pytest.raises(Killed):
            engine.run_effects({PayOut: raises(Killed())}, kinds=["pay_out"])

        for name, redirected in (("o1", False), ("o2", True)):
            (payout,) = engine.order(name).payouts
            command = c.RedirectPayout(key=payout.key, payee_id="heir", reason="dead")
            answer = engine.attempt(name, command, by=OPS)
            assert isinstance(answer, Outcome) is redirected

    def test_money_that_was_taken_over_is_not_sent(
        self, storage: Storage, clock: FakeClock
    ) -> None:
        """
        Whoever paused between his claim and his call finds out before he calls.
        """
        brought_to(an_engine(storage, clock=clock), "completed")
        second = Hands()

        def paused() -> None:
            clock.advance(LEASE)
            other = an_engine(storage, clock=clock)
            assert other.run_effects({PayOut: second}, ["pay_out"]).done == 1

        slow = an_engine(Pausing(storage, "settle_effect", paused).storage, clock=clock)
        first = Hands()
        report = slow.run_effects({PayOut: first}, ["pay_out"])

        assert report == EffectReport(stale=1)
        assert (len(first.seen), len(second.seen)) == (0, 1)

    def test_money_whose_beginning_may_not_be_written(
        self, storage: Storage, clock: FakeClock
    ) -> None:
        """
        It is not sent before it is known that its beginning is written.
        """
        doubtful: Any = Doubtful(storage, {"settle_effect": ["before", "before"]})
        engine = an_engine(doubtful.storage, clock=clock)
        brought_to(an_engine(storage, clock=clock), "completed")
        seen = []

        def pays(effect: PayOut) -> None:
            (row,) = (one for one in storage.effects("o1") if one.key == effect.key)
            seen.append((row.status, b"begun" in row.result))

        assert engine.run_effects({PayOut: pays}, ["pay_out"]).done == 1
        assert seen == [("claimed", True)]

    def test_two_at_once(self, storage: Storage, clock: FakeClock) -> None:
        """
        Any number of workers carry out each effect once.
        """
        engine = an_engine(storage, clock=clock)
        for number in range(40):
            brought_to(engine, "cancelled", f"o{number}")
        start = Barrier(4)
        hands = Hands()

        def work(_: int) -> EffectReport:
            start.wait()
            return an_engine(storage, clock=clock).run_effects(
                hands.handlers, limit=500
            )

        with ThreadPoolExecutor(4) as threads:
            reports = list(threads.map(work, range(4)))

        assert sum(report.done for report in reports) == 120
        assert sum(report.handled for report in reports) == 120
        assert len(set(hands.keys)) == len(hands.keys) == 120

    def test_one_that_is_slower_than_its_lease(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        A worker that paused for too long comes back to find its claim taken: what
        it says is not written, and what the later one says stays.
        """
        brought_to(engine, "pending")
        tokens = []
        later: list[EffectReport] = []

        def fast(effect: Notify) -> Done:
            tokens.append(storage.effects("o1")[0].token)
            return Done("the later one")

        def slow(effect: Notify) -> NotDone:
            tokens.append(storage.effects("o1")[0].token)
            clock.advance(LEASE)
            later.append(engine.run_effects(Hands(fast).handlers))
            return NotDone("too late to be true")

        report = engine.run_effects(Hands(slow).handlers)

        assert (report, later) == (EffectReport(stale=1), [EffectReport(done=1)])
        (status,) = engine.effects("o1")
        assert (status.status, status.reference) == ("done", "the later one")
        assert tokens == [1, 2]
        assert engine.stuck() == ()

    def test_a_slow_one_that_nobody_overtook(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        As long as nobody else has claimed it, a late result still counts.
        """
        brought_to(engine, "pending")

        report = engine.run_effects(Hands(pausing(clock, timedelta(days=1))).handlers)

        assert report == EffectReport(done=1)

    def test_a_stale_result_changes_nothing_either_way(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        A worker that was overtaken by one that failed does not say "done" in its
        place.
        """
        brought_to(engine, "pending")

        def slow(effect: Notify) -> Done:
            clock.advance(LEASE)
            engine.run_effects(Hands(lambda _: Unknown("down")).handlers)
            return Done("too late")

        report = engine.run_effects(Hands(slow).handlers)

        assert report == EffectReport(stale=1)
        assert statuses(engine) == [("notify", "waiting", 2)]

    def test_tokens_only_grow(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        Each claim has a higher token than the one before, through every way an
        attempt may end, and through a human's hand.
        """
        brought_to(engine, "pending")
        answers: list[Any] = [
            lambda _: RetryAt(clock.now().add(seconds=1)),
            lambda _: Unknown("x"),
            raises(Killed()),
            lambda _: NotDone("x"),
            lambda _: None,
        ]
        tokens = []

        def work(answer: Callable[[Any], Any]) -> None:
            def carry_out(effect: Any) -> Any:
                tokens.append(storage.effects("o1")[0].token)
                return answer(effect)

            with suppress(Killed):
                engine.run_effects(Hands(carry_out).handlers)

        for answer in answers:
            work(answer)
            clock.advance(hours=1)
            engine.redrive("o1")

        assert tokens == sorted(set(tokens))
        assert len(tokens) == 5
        assert statuses(engine)[0][1] == "done"

    def test_those_it_had_no_time_for(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        A worker whose lease ends between two effects does not begin the second one;
        it is not counted as tried, and is handed out again at once.
        """
        brought_to(engine, "cancelled")
        hands = Hands(pausing(clock))

        report = engine.run_effects(hands.handlers, limit=3)

        assert report == EffectReport(done=1, again=2)
        assert statuses(engine) == [
            ("notify", "done", 1),
            ("refund", "waiting", 0),
            ("notify", "waiting", 0),
        ]
        assert engine.run_effects(Hands().handlers) == EffectReport(done=2)

    def test_those_it_had_no_time_for_and_somebody_else_had(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        What somebody else has taken over meanwhile is left to him.
        """
        brought_to(engine, "cancelled")
        other = Hands()

        def slow(effect: Effect) -> None:
            clock.advance(LEASE)
            engine.run_effects(other.handlers)

        report = engine.run_effects(Hands(slow).handlers)

        assert report == EffectReport(stale=3)
        assert [status for _, status, _ in statuses(engine)] == ["done"] * 3
        assert len(other.seen) == 3

    def test_told_to_stop(self, engine: Engine, storage: Storage) -> None:
        """
        It is asked before each effect; what was not begun is handed back untried,
        and nothing more is claimed.
        """
        for number in range(15):
            brought_to(engine, "pending", f"o{number:02}")
        hands = Hands()

        report = engine.run_effects(hands.handlers, stop=lambda: len(hands.seen) == 3)

        assert (report.done, len(hands.seen)) == (3, 3)
        found = [statuses(engine, f"o{number:02}") for number in range(15)]
        assert sorted(one for (one,) in found) == [
            *[("notify", "done", 1)] * 3,
            *[("notify", "waiting", 0)] * 12,
        ]
        assert engine.run_effects(hands.handlers) == EffectReport(done=12)
        assert len(set(hands.keys)) == 15

    def test_told_to_stop_before_it_began(
        self, engine: Engine, storage: Storage
    ) -> None:
        """
        Then nothing is claimed at all.
        """
        brought_to(engine, "pending")

        report = engine.run_effects(Hands().handlers, stop=lambda: True)

        assert report == EffectReport()
        assert storage.effects("o1")[0].token == 0

    def test_what_cannot_say_stop(self, engine: Engine) -> None:
        """
        It is called, so it is something to call.
        """
        stop: Any = True

        with pytest.raises(InvalidInputError) as caught:
            engine.run_effects(Hands().handlers, stop=stop)

        assert caught.value.field == "stop"

    def test_a_lease_of_ones_own(self, storage: Storage, clock: FakeClock) -> None:
        """
        How long a handler may take is up to the host.
        """
        patient = Retries(lease=timedelta(minutes=10))
        engine = an_engine(storage, clock=clock, retries=patient)
        brought_to(engine, "pending")
        meanwhile: list[EffectReport] = []

        def slow(_: Effect) -> None:
            clock.advance(minutes=10, microseconds=-1)
            meanwhile.append(engine.run_effects(Hands().handlers))
            clock.advance(MICROSECOND)
            meanwhile.append(engine.run_effects(Hands().handlers))

        report = engine.run_effects(Hands(slow).handlers)

        assert meanwhile == [EffectReport(), EffectReport(done=1)]
        assert report == EffectReport(stale=1)

    def test_a_stale_result_is_told_to_the_log(
        self, engine: Engine, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A handler that is slower than its lease is a mistake somebody must hear of;
        by ids, without what it said.
        """
        brought_to(engine, "pending")

        def slow(_: Effect) -> Done:
            clock.advance(LEASE)
            engine.run_effects(Hands().handlers)
            return Done("re_secret")

        engine.run_effects(Hands(slow).handlers)

        (record,) = caplog.records
        assert (record.name, record.levelname) == ("escrowflow.outbox", "WARNING")
        assert engine.effects("o1")[0].effect.key in record.getMessage()
        assert "o1" in record.getMessage()
        assert "re_secret" not in caplog.text

    def test_money_that_was_paid_too_slowly(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        Who paid and says so too late is believed: nobody sends it again.
        """
        brought_to(engine, "cancelled")
        other = Hands(lambda _: Unknown("no answer"))

        def slow(effect: Refund) -> Done:
            clock.advance(LEASE)
            engine.run_effects({Refund: other}, kinds=["refund"])
            return Done("re_1")

        report = engine.run_effects({Refund: slow}, kinds=["refund"])

        assert report == EffectReport(done=1)
        (refund,) = engine.order("o1").refunds
        assert (refund.status, refund.reference) == ("paid", "re_1")
        assert engine.order("o1").ledger.buyer == 100_00
        clock.advance(days=2)
        assert engine.run_effects({Refund: other}, kinds=["refund"]) == EffectReport()
        assert len(other.seen) == 1
        assert engine.stuck() == ()
        assert engine.verify().faults == ()

    def test_two_that_are_always_too_slow(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        Workers that overtake each other for ever end all the same: after the last
        attempt a human must look.
        """
        brought_to(engine, "pending")
        calls = []

        def slow(effect: Notify) -> None:
            calls.append(effect.key)
            clock.advance(LEASE)
            engine.run_effects(Hands(slow).handlers)

        engine.run_effects(Hands(slow).handlers)

        assert len(calls) == FEW.attempts
        (stuck,) = engine.stuck()
        assert stuck.kind == "notify"
        assert stuck.reason


class TestInsideAHandler:
    """
    What a handler may do.
    """

    def test_it_may_call_the_engine(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        A handler may send commands to the very order it works for; what they ask
        for is carried out, too, and nothing twice.
        """
        brought_to(engine, "pending")

        def carry_out(effect: Effect) -> None:
            assert engine.order("o1").id == "o1"
            if isinstance(effect, Notify) and effect.kind == "order_paid":
                engine.execute("o1", c.AcceptOrder(), by=LUC)
                engine.execute("o1", c.CancelOrder(), by=LUC)
            engine.run_due()
            assert engine.run_effects(inner.handlers, ["refund"]).handled <= 1

        inner, outer = Hands(), Hands(carry_out)
        engine.run_effects(outer.handlers)

        assert engine.order("o1").state == "cancelled"
        assert engine.order("o1").ledger.held.is_zero
        assert {status for _, status, _ in statuses(engine)} == {"done"}
        keys = inner.keys + outer.keys
        assert sorted(keys) == sorted(one.effect.key for one in engine.effects("o1"))
        assert engine.verify().faults == ()

    def test_it_is_in_no_transaction(
        self, storage: Storage, clock: FakeClock, tmp_path: Path
    ) -> None:
        """
        While a handler runs nobody waits for it: other threads may write, even to
        the same order.
        """
        engine = an_engine(storage, clock=clock)
        brought_to(engine, "pending")

        def carry_out(effect: Effect) -> None:
            other = Thread(target=lambda: engine.execute("o1", c.AcceptOrder(), by=LUC))
            other.start()
            other.join(20)
            assert not other.is_alive()

        hands = Hands(carry_out)
        report = engine.run_effects(hands.handlers, limit=1)

        assert report == EffectReport(done=1)
        assert engine.order("o1").state == "in_progress"

    def test_it_is_in_no_verb(self, storage: Storage, clock: FakeClock) -> None:
        """
        No handler is called before every verb of the storage has come back.
        """
        watched = Watched(storage)
        engine = an_engine(watched.storage, clock=clock)
        brought_to(engine, "cancelled")
        depths = []

        engine.run_effects(Hands(lambda _: depths.append(watched.depth)).handlers)

        assert depths == [0, 0, 0]
        settled = ["settle_effect"] * 3
        # Before money moves, its history is asked whether it should, and its beginning
        # is written; that it moved is written to the history.
        checked, told = ["load", "events"], ["load", "effects", "commit"]
        verbs = watched.verbs[-10:]
        assert (verbs[0], verbs[-1]) == ("claim_effects", "claim_effects")
        assert sorted(verbs[1:-1]) == sorted([*checked, *told, *settled])


class Watched:
    """
    A storage that says which verb it is in.
    """

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.depth = 0
        self.verbs: list[str] = []

    @property
    def storage(self) -> Any:
        """
        Itself, as the storage it stands for.
        """
        return self

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.inner, name)

        def watched(*values: Any, **named: Any) -> Any:
            self.depth += 1
            self.verbs.append(name)
            try:
                return verb(*values, **named)
            finally:
                self.depth -= 1

        return watched


class Pausing(Watched):
    """
    A storage that pauses once before a verb.
    """

    def __init__(
        self, inner: Storage, verb: str, meanwhile: Callable[[], object]
    ) -> None:
        super().__init__(inner)
        self.waits = {verb: meanwhile}

    def __getattr__(self, name: str) -> Any:
        verb = super().__getattr__(name)

        def paused(*values: Any, **named: Any) -> Any:
            if name in self.waits:
                self.waits.pop(name)()
            return verb(*values, **named)

        return paused


class Doubtful(Watched):
    """
    A storage that loses answers: it raises after it has written, or before.

    Args:
        lost: How a verb fails, in the order of its calls: `"before"` or `"after"` it
            was done, or `"fails"`.
    """

    def __init__(self, inner: Storage, lost: Mapping[str, list[str]]) -> None:
        super().__init__(inner)
        self.lost = {name: list(ways) for name, ways in lost.items()}

    def __getattr__(self, name: str) -> Any:
        verb = super().__getattr__(name)

        def doubtful(*values: Any, **named: Any) -> Any:
            way = self.lost[name].pop(0) if self.lost.get(name) else ""
            if way == "fails":
                raise StorageError("the disk is full")
            if way == "before":
                raise OutcomeUnknownError("the line went dead")
            answer = verb(*values, **named)
            if way == "after":
                raise OutcomeUnknownError("the line went dead")
            return answer

        return doubtful


class TestLostAnswers:
    """
    A storage that cannot say whether it has written.
    """

    @pytest.mark.parametrize("ways", [["before"], ["after"], ["before", "after"]])
    @pytest.mark.parametrize("answer", [None, Unknown("x"), NotDone("x")], ids=repr)
    def test_of_an_effect(
        self, storage: Storage, clock: FakeClock, ways: list[str], answer: Any
    ) -> None:
        """
        What became of an effect is written once, and counted once.
        """
        lossy = Doubtful(storage, {"settle_effect": ways})
        engine = an_engine(lossy.storage, clock=clock)
        brought_to(engine, "pending")
        hands = Hands(lambda _: answer)

        report = engine.run_effects(hands.handlers)

        assert (report.handled, report.stale) == (1, 0)
        expected = {"None": "done", "Unknown": "waiting", "NotDone": "parked"}
        kind = "None" if answer is None else type(answer).__name__
        assert statuses(engine) == [("notify", expected[kind], 1)]

    def test_of_an_effect_for_ever(self, storage: Storage, clock: FakeClock) -> None:
        """
        A storage that never answers is given up; the effect is tried again under
        its key.
        """
        lossy = Doubtful(storage, {"settle_effect": ["before"] * 9})
        engine = an_engine(lossy.storage, clock=clock)
        brought_to(engine, "pending")
        hands = Hands()

        with pytest.raises(OutcomeUnknownError):
            engine.run_effects(hands.handlers)

        lossy.lost.clear()
        clock.advance(LEASE)
        assert engine.run_effects(hands.handlers) == EffectReport(done=1)
        assert len(set(hands.keys)) == 1

    @pytest.mark.parametrize("way", ["before", "after"])
    def test_of_a_sweep(self, storage: Storage, clock: FakeClock, way: str) -> None:
        """
        What a sweep wrote stays, what it did not is settled later, and both come to
        the same.
        """
        lossy = Doubtful(storage, {"commit": []})
        engine = an_engine(lossy.storage, clock=clock)
        for number in range(3):
            brought_to(engine, "pending", f"o{number}")
        clock.advance(days=2)
        lossy.lost["commit"] = [way]
        engine.run_due()
        clock.advance(LEASE)

        engine.run_due()

        for number in range(3):
            history = engine.history(f"o{number}")
            assert history[-1].name == "order_cancelled"
            assert storage.load(f"o{number}").version == len(history) == 5
        assert engine.verify().faults == ()


# --- for a human --------------------------------------------------------------------


class TestStuck:
    """
    What a human must look at, and puts back.
    """

    def _parked(self, engine: Engine, *order_ids: str) -> None:
        for order_id in order_ids:
            brought_to(engine, "cancelled", order_id)
        engine.run_effects(Hands(lambda _: NotDone("closed")).handlers, limit=1000)

    def test_nothing(self, engine: Engine) -> None:
        """
        Where nothing is stuck there is nothing to put back.
        """
        brought_to(engine, "pending")

        assert engine.stuck() == ()
        assert engine.redrive("o1") == 0
        assert engine.redrive("o1", "no such key") == 0

    def test_money_that_nobody_takes(self, engine: Engine, clock: FakeClock) -> None:
        """
        Money that no worker takes is named a day after it was ready: putting it back
        would only hide it, a worker that takes it helps.
        """
        brought_to(engine, "cancelled")
        since = clock.now()
        engine.run_effects({Notify: Hands()}, ["notify"])
        clock.advance(days=1)
        assert engine.stuck() == ()
        clock.advance(MICROSECOND)

        (one,) = engine.stuck()

        assert (one.kind, one.since, one.attempts) == ("refund", since, 0)
        assert one.key == engine.order("o1").refunds[0].key
        assert one.reason == (
            f"no worker has taken it since {since.isoformat()}: is there one with a "
            "handler for refund?"
        )
        assert engine.redrive("o1") == 0
        assert engine.stuck(overdue="P2D") == ()
        assert engine.run_effects({Refund: Hands()}, ["refund"]).done == 1
        assert engine.stuck() == ()

    def test_money_of_a_worker_that_died(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        Nor does anybody take it over from one that died: it is named, too.
        """
        brought_to(engine, "cancelled")
        now = to_micros(clock.now())
        engine.storage.claim_effects(now, now + LEASE // MICROSECOND, 9, ["refund"])
        clock.advance(LEASE + timedelta(days=1) + MICROSECOND)

        (one,) = engine.stuck()

        assert (one.kind, one.attempts) == ("refund", 1)
        assert one.since == from_micros(now) + LEASE

    @pytest.mark.parametrize("value", [timedelta(), "P1M", 1, None])
    def test_malformed_overdue(self, engine: Engine, value: Any) -> None:
        """
        From when on money is missed is a length of time.
        """
        with pytest.raises(InvalidInputError) as caught:
            engine.stuck(overdue=value)

        assert caught.value.field == "overdue"

    def test_an_unknown_order(self, engine: Engine) -> None:
        """
        An order that does not exist is not taken for one without troubles.
        """
        with pytest.raises(OrderNotFoundError):
            engine.redrive("o7")
        with pytest.raises(InvalidInputError):
            engine.redrive("")
        with pytest.raises(InvalidInputError):
            engine.redrive("o7", "")

    def test_all_of_an_order(self, engine: Engine) -> None:
        """
        Everything that is stuck in one order is put back, and tried at once; other
        orders stay as they are.
        """
        self._parked(engine, "o1", "o2")
        hands = Hands()

        # Two messages, the refund, and what tells the buyer and staff that it failed.
        assert engine.redrive("o1") == 5

        assert engine.run_effects(hands.handlers) == EffectReport(done=5)
        assert {effect.order_id for effect in hands.seen} == {"o1"}
        assert [stuck.order_id for stuck in engine.stuck()] == ["o2"] * 5
        assert engine.redrive("o1") == 0

    def test_one_key(self, engine: Engine) -> None:
        """
        Or one effect only, by its key.
        """
        self._parked(engine, "o1", "o2")
        (key,) = (
            stuck.key
            for stuck in engine.stuck()
            if (stuck.order_id, stuck.kind) == ("o1", "refund")
        )
        hands = Hands()

        assert engine.redrive("o2", key) == 0
        assert engine.redrive("o1", key) == 1

        engine.run_effects(hands.handlers)
        assert hands.keys == [key]
        assert len(engine.stuck()) == 9
        (refund,) = engine.order("o1").refunds
        assert (refund.status, refund.key) == ("paid", key)

    def test_with_all_its_attempts(self, engine: Engine, clock: FakeClock) -> None:
        """
        What is put back has all of its attempts before it.
        """
        brought_to(engine, "pending")
        hands = Hands(lambda _: Unknown("down"))
        for _ in range(FEW.attempts):
            engine.run_effects(hands.handlers)
            clock.advance(hours=1)
        assert len(engine.stuck()) == 1

        engine.redrive("o1")

        assert statuses(engine) == [("notify", "waiting", 0)]
        # Why it was stuck can still be read.
        assert engine.effects("o1")[0].reason == "down"
        for _ in range(FEW.attempts):
            assert engine.stuck() == ()
            assert engine.run_effects(hands.handlers).handled == 1
            clock.advance(hours=1)
        assert len(engine.stuck()) == 1
        assert len(set(hands.keys)) == 1

    def test_so_many_at_the_most(self, engine: Engine) -> None:
        """
        As many are listed as were asked for, however many pages they fill.
        """
        for number in range(120):
            brought_to(engine, "pending", f"o{number:03}")
        engine.run_effects(Hands(lambda _: NotDone("closed")).handlers, limit=1000)

        for limit in (1, 3, 100, 119, 120, 121, 500):
            assert [one.order_id for one in engine.stuck(limit)] == [
                f"o{number:03}" for number in range(min(limit, 120))
            ]

    def test_so_many_orders_at_the_most(
        self, storage: Storage, clock: FakeClock
    ) -> None:
        """
        So it is with orders that cannot be settled.
        """
        theirs = an_engine(storage, COMEUP.extend(name="theirs"), clock)
        for number in range(120):
            brought_to(theirs, "pending", f"o{number:03}")
        engine = an_engine(storage, clock=clock)
        clock.advance(days=2)
        assert len(engine.run_due().unknown) == 100

        for limit in (1, 100, 119, 121):
            assert [one.order_id for one in engine.stuck(limit)] == [
                f"o{number:03}" for number in range(min(limit, 120))
            ]


class Picky:
    """
    A storage to which a batch with one of the orders is wrong by itself.
    """

    def __init__(self, inner: Storage, order_id: str) -> None:
        self.inner = inner
        self.order_id = order_id
        self.awake = False

    @property
    def storage(self) -> Any:
        """
        Itself, as the storage it stands for.
        """
        return self

    def commit(self, changes: Any) -> Any:
        """
        Refuse, or do it.
        """
        if self.awake and self.order_id in {change.order_id for change in changes}:
            raise InvalidInputError("changes", f"order {self.order_id!r} is wrong")
        return self.inner.commit(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class TestWrongClocks:
    """
    One host whose clock is years ahead, among others whose clocks are right.
    """

    @pytest.fixture
    def ahead(self, engine: Engine, clock: FakeClock) -> Engine:
        """
        An engine on the same storage, ten years ahead.
        """
        wrong = FakeClock(clock.now())
        wrong.advance(days=3650)
        return an_engine(engine.storage, clock=wrong, retries=FEW)

    def test_claimed_and_gone(self, engine: Engine, ahead: Engine) -> None:
        """
        What it has claimed before it died is carried out by the next one.
        """
        brought_to(engine, "completed")

        with pytest.raises(KeyboardInterrupt):
            ahead.run_effects(Hands(interrupt).handlers)

        hands = Hands()
        assert engine.run_effects(hands.handlers, limit=1).done == 1
        assert engine.run_effects(hands.handlers).done == 4
        assert {status for _, status, _ in statuses(engine)} == {"done"}

    def test_swept_and_gone(
        self, engine: Engine, ahead: Engine, clock: FakeClock
    ) -> None:
        """
        What it was about to settle is settled at its deadline.
        """
        brought_to(engine, "pending")
        due_at = engine.next_due_at()
        assert due_at is not None
        now = to_micros(ahead.clock.now())
        assert len(engine.storage.claim_due(now, now + 60_000_000, 9)) == 1

        assert engine.next_due_at() == due_at
        clock.advance_to(due_at)
        assert engine.run_due().orders == 1

    def test_failed_there(
        self, engine: Engine, ahead: Engine, clock: FakeClock
    ) -> None:
        """
        What failed there waits for years: a human is told, and can put it back.
        """
        brought_to(engine, "pending")
        ahead.run_effects(Hands(lambda _: Unknown("down")).handlers)
        hands = Hands()
        clock.advance(days=1)
        assert engine.run_effects(hands.handlers) == EffectReport()

        (stuck,) = engine.stuck()
        (waiting,) = engine.storage.effects("o1")
        until = from_micros(waiting.ready_at).isoformat()
        assert stuck == Stuck(
            order_id="o1",
            key=waiting.key,
            kind="notify",
            reason=f"it waits until {until}: some clock was wrong",
            since=clock.now(),
            attempts=1,
        )
        # To whoever wrote it all is well.
        assert ahead.stuck() == ()
        assert ahead.redrive("o1") == 0
        assert engine.redrive("o1") == 1
        assert engine.stuck() == ()
        assert engine.run_effects(hands.handlers).done == 1

    def test_a_command_there(
        self, engine: Engine, ahead: Engine, clock: FakeClock
    ) -> None:
        """
        A command that was sent there moves the order into the future; what commands
        with a right clock ask for afterwards is done at once.
        """
        brought_to(engine, "disputed")
        engine.run_effects(Hands().handlers)
        ahead.execute("o1", c.AssignMediator(mediator_id="mia"), by=OPS)
        engine.execute("o1", c.RuleDispute(ruling=FullRefund(), reason="ok"), by=MIA)
        hands = Hands()

        engine.run_effects(hands.handlers)

        assert [effect.name for effect in hands.seen].count("refund") == 1
        clock.advance(days=1)
        told = engine.stuck()
        assert {one.kind for one in told} == {"notify"}
        assert engine.redrive("o1") == len(told) > 0
        assert engine.run_effects(hands.handlers).handled == len(told)
        assert engine.stuck() == ()
        assert engine.verify().faults == ()

    def test_a_claim_that_counts_is_not_stuck(
        self, engine: Engine, clock: FakeClock
    ) -> None:
        """
        Whoever carries an effect out keeps it, whatever is put back meanwhile.
        """
        brought_to(engine, "pending")
        now = to_micros(clock.now())
        until = now + LEASE // MICROSECOND
        (claimed,) = engine.storage.claim_effects(now, until, 9)

        assert engine.stuck() == ()
        assert engine.redrive("o1") == 0
        assert engine.storage.effects("o1") == (claimed,)

    def test_asked_for_later(self, engine: Engine, clock: FakeClock) -> None:
        """
        Whoever is asked to carry out an effect may name any instant: that is no
        fault of a clock.
        """
        brought_to(engine, "pending")
        later = clock.now().add(days=40)
        engine.run_effects(Hands(lambda _: RetryAt(later)).handlers)

        assert engine.stuck() == ()
        assert engine.redrive("o1") == 0

    def test_asked_for_later_there(self, engine: Engine, ahead: Engine) -> None:
        """
        Unless it was named where the clock is wrong.
        """
        brought_to(engine, "pending")
        later = ahead.clock.now().add(days=40)
        ahead.run_effects(Hands(lambda _: RetryAt(later)).handlers)

        assert len(engine.stuck()) == engine.redrive("o1") == 1


def interrupt(_: Effect) -> None:
    """
    End the process, as somebody at the keyboard does.
    """
    raise KeyboardInterrupt


class TestUnreadable:
    """
    Rows whose result nobody can read.
    """

    @pytest.mark.parametrize("attempts", [0, 3, 32])
    def test_it_is_parked(
        self, engine: Engine, storage: Storage, clock: FakeClock, attempts: int
    ) -> None:
        """
        A human is told, once, and the others go on; put back, it is carried out.
        """
        brought_to(engine, "pending")
        brought_to(engine, "pending", "o2")
        (effect,) = storage.effects("o1")
        rubbish = EffectResult(
            key=effect.key,
            token=effect.token,
            status="waiting",
            attempts=attempts,
            ready_at=effect.ready_at,
            body=b"{",
        )
        assert storage.settle_effect("o1", rubbish)
        (fault,) = engine.verify().faults
        assert (fault.order_id, fault.seq) == ("o1", effect.seq)

        hands = Hands()
        assert engine.run_effects(hands.handlers) == EffectReport(done=1, parked=1)

        (stuck,) = engine.stuck()
        assert (stuck.order_id, stuck.since) == ("o1", clock.now())
        assert stuck.reason == "what became of it cannot be read"
        assert engine.verify().faults == ()
        assert engine.redrive("o1") == 1
        assert engine.run_effects(hands.handlers) == EffectReport(done=1)

    @pytest.mark.parametrize("status", ["parked", "waiting"])
    def test_it_is_listed(self, engine: Engine, storage: Storage, status: str) -> None:
        """
        One that nobody will come to is listed all the same, and can be put back.
        """
        brought_to(engine, "pending")
        (effect,) = storage.effects("o1")
        rubbish = EffectResult(
            key=effect.key,
            token=effect.token,
            status=status,
            attempts=1,
            ready_at=LAST,
            body=b"[]",
        )
        assert storage.settle_effect("o1", rubbish)

        (stuck,) = engine.stuck()
        assert stuck.reason == "what became of it cannot be read"
        assert engine.redrive("o1") == 1


class TestSweep:
    """
    Orders that cannot be settled.
    """

    def test_an_unknown_process(self, storage: Storage, clock: FakeClock) -> None:
        """
        An order of a process this engine lacks is named for a human, and left to
        those who have it, at their own time; the others go on.
        """
        theirs = COMEUP.extend(name="theirs")
        owner = an_engine(storage, theirs, clock)
        brought_to(owner, "pending")
        engine = an_engine(storage, clock=clock, retries=FEW)
        brought_to(engine, "pending", "o2")
        due_at = owner.next_due_at()
        assert due_at is not None
        clock.advance_to(due_at)
        assert engine.stuck()[0].order_id == "o1"

        for orders in (1, 0, 0):
            report = engine.run_due()
            assert report.unknown == (("o1", theirs.fingerprint),)
            assert report.orders == orders
            (stuck,) = engine.stuck()
            assert stuck == Stuck(
                order_id="o1",
                reason=f"no process with fingerprint {theirs.fingerprint}",
                since=due_at,
                attempts=0,
            )
        # Whoever has the process needs no human, and does not wait.
        assert owner.run_due().orders == 1
        assert engine.stuck() == ()
        assert engine.run_due() == SweepReport()

    def test_an_old_worker_beside_a_new_one(
        self, storage: Storage, clock: FakeClock
    ) -> None:
        """
        While a release is rolled out, a worker of the old one leaves the orders and
        effects of the new process alone, however often it looks.
        """
        process = COMEUP.extend(name="theirs")
        new = an_engine(storage, process, clock, also=[COMEUP])
        old = an_engine(storage, clock=clock)
        brought_to(new, "completed")
        brought_to(new, "pending", "o2")
        hands = Hands()

        for _ in range(3):
            assert old.run_effects(hands.handlers) == EffectReport()
        assert statuses(old) == statuses(new)
        assert {status for _, status, _ in statuses(new)} == {"waiting"}
        assert new.run_effects(hands.handlers).done == len(hands.seen) == 6
        clock.advance(days=3)
        for _ in range(3):
            assert [name for name, _ in old.run_due().unknown] == ["o2"]
        assert new.run_due().orders == 1

    def test_unknown_and_parked(self, storage: Storage, clock: FakeClock) -> None:
        """
        What somebody else has parked is listed once, with what he says of it.
        """
        theirs = COMEUP.extend(name="theirs")
        brought_to(an_engine(storage, theirs, clock), "pending")
        clock.advance(days=3)
        now = to_micros(clock.now())
        aside = Parked(since=now, until=now, attempts=4, reason="the disk is full")
        storage.park("o1", storage.load("o1").version, aside)

        (stuck,) = an_engine(storage, clock=clock).stuck()

        assert (stuck.reason, stuck.attempts) == ("the disk is full", 4)

    def test_a_damaged_order(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        An order that cannot be read is listed, the others are settled, and when it
        was repaired it is settled at its own instant.
        """
        brought_to(engine, "pending")
        brought_to(engine, "pending", "o2")
        loaded = storage.load("o1")
        put(storage, engine, "o1", snapshot=b"{}")
        clock.advance(days=3)

        report = engine.run_due()

        assert (report.orders, [name for name, _ in report.parked]) == (1, ["o1"])
        (stuck,) = engine.stuck()
        assert (stuck.order_id, stuck.kind, stuck.key) == ("o1", "order", "")
        assert stuck.reason == report.parked[0][1]
        assert engine.order("o2").state == "cancelled"
        engine.run_effects(Hands().handlers)
        repair(
            storage, an_engine(MemoryStorage(), clock=FakeClock(T0)), loaded.snapshot
        )
        # Parked: not yet, unless a human says so.
        assert engine.run_due().orders == 0

        assert engine.redrive("o1", key="some effect") == 0
        assert engine.redrive("o1") == 1

        assert engine.stuck() == ()
        assert engine.run_due().orders == 1
        last = engine.history("o1")[-1]
        assert last.name == "order_cancelled"
        assert last.effective_at == engine.clock.now().subtract(days=1)
        assert last.recorded_at == engine.clock.now()

    def test_one_that_cannot_be_written(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        An order that the storage turns away is parked, and those that were to be
        written together with it are written.
        """
        twin = an_engine(MemoryStorage(), clock=FakeClock(T0))
        brought_to(twin, "pending")
        assert isinstance(twin.clock, FakeClock)
        twin.clock.advance(days=2)
        twin.run_due()
        key = twin.effects("o1")[-1].effect.key
        for number in range(5):
            brought_to(engine, "pending", f"o{number}")
        # What the sweep will ask for is there already: somebody has meddled.
        smuggle(storage, engine, "o1", key=key)
        clock.advance(days=2)

        report = engine.run_due()

        assert (report.orders, [name for name, _ in report.parked]) == (4, ["o1"])
        assert [stuck.order_id for stuck in engine.stuck()] == ["o1"]
        states = [
            str(order.state) for order in engine.orders(states=["cancelled"]).items
        ]
        assert len(states) == 4

    @pytest.mark.parametrize("whose", ["older", "other"])
    def test_a_row_that_is_not_its_snapshots(
        self, engine: Engine, storage: Storage, clock: FakeClock, whose: str
    ) -> None:
        """
        An order whose row and snapshot speak of two versions, or of two orders, is
        parked alone; those that were claimed with it are settled.
        """
        for number in range(5):
            brought_to(engine, "pending", f"o{number}")
        before = storage.load("o1").snapshot
        engine.execute("o1", c.SubmitBrief(text="blue"), by=ANA)
        put(
            storage,
            engine,
            "o1",
            snapshot=before if whose == "older" else storage.load("o2").snapshot,
        )
        clock.advance(days=2)

        report = engine.run_due()

        assert (report.orders, [name for name, _ in report.parked]) == (4, ["o1"])
        (stuck,) = engine.stuck()
        assert (stuck.order_id, stuck.reason) == ("o1", report.parked[0][1])
        assert "order 'o1'" in stuck.reason

    def test_one_that_is_refused_by_itself(
        self, storage: Storage, clock: FakeClock
    ) -> None:
        """
        Whatever a storage says of a batch because of one order: the others are
        written.
        """
        picky = Picky(storage, "o1")
        engine = an_engine(picky.storage, clock=clock)
        for number in range(5):
            brought_to(engine, "pending", f"o{number}")
        clock.advance(days=2)
        picky.awake = True

        report = engine.run_due()

        assert (report.orders, [name for name, _ in report.parked]) == (4, ["o1"])
        assert [stuck.order_id for stuck in engine.stuck()] == ["o1"]

    def test_nothing_to_settle(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        An order that is looked at too early is left as it is.
        """
        brought_to(engine, "pending")
        put(storage, engine, "o1", due_at=1)

        assert engine.run_due() == SweepReport(faster=1)

        assert engine.stuck() == ()
        assert storage.load("o1").version == 3

    def test_a_storage_that_fails(self, storage: Storage, clock: FakeClock) -> None:
        """
        A storage that cannot write at all parks nobody: it says so.
        """
        broken = Doubtful(storage, {"commit": [], "park": []})
        engine = an_engine(broken.storage, clock=clock)
        for number in range(5):
            brought_to(engine, "pending", f"o{number}")
        clock.advance(days=2)
        broken.lost |= {"commit": ["fails"] * 99, "park": ["fails"] * 99}

        with pytest.raises(StorageError, match="the disk is full"):
            engine.run_due()

        # It is not asked once for each order.
        assert len(broken.lost["commit"]) == 97
        assert engine.stuck() == ()
        broken.lost.clear()
        clock.advance(LEASE)
        assert engine.run_due().orders == 5

    def test_orders_before_effects(
        self, engine: Engine, storage: Storage, clock: FakeClock
    ) -> None:
        """
        What is stuck is listed orders first, then effects; one call puts both back.
        """
        brought_to(engine, "pending")
        engine.run_effects(Hands(lambda _: NotDone("closed")).handlers)
        put(storage, engine, "o1", snapshot=b"{}")
        clock.advance(days=2)
        engine.run_due()

        assert [stuck.kind for stuck in engine.stuck()] == ["order", "notify"]
        assert [stuck.kind for stuck in engine.stuck(1)] == ["order"]
        assert engine.redrive("o1") == 2
        assert engine.stuck() == ()


def repair(storage: Storage, engine: Engine, snapshot: bytes) -> None:
    """
    Write back what an order was, as somebody with a backup would.
    """
    brought_to(engine, "pending")
    order = engine.order("o1")
    loaded = storage.load("o1")
    change = Change(
        order_id="o1",
        expected_version=loaded.version,
        version=loaded.version,
        process=order.process,
        fingerprint=order.fingerprint,
        state=str(order.state),
        books=Books(
            currency="EUR",
            price=10000,
            paid_in=10000,
            held=10000,
            refunded=0,
            released=0,
            kept=0,
        ),
        snapshot=snapshot,
        due_at=loaded.due_at,
    )
    assert tuple(storage.commit((change,))) == (CommitResult.DONE,)


# --- publishing ---------------------------------------------------------------------


class TestPublish:
    """
    What was recorded is passed on, if that is wanted.
    """

    def test_not_unless_asked(self, engine: Engine) -> None:
        """
        Without `publish` nobody has to carry anything of it out.
        """
        brought_to(engine, "completed")

        assert "publish" not in {name for name, _, _ in statuses(engine)}
        engine.check_handlers({Refund: print, PayOut: print, Notify: print})

    def test_every_event_once(self, storage: Storage, clock: FakeClock) -> None:
        """
        Over a whole life, sweeps included, each commit is passed on once, and
        together they cover every event exactly once.
        """
        engine = an_engine(storage, clock=clock, publish=True)
        hands = Hands()
        handlers = {**hands.handlers, Publish: hands}
        engine.place(an_order(), by=ANA, order_id="o1", key="k")
        engine.place(an_order(), by=ANA, order_id="o1", key="k")
        engine.run_effects(handlers)
        engine.execute("o1", c.AcceptOrder(), by=LUC)
        engine.attempt("o1", c.AcceptOrder(), by=LUC)
        clock.advance(days=6)
        engine.run_due()
        engine.execute("o1", c.DeliverOrder(note="here"), by=LUC)
        engine.run_effects(handlers)
        # What is due is settled with the command that comes upon it.
        clock.advance(days=30)
        engine.attempt("o1", c.ApproveDelivery(), by=ANA)
        clock.advance(days=300)
        engine.run_due()

        engine.run_effects(handlers)

        told = sorted(
            (effect for effect in hands.seen if isinstance(effect, Publish)),
            key=lambda effect: effect.first,
        )
        numbers = [n for one in told for n in range(one.first, one.last + 1)]
        history = engine.history("o1")
        assert history[-2].name == "conversation_closed"
        # That the seller was paid is passed on, too.
        assert history[-1].name == "payout_paid"
        assert numbers == [recorded.seq for recorded in history]
        assert len({one.key for one in told}) == len(told) == 6
        assert all(one.seq == one.last for one in told)
        assert engine.verify().faults == ()

    def test_the_command_does_not_speak_of_it(self, storage: Storage) -> None:
        """
        What a command answers is the same with and without it.
        """
        plain = an_engine(MemoryStorage())
        telling = an_engine(storage, publish=True)

        assert telling.place(an_order(), by=ANA, order_id="o1") == plain.place(
            an_order(), by=ANA, order_id="o1"
        )

    def test_needs_a_handler(self, storage: Storage) -> None:
        """
        Who asks for it has to say who carries it out.
        """
        engine = an_engine(storage, publish=True)
        handlers = {Refund: print, PayOut: print, Notify: print}

        with pytest.raises(InvalidInputError, match="publish"):
            engine.run_effects(handlers)
        with pytest.raises(InvalidInputError, match="publish"):
            engine.check_handlers(handlers)
        engine.check_handlers(handlers, kinds=["notify"])
        engine.check_handlers({**handlers, Publish: print})

    def test_nobody_would_ask_for_it(self, engine: Engine) -> None:
        """
        Who carries it out on an engine that never asks for it is told so: what its
        sweeps record would be passed on by nobody.
        """
        handlers = {Refund: print, PayOut: print, Notify: print, Publish: print}

        for kinds in (None, ["publish"], ["notify"]):
            with pytest.raises(InvalidInputError, match="publish=True") as caught:
                engine.check_handlers(handlers, kinds)
            assert caught.value.field == "handlers"
            with pytest.raises(InvalidInputError, match="publish=True"):
                engine.run_effects(handlers, kinds)
