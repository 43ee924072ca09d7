"""
The contract of a gateway holds for the simulated ones, and catches broken ones.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs
import pytest

from escrowflow.clock import FakeClock
from escrowflow.effects import (
    Charge,
    Done,
    Movement,
    NotDone,
    PayOut,
    Refund,
    ReleaseHold,
    Result,
)
from escrowflow.money import Money, Payment
from escrowflow.payments import Capabilities
from escrowflow.testing import GatewayContract, SimulatedGateway
from escrowflow.testing.gateways import LOST, REFUSED, UNANSWERED
from tests.curator import cases
from tests.given import T0

PROJECT: Final = Path(__file__).parent.parent


NUMBERS: Final = count(1)


class Simulated(GatewayContract):
    """
    A gateway that is not there.
    """

    profile: ClassVar[str] = "perfect"

    def open(self) -> Any:
        return SimulatedGateway(self.profile, FakeClock(T0), face_value=False)

    def payment(self, gateway: Any, amount: Money) -> Payment:
        number = len(gateway.statement()) + 1
        payment = Payment("card", f"pi_{number}", amount)
        gateway.paid(payment)
        return payment

    def hold(self, gateway: Any, amount: Money) -> Payment:
        number = next(NUMBERS)
        payment = Payment("card", f"pi_held_{number}", amount, "2026-05-11T10:00:00Z")
        gateway.holds(payment)
        return payment

    def payee(self, gateway: Any) -> str:
        return "luc"

    def lose_next(self, gateway: Any) -> bool:
        gateway.next(LOST)
        return True

    def leave_next_unanswered(self, gateway: Any) -> bool:
        gateway.next(UNANSWERED)
        return True

    def refuse_next(self, gateway: Any) -> bool:
        gateway.next(REFUSED)
        return True


class TestStripeV1(Simulated):
    """
    A day, and questions.
    """

    profile = "stripe_v1"


class TestCheckout(Simulated):
    """
    A day.
    """

    profile = "checkout"


class TestQonto30m(Simulated):
    """
    Half an hour.
    """

    profile = "qonto30m"


class TestSquareUnpublished(Simulated):
    """
    Questions.
    """

    profile = "square_unpublished"


class TestKeyIgnored(Simulated):
    """
    Questions, and no keys.
    """

    profile = "key_ignored"


class TestBare(Simulated):
    """
    Nothing.
    """

    profile = "bare"


class TestPerfect(Simulated):
    """
    Everything.
    """


class Flawed:
    """
    A sound gateway, as far as nothing below says otherwise.
    """

    def __init__(self) -> None:
        self.inner = SimulatedGateway("perfect", FakeClock(T0), face_value=False)
        self.name = "flawed"
        # Written out, as what follows is: since Python 3.12 a protocol looks for a member,
        # and asks nobody.
        self.capabilities = self.inner.capabilities

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def refund(self, effect: Refund) -> Result:
        return self.inner.refund(effect)

    def pay_out(self, effect: PayOut) -> Result:
        return self.inner.pay_out(effect)

    def look_up(self, effect: Movement) -> Result | None:
        return self.inner.look_up(effect)

    def charge(self, effect: Charge) -> Result:
        return self.inner.charge(effect)

    def release(self, effect: ReleaseHold) -> Result:
        return self.inner.release(effect)


def other_key(effect: Any) -> Any:
    """
    Return an effect under a key of each attempt's own.
    """
    return attrs.evolve(effect, key=f"{effect.key}-{effect.attempt}")


class KeyOfTheAttempt(Flawed):
    """
    Each retry has a key of its own.
    """

    def pay_out(self, effect: PayOut) -> Result:
        return self.inner.pay_out(other_key(effect))


class NoKey(Flawed):
    """
    The key is not passed on.
    """

    sent = 0

    def refund(self, effect: Refund) -> Result:
        self.sent += 1
        return self.inner.refund(attrs.evolve(effect, key=f"{self.sent}"))


class Nameless(Flawed):
    """
    What moved has no name.
    """

    def pay_out(self, effect: PayOut) -> Result:
        self.inner.pay_out(effect)
        return Done()


class TimeoutIsNo(Flawed):
    """
    What was not answered counts as refused.
    """

    def refund(self, effect: Refund) -> Result:
        try:
            return self.inner.refund(effect)
        except Exception:
            return NotDone("no answer")


class TimeoutIsYes(Flawed):
    """
    What was not answered counts as done.
    """

    def pay_out(self, effect: PayOut) -> Result:
        try:
            return self.inner.pay_out(effect)
        except Exception:
            return Done("po_?")


class LooksUpByAmount(Flawed):
    """
    A question is answered with whatever looks alike.
    """

    def look_up(self, effect: Movement) -> Result | None:
        for one in self.inner.applied:
            if one.amount == effect.amount:
                return Done(one.reference)
        return None


class FindsNothing(Flawed):
    """
    A question never finds anything.
    """

    def look_up(self, effect: Movement) -> Result | None:
        return None


class MajorUnits(Flawed):
    """
    Every currency is taken to have two decimals.
    """

    def refund(self, effect: Refund) -> Result:
        if effect.amount.currency == "JPY":
            minor = effect.amount.minor * 100
            effect = attrs.evolve(effect, amount=Money(minor, "JPY"))
        return self.inner.refund(effect)


class Truth(Flawed):
    """
    It answers whether, not what.
    """

    def pay_out(self, effect: PayOut) -> Any:
        self.inner.pay_out(effect)
        return True


class ShowsItsKey(Flawed):
    """
    Its API key is in what it shows.
    """

    def __repr__(self) -> str:
        return "ShowsItsKey(api_key='sk_live_123')"


class RaisesItsKey(Flawed):
    """
    Its API key is in what it raises.
    """

    def refund(self, effect: Refund) -> Result:
        said = self.inner.refund(effect)
        if isinstance(said, NotDone):
            raise RuntimeError("POST https://sk_live_123@pay.example failed")
        return said


class Cut(Flawed):
    """
    What is too much is cut to what is left.
    """

    def refund(self, effect: Refund) -> Result:
        said = self.inner.refund(effect)
        return Done("re_cut") if isinstance(said, NotDone) else said


class ChargesAnything(Flawed):
    """
    What is not held is charged all the same.
    """

    def charge(self, effect: Charge) -> Result:
        said = self.inner.charge(effect)
        return Done("ch_any") if isinstance(said, NotDone) else said


class LetsGoAnything(Flawed):
    """
    What was charged counts as let go.
    """

    def release(self, effect: ReleaseHold) -> Result:
        self.inner.release(effect)
        return Done()


class Moody(Flawed):
    """
    What it can do depends on what it has done.
    """

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(idempotency_window=None, look_up=not self.inner.requests)


FLAWS: Final = {
    KeyOfTheAttempt: "test_the_same_key",
    NoKey: "test_the_same_key_takes_once",
    Nameless: "test_it_moves",
    TimeoutIsNo: "test_unanswered",
    TimeoutIsYes: "test_lost",
    LooksUpByAmount: "test_found_by_its_key",
    FindsNothing: "test_found",
    MajorUnits: "test_a_whole_payment",
    Truth: "test_it_moves",
    ShowsItsKey: "test_no_secret_is_shown",
    RaisesItsKey: "test_no_secret_is_shown",
    Cut: "test_more_than_there_was",
    ChargesAnything: "test_charged_once",
    LetsGoAnything: "test_not_let_go",
    Moody: "test_what_it_can_do_does_not_change",
}


class Exhibit(Simulated):
    """
    What is on show.
    """

    secrets = ("sk_live_123",)

    def __init__(self, flawed: type[Flawed] | None = None) -> None:
        self.flawed = flawed

    def open(self) -> Any:
        return super().open() if self.flawed is None else self.flawed()


def complaint(exhibit: Exhibit, check: str) -> str | None:
    """
    Return what a check says against a gateway; `None` if it is content.
    """
    function = getattr(exhibit, check)
    for values in cases(function):
        try:
            function(gateway=exhibit.open(), **values)
        except (Exception, pytest.fail.Exception) as error:
            return f"{type(error).__name__}: {error}"
    return None


class TestMuseum:
    """
    Gateways that are broken on purpose, each in one way.
    """

    @pytest.mark.parametrize("flawed", FLAWS, ids=lambda flawed: flawed.__name__)
    def test_exhibit_is_caught(self, flawed: type[Flawed]) -> None:
        """
        Each fails the check that is there for it.
        """
        assert complaint(Exhibit(flawed), FLAWS[flawed]) is not None

    @pytest.mark.parametrize("check", sorted(set(FLAWS.values())))
    def test_sound_one_is_not(self, check: str) -> None:
        """
        No check complains of a gateway that has no flaw.
        """
        assert complaint(Exhibit(), check) is None
        assert complaint(Exhibit(Flawed), check) is None

    @pytest.mark.parametrize(
        ("body", "wanted", "said"),
        [
            ("", "left_out or it_is_one", "only 2 of"),
            ("test_found = None", "left_out", "not those of the contract"),
        ],
    )
    def test_nothing_is_left_out(
        self, tmp_path: Path, body: str, wanted: str, said: str
    ) -> None:
        """
        A contract of which something is left out fails, and says what.
        """
        source = f"""\
from escrowflow.testing import GatewayContract, SimulatedGateway
from escrowflow import FakeClock, Payment

class TestMine(GatewayContract):
    def open(self):
        return SimulatedGateway("bare", FakeClock())

    def payment(self, gateway, amount):
        return Payment("card", "pi_1", amount)

    def payee(self, gateway):
        return "luc"

    {body}
"""
        (tmp_path / "test_mine.py").write_text(source)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *(f"--rootdir={tmp_path}", "-W", "error", "-k", wanted, str(tmp_path)),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "", "PYTHONPATH": str(PROJECT / "src")},
        )

        assert done.returncode == 1
        assert said in done.stdout
