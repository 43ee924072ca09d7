"""
What every payment gateway promises, as tests for those who write an adapter.
"""

from __future__ import annotations

import abc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any, ClassVar, Final

import attrs
import pendulum
import pytest

from ..effects import (
    Charge,
    Done,
    Movement,
    NotDone,
    PayOut,
    Refund,
    ReleaseHold,
    Result,
    RetryAt,
    Unknown,
    effect_key,
)
from ..money import Money, Payment
from ..payments import Capabilities, HoldingGateway, PaymentGateway
from .base import Counted

__all__ = ["GatewayContract"]

_RESULTS: Final = (Done, NotDone, RetryAt, Unknown)

# Any instant will do: what was asked for, and when, is the same for the same key.
_ASKED_AT: Final = pendulum.datetime(2026, 5, 5, 8)

# What an order may be called.
_ORDER_IDS: Final = ("o1", "order 7", "é", "a/b?c=d&e", "x" * 255, "'; --", "注文")

_ORDERS: Final = count(1)

# What moves money; of a gateway that cannot hold the last is skipped.
_each_kind = pytest.mark.parametrize("kind", ["refund", "pay_out", "charge"])


class GatewayContract(Counted):
    """
    What a `PaymentGateway` promises: a subclass says how it is opened, against the
    provider's sandbox, and what there is to move.

        class TestMine(GatewayContract):
            def open(self):
                return MyGateway(os.environ["SANDBOX_KEY"])

            def payment(self, gateway, amount):
                return gateway.charge_a_test_card(amount)

            def payee(self, gateway):
                return "acct_test"

    What its capabilities do not promise is not checked.
    """

    checks_min = 79
    subject = "gateway"

    # What payments are made in: two decimals, none, three.  Those that the provider
    # does not take are left out.
    currencies: ClassVar[tuple[str, ...]] = ("EUR", "JPY", "KWD")

    # What must never be shown: API keys, and the like.
    secrets: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def open(self) -> PaymentGateway:
        """
        Return a gateway.
        """

    @abc.abstractmethod
    def payment(self, gateway: PaymentGateway, amount: Money) -> Payment:
        """
        Return a payment of this amount that came in and can be given back.
        """

    @abc.abstractmethod
    def payee(self, gateway: PaymentGateway) -> str:
        """
        Return somebody who can be paid.
        """

    def hold(self, gateway: PaymentGateway, amount: Money) -> Payment | None:
        """
        Return a payment of this amount that was authorised and can be charged; only
        asked of a gateway that can hold.
        """
        return None

    def lose_next(self, gateway: PaymentGateway) -> bool:
        """
        Have the next request never arrive; false if that cannot be done.
        """
        return False

    def leave_next_unanswered(self, gateway: PaymentGateway) -> bool:
        """
        Have the next request done, but not answered; false if that cannot be done.
        """
        return False

    def refuse_next(self, gateway: PaymentGateway) -> bool:
        """
        Have the next request refused for good; false if that cannot be done.
        """
        return False

    @pytest.fixture
    def gateway(self) -> PaymentGateway:
        """
        A gateway.
        """
        return self.open()

    def test_nothing_is_left_out(self, request: pytest.FixtureRequest) -> None:
        """
        No check is overridden, and as many run as there are.
        """
        self._nothing_left_out(GatewayContract, request)

    # --- what it is ---------------------------------------------------------------

    def test_it_is_one(self, gateway: PaymentGateway) -> None:
        """
        It has all that a gateway has.
        """
        assert isinstance(gateway, PaymentGateway)
        assert isinstance(gateway.name, str)
        assert gateway.name.strip()
        assert isinstance(gateway.capabilities, Capabilities)

    def test_what_it_can_do_does_not_change(self, gateway: PaymentGateway) -> None:
        """
        What it can do is said once for all, whatever happens.
        """
        before = gateway.capabilities
        with suppress(Exception):
            gateway.refund(self._refund(gateway))

        assert gateway.capabilities == before == self.open().capabilities

    @_each_kind
    def test_no_secret_is_shown(self, gateway: PaymentGateway, kind: str) -> None:
        """
        Neither it nor what it says or raises shows a secret (I31).
        """
        shown = [repr(gateway), str(gateway), gateway.name]
        effects = [self._effect(gateway, kind)]
        effects.append(self._next(effects[0], Money(10**12, "EUR")))
        for effect in effects:
            try:
                shown.append(repr(self._send(gateway, effect)))
            except Exception as error:
                one: BaseException | None = error
                while one is not None:
                    shown += [repr(one), str(one), repr(vars(one))]
                    one = one.__cause__ or one.__context__

        for secret in self.secrets:
            assert not [text for text in shown if secret in text]

    # --- moving money -------------------------------------------------------------

    @_each_kind
    def test_it_moves(self, gateway: PaymentGateway, kind: str) -> None:
        """
        What can be moved is moved, or under way, and has a name.
        """
        said = self._send(gateway, self._effect(gateway, kind))

        assert isinstance(said, (Done, RetryAt))
        assert said.reference.strip()

    @pytest.mark.parametrize("number", range(3))
    @_each_kind
    def test_a_whole_payment(
        self, gateway: PaymentGateway, kind: str, number: int
    ) -> None:
        """
        Amounts are minor units, in a currency with two decimals, none, or three.
        """
        if number >= len(self.currencies):
            self.skip("no such currency")
        amount = Money(1234, self.currencies[number])
        effect = self._effect(gateway, kind, amount)

        self._moved(self._send(gateway, effect))

        if isinstance(effect, Refund):
            more = self._next(effect, Money(1, amount.currency))
            assert not self._moves(gateway, more)

    @pytest.mark.parametrize("parts", [(60, 40), (1, 99), (33, 33, 34), (99, 1)])
    def test_in_parts(self, gateway: PaymentGateway, parts: tuple[int, ...]) -> None:
        """
        Parts of a payment go back one by one, and no more than there was.
        """
        self._parts(gateway)
        effect = self._refund(gateway, Money(100, self.currencies[0]))
        for part in parts:
            effect = self._next(effect, Money(part, self.currencies[0]))
            self._moved(gateway.refund(effect))

        assert not self._moves(gateway, self._next(effect, Money(1, "EUR")))

    @pytest.mark.parametrize("more", [1, 100, 10**9])
    def test_more_than_there_was(self, gateway: PaymentGateway, more: int) -> None:
        """
        More than the payment is refused, for sure, and moves nothing.
        """
        effect = self._refund(gateway)
        too_much = self._next(effect, Money(effect.amount.minor + more, "EUR"))

        assert isinstance(gateway.refund(too_much), NotDone)
        self._moved(gateway.refund(effect))

    def test_the_same_payment_twice(self, gateway: PaymentGateway) -> None:
        """
        What went back whole does not go back again, under another key.
        """
        effect = self._refund(gateway)
        self._moved(gateway.refund(effect))

        assert isinstance(gateway.refund(self._next(effect, effect.amount)), NotDone)

    def test_another_currency(self, gateway: PaymentGateway) -> None:
        """
        Nothing goes back in another currency than it came in.
        """
        if len(self.currencies) < 2:
            self.skip("one currency")
        effect = self._refund(gateway, Money(1000, self.currencies[0]))

        other = self._next(effect, Money(100, self.currencies[1]))
        assert not self._moves(gateway, other)

    def test_a_payment_that_nobody_knows(self, gateway: PaymentGateway) -> None:
        """
        Nothing goes back to a payment that never came in.
        """
        effect = self._refund(gateway)
        stranger = attrs.evolve(
            effect, payment=attrs.evolve(effect.payment, reference="no-such-payment")
        )

        assert not self._moves(gateway, stranger)

    def test_refused(self, gateway: PaymentGateway) -> None:
        """
        What is refused for good has a reason, and moves nothing.
        """
        effect = self._refund(gateway)
        if not self.refuse_next(gateway):
            self.skip("nothing can be made to be refused")

        said = gateway.refund(effect)

        assert isinstance(said, NotDone)
        assert said.reason.strip()
        assert not said.again
        self._moved(gateway.refund(self._next(effect, effect.amount)))

    @pytest.mark.parametrize("order_id", _ORDER_IDS)
    @_each_kind
    def test_whatever_an_order_is_called(
        self, gateway: PaymentGateway, kind: str, order_id: str
    ) -> None:
        """
        Ids of orders are the host's own: any text.
        """
        effect = self._effect(gateway, kind)
        named = attrs.evolve(
            effect,
            order_id=order_id,
            key=effect_key(effect.order_id + order_id, 1, kind, "x"),
        )

        self._moved(self._send(gateway, named))

    def test_two_keys_are_two(self, gateway: PaymentGateway) -> None:
        """
        Two payouts alike are two payouts, with two names.
        """
        effect = self._pay_out(gateway)

        first = self._moved(gateway.pay_out(effect))
        second = self._moved(gateway.pay_out(self._next(effect, effect.amount)))

        assert first != second

    # --- one key ------------------------------------------------------------------

    @pytest.mark.parametrize("times", [2, 5])
    @_each_kind
    def test_the_same_key(self, gateway: PaymentGateway, kind: str, times: int) -> None:
        """
        However often a key is sent, it is one movement, and is called the same.
        """
        self._remembers(gateway)
        effect = self._effect(gateway, kind)

        said = {
            self._moved(self._send(gateway, attrs.evolve(effect, attempt=number + 1)))
            for number in range(times)
        }

        assert len(said) == 1

    def test_the_same_key_takes_once(self, gateway: PaymentGateway) -> None:
        """
        The rest of a payment is there after a part was sent twice.
        """
        self._remembers(gateway)
        self._parts(gateway)
        effect = self._refund(gateway)
        part = self._next(effect, Money(300, "EUR"))
        self._moved(gateway.refund(part))
        with suppress(Exception):
            gateway.refund(part)

        self._moved(gateway.refund(self._next(part, Money(700, "EUR"))))

    @_each_kind
    def test_the_same_key_at_once(self, gateway: PaymentGateway, kind: str) -> None:
        """
        Of several at once one is done; the others hear the same, or are to wait.
        """
        self._remembers(gateway)
        effect = self._effect(gateway, kind)

        def send(_: int) -> Result | None:
            try:
                return self._send(gateway, effect)
            except Exception:
                return None

        with ThreadPoolExecutor(4) as threads:
            said = list(threads.map(send, range(4)))

        names = {one.reference for one in said if isinstance(one, (Done, RetryAt))}
        assert len(names - {""}) == 1
        assert not [one for one in said if isinstance(one, NotDone)]

    def test_another_request_under_a_key(self, gateway: PaymentGateway) -> None:
        """
        A key that says something else moves nothing more (I8).
        """
        self._remembers(gateway)
        self._parts(gateway)
        effect = self._refund(gateway)
        part = self._next(effect, Money(600, "EUR"))
        name = self._moved(gateway.refund(part))
        with suppress(Exception):
            said = gateway.refund(attrs.evolve(part, amount=Money(300, "EUR")))
            assert not isinstance(said, Done) or said.reference == name

        self._moved(gateway.refund(self._next(part, Money(400, "EUR"))))

    @_each_kind
    def test_unanswered(self, gateway: PaymentGateway, kind: str) -> None:
        """
        After a lost answer the same key is the same movement (F29).
        """
        self._remembers(gateway)
        effect = self._effect(gateway, kind)
        if not self.leave_next_unanswered(gateway):
            self.skip("no answer can be lost")
        self._uncertain(gateway, effect)

        first = self._moved(self._send(gateway, effect))

        assert self._moved(self._send(gateway, effect)) == first
        if isinstance(effect, Refund):
            again = self._next(effect, effect.amount)
            assert not self._moves(gateway, again)

    @_each_kind
    def test_lost(self, gateway: PaymentGateway, kind: str) -> None:
        """
        What never arrived is unknown, and may be sent again.
        """
        effect = self._effect(gateway, kind)
        if not self.lose_next(gateway):
            self.skip("no request can be lost")
        self._uncertain(gateway, effect)

        self._moved(self._send(gateway, effect))

    # --- questions ----------------------------------------------------------------

    @_each_kind
    def test_found(self, gateway: PaymentGateway, kind: str) -> None:
        """
        What was done is found, under the same name, as often as somebody asks.
        """
        self._asked(gateway)
        effect = self._effect(gateway, kind)
        name = self._moved(self._send(gateway, effect))

        for _ in range(2):
            found = gateway.look_up(attrs.evolve(effect, attempt=7))
            assert found is not None
            assert self._moved(found) == name

    @_each_kind
    def test_nothing_found(self, gateway: PaymentGateway, kind: str) -> None:
        """
        Nothing is found under a key that was never sent; asking does nothing.
        """
        self._asked(gateway)
        effect = self._effect(gateway, kind)

        assert gateway.look_up(effect) is None
        assert gateway.look_up(effect) is None
        self._moved(self._send(gateway, effect))

    @_each_kind
    def test_found_by_its_key(self, gateway: PaymentGateway, kind: str) -> None:
        """
        What is alike but has another key is not it; but what is held can be charged
        once only, so there the charge itself may be found.
        """
        self._asked(gateway)
        effect = self._effect(gateway, kind)
        name = self._moved(self._send(gateway, effect))

        found = gateway.look_up(self._next(effect, effect.amount))

        if kind == "charge" and found is not None:
            assert self._moved(found) == name
        else:
            assert found is None

    @_each_kind
    def test_found_though_unanswered(self, gateway: PaymentGateway, kind: str) -> None:
        """
        What was done and not answered is found.
        """
        self._asked(gateway)
        effect = self._effect(gateway, kind)
        if not self.leave_next_unanswered(gateway):
            self.skip("no answer can be lost")
        self._uncertain(gateway, effect)

        found = gateway.look_up(effect)

        assert found is not None
        self._moved(found)

    @_each_kind
    def test_not_found_if_lost(self, gateway: PaymentGateway, kind: str) -> None:
        """
        What never arrived is not found.
        """
        self._asked(gateway)
        effect = self._effect(gateway, kind)
        if not self.lose_next(gateway):
            self.skip("no request can be lost")
        self._uncertain(gateway, effect)

        assert gateway.look_up(effect) is None

    def test_not_found_if_refused(self, gateway: PaymentGateway) -> None:
        """
        What was refused is not found as done.
        """
        self._asked(gateway)
        effect = self._refund(gateway)
        too_much = self._next(effect, effect.amount + effect.amount)
        with suppress(Exception):
            gateway.refund(too_much)

        assert not isinstance(gateway.look_up(too_much), (Done, RetryAt))

    # --- what a bank holds --------------------------------------------------------

    def test_charged_once(self, gateway: PaymentGateway) -> None:
        """
        What was charged is not charged again, under another key.
        """
        effect = self._charge(gateway)
        self._moved(self._send(gateway, effect))

        again = self._next(effect, effect.amount)
        assert isinstance(self._send(gateway, again), NotDone)

    def test_no_more_than_is_held(self, gateway: PaymentGateway) -> None:
        """
        More than is held is not charged.
        """
        effect = self._charge(gateway)
        more = self._next(effect, Money(effect.amount.minor + 1, "EUR"))

        assert not self._moves(gateway, more)

    def test_what_was_charged_goes_back(self, gateway: PaymentGateway) -> None:
        """
        What was charged is a payment like any other.
        """
        effect = self._charge(gateway)
        self._moved(self._send(gateway, effect))

        back = self._refund(gateway, effect.amount, effect.payment)
        self._moved(gateway.refund(back))

    def test_let_go(self, gateway: PaymentGateway) -> None:
        """
        What was let go is not charged, and may be let go again.
        """
        effect = self._charge(gateway)
        assert isinstance(gateway, HoldingGateway)
        for _ in range(2):
            assert isinstance(gateway.release(self._release(effect)), Done)

        assert isinstance(self._send(gateway, effect), NotDone)

    def test_not_let_go(self, gateway: PaymentGateway) -> None:
        """
        What was charged is not let go.
        """
        effect = self._charge(gateway)
        assert isinstance(gateway, HoldingGateway)
        self._moved(self._send(gateway, effect))

        assert isinstance(gateway.release(self._release(effect)), NotDone)

    # --- how to ask ---------------------------------------------------------------

    def _effect(
        self, gateway: PaymentGateway, kind: str, amount: Money | None = None
    ) -> Movement:
        if kind == "refund":
            return self._refund(gateway, amount)
        if kind == "charge":
            return self._charge(gateway, amount)
        return self._pay_out(gateway, amount)

    def _charge(self, gateway: PaymentGateway, amount: Money | None = None) -> Charge:
        amount = Money(1000, "EUR") if amount is None else amount
        if gateway.capabilities.hold_life is None:
            self.skip("it cannot hold")
        assert isinstance(gateway, HoldingGateway), "it cannot charge what is held"
        payment = self.hold(gateway, amount)
        if payment is None:
            self.skip("nothing can be held here")
        order_id = f"contract-{next(_ORDERS)}"
        return Charge(
            order_id=order_id,
            seq=3,
            key=effect_key(f"{order_id}-{payment.reference}", 3, "charge", "whole"),
            payment=attrs.evolve(payment, amount=amount),
            amount=amount,
            asked_at=_ASKED_AT,
        )

    def _release(self, effect: Charge) -> ReleaseHold:
        return ReleaseHold(
            order_id=effect.order_id,
            seq=4,
            key=effect_key(effect.key, 4, "release_hold", "whole"),
            payment=effect.payment,
        )

    def _refund(
        self,
        gateway: PaymentGateway,
        amount: Money | None = None,
        payment: Payment | None = None,
    ) -> Refund:
        amount = Money(1000, "EUR") if amount is None else amount
        payment = self.payment(gateway, amount) if payment is None else payment
        order_id = f"contract-{next(_ORDERS)}"
        return Refund(
            order_id=order_id,
            seq=7,
            key=effect_key(f"{order_id}-{payment.reference}", 7, "refund", "whole"),
            payment=attrs.evolve(payment, amount=amount, held_until=None),
            amount=amount,
            asked_at=_ASKED_AT,
            expected_by=_ASKED_AT.add(days=10),
        )

    def _pay_out(self, gateway: PaymentGateway, amount: Money | None = None) -> PayOut:
        payee, order_id = self.payee(gateway), f"contract-{next(_ORDERS)}"
        return PayOut(
            order_id=order_id,
            seq=7,
            key=effect_key(order_id, 7, "pay_out", payee),
            seller_id=payee,
            payee_id=payee,
            amount=Money(1000, "EUR") if amount is None else amount,
            asked_at=_ASKED_AT,
        )

    def _next(self, effect: Movement, amount: Money) -> Any:
        """
        Return another movement: another amount, under another key.
        """
        key = effect_key(effect.key, 8, effect.name, f"{amount.minor}")
        return attrs.evolve(effect, key=key, amount=amount)

    def _send(self, gateway: PaymentGateway, effect: Movement) -> Result:
        if isinstance(effect, Refund):
            said = gateway.refund(effect)
        elif isinstance(effect, Charge):
            assert isinstance(gateway, HoldingGateway)
            said = gateway.charge(effect)
        else:
            assert isinstance(effect, PayOut)
            said = gateway.pay_out(effect)
        assert isinstance(said, _RESULTS), f"this is no result: {said!r}"
        return said

    def _moves(self, gateway: PaymentGateway, effect: Movement) -> bool:
        """
        Whether it says that money moves, or might.
        """
        try:
            return isinstance(self._send(gateway, effect), (Done, RetryAt))
        except AssertionError:
            raise
        except Exception:
            return False

    def _moved(self, said: Result) -> str:
        """
        Return what it calls a movement that was made or is under way.
        """
        assert isinstance(said, (Done, RetryAt)), f"it did not move: {said!r}"
        assert said.reference.strip(), "what moved has no name"
        return said.reference

    def _uncertain(self, gateway: PaymentGateway, effect: Movement) -> None:
        """
        Send what is not answered: an error, or `Unknown`, and nothing else.
        """
        try:
            said = self._send(gateway, effect)
        except AssertionError:
            raise
        except Exception:
            return
        assert isinstance(said, Unknown), f"nobody could know this: {said!r}"

    def _remembers(self, gateway: PaymentGateway) -> None:
        window = gateway.capabilities.idempotency_window
        if window is not None and not window:
            self.skip("it remembers no keys")

    def _asked(self, gateway: PaymentGateway) -> None:
        if not gateway.capabilities.look_up:
            self.skip("it cannot be asked")

    def _parts(self, gateway: PaymentGateway) -> None:
        if not gateway.capabilities.partial_refunds:
            self.skip("it gives back whole payments only")
