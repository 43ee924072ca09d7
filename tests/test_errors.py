"""
Errors: one tree, and every message as a person reads it.
"""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

import escrowflow
from escrowflow import errors
from escrowflow.errors import (
    CommandRefusedError,
    CorruptJournalError,
    EscrowflowError,
    GatewayError,
    InvalidInputError,
    KeyReusedError,
    LedgerError,
    MissingExtraError,
    NoticeRefusedError,
    NoTransactionError,
    OrderChangedError,
    OrderExistsError,
    OrderNotFoundError,
    OrdersRunningError,
    OutcomeUnknownError,
    ProcessError,
    StorageError,
    UnknownProcessError,
    WalletRefusedError,
)
from escrowflow.money import Money
from escrowflow.refusals import Blocker

TREE: dict[type[Exception], type[Exception]] = {
    EscrowflowError: Exception,
    ProcessError: EscrowflowError,
    InvalidInputError: EscrowflowError,
    OrderNotFoundError: EscrowflowError,
    OrderExistsError: EscrowflowError,
    CommandRefusedError: EscrowflowError,
    KeyReusedError: EscrowflowError,
    OrderChangedError: EscrowflowError,
    UnknownProcessError: EscrowflowError,
    StorageError: EscrowflowError,
    OutcomeUnknownError: StorageError,
    NoTransactionError: StorageError,
    CorruptJournalError: StorageError,
    OrdersRunningError: EscrowflowError,
    GatewayError: EscrowflowError,
    NoticeRefusedError: EscrowflowError,
    MissingExtraError: EscrowflowError,
    WalletRefusedError: EscrowflowError,
    LedgerError: EscrowflowError,
}

REFUSED = Blocker(code="claim_open")
TOO_LOW = Blocker(
    code="balance_too_low",
    params={"balance": Money(100, "EUR"), "amount": Money(200, "EUR")},
)

MESSAGES: list[tuple[Exception, str, dict[str, object]]] = [
    (
        ProcessError("mine", ["a is wrong", "b is worse"]),
        "process 'mine': a is wrong; b is worse",
        {"process": "mine", "findings": ("a is wrong", "b is worse")},
    ),
    (
        InvalidInputError("terms.delivery_window", "a window cannot be empty"),
        "terms.delivery_window: a window cannot be empty",
        {"field": "terms.delivery_window", "problem": "a window cannot be empty"},
    ),
    (
        OrderNotFoundError("o1"),
        "there is no order 'o1', or this actor has no part in it",
        {"order_id": "o1"},
    ),
    (
        OrderExistsError("o1"),
        "order 'o1' exists already: place with another id, "
        "or repeat the same key to get the first answer again",
        {"order_id": "o1"},
    ),
    (
        CommandRefusedError([REFUSED, Blocker(code="no_claim")], "the order"),
        f"{REFUSED.message()} {Blocker(code='no_claim').message()}",
        {"blockers": (REFUSED, Blocker(code="no_claim")), "order": "the order"},
    ),
    (
        CommandRefusedError([REFUSED]),
        REFUSED.message(),
        {"blockers": (REFUSED,), "order": None},
    ),
    (
        KeyReusedError("req-1"),
        "key 'req-1' was used for another command: "
        "repeat the same command, or take a new key",
        {"key": "req-1"},
    ),
    (
        OrderChangedError("o1", expected=3, actual=5),
        "order 'o1' is at version 5, not at version 3: read it again before you decide",
        {"order_id": "o1", "expected": 3, "actual": 5},
    ),
    (
        OrderChangedError("o1", expected=3, actual=None),
        "order 'o1' moved on, not at version 3: read it again before you decide",
        {"order_id": "o1", "expected": 3, "actual": None},
    ),
    (
        UnknownProcessError("comeup:123"),
        "no process with fingerprint 'comeup:123' in this engine: "
        "pass it in `also`, as it was when the order was placed",
        {"fingerprint": "comeup:123"},
    ),
    (StorageError("the disk is full"), "the disk is full", {"repeat": False}),
    (StorageError("busy", repeat=True), "busy", {"repeat": True}),
    (OutcomeUnknownError("gone"), "gone", {"repeat": False}),
    (NoTransactionError("autocommit"), "autocommit", {}),
    (CorruptJournalError("event 3 cannot be read"), "event 3 cannot be read", {}),
    (
        GatewayError("stripe", "your card was declined", code="card_declined"),
        "stripe: your card was declined; the same call fails again",
        {
            "gateway": "stripe",
            "code": "card_declined",
            "problem": "your card was declined",
            "repeat": False,
        },
    ),
    (
        GatewayError("stripe", "no answer", repeat=True),
        "stripe: no answer; make the same call again",
        {"gateway": "stripe", "code": "", "problem": "no answer", "repeat": True},
    ),
    (
        NoticeRefusedError("stale", "it is an hour old"),
        "stale: it is an hour old",
        {"code": "stale", "problem": "it is an hour old"},
    ),
    (
        MissingExtraError("stripe", "requests"),
        "this needs requests: pip install 'escrowflow[stripe]'",
        {"extra": "stripe", "package": "requests"},
    ),
    (
        WalletRefusedError("ana", TOO_LOW),
        "wallet of 'ana': The balance is 1.00 EUR, and this takes 2.00 EUR: take less, "
        "or top it up first.",
        {"code": "balance_too_low", "user_id": "ana", "params": TOO_LOW.params},
    ),
    (
        OrdersRunningError("ana", ["o1"]),
        "orders of 'ana' still run: o1; erase when they have ended",
        {"subject_id": "ana", "order_ids": ("o1",)},
    ),
    (
        OrdersRunningError("ana", ["o1", "o2", "o3", "o4"]),
        "orders of 'ana' still run: o1, o2, o3, ...; erase when they have ended",
        {"subject_id": "ana", "order_ids": ("o1", "o2", "o3", "o4")},
    ),
    (LedgerError("an entry must sum to zero"), "an entry must sum to zero", {}),
]


