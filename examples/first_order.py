"""
A whole order, from payment to the last cent, and a refusal that says what to do.
"""

from __future__ import annotations

from datetime import timedelta

import escrowflow as ef
from escrowflow.clock import FakeClock
from escrowflow.processes import comeup
from escrowflow.storage import open_storage

ana, luc = ef.Buyer("ana"), ef.Seller("luc")
clock = FakeClock("2026-05-05T10:00:00+02:00")
engine = ef.Engine(comeup(), open_storage("memory://"), clock=clock)

# The buyer pays; the money is held.
order = engine.place(
    ef.PlaceOrder(
        seller_id="luc",
        price=ef.Money.of("100.00", "EUR"),
        payment=ef.Payment(method="paypal", reference="PAY-1"),
        terms=ef.Terms(delivery_window=timedelta(days=5), revisions=2),
    ),
    by=ana,
    key="checkout-17",
).order
print(f"{order.state}: {order.ledger.held} held, due {order.due_at}")

# The seller accepts: from now on the buyer cannot leave alone.
engine.execute(order.id, ef.AcceptOrder(), by=luc)
refusal = engine.attempt(order.id, ef.CancelOrder(), by=ana)
assert isinstance(refusal, ef.Refusal)
for blocker in refusal.blockers:
    print(f"no: {blocker.message()}")
    for way in blocker.unblocked_by:
        print(f"    way out: {way.command}, by the {way.by.text}")
    print(f"    or wait until {blocker.unblocked_at}")

# Five days pass without a delivery: the order is late, and now he may.
clock.advance(days=5)
order = engine.execute(order.id, ef.CancelOrder(reason="Too late"), by=ana).order
print(f"{order.state}: {order.ledger.refunded} refunded")
assert order.ending is not None
assert order.ending.responsible is ef.Role.SELLER
print(f"because: {order.ending.cause}, by the {order.ending.responsible.text}'s doing")

# What the host must do now.
for status in engine.effects(order.id):
    if isinstance(status.effect, ef.Refund):
        refund = status.effect
        print(f"refund {refund.amount} to {refund.payment.reference}: {status.status}")

assert order.state == "cancelled"
assert order.ledger.refunded == ef.Money.of("100.00", "EUR")
assert not order.ledger.held
