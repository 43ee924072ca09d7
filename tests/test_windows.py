"""
Before a payment cannot go back any more somebody is told, in time (F39).
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowflow import commands as c
from escrowflow import payments
from escrowflow.clock import FakeClock, as_utc
from escrowflow.engine import AsyncEngine, Engine
from escrowflow.errors import InvalidInputError
from escrowflow.money import Payment
from escrowflow.storage import Query, threaded
from escrowflow.storage.memory import MemoryStorage
from escrowflow.testing import SimulatedGateway
from escrowflow.testing.gateways import REFUSED
from tests.given import ANA, COMEUP, LUC, OPS, T0, an_engine, an_order, brought_to, eur

if TYPE_CHECKING:
    from escrowflow.storage import Page, StoredOrder

DAY = timedelta(days=1)
BEGAN = as_utc(T0, "T0")


class Shop:
    """
    An engine that knows how long payments can go back.
    """

    def __init__(self, windows: Any, storage: Any = None) -> None:
        self.clock = FakeClock(T0)
        self.engine: Engine = an_engine(
            MemoryStorage() if storage is None else storage,
            clock=self.clock,
            refund_windows=windows,
        )

    def alarms(self, **options: Any) -> list[tuple[str, Any]]:
        """
        Return the orders that are named, each with its date.
        """
        return [
            (one.order_id, one.until)
            for one in self.engine.stuck(**options)
            if one.kind == "refund_window"
        ]


class Asked:
    """
    A storage that remembers what was looked for.
    """

    def __init__(self) -> None:
        self.queries: list[Query] = []
        self._storage = MemoryStorage()

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._storage, verb)

    def find(self, query: Query, *rest: Any) -> Page[StoredOrder]:
        """
        Look for it, and remember it.
        """
        self.queries.append(query)
        return self._storage.find(query, *rest)


class TestAlarm:
    """
    When it begins, and when it ends.
    """

    @given(
        st.timedeltas(timedelta(microseconds=1), timedelta(days=400)),
        st.timedeltas(timedelta(0), timedelta(days=400)),
    )
    def test_begins_in_time(self, window: timedelta, ahead: timedelta) -> None:
        """
        To the microsecond, so long before the end as was asked for; never before the
        payment.
        """
        shop = Shop({"card": window})
        brought_to(shop.engine, "in_progress")
        until = BEGAN + window
        begins = until - ahead

        if begins > BEGAN:
            shop.clock.advance(begins - BEGAN - timedelta(microseconds=1))
            assert shop.alarms(ahead=ahead) == []
            shop.clock.advance(timedelta(microseconds=1))
        (one,) = shop.engine.stuck(ahead=ahead)

        assert (one.order_id, one.kind, one.until) == ("o1", "refund_window", until)
        assert one.since == max(begins, BEGAN)

    def test_two_weeks(self) -> None:
        """
        Unless said otherwise, two weeks ahead; and the sentence has the date.
        """
        shop = Shop({"card": "P180D"})
        brought_to(shop.engine, "in_progress")

        shop.clock.advance(days=165)
        assert shop.engine.stuck() == ()
        shop.clock.advance(days=1)
        (one,) = shop.engine.stuck()

        assert one.reason == (
            "100.00 EUR of card payment 'pi_1' can go back until "
            "2026-11-01T08:00:00+00:00, and the order still holds it"
        )

    def test_names_the_payment(self) -> None:
        """
        Each says which payment it is, so that nobody has to read that from a sentence.
        """
        shop = Shop({"card": "P30D", "paypal": "P30D"})
        parts = Payment("card", "pi_1", eur(60)), Payment("paypal", "pp_1", eur(40))
        shop.engine.place(an_order(payment=parts), by=ANA, order_id="o1")
        shop.engine.execute("o1", c.AcceptOrder(), by=LUC)
        shop.clock.advance(days=20)

        found = {one.payment for one in shop.engine.stuck()}

        assert found == set(parts)

    def test_says_that_it_is_over(self) -> None:
        """
        From the very end of the window it says that it is too late, and stays.
        """
        shop = Shop({"card": "P30D"})
        brought_to(shop.engine, "in_progress")

        shop.clock.advance(days=30)
        (one,) = shop.engine.stuck()
        shop.clock.advance(days=3000)
        (later,) = shop.engine.stuck()

        assert "can no longer go back since 2026-06-04T08:00:00+00:00" in one.reason
        assert one == later

    @pytest.mark.parametrize("state", ["completed", "cancelled"])
    def test_ends_with_the_money(self, state: str) -> None:
        """
        Once the order holds nothing any more there is nothing to say.
        """
        shop = Shop({"card": "P30D"})
        brought_to(shop.engine, state)
        shop.clock.advance(days=29)

        assert shop.alarms() == []

    def test_what_is_owed(self) -> None:
        """
        A refund that only waits for a worker is not held any more; once it is refused
        it is listed, with the date.
        """
        shop = Shop({"card": "P30D"})
        brought_to(shop.engine, "in_progress")
        shop.clock.advance(days=29)
        shop.engine.execute("o1", c.CancelOrder(), by=ANA)
        shop.clock.advance(hours=1)
        waiting = shop.engine.stuck()
        gateway = SimulatedGateway("perfect", shop.clock)
        gateway.next(REFUSED)
        shop.engine.run_effects(
            payments.handlers(gateway, clock=shop.clock), ["refund"]
        )

        (refused,) = shop.engine.stuck()

        assert waiting == ()
        assert (refused.kind, refused.until) == ("refund", BEGAN + 30 * DAY)

    @pytest.mark.parametrize(("days", "listed"), [(15, False), (16, True), (29, True)])
    def test_what_is_owed_and_nobody_sends(self, days: int, listed: bool) -> None:
        """
        A refund that no worker takes is listed within an hour if its window is about to
        end; nobody waits for a day then.
        """
        shop = Shop({"card": "P30D"})
        brought_to(shop.engine, "in_progress")
        shop.clock.advance_to(BEGAN + days * DAY)
        shop.engine.execute("o1", c.CancelOrder(), by=ANA)
        shop.clock.advance(timedelta(hours=1, microseconds=1))

        found = [(one.kind, one.until) for one in shop.engine.stuck()]

        assert found == listed * [("refund", BEGAN + 30 * DAY)]

    def test_what_has_become_due(self) -> None:
        """
        What nobody has settled yet counts as settled: the order is read as of now.
        """
        shop = Shop({"card": "P30D"})
        brought_to(shop.engine, "delivered")

        shop.clock.advance(days=29)

        assert shop.engine.order("o1").state == "completed"
        assert shop.alarms() == []

    def test_goes_back_in_part(self) -> None:
        """
        Only what is still held of a payment is spoken of, and only that payment.
        """
        shop = Shop({"card": "P30D"})
        command = an_order(
            payment=(
                Payment("card", "pi_1", eur(60)),
                Payment("card", "pi_2", eur(40)),
            )
        )
        shop.engine.place(command, by=ANA, order_id="o1")
        shop.engine.execute("o1", c.AcceptOrder(), by=LUC)
        proposal = c.ProposePartialRefund(amount=eur(50), reason="late")
        shop.engine.execute("o1", proposal, by=LUC)
        shop.engine.execute("o1", c.AcceptPartialRefund(), by=ANA)
        # Twice: it goes back at once.
        again = c.ConfirmPayment(payment=Payment("card", "pi_3", eur(10)))
        shop.engine.attempt("o1", again, by=OPS)
        shop.clock.advance(days=29)

        said = sorted(
            one.reason.partition(" can ")[0]
            for one in shop.engine.stuck()
            if one.kind == "refund_window"
        )

        order = shop.engine.order("o1")
        assert said == sorted(
            f"{one.amount - one.refunded} of card payment {one.reference!r}"
            for one in order.payments
            if one.refunded < one.amount
        )
        assert 1 <= len(said) <= 2


class TestWindows:
    """
    Whose window counts.
    """

    @pytest.mark.parametrize(
        ("windows", "days"),
        [
            (None, None),
            ({}, None),
            ({"paypal": "P30D"}, None),
            ({"card": None}, None),
            ({"*": "P30D", "card": None}, None),
            ({"*": "P30D"}, 30),
            ({"*": "P90D", "card": "P30D"}, 30),
            ({"*": None, "card": timedelta(days=30)}, 30),
            ({"card": timedelta()}, 0),
        ],
    )
    def test_by_method(self, windows: Any, days: int | None) -> None:
        """
        That of the payment's method, or else that of all others; none is for ever.
        """
        shop = Shop(windows)
        brought_to(shop.engine, "in_progress")
        shop.clock.advance(days=3000)

        ends = [] if days is None else [("o1", BEGAN + days * DAY)]
        assert shop.alarms() == ends

    def test_of_gateways(self) -> None:
        """
        The windows are those that the gateways declare.
        """
        clock = FakeClock(T0)
        cards = SimulatedGateway("perfect", clock, refund_window="P180D")
        wallets = SimulatedGateway("perfect", clock)

        assert payments.refund_windows(cards, methods={"wallet": wallets}) == {
            "*": timedelta(days=180),
            "wallet": None,
        }

    def test_unknown_process(self) -> None:
        """
        An order whose process is not here is named all the same, as it was written.
        """
        other = COMEUP.with_policies(acceptance={"acceptance_window": "PT50H"})
        storage, clock = MemoryStorage(), FakeClock(T0)
        brought_to(an_engine(storage, other, clock), "in_progress")
        clock.advance(days=20)
        engine = an_engine(storage, clock=clock, refund_windows={"card": "P30D"})

        kinds = [one.kind for one in engine.stuck()]

        assert kinds == ["order", "refund_window"]

    def test_soonest_first(self) -> None:
        """
        What ends first comes first, whatever its id; a limit leaves out the rest.
        """
        shop = Shop({"card": "P30D"})
        for order_id in ("o3", "o1", "o2"):
            brought_to(shop.engine, "in_progress", order_id)
            shop.clock.advance(days=1)
        shop.clock.advance(days=25)

        assert [order_id for order_id, _ in shop.alarms()] == ["o3", "o1", "o2"]
        assert [order_id for order_id, _ in shop.alarms(limit=2)] == ["o3", "o1"]

    def test_a_refund_that_is_stuck(self) -> None:
        """
        A refund that a human must look at says until when it can be made.
        """
        shop = Shop({"card": "P30D"})
        brought_to(shop.engine, "cancelled")
        gateway = SimulatedGateway("perfect", shop.clock)
        gateway.next(REFUSED)
        handlers = payments.handlers(gateway, clock=shop.clock)
        shop.engine.run_effects(handlers, ["refund"])

        (one,) = shop.engine.stuck()

        assert (one.kind, one.until) == ("refund", BEGAN + 30 * DAY)

    def test_only_what_holds_money_is_read(self) -> None:
        """
        Orders that have ended are not read, however many they are; nor is anything if
        no window has an end.
        """

        storage = Asked()
        Shop({"card": None}, storage).engine.stuck()
        without, storage.queries = storage.queries, []
        Shop({"card": "P30D"}, storage).engine.stuck()

        assert not any(query.holding for query in without)
        assert [query for query in storage.queries if query not in without] == [
            Query(holding=True)
        ]

    def test_awaited(self) -> None:
        """
        The same, awaited.
        """
        shop = Shop({"card": "P30D"})
        brought_to(shop.engine, "in_progress")
        shop.clock.advance(days=20)

        async def stuck() -> Any:
            engine = AsyncEngine(
                COMEUP,
                threaded(shop.engine.storage),
                clock=shop.clock,
                refund_windows={"card": "P30D"},
            )
            return await engine.stuck(), await engine.stuck(ahead="P1D")

        assert asyncio.run(stuck()) == (shop.engine.stuck(), ())

    @pytest.mark.parametrize(
        ("windows", "field"),
        [
            ("P30D", "refund_windows"),
            (7, "refund_windows"),
            ({"": "P30D"}, "refund_windows"),
            ({"card": "30 days"}, "refund_windows"),
            ({"card": 30}, "refund_windows"),
            ({"card": "-P1D"}, "refund_windows"),
        ],
    )
    def test_malformed(self, windows: Any, field: str) -> None:
        """
        What is no window is refused when the engine is made.
        """
        with pytest.raises(InvalidInputError, match=field):
            Shop(windows)

    @pytest.mark.parametrize("ahead", ["soon", -DAY, None, 14])
    def test_malformed_lead(self, ahead: Any) -> None:
        """
        So is what is no time ahead.
        """
        with pytest.raises(InvalidInputError, match="ahead"):
            Shop({"card": "P30D"}).engine.stuck(ahead=ahead)
