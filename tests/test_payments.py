"""
Whether a gateway fits a process, and what `handlers` is made of.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from escrowflow import payments
from escrowflow.clock import FakeClock
from escrowflow.effects import Charge, PayOut, Refund, ReleaseHold, Unknown
from escrowflow.errors import InvalidInputError
from escrowflow.money import Payment
from escrowflow.payments import Capabilities
from escrowflow.payments.wallets import Wallets
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing import PROFILES, SimulatedGateway
from tests.given import COMEUP, T0, eur

if TYPE_CHECKING:
    from escrowflow.rules import Policies
    from escrowflow.states import Process


def living(**lifetime: Any) -> Process[Policies]:
    """
    Return the process with other rules of how long an order lives.
    """
    return attrs.evolve(COMEUP, policies=COMEUP.policies.replacing(lifetime=lifetime))


def refunding(window: str | None, **more: Any) -> Any:
    """
    Return a gateway that gives payments back for so long.
    """
    gateway = SimulatedGateway("perfect", FakeClock(T0), refund_window=window)
    gateway.capabilities = attrs.evolve(gateway.capabilities, **more)
    return gateway


class TestFits:
    """
    What a process asks is held against what a gateway can do.
    """

    def test_no_limit_anywhere(self) -> None:
        """
        A gateway that gives back whenever it is asked fits everything.
        """
        assert payments.fits(COMEUP, refunding(None)) == ()
        assert payments.fits(living(order_cap="P5M"), refunding(None)) == ()

    def test_an_order_that_never_ends(self) -> None:
        """
        Without a cap no window is long enough: a warning that names both.
        """
        (misfit,) = payments.fits(COMEUP, refunding("P180D"))

        assert (misfit.code, misfit.refused) == ("refund_window", False)
        assert str(misfit) == (
            "refund_window: asked order_cap=None: an order may live for ever, "
            "offered refund_window=P180D"
        )

    @pytest.mark.parametrize(
        ("lifetime", "window"),
        [
            ({"order_cap": "P90D"}, "P98D"),
            ({"order_cap": "P90D", "cap_after_dispute": "expire_now"}, "P91D"),
            ({"order_cap": "P90D", "payment_window": "P3D"}, "P100D"),
            ({"order_cap": "P5M"}, "P163D"),
            ({"order_cap": "P12M"}, "P374D"),
        ],
    )
    def test_a_cap(self, lifetime: dict[str, Any], window: str) -> None:
        """
        An order ends before its oldest payment cannot go back: time to pay, the cap,
        and what a ruling may add; months are as long as months can be.
        """
        process = living(**lifetime)
        shorter = timedelta(days=int(window[1:-1])) - timedelta(microseconds=1)

        assert payments.fits(process, refunding(window)) == ()
        (misfit,) = payments.fits(process, refunding(shorter))  # type: ignore[arg-type]
        assert misfit.code == "refund_window"
        assert f"order_cap={lifetime['order_cap']}" in misfit.asked
        assert "payment_window=" in misfit.asked
        assert ("cap_grace" in misfit.asked) == ("cap_after_dispute" not in lifetime)

    def test_whole_payments_only(self) -> None:
        """
        Who cannot give back a part is named, and so is who asks.
        """
        (misfit,) = payments.fits(COMEUP, refunding(None, partial_refunds=False))

        assert misfit.code == "partial_refunds"
        assert "whole payments only" in str(misfit)

    @pytest.mark.parametrize("profile", PROFILES)
    def test_all_profiles(self, profile: str) -> None:
        """
        The simulated ones fit.
        """
        assert payments.fits(COMEUP, SimulatedGateway(profile, FakeClock(T0))) == ()

    @pytest.mark.parametrize("field", ["process", "gateway"])
    def test_malformed(self, field: str) -> None:
        """
        What is no process, or no gateway, is refused by its name.
        """
        fields: dict[str, Any] = {"process": COMEUP, "gateway": refunding(None)}

        with pytest.raises(InvalidInputError) as caught:
            payments.fits(**{**fields, field: None})

        assert caught.value.field == field


class TestHandlers:
    """
    Who carries out what.
    """

    def test_what_there_is(self) -> None:
        """
        Whatever moves money, and letting go what was not charged.
        """
        made = payments.handlers(SimulatedGateway("bare", FakeClock(T0)))

        assert set(made) == {Refund, PayOut, Charge, ReleaseHold}

    def test_withdrawals_from_wallets_to_wallets(self) -> None:
        """
        Money that leaves a wallet goes to a bank: wallets themselves are refused, and
        the error names what is expected.
        """
        wallets = Wallets(MemoryStorage(), clock=FakeClock(T0))

        with pytest.raises(InvalidInputError) as caught:
            payments.handlers(wallets, withdrawals=wallets)

        assert caught.value.field == "withdrawals"
        assert caught.value.problem.startswith(
            "the gateway that pays banks, not Wallets"
        )

    @pytest.mark.parametrize("effect", [Charge, ReleaseHold])
    def test_a_hold_of_a_wallet(self, effect: Any) -> None:
        """
        What a wallet is said to hold is not asked of a card gateway: a human must look.
        """
        cards = SimulatedGateway("stripe_v1", FakeClock(T0))
        fields = {"amount": eur(1), "asked_at": T0} if effect is Charge else {}
        asked = effect(
            order_id="o1", seq=2, key="k", payment=Payment("wallet", "w"), **fields
        )

        said = payments.handlers(cards)[effect](asked)

        assert isinstance(said, Unknown)
        assert said.give_up
        assert "methods={'wallet': wallets}" in said.reason
        assert cards.applied == ()

    @pytest.mark.parametrize("where", ["gateway", "payouts", "methods"])
    def test_no_gateway(self, where: str) -> None:
        """
        What is no gateway is refused by its name.
        """
        gateway = SimulatedGateway("bare", FakeClock(T0))
        nothing: Any = object()
        fields: dict[str, Any] = {
            "gateway": {"gateway": nothing},
            "payouts": {"gateway": gateway, "payouts": nothing},
            "methods": {"gateway": gateway, "methods": {"wallet": nothing}},
        }[where]

        with pytest.raises(InvalidInputError, match=where) as refused:
            payments.handlers(**fields)

        assert refused.value.problem == (
            "a PaymentGateway, and object has no capabilities, look_up, name, pay_out, "
            "refund"
        )

    def test_the_class_of_a_gateway(self) -> None:
        """
        It has all the verbs, and nobody to call them on.
        """
        gateway: Any = SimulatedGateway

        with pytest.raises(InvalidInputError, match="not the class SimulatedGateway"):
            payments.handlers(gateway)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("methods", 3),
            ("methods", ["wallet"]),
            ("methods", {3.5: SimulatedGateway("bare", FakeClock(T0))}),
            ("methods", {"": SimulatedGateway("bare", FakeClock(T0))}),
            ("payouts", 0),
            ("withdrawals", 0),
            ("withdrawals", ""),
            ("clock", 3),
            ("restored_at", 3),
        ],
    )
    def test_malformed(self, field: str, value: Any) -> None:
        """
        What is empty or of another kind is refused by its name too, and not passed over.
        """
        gateway = SimulatedGateway("bare", FakeClock(T0))

        with pytest.raises(InvalidInputError) as caught:
            payments.handlers(gateway, **{field: value})

        assert caught.value.field == field


class TestRefundWindows:
    """
    How long payments can go back, by method.
    """

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"gateway": None}, "gateway"),
            ({"methods": 3}, "methods"),
            ({"methods": ["wallet"]}, "methods"),
            ({"methods": {"wallet": None}}, "methods['wallet']"),
        ],
    )
    def test_malformed(self, changes: dict[str, Any], field: str) -> None:
        """
        The arguments are checked like those of `handlers`.
        """
        with pytest.raises(InvalidInputError) as caught:
            payments.refund_windows(**{"gateway": refunding(None), **changes})

        assert caught.value.field == field


class TestCapabilities:
    """
    What a gateway says of itself.
    """

    @pytest.mark.parametrize(
        ("window", "age", "known"),
        [
            (None, timedelta(days=3650), True),
            (timedelta(), timedelta(), False),
            # A clock was set back since it was sent.
            (timedelta(), -timedelta(seconds=40), False),
            ("PT24H", timedelta(hours=23, minutes=54), True),
            ("PT24H", timedelta(hours=23, minutes=55), False),
            ("PT6M", timedelta(minutes=2), True),
            ("PT6M", timedelta(minutes=3), False),
        ],
    )
    def test_remembers(self, window: Any, age: timedelta, known: bool) -> None:
        """
        A key counts as forgotten a little before it is (F30).
        """
        can = Capabilities(idempotency_window=window, look_up=False)

        assert can.remembers(age) is known

    @pytest.mark.parametrize(
        "field", ["idempotency_window", "hold_life", "refund_window"]
    )
    def test_malformed(self, field: str) -> None:
        """
        A length is a length.
        """
        fields: dict[str, Any] = {"idempotency_window": None, field: "soon"}

        with pytest.raises(InvalidInputError, match=field):
            Capabilities(look_up=True, **fields)

    @pytest.mark.parametrize("field", ["look_up", "partial_refunds", "asynchronous"])
    @pytest.mark.parametrize("value", [1, None, "no"])
    def test_neither_true_nor_false(self, field: str, value: Any) -> None:
        """
        A yes is a yes.
        """
        fields: dict[str, Any] = {"look_up": True, field: value}

        with pytest.raises(InvalidInputError) as caught:
            Capabilities(idempotency_window=None, **fields)

        assert caught.value.field == field
