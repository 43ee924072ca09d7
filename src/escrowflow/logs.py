"""
What the log is told: each line has a code, and its parts as fields of the record.

The sentences are for people, and may change.  Codes and fields are for programs, and
stay.  Neither has ever what somebody wrote: ids, names of ours, and counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["FIELDS", "LINES", "told"]

# Every line, by its code -> the fields that it has.
LINES: Final[Mapping[str, tuple[str, ...]]] = {
    # escrowflow.worker
    "effects_parked": ("parked",),
    "held_back": ("reason", "gap", "cap"),
    "held_back_over": (),
    "order_parked": ("order_id",),
    "process_missing": ("order_id", "fingerprint"),
    "round_done": ("orders", "done", "again", "parked"),
    "round_failed": ("error",),
    "wallet_parked": ("wallet_id",),
    # escrowflow.outbox; of a withdrawal, with a wallet in place of the order
    "handler_raised": ("order_id", "effect", "effect_key", "attempt", "error"),
    "paid_twice": ("order_id", "effect", "effect_key", "reference", "refusal"),
    "paid_unbooked": ("wallet_id", "effect", "effect_key", "reference", "refusal"),
    "result_late": ("order_id", "effect", "effect_key", "attempt"),
    # escrowflow.watch
    "watch_failed": ("error",),
    # escrowflow.payments.stripe
    "locked_out": ("gateway", "error"),
}

# Every field, `code` first.
FIELDS: Final = (
    "code",
    *sorted({field for fields in LINES.values() for field in fields}),
)


def told(code: str, **fields: Any) -> dict[str, Any]:
    """
    Return the `extra` of a line.

    Args:
        code: One of `LINES`.

        fields: Its fields.
    """
    return {"code": code, **fields}
