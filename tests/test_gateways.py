"""
Money through gateways that lose, repeat, delay and forget: exactly once, or a human
is asked (I2, I3, I6, I8, I29; the profiles of `escrowflow.testing.gateways`).
"""

from __future__ import annotations

import itertools
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from escrowflow import commands as c
from escrowflow.effects import RetryAt
from escrowflow.engine import Retries
from escrowflow.errors import CommandRefusedError
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing.gateways import (
    ERROR,
    IN_FLIGHT,
    KILLED_AFTER,
    KILLED_BEFORE,
    LOST,
    PENDING,
    PROFILES,
    REFUSED,
    UNANSWERED,
    SimulatedGateway,
    Trouble,
    late,
)
from tests.given import ANA, OPS, STRIPE, eur
from tests.till import LIVES, Till

if TYPE_CHECKING:
    from escrowflow.effects import Movement, PayOut, Refund, Result
    from escrowflow.testing.gateways import Applied

TROUBLES: Final = {
    "lost": LOST,
    "unanswered": UNANSWERED,
    # Before it is tried again, after that, and never.
    "late": late("PT5S"),
    "later": late("PT1M50S"),
    "too_late": late("PT5M"),
    "error": ERROR,
    "in_flight": IN_FLIGHT,
    "refused": REFUSED,
    "pending": PENDING,
    "killed_before": KILLED_BEFORE,
    "killed_after": KILLED_AFTER,
}

# Who can be asked what became of a key.
ASKED: Final = [name for name, one in PROFILES.items() if one.capabilities.look_up]
SILENT: Final = [name for name in PROFILES if name not in ASKED]

# So few that a key is not yet forgotten when a human is asked.
FEW: Final = Retries(attempts=3)

each_profile = pytest.mark.parametrize("profile", PROFILES)
each_trouble = pytest.mark.parametrize("trouble", TROUBLES)


@pytest.fixture(autouse=True)
def _as_planned(caplog: pytest.LogCaptureFixture) -> None:
    """
    Of thousands of troubles that were planted nobody wants to read each.
    """
    caplog.set_level(logging.ERROR, "escrowflow")


def settled(till: Till, *troubles: Trouble) -> int:
    """
    Bring a till to its end through troubles; return how often a human was asked.
    """
    till.card.next(*troubles)
    return till.closed()


class TestTroubles:
    """
    One after the other, on every kind of gateway.
    """

    @each_profile
    @pytest.mark.parametrize("life", LIVES)
    def test_none(self, profile: str, life: str) -> None:
        """
        Without trouble each thing is asked for once, and no human is needed.
        """
        till = Till(profile, (life,))

        assert settled(till) == 0

        owed = len(till.order.refunds) + len(till.order.payouts)
        assert sum(len(gateway.requests) for gateway in till.gateways) == owed

    @each_profile
    @each_trouble
    @pytest.mark.parametrize("life", LIVES)
    def test_one(self, profile: str, trouble: str, life: str) -> None:
        """
        Whatever happens to one call, money moves once.
        """
        settled(Till(profile, (life,)), TROUBLES[trouble])

    @pytest.mark.proof
    @each_profile
    @each_trouble
    def test_two(self, profile: str, trouble: str) -> None:
        """
        The same with any other trouble after it.
        """
        for other in TROUBLES.values():
            settled(Till(profile), TROUBLES[trouble], other)

    @each_profile
    @pytest.mark.parametrize(
        "trouble", ["lost", "unanswered", "late", "later", "too_late", "in_flight"]
    )
    def test_nobody_is_asked_if_it_can_be_known(
        self, profile: str, trouble: str
    ) -> None:
        """
        A human is asked only where neither the key nor a question would help.
        """
        asked = settled(Till(profile, ("completed",)), TROUBLES[trouble])

        assert asked == (profile == "bare" and trouble != "in_flight")

    @each_profile
    @pytest.mark.parametrize("trouble", ["lost", "unanswered", "error"])
    def test_for_days(self, profile: str, trouble: str) -> None:
        """
        A gateway that is away for days moves nothing twice when it comes back (F31).
        """
        settled(Till(profile), *[TROUBLES[trouble]] * 40)

    @each_profile
    def test_refused_for_ever(self, profile: str) -> None:
        """
        What is refused waits for a human, each time; nothing is sent by itself.
        """
        till = Till(profile, ("completed",))
        till.card.next(*[REFUSED] * 3)

        till.settle()

        assert len(till.card.requests) == 1
        (stuck,) = till.engine.stuck()
        assert (stuck.kind, stuck.reason) == ("pay_out", "the account is closed")
        assert till.closed() == 3

    @pytest.mark.parametrize("profile", ASKED)
    def test_an_error_for_ever(self, profile: str) -> None:
        """
        What never works is a human's in the end, and does not fill the history.
        """
        till = Till(profile, ("completed",))
        till.card.next(*[ERROR] * 2_000)

        till.settle()

        assert [one.kind for one in till.engine.stuck()] == ["pay_out"]
        assert till.order.version < 80
        assert len(till.card.requests) < 400
        assert till.clock.now() - till.order.placed_at > timedelta(hours=12)

    def test_a_stored_error(self) -> None:
        """
        A failure that is given again and again is left behind within the hour (F33).
        """
        till = Till("stripe_v1", ("completed",))

        assert settled(till, ERROR) == 0

        assert till.clock.now() - till.order.placed_at < timedelta(hours=1)
        assert till.order.payouts[0].epoch == 1

    def test_in_flight_is_no_attempt(self) -> None:
        """
        Told that the same request is running, it waits, and counts no attempt (F35).
        """
        till = Till("perfect", ("completed",))
        till.card.next(*[IN_FLIGHT] * 50)

        assert till.closed() == 0

        (status,) = (
            one for one in till.engine.effects("o1") if one.effect.name == "pay_out"
        )
        assert status.attempts == 1


