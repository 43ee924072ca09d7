"""
The conversation: R41, R50, R75, R95 and the column "chat" of the states.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import escrowflow as ef
from tests.story import (
    ANA,
    APPROVE,
    DELIVER,
    HELLO,
    IN,
    LUC,
    OPS,
    Story,
    cancelled,
    completed,
    in_progress,
    paris,
)

OPEN = {
    "awaiting_payment",
    "pending",
    "in_progress",
    "cancellation_requested",
    "revision_requested",
    "revision_refused",
    "completed",
    "cancelled",
}
UNTIL_LEFT = {"conversation": {"chat_after_completed": "until_left"}}


@pytest.mark.parametrize("state", sorted(IN))
@pytest.mark.parametrize("actor", [ANA, LUC], ids=str)
def test_open_or_blocked(state: str, actor: ef.Actor) -> None:
    """
    R50, R75: open, or blocked for both, as the state says.
    """
    story = IN[state]()

    assert story.order.conversation.open is (state in OPEN)
    if state in OPEN:
        story.by(actor, HELLO)
        assert story.told("message_sent") == {"buyer", "seller"} - {actor.role.text}
    else:
        assert {"not_in_this_state", "order_ended"} & set(story.refused(actor, HELLO))


def test_staff_does_not_write() -> None:
    """
    The conversation is between the two sides.
    """
    assert in_progress().refused(OPS, HELLO) == ("not_your_command",)


def test_only_a_reference_is_kept() -> None:
    """
    The host keeps the words, the history that they were said.
    """
    story = in_progress().seller(HELLO)

    last = story.engine.history(story.id)[-1]

    assert last.data == {"reference": "message-1"}


@pytest.mark.parametrize("state", ["delivered", "disputed", "frozen"])
def test_blocked_says_where_it_is_open(state: str) -> None:
    """
    R50, R75: who writes in a blocked window is told in which states he can, so that
    nobody takes what was never sent for evidence.
    """
    story = IN[state]()

    answer = story.engine.attempt(story.id, HELLO, by=ANA)

    assert isinstance(answer, ef.Refusal)
    (blocker,) = answer.blockers
    assert blocker.code == "not_in_this_state"
    assert blocker.params["state"] == state
    assert set(blocker.params["states"]) == OPEN
    assert "message_sent" not in story.names


class TestAfterTheEnd:
    """
    Seven days to talk.
    """

    @pytest.mark.parametrize("begin", [completed, cancelled])
    def test_r41_r95_seven_days(self, begin: Callable[[], Story]) -> None:
        """
        R41, R95: open for seven days from the end, then closed by itself.
        """
        story = begin()
        ended_at = story.order.closed_at
        assert ended_at is not None
        assert story.order.conversation.closes_at == ended_at.add(days=7)

        story.after(days=7).sweep()

        assert story.names[-1] == "conversation_closed"
        assert story.refused(ANA, HELLO) == ("conversation_closed",)
        (blocker,) = story.option(ANA, ef.SendMessage).blockers
        assert blocker.params == {"closed_at": ended_at.add(days=7)}

    def test_r95_approved_at_the_last_moment(self) -> None:
        """
        R95: the days are counted from the end, not from the delivery.
        """
        story = (
            in_progress("2026-06-01T10:00:00+02:00").at("06-02 12:00").seller(DELIVER)
        )

        story.at("06-08 12:00").buyer(APPROVE)

        talk = story.order.conversation
        assert paris(talk.closes_at) == "2026-06-15T12:00:00+02:00"

    def test_r95_until_left(self) -> None:
        """
        R95, newer page: open until one party leaves, then closed for both.
        """
        story = completed(policies=UNTIL_LEFT).after(days=400).buyer(HELLO)

        story.seller(ef.LeaveConversation())

        assert not story.order.conversation.open
        assert story.refused(ANA, HELLO) == ("conversation_closed",)
        assert story.refused(ANA, ef.LeaveConversation()) == ("conversation_closed",)

    def test_leaving_only_where_it_stays_open(self) -> None:
        """
        C14: where it closes by itself, nobody needs to leave.
        """
        story = completed()

        assert story.refused(ANA, ef.LeaveConversation()) == (
            "conversation_closes_by_itself",
        )
        (blocker,) = story.option(ANA, ef.LeaveConversation).blockers
        assert blocker.params == {"closes_at": story.order.conversation.closes_at}

    def test_cancelled_closes_all_the_same(self) -> None:
        """
        C14: `until_left` is about completed orders; a cancelled one closes.
        """
        story = cancelled(policies=UNTIL_LEFT).after(days=7)

        assert story.refused(ANA, HELLO) == ("conversation_closed",)
        assert story.refused(ANA, ef.LeaveConversation()) == ("order_ended",)
