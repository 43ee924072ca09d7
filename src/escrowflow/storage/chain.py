"""
The chain of hashes through a history.

Each event carries the hash of itself and of the hash before it, so that whatever is
changed, left out, put in or swapped behind the storage's back shows.  Only a tail
that was cut off does not: keep the last hash somewhere else to notice that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from . import StoredEvent

__all__ = ["HEAD", "first_broken", "link"]

# What the first event of an order follows.
HEAD: Final = b""


def link(
    head: bytes,
    order_id: str,
    *,
    seq: int,
    name: str,
    effective_at: int,
    recorded_at: int,
    settles: bool,
    body: bytes,
) -> bytes:
    """
    Return the hash of an event: 32 bytes.

    SHA-256 of the hash before it; of order, number, name, instants and flag, each
    followed by U+001F, which no id and no name contains; and of its body.

    Args:
        head: The hash of the event before it.
    """
    fields = (
        f"{order_id}\x1f{seq}\x1f{name}\x1f{effective_at}\x1f{recorded_at}"
        f"\x1f{int(settles)}\x1f"
    )
    return hashlib.sha256(b"%b%b%b" % (head, fields.encode(), body)).digest()


def first_broken(
    order_id: str, events: Iterable[StoredEvent], head: bytes = HEAD
) -> int | None:
    """
    Return the number of the first event whose hash is not what it must be.

    Args:
        head: The hash of the event before them.
    """
    for event in events:
        expected = link(
            head,
            order_id,
            seq=event.seq,
            name=event.name,
            effective_at=event.effective_at,
            recorded_at=event.recorded_at,
            settles=event.settles,
            body=event.body,
        )
        if event.hash != expected:
            return event.seq
        head = event.hash
    return None
