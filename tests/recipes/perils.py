"""
The handlers of the shop, the first of which hangs where that is asked for: until its
worker is killed, or it may go on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import escrowflow as ef
from examples.recipes import shop
from tests.pg import wait_until

__all__ = ["HANDLERS"]

# "before" the provider hears of it, or "after".
HANGS: Final = os.environ.get("HANGS", "")


def send(effect: ef.Refund | ef.PayOut) -> ef.Done:
    """
    Move money; hang in the middle of it, once.
    """
    if HANGS == "before":
        hang(effect)
    done = shop.send(effect)
    if HANGS == "after":
        hang(effect)
    return done


def hang(effect: ef.Refund | ef.PayOut) -> None:
    """
    Say so in a file, and wait until that is gone.
    """
    hung = Path(os.environ["HUNG"])
    known = hung.with_suffix(".known")
    if known.exists():
        return
    known.write_text(effect.key, encoding="utf-8")
    # It is there at once, with all that is in it.
    os.link(known, hung)
    wait_until(lambda: not hung.exists())


HANDLERS: Final = {**shop.HANDLERS, ef.Refund: send, ef.PayOut: send}
