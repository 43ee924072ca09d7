"""
What the site carries out: it notes what it was asked for.
"""

from __future__ import annotations

import escrowflow as ef
from escrowflow.effects import Effect

SENT: list[Effect] = []


def send(effect: Effect) -> ef.Done:
    """
    Pretend.
    """
    SENT.append(effect)
    return ef.Done(reference=effect.key)


HANDLERS = {ef.Refund: send, ef.PayOut: send, ef.Notify: send}
