"""
Acceptance: R9 to R14 and R116.
"""

from __future__ import annotations

import pytest

import escrowflow as ef
from tests.story import ACCEPT, ANA, CANCEL, LUC, Story, pending


class TestAccepting:
    """
    The seller starts.
    """

    def test_r9_delivery_time_starts_now(self) -> None:
        """
        R9: accepted, the delivery time begins and the 48 hours are over.
        """
        story = pending("2026-06-01T10:00:00+02:00")

        story.at("06-02 12:00").seller(ACCEPT)

        assert story.row == ("in_progress", "2026-06-07T12:00:00+02:00", "100/0/0/0")
        assert story.waits == [("delivery", "2026-06-07T12:00:00+02:00")]
        assert story.told("order_accepted") == {"buyer"}

    def test_r9_only_within_the_window(self) -> None:
        """
        R9: at the end of the window the seller comes too late.
        """
        story = pending().after(hours=48)

        assert story.refused(LUC, ACCEPT) == ("deadline_passed", "order_ended")

    def test_r9_only_the_seller(self) -> None:
        """
        R9: accepting is not the buyer's to do.
        """
        story = pending()

        assert story.refused(ANA, ACCEPT) == ("not_your_command",)

    def test_r10_incomplete_brief(self) -> None:
        """
        R10: without a brief, too, he may accept, and his time runs.
        """
        story = pending(terms={"brief_required": True})

        story.seller(ACCEPT)

        assert story.order.brief is None
        assert [name for name, _ in story.waits] == ["delivery"]


class TestRefusing:
    """
    The seller turns the order down.
    """

    @pytest.mark.parametrize(
        "command", [ef.RefuseOrder(reason="no time"), CANCEL], ids=lambda c: c.name
    )
    def test_r11_refuse_or_cancel(self, command: ef.Command) -> None:
        """
        R11: refusing and cancelling have the same effect: everything goes back.
        """
        story = pending()

        story.seller(command)

        assert story.row == ("cancelled", "", "0/100/0/0")
        assert story.ending == ("refused", command.name, "seller", False)
        assert [name for name, _ in story.waits] == ["conversation"]
        assert story.told("order_cancelled") == {"buyer"}

    @pytest.mark.parametrize("reason", ["", "  ", "\n"])
    def test_r11_explain_to_the_buyer(self, reason: str) -> None:
        """
        R11: a refusal without an explanation cannot be built.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            ef.RefuseOrder(reason=reason)

        assert caught.value.field == "reason"

    def test_r11_the_explanation_is_kept(self) -> None:
        """
        R11: what the seller gave as his reason stands in the order's end.
        """
        story = pending().seller(ef.RefuseOrder(reason="No time before autumn."))

        ending = story.order.ending
        assert ending is not None
        assert str(ending.reason) == "No time before autumn."

    def test_r11_buyer_may_order_again(self) -> None:
        """
        R11, R13: the same buyer may order from the same seller again.
        """
        story = pending().seller(CANCEL)

        again = story.engine.place(
            ef.PlaceOrder(
                seller_id="luc",
                price=ef.Money.of("100", "EUR"),
                payment=ef.Payment("card", "pay-9"),
                terms=ef.Terms(delivery_window="P5D"),
            ),
            by=ANA,
        )

        assert again.order.state == "pending"
        assert again.order.id != story.id


class TestExpiry:
    """
    Nobody accepts.
    """

    def test_r13_cancelled_at_48_hours(self) -> None:
        """
        R13: at 48 hours everything goes back, at that very instant.
        """
        story = pending("2026-06-01T10:00:00+02:00")

        story.at("06-04 17:23").sweep()

        assert story.row == ("cancelled", "", "0/100/0/0")
        last = story.engine.history(story.id)[-1]
        assert last.effective_at == story.order.closed_at
        assert last.recorded_at == story.clock.now()
        assert story.order.closed_at == ef.FakeClock("2026-06-03T10:00:00+02:00").now()

    @pytest.mark.parametrize(
        ("brief_required", "brief", "whose"),
        [(False, False, "seller"), (True, False, "buyer"), (True, True, "seller")],
    )
    def test_r13_counts_before_acceptance(
        self, brief_required: bool, brief: bool, whose: str
    ) -> None:
        """
        R13, R42: it counts as a cancellation before acceptance, whosever doing.
        """
        story = pending(terms={"brief_required": brief_required})
        if brief:
            story.buyer(ef.SubmitBrief(text="blue"))

        story.after(hours=48).sweep()

        assert story.ending == ("acceptance_expired", "expire_acceptance", whose, False)
        assert story.order.ending is not None
        assert story.order.ending.statistics == ("acceptance_rate", "visibility")

    @pytest.mark.parametrize("hours", [1, 12, 48, 72])
    def test_r14_length_is_configurable(self, hours: int) -> None:
        """
        R14: 48 hours are a default; the terms of a service say otherwise.
        """
        story = pending(terms={"acceptance_window": f"PT{hours}H"})

        story.after(hours=hours, microseconds=-1)
        assert story.state == "pending"
        story.after(microseconds=1)

        assert story.state == "cancelled"

    def test_r14_platform_value(self) -> None:
        """
        R14: the platform's own default holds where the terms are silent.
        """
        story = Story(policies={"acceptance": {"acceptance_window": "PT10H"}})

        story.after(hours=10)

        assert story.state == "cancelled"


@pytest.mark.parametrize("who", ["buyer", "seller", "nobody"])
def test_r116_visibility(who: str) -> None:
    """
    R116: any cancellation in `pending` touches acceptance rate and visibility.
    """
    story = pending()

    if who == "nobody":
        story.after(hours=48).sweep()
    else:
        story.by(ANA if who == "buyer" else LUC, CANCEL)

    assert story.order.ending is not None
    assert story.order.ending.statistics == ("acceptance_rate", "visibility")
