"""
What the site carries out: it notes what it was asked for.
"""

from __future__ import annotations

import escrowflow as ef
from escrowflow.effects import Effect
from tests.django_site.settings import CLOCK

SENT: list[Effect] = []


def send(effect: Effect) -> ef.Done:
    """
    Pretend.
    """
    SENT.append(effect)
    return ef.Done(reference=effect.key)


def fail(effect: Effect) -> ef.Done:
    """
    Fail.
    """
    raise OSError("the provider is down")


def leap(effect: Effect) -> ef.Done:
    """
    Let the clock of the site go wrong.
    """
    CLOCK.advance(days=1)
    return ef.Done()


HANDLERS = {ef.Refund: send, ef.PayOut: send, ef.Notify: send}
DOWN = dict.fromkeys(HANDLERS, fail)
LEAPS = dict.fromkeys(HANDLERS, leap)
ONCE = ef.Retries(attempts=1)
