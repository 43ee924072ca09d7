"""
What Stripe keeps for us with what it makes, and what it says became of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeAlias, final

from ...commands.reports import ReportStatus
from ...errors import InvalidInputError
from ...inputs import kind_of

__all__ = ["ITEM", "KEY", "METHOD", "ORDER", "Made", "Secret", "became", "mark"]

# What was made, as Stripe describes it.
Made: TypeAlias = Mapping[str, Any]

# What Stripe keeps for us with each object, as text.
ORDER: Final = "escrowflow_order"
KEY: Final = "escrowflow_key"
ITEM: Final = "escrowflow_item"
METHOD: Final = "escrowflow_method"

# What became of a refund, and of a payout to a bank.  What Stripe may say one day
# that is not in here counts as under way.
_BECAME: Final[Mapping[str, ReportStatus]] = {
    "succeeded": "paid",
    "paid": "paid",
    "pending": "sent",
    "requires_action": "sent",
    "in_transit": "sent",
    "failed": "failed",
    "canceled": "failed",
}


def became(made: Made) -> tuple[ReportStatus, str]:
    """
    Return what became of a refund, a transfer, a payout or a charge, and why it
    failed.
    """
    if made.get("object") == "transfer":
        return ("failed", "it was reversed") if made.get("reversed") else ("paid", "")
    status = _BECAME.get(str(made.get("status")), "sent")
    if status != "failed":
        return status, ""
    words = (
        made.get("failure_message")
        or made.get("failure_reason")
        or made.get("failure_code")
        or made.get("status")
    )
    return status, f"Stripe: {words}"


def mark(made: Made, name: str) -> str:
    """
    Return what we let Stripe keep with an object; empty if it is not ours.
    """
    metadata = made.get("metadata")
    value = metadata.get(name) if isinstance(metadata, Mapping) else None
    return value if isinstance(value, str) else ""


@final
class Secret:
    """
    A text that is never shown.
    """

    __slots__ = ("_text",)

    def __init__(self, text: object, field: str, like: str) -> None:
        # The text is in no message: whoever passed it knows which one it was.
        if not isinstance(text, str):
            raise InvalidInputError(
                field, f"text such as {like!r}, not {kind_of(text)}"
            )
        if not text.isascii() or not text.isprintable() or not text.strip():
            raise InvalidInputError(
                field, f"text such as {like!r}, without line breaks or strange signs"
            )
        self._text = text.strip()

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied: make another one")

    def tell(self) -> str:
        """
        Return it, for whoever needs it.
        """
        return self._text

    def kept_from(self, words: str) -> str:
        """
        Return a text without it.
        """
        return words.replace(self._text, repr(self))
