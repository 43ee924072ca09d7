"""
What an engine is given, and what it falls back on.
"""

from __future__ import annotations

import secrets

from ..decisions import Refusal
from ..errors import CommandRefusedError, InvalidInputError
from ..inputs import kind_of
from .answers import Outcome
from .sweep import Retries

__all__ = ["as_retries", "new_id", "or_raise", "salt"]


def new_id() -> str:
    """
    Return an id for an order that has none.
    """
    return secrets.token_hex(12)


def salt() -> bytes:
    """
    Return fresh bytes for the commitment of a text.
    """
    return secrets.token_bytes(16)


def or_raise(answer: Outcome | Refusal) -> Outcome:
    """
    Return an outcome.

    Raises:
        CommandRefusedError: If it is none.
    """
    if isinstance(answer, Refusal):
        raise CommandRefusedError(answer.blockers, answer.order)
    return answer


def as_retries(retries: object) -> Retries:
    """
    Return when to try again, as usual unless said.

    Raises:
        InvalidInputError: If it is something else.
    """
    if retries is None:
        return Retries()
    if isinstance(retries, Retries):
        return retries
    raise InvalidInputError("retries", f"a Retries, not {kind_of(retries)}")
