"""
Staff: R84, moving deadlines, and the end of R99 to R101.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

import escrowflow as ef
from escrowflow.events import DeadlinesExtended
from tests.story import (
    ANA,
    ASSIGN,
    CANCEL,
    DELIVER,
    DISPUTE,
    FREEZE,
    HELLO,
    IN,
    LUC,
    OPS,
    Story,
    delivered,
    euros,
    expired,
    frozen,
    in_progress,
    late,
    pending,
)

RUNNING = [
    "pending",
    "in_progress",
    "cancellation_requested",
    "delivered",
    "revision_requested",
    "revision_refused",
]
CAP = {"lifetime": {"order_cap": "P5M"}}
UNFREEZE = ef.UnfreezeOrder()


DAY = timedelta(days=1)


def windows_of(story: Story) -> dict[tuple[str, str], timedelta]:
    """
    Return how long each deadline still has to run.
    """
    now = story.clock.now()
    return {
        (wait.name, wait.subject): datetime.__sub__(wait.due_at, now)
        for wait in story.order.deadlines
    }


def rule(ruling: Any) -> ef.RuleDispute:
    """
    Close the order by a ruling.
    """
    return ef.RuleDispute(ruling=ruling, reason="checked")


class TestFreeze:
    """
    Staff looks into something.
    """

    @pytest.mark.parametrize("state", RUNNING)
    def test_r84_frozen(self, state: str) -> None:
        """
        R84: any running order; held, and everything stands still.
        """
        story = IN[state]().staff(FREEZE)

        assert story.row == ("frozen", "", "100/0/0/0")
        assert story.waits == []
        assert story.after(days=400).state == "frozen"
        assert story.reasons[-1] == "checks"
        assert story.told("order_frozen") == {"buyer", "seller"}

    @pytest.mark.parametrize("state", sorted(set(IN) - set(RUNNING)))
    def test_r84_not_here(self, state: str) -> None:
        """
        R84: what is unpaid, disputed, frozen or over is not frozen.
        """
        story = IN[state]()

        assert {"not_in_this_state", "order_ended"} & set(story.refused(OPS, FREEZE))

    @pytest.mark.parametrize("actor", [ANA, LUC], ids=str)
    @pytest.mark.parametrize(
        "command", [CANCEL, DELIVER, HELLO, ef.ApproveDelivery()], ids=lambda c: c.name
    )
    def test_r84_nobody_acts(self, actor: ef.Actor, command: ef.Command) -> None:
        """
        R84: meanwhile neither side does anything.
        """
        assert frozen().refused(actor, command)[0] in (
            "not_in_this_state",
            "not_your_command",
        )

    @pytest.mark.parametrize("state", RUNNING)
    def test_gap_unfrozen(self, state: str) -> None:
        """
        Gap: back to the state left, each deadline with its time left, or a day.
        """
        story = IN[state]()
        left = {name: max(window, DAY) for name, window in windows_of(story).items()}

        story.staff(FREEZE).after(days=30).staff(UNFREEZE)

        assert story.state == state
        assert windows_of(story) == left

    def test_gap_at_least_a_day(self) -> None:
        """
        Gap: an hour before the end, a thaw gives a whole day.
        """
        story = delivered().after(days=6, hours=23).staff(FREEZE).after(days=3)

        story.staff(UNFREEZE)

        due_at = story.order.due_at
        assert due_at == story.clock.now().add(days=1)

    def test_gap_still_late(self) -> None:
        """
        Gap: a late order is late after it, too, and the buyer may leave.
        """
        story = late().staff(FREEZE, UNFREEZE)

        assert story.state == "in_progress + late"
        assert story.buyer(CANCEL).books == "0/100/0/0"

    @pytest.mark.parametrize(
        ("ruling", "row"),
        [
            (ef.FullRefund(), ("cancelled", "", "0/100/0/0")),
            (ef.Split(to_buyer=euros("40")), ("completed", "", "0/40/60/0")),
            (ef.PaySeller(), ("completed", "", "0/0/100/0")),
        ],
        ids=["refund", "split", "pay"],
    )
    def test_r84_closed_by_staff(self, ruling: Any, row: tuple[str, str, str]) -> None:
        """
        R84, grid: staff closes a frozen order by a ruling.
        """
        story = frozen().staff(rule(ruling))

        assert story.row == row

    def test_r84_no_relaunch(self) -> None:
        """
        Grid: a frozen order is unfrozen, not relaunched.
        """
        assert frozen().refused(OPS, rule(ef.Relaunch())) == ("unfreeze_instead",)

    def test_frozen_pending(self) -> None:
        """
        R84: an unaccepted order may be frozen, closed, or thawed and accepted.
        """
        story = pending().staff(FREEZE).after(days=10).staff(UNFREEZE)

        assert story.seller(ef.AcceptOrder()).state == "in_progress"

    def test_frozen_then_disputed_then_relaunched(self) -> None:
        """
        Gap: what stood still in the freeze goes on after the relaunch.
        """
        story = in_progress("2026-06-01T10:00:00+02:00", delivery="P30D")
        story.seller(ef.SendOffer(title="More", price=euros("5"))).at("06-03 12:00")
        story.staff(FREEZE).at("06-10 12:00").staff(DISPUTE).mediator(ASSIGN)

        story.at("06-20 12:00").mediator(rule(ef.Relaunch()))

        assert story.waits == [
            ("offer", "2026-06-25T12:00:00+02:00"),
            ("delivery", "2026-07-18T12:00:00+02:00"),
        ]


class TestExtendDeadlines:
    """
    The platform was down.
    """

    @pytest.mark.parametrize("state", RUNNING)
    def test_all_of_them(self, state: str) -> None:
        """
        Grid: every running deadline is later by the window.
        """
        story = IN[state]()
        before = {
            (wait.name, wait.subject): wait.due_at for wait in story.order.deadlines
        }

        story.staff(ef.ExtendDeadlines(window="PT6H", reason="outage"))

        after = {
            (wait.name, wait.subject): wait.due_at for wait in story.order.deadlines
        }
        assert after == {name: due.add(hours=6) for name, due in before.items()}
        assert story.reasons[-1] == "outage"
        (extended,) = [
            recorded.event
            for recorded in story.engine.history(story.id)
            if isinstance(recorded.event, DeadlinesExtended)
        ]
        assert extended.window == timedelta(hours=6)
        assert story.told("deadlines_extended") == {"buyer", "seller"}

    def test_what_passed_has_passed(self) -> None:
        """
        Grid: a deadline that has passed already is not brought back.
        """
        story = late()
        due = story.due

        story.staff(ef.ExtendDeadlines(window="P10D", reason="outage"))

        assert story.row == ("in_progress + late", due, "100/0/0/0")

    @pytest.mark.parametrize("state", sorted(set(IN) - set(RUNNING)))
    def test_not_here(self, state: str) -> None:
        """
        Grid: only where the order runs.
        """
        story = IN[state]()
        command = ef.ExtendDeadlines(window="PT6H", reason="outage")

        assert {"not_in_this_state", "order_ended"} & set(story.refused(OPS, command))

    def test_an_offers_end_moves(self) -> None:
        """
        Grid: an offer's end moves as well.
        """
        story = in_progress("2026-06-01T10:00:00+02:00", delivery="P30D")
        story.seller(ef.SendOffer(title="More", price=euros("5")))

        story.staff(ef.ExtendDeadlines(window="P1D", reason="outage"))

        assert ("offer", "2026-06-09T12:00:00+02:00") in story.waits


class TestExpiry:
    """
    The longest life, where it is switched on.
    """

    @pytest.mark.parametrize("state", RUNNING)
    def test_r99_expired(self, state: str) -> None:
        """
        R99: five months since the payment end any running order; all is kept.
        """
        # Nothing else shall end it before.
        story = IN[state](
            terms={"acceptance_window": "P300D", "verification_window": "P300D"},
            policies={**CAP, "revision": {"choice_window": "P300D"}},
        )
        cap = story.order.deadline("lifetime")
        assert cap is not None

        story.clock.advance_to(cap.due_at)
        story.sweep()

        assert story.row[0].startswith("expired")
        assert story.books == "0/0/0/100"
        assert story.ending == ("order_cap", "expire_order", "", False)
        assert not story.order.conversation.open
        assert story.waits == []

    def test_r99_exact(self) -> None:
        """
        R99: to the microsecond, and calendar months in the platform's zone.
        """
        story = in_progress("2026-06-01T10:00:00+02:00", policies=CAP, delivery="P300D")

        story.at("2026-11-01T09:59:59.999999+01:00")
        assert story.state == "in_progress"
        story.at("2026-11-01T10:00:00+01:00")

        assert story.row == ("expired", "", "0/0/0/100")

    def test_r99_not_by_default(self) -> None:
        """
        R99, C24: no seed mentions it, so it is off.
        """
        story = late().after(days=365)

        assert story.state == "in_progress + late"

    def test_frozen_stops_it(self) -> None:
        """
        R99, grid: a freeze stops the cap like every deadline.
        """
        story = in_progress(policies=CAP, delivery="P300D").staff(FREEZE)

        assert story.after(days=300).state == "frozen"

    def test_r100_coupon(self) -> None:
        """
        R100: paid less tax and bank fee, as on the page: 100 - 20 - 5 = 75.
        """
        policies = {
            "fees": {
                "bank_fee": ef.Fee(flat=euros("5")),
                "tax": ef.Fee(flat=euros("20")),
            }
        }
        story = expired(price="75", policies=policies)
        assert story.order.ledger.kept == euros("100")

        story.buyer(ef.RequestCoupon())

        assert story.order.coupon == euros("75")
        assert story.told("coupon_requested") == {"operator"}

    def test_r100_never_cash(self) -> None:
        """
        R100: the books do not move, and there is one coupon.
        """
        story = expired().buyer(ef.RequestCoupon())

        assert story.books == "0/0/0/100"
        assert story.money_moves() == []
        assert story.refused(ANA, ef.RequestCoupon()) == ("coupon_requested",)

    def test_r100_no_more_than_was_kept(self) -> None:
        """
        R100: where tax and bank fee took all of it, there is nothing for a coupon.
        """
        story = in_progress(
            price="75",
            policies={
                "lifetime": {"order_cap": "P5M", "expiry_beneficiary": "seller"},
                "fees": {"bank_fee": ef.Fee(flat=euros("5"))},
            },
        ).after(days=200)

        assert story.books == "0/0/75/5"
        assert story.why(ANA, ef.RequestCoupon()) == [("nothing_kept", {}, [])]

    def test_r101_seller_loses_it(self) -> None:
        """
        R101: the seller gets nothing, and has nothing to ask for.
        """
        story = expired()

        assert story.order.ledger.released == euros("0")
        assert {entry for entry in story.allowed if entry.startswith("S")} == set()

    def test_r100_nothing_kept(self) -> None:
        """
        R100: where somebody else got the money, there is no coupon.
        """
        story = in_progress(
            policies={"lifetime": {"order_cap": "P5M", "expiry_beneficiary": "buyer"}}
        ).after(days=200)

        assert story.refused(ANA, ef.RequestCoupon()) == ("nothing_kept",)


def test_excused_by_staff_only_once() -> None:
    """
    R43: what is excused is excused.
    """
    story: Story = in_progress().seller(CANCEL)

    story.staff(ef.ExcuseCancellation(reason="buyer does not cooperate"))

    assert story.refused(OPS, ef.ExcuseCancellation(reason="again")) == (
        "nothing_to_excuse",
    )