class TestKills:
    """
    A worker that is killed at any call, before or after it.
    """

    @each_profile
    @pytest.mark.parametrize("life", ["split", "partial"])
    @pytest.mark.parametrize("kill", [KILLED_BEFORE, KILLED_AFTER], ids=str)
    def test_at_every_call(self, profile: str, life: str, kill: Trouble) -> None:
        """
        The next worker goes on after the lease: nothing is lost, nothing is doubled.
        """
        for number in range(4):
            for first in (LOST, UNANSWERED):
                till = Till(profile, (life,))
                # Each trouble makes a call more; some of them are questions.
                for gateway in till.gateways:
                    gateway.next(*[first] * number, kill)
                till.closed()
                assert till.kills or kill in till.card.troubles

    @each_profile
    @pytest.mark.parametrize("kill", [KILLED_BEFORE, KILLED_AFTER], ids=str)
    def test_only_what_was_begun_is_in_doubt(self, profile: str, kill: Trouble) -> None:
        """
        However much money waited for the worker that was killed.
        """
        till = Till(profile, ("completed",) * 12)
        till.card.next(kill)
        till.round()
        assert till.kills == 1

        asked = till.closed()

        assert asked == (profile == "bare")

    @each_profile
    @pytest.mark.parametrize("kill", [KILLED_BEFORE, KILLED_AFTER], ids=str)
    def test_a_key_is_as_old_as_its_beginning(
        self, profile: str, kill: Trouble
    ) -> None:
        """
        Money that waited for days before anybody began is no old key: where keys are
        known for half an hour only, it is sent again under its own.
        """
        till = Till(profile, ("completed",))
        till.clock.advance(days=3)
        till.card.next(kill)

        assert till.closed() == (profile == "bare")

    @each_profile
    def test_again_and_again(self, profile: str) -> None:
        """
        Every worker dies at its first call: in the end a human is asked.
        """
        till = Till(profile, ("completed",))
        till.card.next(*[KILLED_AFTER] * 100)

        till.settle()

        assert sum(till.counts().values()) == 1
        assert till.engine.stuck()


