"""
Who takes part in an order: roles, and the actors who play them.

- A role is a part in the play, an actor is somebody who plays it.
- The host says who is calling; the engine says what that caller may do.
- The system is an actor too, for due deadlines.  No host can build it.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final, final

import attrs

from .errors import InvalidInputError
from .inputs import as_id

__all__ = [
    "BUYER",
    "MEDIATOR",
    "OPERATOR",
    "PROVIDER",
    "SELLER",
    "SYSTEM",
    "Actor",
    "Buyer",
    "Mediator",
    "Operator",
    "Provider",
    "Role",
    "Seller",
    "actor_from",
    "as_actor",
]


class Role(enum.Flag):
    """
    The parts in the play; a row of a process may name several: `BUYER | SELLER`.
    """

    BUYER = enum.auto()
    SELLER = enum.auto()
    MEDIATOR = enum.auto()
    # The staff of the platform.
    OPERATOR = enum.auto()
    # The payment provider's word, as it arrives by webhook.
    PROVIDER = enum.auto()
    # Due deadlines, and nothing else.
    SYSTEM = enum.auto()

    @property
    def text(self) -> str:
        """
        The role as it is stored and shown: `buyer`; several joined by commas.
        """
        # Asked for with every event; walking the members of a flag takes long.
        text = _TEXTS.get(self._value_)
        if text is None:
            text = ", ".join(str(role.name).lower() for role in self)
            _TEXTS[self._value_] = text
        return text

    @classmethod
    def of(cls, text: str) -> Role:
        """
        Return the role with this text.

        Raises:
            InvalidInputError: If there is none.
        """
        try:
            return cls[text.upper()]
        except (KeyError, AttributeError):
            roles = ", ".join(role.text for role in cls)
            raise InvalidInputError(
                "role", f"unknown role {text!r}: one of {roles}"
            ) from None


_TEXTS: Final[dict[int, str]] = {}

BUYER: Final = Role.BUYER
SELLER: Final = Role.SELLER
MEDIATOR: Final = Role.MEDIATOR
OPERATOR: Final = Role.OPERATOR
PROVIDER: Final = Role.PROVIDER


def _id(value: object) -> str:
    return as_id(value, "by")


@attrs.frozen
class Actor:
    """
    Somebody who acts in a role; one of the classes below, never this one.

    Attributes:
        id: A pseudonym the host can resolve: text, a whole number or a UUID,
            kept as text.  Not an e-mail address: it is written to a history
            that is never erased.
    """

    id: str = attrs.field(converter=_id)

    role: ClassVar[Role]

    def __str__(self) -> str:
        return f"{self.role.text}:{self.id}"


@final
@attrs.frozen
class Buyer(Actor):
    """
    Who ordered and pays.
    """

    role: ClassVar[Role] = Role.BUYER


@final
@attrs.frozen
class Seller(Actor):
    """
    Who does the work.
    """

    role: ClassVar[Role] = Role.SELLER


@final
@attrs.frozen
class Mediator(Actor):
    """
    Who rules a dispute; neither of the parties.
    """

    role: ClassVar[Role] = Role.MEDIATOR


@final
@attrs.frozen
class Operator(Actor):
    """
    Somebody of the platform's staff.
    """

    role: ClassVar[Role] = Role.OPERATOR


@final
@attrs.frozen
class Provider(Actor):
    """
    The payment provider, speaking through a verified webhook.
    """

    role: ClassVar[Role] = Role.PROVIDER


@final
@attrs.frozen
class _System(Actor):
    role: ClassVar[Role] = Role.SYSTEM

    def __str__(self) -> str:
        return "system"


SYSTEM: Final[Actor] = _System("system")

# Who says what became of an effect: whoever carried it out for the engine.
OUTBOX: Final = Provider("outbox")

_ACTORS: Final[dict[Role, type[Actor]]] = {
    actor.role: actor for actor in (Buyer, Seller, Mediator, Operator, Provider)
}
_HOSTED: Final = frozenset(_ACTORS.values())


def as_actor(value: object, field: str = "by") -> Actor:
    """
    Return *value* if a host may act as it.

    Raises:
        InvalidInputError: If it is no actor, or the system.
    """
    if type(value) not in _HOSTED:
        raise InvalidInputError(
            field, "who acts is a Buyer, Seller, Mediator, Operator or Provider"
        )
    assert isinstance(value, Actor)
    return value


def actor_from(text: str) -> Actor:
    """
    Return the actor a history names: the inverse of `str(actor)`.
    """
    if text == "system":
        return SYSTEM
    role, _, identifier = text.partition(":")
    return _ACTORS[Role.of(role)](identifier)
