"""
What every command is, and what many have in common.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from ..errors import InvalidInputError
from ..inputs import Text, as_text, snake_case

__all__ = ["Command", "as_one_of", "as_reason", "as_word"]


@attrs.frozen(kw_only=True)
class Command:
    """
    Somebody wants something; one of the classes below, or a host's own.

    A class of your own is decorated `@attrs.frozen(kw_only=True)`; its name in the
    history is its class name in snake_case.
    """

    name: ClassVar[str] = "command"

    # Fields of which at least one must be given.
    one_of: ClassVar[tuple[str, ...]] = ()

    # Fields that buyers and sellers cannot know, or would not say: your server does.
    vouched: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = snake_case(cls.__name__)

    def __attrs_post_init__(self) -> None:
        if self.one_of and not any(getattr(self, name) for name in self.one_of):
            raise InvalidInputError(
                self.one_of[0], f"at least one of {', '.join(self.one_of)}"
            )


def as_reason(value: str) -> Text:
    return as_text(value, "reason", required=True)


def as_word(value: str) -> Text:
    return as_text(value, "reason")


def as_one_of(value: object, values: tuple[str, ...], field: str) -> Any:
    if value not in values:
        raise InvalidInputError(field, f"one of {', '.join(values)}")
    return value