class TestKeys:
    """
    A retry is known for one, however attempts are counted.
    """

    def test_a_redrive_is_no_first_attempt(self) -> None:
        """
        What may have left is not sent again because somebody put it back.
        """
        till = Till("bare", ("completed",))
        till.card.next(UNANSWERED)
        till.settle()
        (stuck,) = till.engine.stuck()

        till.engine.redrive("o1", stuck.key)
        till.settle()

        assert len(till.card.requests) == 1
        assert [one.key for one in till.engine.stuck()] == [stuck.key]

    @pytest.mark.parametrize("profile", SILENT)
    def test_a_redrive_after_the_window(self, profile: str) -> None:
        """
        Nor where a key was known once, and is forgotten.
        """
        till = Till(profile, ("completed",), retries=FEW)
        till.card.next(UNANSWERED, LOST, LOST)
        till.settle()
        (stuck,) = till.engine.stuck()
        till.clock.advance(days=3)

        till.engine.redrive("o1", stuck.key)
        till.settle()

        assert len(till.applied()) == 1
        assert [one.key for one in till.engine.stuck()] == [stuck.key]

    @pytest.mark.parametrize("profile", ["checkout", "qonto30m", "stripe_v1"])
    def test_in_flight_and_away_for_days(self, profile: str) -> None:
        """
        "The same request is running" is no proof that it was never sent, though no
        attempt was counted.
        """
        till = Till(profile, ("completed",))
        till.wrap(Busy)
        till.round()
        till.clock.advance(days=3)
        till.round()

        assert len(till.applied()) == 1
        assert [one.status for one in till.order.payouts] == (
            ["paid"] if profile == "stripe_v1" else ["sent"]
        )

    def test_in_flight_is_not_redirected(self) -> None:
        """
        Nor does it go to somebody else meanwhile.
        """
        till = Till("perfect", ("completed",))
        till.card.next(IN_FLIGHT)
        till.round()

        with pytest.raises(CommandRefusedError) as caught:
            till.engine.execute(
                "o1",
                c.RedirectPayout(
                    key=till.order.payouts[0].key, payee_id="heir", reason="dead"
                ),
                by=OPS,
            )

        assert caught.value.blockers[-1].code == "payout_may_have_left"

    def test_later_is_no_doubt(self) -> None:
        """
        A bank that is closed until the morning is asked again in the morning.
        """
        till = Till("bare", ("completed",))
        till.card.next(IN_FLIGHT, IN_FLIGHT)

        assert till.closed() == 0

    @pytest.mark.parametrize("profile", ["qonto30m", "checkout"])
    def test_a_window_begins_with_the_first_attempt(self, profile: str) -> None:
        """
        Workers that were away for days do not make a key old.
        """
        till = Till(profile, ("completed",))
        till.clock.advance(days=3)

        assert settled(till, UNANSWERED) == 0

    @each_profile
    def test_refused_while_another_is_on_its_way(self, profile: str) -> None:
        """
        A refusal is no proof as long as an earlier request may still arrive (F30).
        """
        till = Till(profile, ("completed",))
        till.card.next(late("PT1M50S"), REFUSED)
        till.settle()
        for stuck in till.engine.stuck():
            till.engine.redrive("o1", stuck.key)
        till.settle()

        assert len(till.applied()) == 1

    def test_under_way_for_weeks(self) -> None:
        """
        What is under way is asked for until it has ended.
        """
        till = Till("perfect", ("completed",))
        till.card.next(PENDING)
        till.round()
        assert till.order.payouts[0].status == "sent"
        till.clock.advance(hours=2)
        till.round()
        assert till.order.payouts[0].status == "sent"

        till.card.finish(till.card.applied[0].reference)
        till.settle()

        assert till.order.payouts[0].status == "paid"

    @pytest.mark.parametrize("profile", ASKED)
    def test_under_way_for_longer_than_attempts_last(self, profile: str) -> None:
        """
        To ask how it stands is no attempt: no human is needed while it is under way.
        """
        till = Till(profile, ("completed",), retries=FEW)
        till.card.next(PENDING)
        for _ in range(50):
            assert till.next()
            till.round()
        assert till.engine.stuck() == ()

        till.card.finish(till.card.applied[0].reference)

        assert till.closed() == 0

    @pytest.mark.parametrize("profile", ASKED)
    def test_under_way_and_failed(self, profile: str) -> None:
        """
        What was under way and failed is owed again, and waits for a human.
        """
        till = Till(profile, ("completed",))
        till.card.next(PENDING)
        till.round()
        till.card.finish(till.card.applied[0].reference, paid=False)
        till.settle()

        (payout,) = till.order.payouts
        assert (payout.status, payout.epoch) == ("failed", 1)
        assert till.closed() == 1


