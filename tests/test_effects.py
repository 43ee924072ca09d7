"""
Effects: what they are called, and keys that are theirs for ever.
"""

from __future__ import annotations

from typing import Any

import attrs
import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowflow.effects import (
    Done,
    Effect,
    NotDone,
    Notify,
    PayOut,
    Refund,
    RetryAt,
    Unknown,
    effect_key,
)
from escrowflow.errors import InvalidInputError
from tests.given import any_text, eur, paid

PARTS = st.tuples(
    any_text(max_size=5).filter(lambda text: "\x1f" not in text),
    st.integers(1, 99),
    st.sampled_from(["refund", "pay_out", "notify"]),
    any_text(max_size=5).filter(lambda text: "\x1f" not in text),
    st.integers(0, 9),
)


class TestKeys:
    """
    A key stands for one thing to do.
    """

    def test_is_what_it_was(self) -> None:
        """
        The key of yesterday's refund is the key of today's: providers know it.
        """
        assert (
            effect_key("o1", 7, "refund", "pi_1")
            == effect_key("o1", 7, "refund", "pi_1", 0)
            == "16a850f978c1aa3653326d358c6ad57d75d7bfff"
        )

    @pytest.mark.parametrize(
        "other",
        [
            ("o2", 7, "refund", "pi_1", 0),
            ("o1", 8, "refund", "pi_1", 0),
            ("o1", 7, "pay_out", "pi_1", 0),
            ("o1", 7, "refund", "pi_2", 0),
            ("o1", 7, "refund", "pi_1", 1),
        ],
        ids=["order", "seq", "kind", "part", "epoch"],
    )
    def test_each_part_counts(self, other: Any) -> None:
        """
        Another order, event, kind, part or epoch is another key.
        """
        assert effect_key(*other) != effect_key("o1", 7, "refund", "pi_1", 0)

    @given(PARTS, PARTS)
    def test_distinct(self, one: Any, other: Any) -> None:
        """
        Two things to do never share a key, however their parts are cut.
        """
        assert (effect_key(*one) == effect_key(*other)) == (one == other)

    def test_fits_a_provider(self) -> None:
        """
        Short, and of letters and digits.
        """
        key = effect_key("o" * 255, 1, "refund", "p" * 255)

        assert len(key) == 40
        assert key.isalnum()
        assert key.isascii()


class TestKinds:
    """
    The three things a host may be asked for.
    """

    @pytest.mark.parametrize(
        ("kind", "name", "moves_money"),
        [
            (Refund, "refund", True),
            (PayOut, "pay_out", True),
            (Notify, "notify", False),
        ],
    )
    def test_names(self, kind: type[Effect], name: str, moves_money: bool) -> None:
        """
        The name is the class in words; money is never guessed.
        """
        assert kind.name == name
        assert kind.moves_money is moves_money

    def test_of_a_host(self) -> None:
        """
        A host's own effect has its name by itself, and moves no money unless said.
        """

        @attrs.frozen(kw_only=True)
        class PrintLabel(Effect):
            """
            Something of the host.
            """

        assert (PrintLabel.name, PrintLabel.moves_money) == ("print_label", False)

    def test_frozen(self) -> None:
        """
        What was decided is not changed on the way out.
        """
        effect: Any = Refund(
            order_id="o1",
            seq=1,
            key="k",
            payment=paid("pi_1", eur(5)),
            amount=eur(5),
            expected_by=pendulum.datetime(2026, 6, 1),
            asked_at=pendulum.datetime(2026, 5, 28),
        )

        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            effect.amount = eur(50)

    def test_a_notice_says_little(self) -> None:
        """
        Parameters and an end are optional.
        """
        notice = Notify(
            order_id="o1", seq=1, key="k", kind="x", to="buyer", recipient_id="ana"
        )

        assert (dict(notice.params), notice.useless_after) == ({}, None)


class TestResults:
    """
    What a handler says became of an effect.
    """

    @pytest.mark.parametrize("words", [5, None, b"x"])
    @pytest.mark.parametrize("kind", [Done, NotDone, Unknown])
    def test_words_are_a_text(self, kind: Any, words: Any) -> None:
        """
        What is no text is refused.
        """
        with pytest.raises(InvalidInputError):
            kind(words)

    def test_words_of_others(self) -> None:
        """
        What somebody else's program says is kept as far as it can be kept.
        """
        assert NotDone("a\x00b\ud800\n" + "x" * 3000).reason == "a b? " + "x" * 1995

    @pytest.mark.parametrize("instant", ["2026-05-05T10:00:00", 5, None])
    def test_instant_of_a_retry(self, instant: Any) -> None:
        """
        When to try again has an offset.
        """
        with pytest.raises(InvalidInputError):
            RetryAt(instant)
