"""
Events: what they are called, and what a history says of them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pendulum
import pytest

from escrowflow import events as e
from escrowflow.events import EVENTS, Event, Recorded
from escrowflow.parties import SYSTEM, Seller
from escrowflow.parts import Deadline, Talk
from escrowflow.processes import comeup, vendor_consolidation

# What is written in every history, for ever.
NAMES = """
order_placed payment_booked payment_returned order_paid brief_submitted
acceptance_reminded order_accepted
order_marked_late order_delivered verification_reminded delivery_approved
revision_requested revision_accepted revision_refused
cancellation_requested cancellation_withdrawn cancellation_accepted
cancellation_refused cancellation_excused dispute_unlocked answer_expired
extension_requested extension_withdrawn extension_accepted extension_refused
claim_filed claim_edited claim_withdrawn claim_rejected claim_converted
mediator_assigned mediator_alerted dispute_opened parties_asked mediator_answered
dispute_ruled order_relaunched
partial_refund_proposed partial_refund_withdrawn partial_refund_accepted
partial_refund_refused
payment_held hold_released charge_asked charge_sent charge_paid charge_failed
add_on_bought delivery_extended offer_sent offer_withdrawn offer_refused
offer_expired offer_paid
review_left review_replied review_removed message_sent conversation_left
conversation_closed
order_frozen order_unfrozen deadlines_extended order_migrated coupon_requested
refund_sent refund_paid refund_failed payout_sent payout_paid payout_failed
payout_redirected chargeback_opened chargeback_closed chargeback_covered
order_cancelled order_completed order_expired
""".split()  # noqa: SIM905

PARTS = {
    "Covered",
    "Deadline",
    "Ending",
    "Event",
    "Recorded",
    "RefundPart",
    "Settlement",
}
PARTS |= {"Standing", "Talk"}

NOW = pendulum.datetime(2026, 5, 5)


def ours(event: type[Event]) -> bool:
    """
    Whether an event is the library's.
    """
    return event.__module__.startswith(e.__name__)


class TestRegistry:
    """
    Every event, by its name.
    """

    def test_is_whole(self) -> None:
        """
        Every class of the module is in it, and nothing else.
        """
        exported = {getattr(e, name) for name in e.__all__ if name not in PARTS}

        mine = {event for event in EVENTS.values() if ours(event)}
        assert mine == exported
        assert list(EVENTS) == [event.name for event in EVENTS.values()]

    def test_names_never_change(self) -> None:
        """
        An old history is read by these words.
        """
        assert {name for name in EVENTS if ours(EVENTS[name])} == set(NAMES)

    def test_a_host_does_not_get_in(self) -> None:
        """
        A host's own event belongs to its process, not to the library.
        """

        @attrs.frozen(kw_only=True)
        class OrderPraised(Event):
            """
            Something of the host.
            """

        assert OrderPraised.name == "order_praised"
        assert "order_praised" not in EVENTS
        assert OrderPraised().fold_extra({"a": 1}) == {"a": 1}

    def test_three_settle(self) -> None:
        """
        Only an ending divides what is held.
        """
        settling = [event.name for event in EVENTS.values() if event.settles]

        assert settling == ["order_cancelled", "order_completed", "order_expired"]
        for name in settling:
            assert "settlement" in attrs.fields_dict(EVENTS[name])
            assert "ending" in attrs.fields_dict(EVENTS[name])

    def test_the_processes_bring_none_of_their_own(self) -> None:
        """
        What the built-in processes record, every engine can read.
        """
        assert comeup().events == ()
        assert vendor_consolidation().events == ()

    @pytest.mark.parametrize("event", EVENTS.values(), ids=list(EVENTS))
    def test_is_a_fact(self, event: type[Event]) -> None:
        """
        An event is frozen, its fields have names, and it says what happened.
        """
        assert event.__setattr__ is not object.__setattr__
        assert all(field.kw_only for field in attrs.fields(event))
        assert event.__doc__
        assert event.name == event.name.lower()


class TestRecorded:
    """
    An event as the history keeps it.
    """

    def test_reads(self) -> None:
        """
        Its name and its facts can be read without knowing the class.
        """
        recorded = Recorded(
            seq=4,
            event=e.OfferExpired(offer_id="offer-1"),
            by=SYSTEM,
            effective_at=NOW,
            recorded_at=NOW.add(days=1),
        )

        assert recorded.name == "offer_expired"
        assert recorded.data == {"offer_id": "offer-1"}
        assert recorded.standing is None

    def test_frozen(self) -> None:
        """
        What happened, happened.
        """
        recorded: Any = Recorded(
            seq=1,
            event=e.OrderAccepted(),
            by=Seller("luc"),
            effective_at=NOW,
            recorded_at=NOW,
        )

        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            recorded.seq = 2
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            recorded.event.by = "x"


class TestDeadlines:
    """
    One wait.
    """

    @pytest.mark.parametrize(
        ("changes", "runs"),
        [
            ({}, True),
            ({"subject": "offer-1"}, True),
            ({"passed": True}, False),
            ({"stopped_in": "frozen", "left": timedelta(hours=1)}, False),
            ({"stopped_in": "disputed"}, False),
        ],
    )
    def test_runs(self, changes: dict[str, Any], runs: bool) -> None:
        """
        A wait runs until it is stopped or has passed.
        """
        assert Deadline(name="delivery", due_at=NOW, **changes).runs is runs

    def test_talk(self) -> None:
        """
        A conversation may have no end.
        """
        assert Talk(open=True).closes_at is None