class TestWebhooks:
    """
    What providers say by themselves: early, twice, in any order (F20, F38, F43).
    """

    @each_profile
    @each_trouble
    def test_before_the_answer(self, profile: str, trouble: str) -> None:
        """
        A report that comes before the answer of the call changes nothing about it.
        """
        for life in LIVES:
            till = Till(profile, (life,))
            till.card.next(TROUBLES[trouble])
            till.wrap(lambda inner, till=till: Early(inner, till))  # type: ignore[misc]
            for _ in range(3):
                till.next()
                till.round()
            till.closed()

    @each_profile
    @pytest.mark.parametrize("trouble", [PENDING, UNANSWERED, KILLED_AFTER], ids=str)
    def test_reordered_and_twice(self, profile: str, trouble: Trouble) -> None:
        """
        In any order, and each of them twice.
        """
        said = len(reported(Till(profile), trouble))
        for turn in itertools.islice(itertools.permutations(range(said)), 0, None, 11):
            till = Till(profile)
            told = reported(till, trouble)
            till.tell(told[number] for number in turn)
            till.tell(told[number] for number in turn)
            till.closed()

    @each_profile
    def test_paid_and_come_back(self, profile: str) -> None:
        """
        Money that comes back is owed again, under another key (F38, F40).
        """
        till = Till(profile)
        till.settle()
        assert till.order.ledger.payable == 0
        for applied in till.card.applied:
            till.card.bounce(applied.reference)
        told = till.webhooks()
        till.tell([*told, *told])

        assert (till.order.ledger.payable, till.order.ledger.refundable) == (3000, 3000)
        assert len(till.engine.stuck()) == 2
        assert till.closed() == 2

    @each_profile
    def test_come_back_before_the_answer(self, profile: str) -> None:
        """
        The answer "done" of a call is older than the report that it came back.
        """
        till = Till(profile, ("completed",))
        till.wrap(lambda inner: Early(inner, till, bounces=True))
        till.round()

        (payout,) = till.order.payouts
        names_keys = PROFILES[profile].names_keys
        assert payout.status == ("failed" if names_keys else "paid")
        till.wrapped = []
        if names_keys:
            assert till.closed() == 1

    @pytest.mark.parametrize("amount", [eur("29.99"), eur("30.01")])
    def test_of_another_amount(self, amount: Any) -> None:
        """
        A report of another amount is refused, and moves nothing (F44).
        """
        till = Till("perfect")
        key = till.order.payouts[0].key

        with pytest.raises(CommandRefusedError) as caught:
            till.engine.execute(
                "o1", c.ReportPayout(key=key, status="paid", amount=amount), by=STRIPE
            )

        assert caught.value.blockers[0].code == "amount_differs"
        assert till.order.payouts[0].status == "owed"

    @pytest.mark.parametrize("profile", SILENT)
    def test_a_report_ends_what_nobody_could_know(self, profile: str) -> None:
        """
        What waits for a human is done as soon as the provider says so.
        """
        till = Till(profile, ("completed",), retries=FEW)
        till.card.next(UNANSWERED, LOST, LOST)
        till.settle()
        (stuck,) = till.engine.stuck()

        till.engine.execute(
            "o1", c.ReportPayout(key=stuck.key, status="paid"), by=STRIPE
        )

        assert till.engine.stuck() == ()
        till.check_closed()


class TestChargebacks:
    """
    A bank takes a payment back while money is on its way (F41, F42).
    """

    @each_profile
    @each_trouble
    @pytest.mark.parametrize("won", [True, False])
    def test_at_any_moment(self, profile: str, trouble: str, won: bool) -> None:
        """
        Nobody is paid twice, and in the end nothing is owed.
        """
        for rounds in range(3):
            till = Till(profile)
            till.card.next(TROUBLES[trouble])
            for _ in range(rounds):
                till.next()
                till.round()
            name = till.card.charge_back("pi_o1", eur(30))
            till.tell(till.webhooks())
            before = [len(gateway.requests) for gateway in till.gateways]
            for _ in range(3):
                if till.next():
                    till.round()
            held = {
                one.key
                for one in till.order.payouts
                if one.status == "owed" and not one.reference
            }
            assert not held & {one.key for one in till.card.requests[before[0] :]}
            till.card.close_chargeback(name, won=won)
            till.tell(till.webhooks())
            till.closed()

    def test_covered_at_once(self) -> None:
        """
        What comes back and makes good what a bank took waits for nobody.
        """
        till = Till("perfect", ("cancelled",))
        till.settle()
        name = till.card.charge_back("pi_o1")
        till.card.close_chargeback(name, won=False)
        till.tell(till.webhooks())
        (card,) = till.card.applied

        till.card.bounce(card.reference)
        till.tell(till.webhooks())

        assert {one.status for one in till.order.refunds} == {"paid", "covered"}
        assert till.engine.stuck() == ()
        assert till.engine.verify().faults == ()


