"""
The books of one order: they add up, or nothing is written.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from escrowflow.errors import LedgerError
from escrowflow.ledger import ACCOUNTS, Ledger
from tests.given import eur

EMPTY = Ledger("EUR")
FUNDED = EMPTY.post({"external": -10_000, "escrow": 10_000})

# What we owe or are owed: the world's account, and what a bank took back.
OUTER = ("external", "receivable")
INNER = tuple(account for account in ACCOUNTS if account not in OUTER)


class TestBalances:
    """
    What a reader sees.
    """

    def test_empty(self) -> None:
        """
        A new order has four zeros.
        """
        zero = eur(0)

        four = (EMPTY.held, EMPTY.refunded, EMPTY.released, EMPTY.kept)

        assert four == (zero, zero, zero, zero)
        assert EMPTY.paid_in == zero
        assert EMPTY.adds_up()

    def test_what_is_owed_counts_at_once(self) -> None:
        """
        Owed and paid are one sum: what is refunded, what is released.
        """
        books = FUNDED.post({"escrow": -5_000, "refundable": 3_000, "payable": 2_000})

        later = books.post({"refundable": -3_000, "buyer": 3_000}).post(
            {"payable": -500, "seller": 500}
        )

        assert (books.refunded, books.released) == (eur(30), eur(20))
        assert (later.refunded, later.released) == (eur(30), eur(20))
        assert (later.held, later.paid_in) == (eur(50), eur(100))

    def test_an_entry_of_several(self) -> None:
        """
        A settlement is one entry.
        """
        books = FUNDED.post(
            {"escrow": -10_000, "refundable": 4_500, "payable": 4_870, "fee": 630}
        )

        assert books.held == eur(0)
        assert books.kept == eur("6.30")
        assert books.adds_up()

    def test_the_books_before_stay(self) -> None:
        """
        An entry makes new books; nothing is updated in place.
        """
        books: Any = EMPTY

        assert Ledger("EUR") == EMPTY
        assert FUNDED != EMPTY
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            books.escrow = 1

    def test_books_that_do_not_add_up(self) -> None:
        """
        What was written by hand is seen.
        """
        assert not Ledger("EUR", escrow=1).adds_up()


class TestRefused:
    """
    What does not add up is a defect, and changes nothing.
    """

    @pytest.mark.parametrize(
        "postings",
        [
            {"escrow": 1},
            {"external": -100, "escrow": 99},
            {"external": -1, "escrow": 1, "fee": 1},
        ],
    )
    def test_a_sum_that_is_not_zero(self, postings: dict[str, int]) -> None:
        """
        Money neither appears nor disappears.
        """
        with pytest.raises(LedgerError, match="an entry must sum to zero"):
            FUNDED.post(postings)

    @pytest.mark.parametrize("account", INNER)
    def test_below_zero(self, account: str) -> None:
        """
        No account gives what it does not have.
        """
        other = "fee" if account != "fee" else "escrow"

        with pytest.raises(LedgerError, match=f"{account} would be -1 EUR"):
            EMPTY.post({account: -1, other: 1})

    def test_more_out_than_in(self) -> None:
        """
        The world outside never owes us: what went in is the most that goes out.
        """
        with pytest.raises(LedgerError, match="external would be 1 EUR"):
            EMPTY.post({"external": 1, "escrow": -1})

    def test_more_back_than_was_taken(self) -> None:
        """
        What a bank gives back is at most what it took.
        """
        taken = FUNDED.post({"external": 40, "receivable": -40})

        assert taken.paid_in == FUNDED.paid_in
        assert taken.post({"external": -40, "receivable": 40}) == FUNDED
        with pytest.raises(LedgerError, match="receivable would be 1 EUR"):
            taken.post({"external": -41, "receivable": 41})

    @pytest.mark.parametrize("account", ["held", "Escrow", "", "currency"])
    def test_an_account_nobody_knows(self, account: str) -> None:
        """
        There are eight accounts.
        """
        with pytest.raises(LedgerError, match="cannot post"):
            FUNDED.post({"escrow": -1, account: 1})

    @pytest.mark.parametrize("amount", [1.0, True])
    def test_an_amount_that_is_no_int(self, amount: Any) -> None:
        """
        A `bool` adds up, and is refused all the same.
        """
        with pytest.raises(LedgerError, match="cannot post"):
            FUNDED.post({"escrow": -1, "fee": amount})

    def test_more_than_can_be_stored(self) -> None:
        """
        A balance fits into a 64-bit column.
        """
        most = 2**63 - 1
        full = EMPTY.post({"external": -most, "escrow": most})

        assert full.held.minor == most
        with pytest.raises(LedgerError, match="would exceed what can be stored"):
            full.post({"external": -1, "escrow": 1})


class AnyEntries(RuleBasedStateMachine):
    """
    Any entries at all: those that are taken keep the books in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.books = EMPTY
        self.balances = dict.fromkeys(ACCOUNTS, 0)

    @rule(
        postings=st.dictionaries(
            st.sampled_from(ACCOUNTS), st.integers(-50, 50), max_size=4
        ),
        balance=st.booleans(),
    )
    def post(self, postings: dict[str, int], balance: bool) -> None:
        """
        Post something, balanced half of the time.
        """
        if balance:
            first = next(iter(postings), "escrow")
            rest = sum(v for name, v in postings.items() if name != first)
            postings = {**postings, first: -rest}
        before = self.books
        after = {**self.balances}
        for account, amount in postings.items():
            after[account] += amount
        fine = sum(postings.values()) == 0 and all(
            (after[a] <= 0) if a in OUTER else (after[a] >= 0) for a in postings
        )
        try:
            self.books = self.books.post(postings)
        except LedgerError:
            assert not fine
            assert self.books is before
        else:
            assert fine
            self.balances = after

    @rule(amount=st.integers(1, 100))
    def fund(self, amount: int) -> None:
        """
        Money comes in.
        """
        self.post({"external": -amount, "escrow": amount}, False)

    @invariant()
    def adds_up(self) -> None:
        """
        All accounts are zero together, and none but the outer ones is below zero (I1).
        """
        books = self.books
        assert books.adds_up()
        assert {a: getattr(books, a) for a in ACCOUNTS} == self.balances
        assert all(getattr(books, account) >= 0 for account in INNER)
        four = books.held + books.refunded + books.released + books.kept
        assert four == books.paid_in


TestAnyEntries = AnyEntries.TestCase


@given(st.permutations(list(INNER)), st.lists(st.integers(0, 99), min_size=6))
def test_the_order_of_postings_does_not_matter(
    accounts: list[str], amounts: list[int]
) -> None:
    """
    An entry is a set: two spellings of it make the same books.
    """
    postings = dict(zip(accounts, amounts, strict=False))
    postings["external"] = -sum(postings.values())

    assert EMPTY.post(postings) == EMPTY.post(dict(reversed(postings.items())))
