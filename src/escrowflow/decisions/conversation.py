"""
Conversation: open while the two sides have something to settle, and some days
after the end (R41, R50, R75, R95).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..commands import CloseConversation, LeaveConversation, SendMessage
from ..events import ConversationClosed, ConversationLeft, MessageSent
from ..refusals import Blocker
from .case import Case, Step, decides

__all__ = ["CHAPTER"]


@decides(SendMessage)
def send_message(case: Case, command: SendMessage) -> Iterable[Step]:
    """
    The host keeps the words; the history keeps that they were said.
    """
    yield Step(events=(MessageSent(reference=command.reference),))


@send_message.unless
def _(case: Case) -> Iterable[Blocker]:
    yield from _closed(case)


@decides(LeaveConversation)
def leave_conversation(case: Case, command: LeaveConversation) -> Iterable[Step]:
    """
    Closed for both (C14).
    """
    yield Step(events=(ConversationLeft(),), silences=True)


@leave_conversation.unless
def _(case: Case) -> Iterable[Blocker]:
    yield from _closed(case)
    talk = case.order.conversation
    if talk.open and talk.closes_at is not None:
        yield Blocker(
            code="conversation_closes_by_itself", params={"closes_at": talk.closes_at}
        )


@decides(CloseConversation)
def close_conversation(case: Case, command: CloseConversation) -> Iterable[Step]:
    """
    The days to talk are over (R41).
    """
    yield Step(events=(ConversationClosed(),), silences=True)


def _closed(case: Case) -> Iterable[Blocker]:
    talk = case.order.conversation
    if not talk.open:
        yield Blocker(code="conversation_closed", params={"closed_at": talk.closes_at})


CHAPTER = (send_message, leave_conversation, close_conversation)