class TestRestored:
    """
    The database is put back to an earlier state after the gateway acted (F10).
    """

    @each_profile
    @pytest.mark.parametrize("life", LIVES)
    @pytest.mark.parametrize("away", [timedelta(minutes=10), timedelta(days=2)])
    def test_nothing_is_paid_twice(
        self, profile: str, life: str, away: timedelta
    ) -> None:
        """
        What was sent before is found, or known by its key, or a human is asked.
        """
        till = Till(profile, (life,))
        backup = [*till.engine.export()]
        till.round()
        till.clock.advance(away)
        restored(till, backup)

        till.settle()

        can = PROFILES[profile].capabilities
        if can.look_up:
            assert till.engine.stuck() == ()
        elif not can.remembers(away):
            assert len(till.engine.stuck()) == len(till.causes())
        till.closed()

    @each_profile
    @each_trouble
    def test_in_the_middle(self, profile: str, trouble: str) -> None:
        """
        The same while something was unknown.
        """
        for rounds in range(3):
            till = Till(profile)
            till.card.next(TROUBLES[trouble])
            backup = [*till.engine.export()]
            for number in range(4):
                if number == rounds:
                    backup = [*till.engine.export()]
                if till.next():
                    till.round()
            restored(till, backup)
            till.closed()

    @pytest.mark.parametrize("profile", ASKED)
    def test_what_was_lost_is_asked_for_anew(self, profile: str) -> None:
        """
        A command that was lost is sent again, and asks for the same under its key.
        """
        till = Till(profile, ("delivered",))
        backup = [*till.engine.export()]
        till.engine.execute("o1", c.ApproveDelivery(), by=ANA)
        till.round()
        assert len(till.applied()) == 1
        till.clock.advance(days=2)
        restored(till, backup)
        till.clock.advance(minutes=10)
        till.engine.execute("o1", c.ApproveDelivery(), by=ANA)

        assert till.closed() == 0
        assert len(till.card.requests) == 1

    @pytest.mark.parametrize("profile", ASKED)
    @pytest.mark.parametrize("life", ["completed", "cancelled"])
    def test_what_comes_back_is_sent_once_more(self, profile: str, life: str) -> None:
        """
        Money that had been sent under its second key, before that was lost, comes back
        afterwards: it leaves once more, under a key that nobody has used, though the
        gateway tells once more that it was paid.
        """
        till, sent = forgotten(profile, life)

        till.settle()

        sent_anew(till, sent)

    @pytest.mark.parametrize("profile", ASKED)
    @pytest.mark.parametrize("life", ["completed", "cancelled"])
    def test_what_a_human_found_comes_back(self, profile: str, life: str) -> None:
        """
        The same where a human found that it had left, and reported it under the only
        key that the order knows.
        """
        till, sent = forgotten(profile, life)
        owing: list[Any] = [*till.order.refunds, *till.order.payouts]
        causes = till.causes()
        (key,) = (one.key for one in owing if causes[one.key] == causes[sent.key])
        report = c.ReportRefund if sent.kind == "refund" else c.ReportPayout
        found = report(key=key, status="paid", reference=sent.reference)
        till.engine.execute("o1", found, by=OPS)

        sent_anew(till, sent)

    @pytest.mark.parametrize("profile", ["stripe_v1", "perfect"])
    @pytest.mark.parametrize("life", ["completed", "cancelled"])
    def test_under_way_anew(self, profile: str, life: str) -> None:
        """
        What came back before the backup was restored is sent anew, and is under way
        when the provider says everything again: it moves once.
        """
        till, sent = forgotten(profile, life)
        till.card.bounce(sent.reference)
        till.webhooks()
        till.card.next(PENDING)
        till.round()

        report = c.ReportRefund if sent.kind == "refund" else c.ReportPayout
        for status in ("paid", "failed"):
            old = report(key=sent.key, status=status, reference=sent.reference)
            till.tell([("o1", old)])

        assert till.closed() == 0
        assert [one.status for one in till.card.applied] == ["failed", "paid"]