class TestTree:
    """
    Who has to act decides where an error hangs.
    """

    def test_is_whole(self) -> None:
        """
        Every exception of the module is in the tree, in `__all__`, and in the window.
        """
        mine = {
            value
            for value in vars(errors).values()
            if inspect.isclass(value) and issubclass(value, Exception)
        }

        assert mine == set(TREE)
        assert set(errors.__all__) == {kind.__name__ for kind in TREE}
        assert {getattr(escrowflow, kind.__name__) for kind in TREE} == mine

    @pytest.mark.parametrize(("kind", "parent"), TREE.items())
    def test_hangs_where_it_should(
        self, kind: type[Exception], parent: type[Exception]
    ) -> None:
        """
        One class catches anything of this library, and only that.
        """
        assert kind.__bases__[0] is parent
        assert kind is EscrowflowError or issubclass(kind, EscrowflowError)

    def test_the_only_other_parent(self) -> None:
        """
        Bad input is what Python calls a `ValueError`; nothing else is.
        """
        assert [kind for kind in TREE if issubclass(kind, ValueError)] == [
            InvalidInputError
        ]

    def test_every_class_says_when(self) -> None:
        """
        The docstring of an error is its documentation.
        """
        assert all(inspect.getdoc(kind) for kind in TREE)


class TestMessages:
    """
    The facts first, then the way out; the parts as attributes.
    """

    def test_every_error_is_here(self) -> None:
        """
        No message goes unread.
        """
        assert {type(error) for error, _, _ in MESSAGES} == {*TREE} - {EscrowflowError}

    @pytest.mark.parametrize(("error", "message", "parts"), MESSAGES)
    def test_reads(
        self, error: Exception, message: str, parts: dict[str, object]
    ) -> None:
        """
        Nobody has to parse the text.
        """
        assert str(error) == message
        assert {name: getattr(error, name) for name in parts} == parts

    def test_a_wallet_tells_its_owner(self) -> None:
        """
        A refusal of a wallet is told in the owner's language, and names nobody.
        """
        error = WalletRefusedError("ana", TOO_LOW)

        assert str(error).endswith(error.message())
        assert error.message("fr").startswith("Le solde est de 1,00\xa0EUR")
        assert "ana" not in error.message() + error.message("fr")

    def test_blockers_tell_it_in_english(self) -> None:
        """
        A refusal that nobody translated can be read in a log.
        """
        error: Any = CommandRefusedError([REFUSED])

        assert str(error) == error.blockers[0].message("en")
        assert str(error) != error.blockers[0].code

    @pytest.mark.parametrize(
        "error", [error for error, _, _ in MESSAGES], ids=lambda e: type(e).__name__
    )
    def test_travels(self, error: Exception) -> None:
        """
        An error reaches another process whole, as a task queue sends it.
        """
        found = pickle.loads(pickle.dumps(error))

        assert type(found) is type(error)
        assert str(found) == str(error)
        assert vars(found) == vars(error)
