"""
What the worker carries out, with a bank that only pretends.

Each effect has a key that never changes: done twice, it finds its own row.
"""

from __future__ import annotations

import logging

import escrowflow as ef

__all__ = ["HANDLERS"]

_LOG = logging.getLogger("shop")


def send(effect: ef.Refund | ef.PayOut) -> ef.Done:
    """
    Send money back to a buyer, or on to a seller.
    """
    from .models import Transfer

    Transfer.objects.get_or_create(
        key=effect.key,
        defaults={
            "kind": effect.name,
            "order_id": effect.order_id,
            "amount": str(effect.amount),
        },
    )
    return ef.Done(reference=effect.key)


def write(effect: ef.Notify) -> None:
    """
    Write to somebody: into the log.
    """
    _LOG.info("to %s: %s", effect.recipient_id, effect.subject("en"))


HANDLERS = {ef.Refund: send, ef.PayOut: send, ef.Notify: write}
