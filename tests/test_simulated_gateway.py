"""
The gateway that is not there behaves as its profile says: it is looked at itself.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import attrs
import pytest

from escrowflow.clock import FakeClock
from escrowflow.effects import Done, NotDone, PayOut, Refund, RetryAt
from escrowflow.errors import InvalidInputError
from escrowflow.money import Payment
from escrowflow.testing import PROFILES, SimulatedGateway
from escrowflow.testing.gateways import (
    ERROR,
    FAILS_LATER,
    IN_FLIGHT,
    KILLED_AFTER,
    KILLED_BEFORE,
    LOST,
    PENDING,
    REFUSED,
    UNANSWERED,
    GatewayFailedError,
    GatewayTimeoutError,
    Killed,
    late,
)
from tests.given import T0, eur


def a_refund(clock: FakeClock, key: str = "k1", amount: Any = None) -> Refund:
    """
    Return a refund of a payment of 100 euros.
    """
    return Refund(
        order_id="o1",
        seq=1,
        key=key,
        payment=Payment("card", "pi_1", eur(100)),
        amount=eur(100) if amount is None else amount,
        asked_at=clock.now(),
        expected_by=clock.now(),
    )


def a_payout(clock: FakeClock, key: str = "k1") -> PayOut:
    """
    Return a payout of 30 euros.
    """
    return PayOut(
        order_id="o1",
        seq=1,
        key=key,
        seller_id="luc",
        payee_id="luc",
        amount=eur(30),
        asked_at=clock.now(),
    )


@pytest.fixture
def gateway(clock: FakeClock) -> SimulatedGateway:
    """
    The one that can do everything.
    """
    return SimulatedGateway("perfect", clock)


class TestKeys:
    """
    For how long a key is known, and what that means.
    """

    @pytest.mark.parametrize(
        ("profile", "minutes", "movements"),
        [
            *(("stripe_v1", minutes, 1) for minutes in (0, 24 * 60 - 1)),
            ("stripe_v1", 24 * 60, 2),
            *(("checkout", minutes, 1) for minutes in (0, 24 * 60 - 1)),
            ("checkout", 24 * 60, 2),
            ("qonto30m", 29, 1),
            ("qonto30m", 30, 2),
            ("square_unpublished", 60, 1),
            ("key_ignored", 0, 2),
            ("bare", 0, 2),
            ("perfect", 10_000_000, 1),
        ],
    )
    def test_a_window(
        self, clock: FakeClock, profile: str, minutes: int, movements: int
    ) -> None:
        """
        Within it a key is one movement, from its end on another one.
        """
        gateway = SimulatedGateway(profile, clock)
        effect = a_payout(clock)
        first = gateway.pay_out(effect)
        clock.advance(minutes=minutes)

        second = gateway.pay_out(effect)

        assert len(gateway.applied) == movements
        assert (first == second) is (movements == 1)
        assert len(gateway.requests) == 2

    @pytest.mark.parametrize(
        ("profile", "again"),
        [("stripe_v1", False), ("checkout", True), ("perfect", True)],
    )
    def test_a_failure(self, clock: FakeClock, profile: str, again: bool) -> None:
        """
        Some give a failure again for as long as they know the key (F33, F34).
        """
        gateway = SimulatedGateway(profile, clock)
        gateway.next(ERROR)
        effect = a_payout(clock)
        with pytest.raises(GatewayFailedError):
            gateway.pay_out(effect)

        if again:
            assert isinstance(gateway.pay_out(effect), Done)
            return
        with pytest.raises(GatewayFailedError):
            gateway.pay_out(effect)
        clock.advance(days=1)
        assert isinstance(gateway.pay_out(effect), Done)

    @pytest.mark.parametrize("profile", ["stripe_v1", "qonto30m"])
    def test_another_body(self, clock: FakeClock, profile: str) -> None:
        """
        One calls it an error, the other gives the old reply (F32).
        """
        gateway = SimulatedGateway(profile, clock)
        first = gateway.refund(a_refund(clock))
        other = a_refund(clock, amount=eur(1))

        if profile == "stripe_v1":
            with pytest.raises(GatewayFailedError):
                gateway.refund(other)
            with pytest.raises(GatewayFailedError):
                gateway.look_up(other)
        else:
            assert gateway.refund(other) == first
        assert len(gateway.applied) == 1


class TestTroubles:
    """
    One a call, in their order.
    """

    @pytest.mark.parametrize(
        ("trouble", "error", "movements"),
        [
            (LOST, GatewayTimeoutError, 0),
            (UNANSWERED, GatewayTimeoutError, 1),
            (ERROR, GatewayFailedError, 0),
            (KILLED_BEFORE, Killed, 0),
            (KILLED_AFTER, Killed, 1),
        ],
        ids=str,
    )
    def test_raised(
        self,
        clock: FakeClock,
        gateway: SimulatedGateway,
        trouble: Any,
        error: type[BaseException],
        movements: int,
    ) -> None:
        """
        What happened, and what is heard of it, are two things.
        """
        gateway.next(trouble)

        with pytest.raises(error):
            gateway.pay_out(a_payout(clock))

        assert len(gateway.applied) == movements
        assert gateway.troubles == ()
        assert isinstance(gateway.pay_out(a_payout(clock)), Done)
        assert len(gateway.applied) == 1

    def test_late(self, clock: FakeClock, gateway: SimulatedGateway) -> None:
        """
        A late request is done at its own instant, whenever somebody looks; one that
        is later than its expiry never is (F30).
        """
        sent = clock.now()
        gateway.next(late("PT90S"), late("PT3M"))
        for key in ("k1", "k2"):
            with pytest.raises(GatewayTimeoutError):
                gateway.pay_out(a_payout(clock, key))
        assert gateway.look_up(a_payout(clock)) is None

        clock.advance(days=1)

        (applied,) = gateway.applied
        assert (applied.key, (applied.at - sent).total_seconds()) == ("k1", 90)

    def test_in_flight(self, clock: FakeClock, gateway: SimulatedGateway) -> None:
        """
        Another one is at work: nothing is done.
        """
        gateway.next(IN_FLIGHT)

        said = gateway.pay_out(a_payout(clock))

        assert isinstance(said, RetryAt)
        assert (said.reference, gateway.applied) == ("", ())

    def test_questions(self, clock: FakeClock, gateway: SimulatedGateway) -> None:
        """
        A question can be lost; what only a movement can have waits for the next one.
        """
        gateway.next(LOST, REFUSED)
        with pytest.raises(GatewayTimeoutError):
            gateway.look_up(a_payout(clock))

        assert gateway.look_up(a_payout(clock)) is None
        assert isinstance(gateway.pay_out(a_payout(clock)), NotDone)

    def test_pending(self, clock: FakeClock, gateway: SimulatedGateway) -> None:
        """
        What is under way ends one way or the other, once, and says so.
        """
        gateway.next(PENDING, PENDING)
        said = [gateway.pay_out(a_payout(clock, key)) for key in ("k1", "k2")]
        first, second = (one.reference for one in gateway.applied)
        assert [one.reference for one in said if isinstance(one, RetryAt)] == [
            first,
            second,
        ]

        gateway.finish(first)
        gateway.finish(second, paid=False)

        assert gateway.look_up(a_payout(clock)) == Done(first)
        assert isinstance(gateway.look_up(a_payout(clock, "k2")), NotDone)
        told: list[Any] = [command.status for _, command in gateway.reports()]  # type: ignore[attr-defined]
        assert told == ["sent", "sent", "paid", "failed"]
        assert gateway.reports() == []
        with pytest.raises(InvalidInputError):
            gateway.finish(first)

    def test_fails_later(self, clock: FakeClock, gateway: SimulatedGateway) -> None:
        """
        Money that comes back can be sent again.
        """
        gateway.next(FAILS_LATER)
        assert isinstance(gateway.refund(a_refund(clock)), Done)

        gateway.bounce(gateway.applied[0].reference)

        assert isinstance(gateway.refund(a_refund(clock, "k2")), Done)
        assert [one.status for one in gateway.applied] == ["failed", "paid"]


class TestPayments:
    """
    What it gives back, and what not.
    """

    def test_no_more_than_there_was(
        self, clock: FakeClock, gateway: SimulatedGateway
    ) -> None:
        """
        Payments that it was not told of count as much as they say.
        """
        assert isinstance(gateway.refund(a_refund(clock, "k1", eur(60))), Done)

        assert isinstance(gateway.refund(a_refund(clock, "k2", eur(41))), NotDone)
        assert isinstance(gateway.refund(a_refund(clock, "k3", eur(40))), Done)

    def test_what_it_was_told(self, clock: FakeClock) -> None:
        """
        What it was told counts for more; without a face value, only that counts.
        """
        gateway = SimulatedGateway("perfect", clock, face_value=False)
        assert isinstance(gateway.refund(a_refund(clock, "k1")), NotDone)

        gateway.paid(Payment("card", "pi_1", eur(50)))

        assert isinstance(gateway.refund(a_refund(clock, "k2")), NotDone)
        assert isinstance(gateway.refund(a_refund(clock, "k3", eur(50))), Done)
        with pytest.raises(InvalidInputError):
            gateway.paid(Payment("card", "pi_2"))

    def test_too_old(self, clock: FakeClock) -> None:
        """
        After its window a payment is not given back (F39).
        """
        gateway = SimulatedGateway("perfect", clock, refund_window="P180D")
        gateway.paid(Payment("card", "pi_1", eur(100)))
        clock.advance(days=180)

        assert isinstance(gateway.refund(a_refund(clock)), NotDone)

    def test_whole_payments_only(self, clock: FakeClock) -> None:
        """
        Some give back all or nothing.
        """
        gateway = SimulatedGateway("perfect", clock)
        gateway.capabilities = attrs.evolve(gateway.capabilities, partial_refunds=False)

        assert isinstance(gateway.refund(a_refund(clock, "k1", eur(1))), NotDone)
        assert isinstance(gateway.refund(a_refund(clock, "k2")), Done)

    def test_charged_back(self, clock: FakeClock, gateway: SimulatedGateway) -> None:
        """
        What a bank took is not given back on top, until it is there again (F41).
        """
        gateway.paid(Payment("card", "pi_1", eur(100)), "o1")
        name = gateway.charge_back("pi_1")
        assert isinstance(gateway.refund(a_refund(clock, "k1")), NotDone)

        gateway.close_chargeback(name, won=True)

        assert isinstance(gateway.refund(a_refund(clock, "k2")), Done)
        told: list[Any] = [command for _, command in gateway.reports()]
        assert [one.status for one in told] == ["opened", "won", "paid"]
        with pytest.raises(InvalidInputError):
            gateway.charge_back("pi_2")

    def test_its_statement(self, clock: FakeClock, gateway: SimulatedGateway) -> None:
        """
        Its report has a line for everything that moved (F45).
        """
        gateway.paid(Payment("card", "pi_1", eur(100)), "o1")
        clock.advance(minutes=1)
        gateway.refund(a_refund(clock, "k1", eur(60)))
        gateway.pay_out(a_payout(clock, "k2"))
        gateway.charge_back("pi_1", eur(10))

        lines = [(one.kind, one.amount, one.part) for one in gateway.statement()]

        assert lines == [
            ("payment", eur(100), "pi_1"),
            ("refund", eur(60), "pi_1"),
            ("pay_out", eur(30), "luc"),
            ("chargeback", eur(10), "pi_1"),
        ]

    @pytest.mark.parametrize("profile", PROFILES)
    def test_what_it_reports(self, clock: FakeClock, profile: str) -> None:
        """
        Its reports name our key, if it keeps keys at all.
        """
        gateway = SimulatedGateway(profile, clock)
        gateway.refund(a_refund(clock))

        ((order_id, command),) = gateway.reports()

        told: Any = command
        assert (order_id, told.status, told.amount) == ("o1", "paid", eur(100))
        assert told.key == ("" if profile == "bare" else "k1")
        assert told.reference == gateway.applied[0].reference


class TestItself:
    """
    What it is.
    """

    def test_an_unknown_profile(self, clock: FakeClock) -> None:
        """
        Whoever is misspelt is named with those there are.
        """
        with pytest.raises(InvalidInputError, match="stripe_v1"):
            SimulatedGateway("strip", clock)

    def test_the_same_again(self) -> None:
        """
        The same calls make the same movements, names included.
        """

        def lived() -> tuple[Any, ...]:
            clock = FakeClock(T0)
            gateway = SimulatedGateway("stripe_v1", clock)
            gateway.next(PENDING, FAILS_LATER)
            gateway.refund(a_refund(clock))
            gateway.pay_out(a_payout(clock, "k2"))
            return gateway.statement(), tuple(gateway.reports())

        assert lived() == lived()

    def test_shown(self, gateway: SimulatedGateway) -> None:
        """
        It shows its name.
        """
        assert repr(gateway) == "SimulatedGateway('perfect')"
        assert [str(one) for one in (LOST, late("PT1S"))] == ["lost", "late"]


def test_without_the_tools_of_tests() -> None:
    """
    An application may try its rules with it: neither pytest nor Hypothesis is needed.
    """
    program = (
        "import sys; sys.modules.update(pytest=None, hypothesis=None); "
        "from escrowflow.testing import PROFILES, SimulatedGateway"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