class TestPoison:
    """
    One order's trouble is its own (F25, I11).
    """

    @each_profile
    def test_delays_no_other(self, profile: str) -> None:
        """
        What fails for ever keeps no other order waiting.
        """
        lives = ("completed",) * 30
        till = Till(profile, lives)
        till.wrap(Poison)

        till.round()

        done = {one.order_id for one in till.applied()}
        assert done == {f"o{number}" for number in range(1, 31)} - {"o7"}


def reported(till: Till, trouble: Trouble) -> list[tuple[str, c.Command]]:
    """
    Do one round with one trouble; return what the gateways report of it.
    """
    till.card.next(trouble)
    till.round()
    till.finish()
    return till.webhooks()


def restored(till: Till, backup: list[str]) -> None:
    """
    Put the database back to what it was.
    """
    till.put_back(MemoryStorage(), backup)


def forgotten(profile: str, life: str) -> tuple[Till, Applied]:
    """
    Return a till that has forgotten what its gateway for cards did under a second key.
    """
    till = Till(profile, (life,))
    backup = [*till.engine.export()]
    till.card.next(REFUSED)
    assert till.closed() == 1
    (sent,) = till.card.applied
    assert till.card.requests[0].key != sent.key
    restored(till, backup)
    return till, sent


def sent_anew(till: Till, sent: Applied) -> None:
    """
    Have money come back, and check that it leaves once more; whatever the gateway still
    says about the time before.
    """
    till.card.bounce(sent.reference)
    till.tell(till.webhooks())
    report = c.ReportRefund if sent.kind == "refund" else c.ReportPayout
    for key in (sent.key, ""):
        old = report(key=key, status="paid", reference=sent.reference)
        till.tell([("o1", old)])

    till.closed()

    back, anew = till.card.applied
    assert (back.status, anew.status) == ("failed", "paid")
    keys = [request.key for request in till.card.requests]
    assert keys.count(anew.key) == 1
    assert anew.key not in {back.key, keys[0]}


class Around:
    """
    A gateway around another one.
    """

    def __init__(self, inner: SimulatedGateway) -> None:
        self.inner = inner
        self.name = inner.name
        self.capabilities = inner.capabilities

    def refund(self, effect: Refund) -> Result:
        return self.called(effect)

    def pay_out(self, effect: PayOut) -> Result:
        return self.called(effect)

    def look_up(self, effect: Movement) -> Result | None:
        return self.inner.look_up(effect)

    def called(self, effect: Any) -> Result:
        """
        Do what was asked for.
        """
        if effect.name == "refund":
            return self.inner.refund(effect)
        return self.inner.pay_out(effect)


class Busy(Around):
    """
    It is at work on the first request still when it is asked again.
    """

    def called(self, effect: Any) -> Result:
        """
        Do what was asked for, and say that it is being done.
        """
        first = not self.inner.requests
        said = super().called(effect)
        return RetryAt(effect.asked_at + timedelta(seconds=30)) if first else said


class Poison(Around):
    """
    One order's money never leaves.
    """

    def called(self, effect: Any) -> Result:
        """
        Do what was asked for, unless it is for that order.
        """
        if effect.order_id == "o7":
            raise TimeoutError
        return super().called(effect)


class Early(Around):
    """
    Its webhooks overtake its answers.
    """

    def __init__(
        self, inner: SimulatedGateway, till: Till, *, bounces: bool = False
    ) -> None:
        super().__init__(inner)
        self.till = till
        self.bounces = bounces

    def called(self, effect: Any) -> Result:
        """
        Do what was asked for; report it, and only then answer.
        """
        known: set[str] = {one.reference for one in self.inner.applied}
        try:
            return super().called(effect)
        finally:
            new: list[Applied] = [
                one for one in self.inner.applied if one.reference not in known
            ]
            for one in new:
                if self.bounces and one.status == "paid":
                    self.inner.bounce(one.reference)
            self.till.tell(self.till.webhooks())
