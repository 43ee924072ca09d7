"""
Parties: roles, who plays them, and who may not be played.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowflow.errors import InvalidInputError
from escrowflow.parties import (
    SYSTEM,
    Actor,
    Buyer,
    Mediator,
    Operator,
    Provider,
    Role,
    Seller,
    actor_from,
    as_actor,
)
from tests.given import any_text

ACTORS = {
    "buyer": Buyer,
    "seller": Seller,
    "mediator": Mediator,
    "operator": Operator,
    "provider": Provider,
}

each_actor = pytest.mark.parametrize(("role", "kind"), ACTORS.items())


class TestRoles:
    """
    The parts in the play.
    """

    def test_texts(self) -> None:
        """
        The text of a role is what is stored, and reads back.
        """
        texts = [role.text for role in Role]

        assert texts == [*ACTORS, "system"]
        assert [Role.of(text) for text in texts] == list(Role)

    def test_several(self) -> None:
        """
        Several roles are told in one breath, again and again.
        """
        both = Role.SELLER | Role.BUYER

        assert both.text == "buyer, seller"
        assert both.text == "buyer, seller"

    @pytest.mark.parametrize("text", ["", "timer", "buyer, seller", 5, None])
    def test_unknown(self, text: Any) -> None:
        """
        An unknown role is refused with the known ones.
        """
        with pytest.raises(InvalidInputError, match="one of buyer, seller") as caught:
            Role.of(text)

        assert caught.value.field == "role"


class TestActors:
    """
    Who plays the parts.
    """

    @each_actor
    def test_text_and_back(self, role: str, kind: type[Actor]) -> None:
        """
        A history keeps an actor as `role:id`.
        """
        actor = kind("a:b")

        assert str(actor) == f"{role}:a:b"
        assert actor_from(str(actor)) == actor
        assert actor.role.text == role

    @given(st.sampled_from([*ACTORS.values()]), any_text(min_size=1, max_size=40))
    def test_any_id_and_back(self, kind: type[Actor], identifier: str) -> None:
        """
        Whatever may be an id survives the history.
        """
        try:
            actor = kind(identifier)
        except InvalidInputError:
            return

        assert actor_from(str(actor)) == actor

    @pytest.mark.parametrize(
        ("identifier", "kept"),
        [(7, "7"), (UUID(int=7), str(UUID(int=7))), (" ana\t", "ana")],
    )
    def test_ids_are_text(self, identifier: Any, kept: str) -> None:
        """
        Whatever names a person in the host is kept as text.
        """
        assert Buyer(identifier).id == kept

    @each_actor
    @pytest.mark.parametrize(
        "identifier", ["", None, 1.0, True, "x" * 300, "a\u200bb", "\ud800"]
    )
    def test_bad_ids(self, role: str, kind: type[Actor], identifier: Any) -> None:
        """
        An actor without a proper id is not built; the field is `by`.
        """
        with pytest.raises(InvalidInputError) as caught:
            kind(identifier)

        assert caught.value.field == "by"

    def test_same_id_other_role(self) -> None:
        """
        One person in two parts is two actors.
        """
        assert Buyer("ana") == Buyer("e\u0301".replace("e\u0301", "ana"))
        assert len({Buyer("ana"), Seller("ana"), Mediator("ana")}) == 3


class TestSystem:
    """
    The system settles deadlines; nobody else may be it (I20).
    """

    def test_is_named(self) -> None:
        """
        A history calls it by one word.
        """
        assert str(SYSTEM) == "system"
        assert actor_from("system") is SYSTEM
        assert SYSTEM.role is Role.SYSTEM

    @pytest.mark.parametrize("identifier", ["system", "timer", "SYSTEM"])
    def test_a_name_does_not_make_it(self, identifier: str) -> None:
        """
        A buyer who calls himself system is a buyer.
        """
        assert as_actor(Buyer(identifier)).role is Role.BUYER
        assert str(Buyer(identifier)) != str(SYSTEM)

    @pytest.mark.parametrize(
        "value", [SYSTEM, Actor("x"), "buyer:ana", None, Buyer, object()]
    )
    def test_what_may_not_act(self, value: object) -> None:
        """
        A host acts as one of five, and as nothing else.
        """
        with pytest.raises(InvalidInputError, match="who acts is a Buyer") as caught:
            as_actor(value)

        assert caught.value.field == "by"

    @each_actor
    def test_what_may_act(self, role: str, kind: type[Actor]) -> None:
        """
        The five come back as they are.
        """
        actor = kind("x")

        assert as_actor(actor) is actor

    @pytest.mark.parametrize("text", ["system:x", "nobody:x", "", "buyer:"])
    def test_no_actor_of_a_history(self, text: str) -> None:
        """
        A text that no actor writes names none.
        """
        with pytest.raises((InvalidInputError, KeyError)):
            actor_from(text)
