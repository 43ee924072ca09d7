"""
Stripe: refunds, payouts, checkouts and webhooks, by its official SDK (extra `stripe`).

    gateway = StripeGateway(os.environ["STRIPE_API_KEY"])
    handlers = payments.handlers(gateway)

- What Stripe makes for us says so: its metadata names the order, and the key under
  which it was made.  So a key can be looked up, and a webhook finds its order.
- Only what Stripe refused is `NotDone`.  What it does not answer is `Unknown`, and
  what is wrong with this installation of ours waits until somebody repairs it.
- `stripe` is known here and nowhere else.  Neither its errors nor a secret leave this
  package: not in a result, an error, a log line or a pickle.
"""

from __future__ import annotations

from ...errors import MissingExtraError
from .amounts import from_stripe, to_stripe

try:
    from .gateway import Checkout, StripeGateway
    from .webhooks import Notice, StripeWebhooks
except ModuleNotFoundError as error:
    raise MissingExtraError("stripe", str(error.name)) from error

__all__ = [
    "Checkout",
    "Notice",
    "StripeGateway",
    "StripeWebhooks",
    "from_stripe",
    "to_stripe",
]
