"""
An order's story for people.
"""

from __future__ import annotations

from datetime import timedelta

import escrowflow as ef
from escrowflow.clock import FakeClock
from escrowflow.processes import comeup
from escrowflow.storage import open_storage
from escrowflow.timeline import timeline

ANA, LUC = ef.Buyer("ana"), ef.Seller("luc")


def test_it_tells_who_did_what_and_where_the_money_stood() -> None:
    """
    Each moment has the instant it counts, the actor, the words and the books.
    """
    clock = FakeClock("2026-05-05T10:00:00+02:00")
    engine = ef.Engine(comeup(), open_storage("memory://"), clock=clock)
    order_id = engine.place(
        ef.PlaceOrder(
            seller_id="luc",
            price=ef.Money.of("100.00", "EUR"),
            payment=ef.Payment(method="card", reference="pi_1"),
            terms=ef.Terms(delivery_window=timedelta(days=5)),
        ),
        by=ANA,
    ).order.id
    engine.execute(order_id, ef.SubmitBrief(text="A fox"), by=ANA)
    engine.execute(order_id, ef.AcceptOrder(), by=LUC)
    clock.advance(days=6)
    engine.execute(order_id, ef.CancelOrder(reason="Too late for me"), by=ANA)

    story = timeline(engine.history(order_id))

    assert [(moment.event, str(moment.by), moment.said) for moment in story] == [
        ("order_placed", "buyer:ana", ""),
        ("payment_booked", "buyer:ana", ""),
        ("order_paid", "buyer:ana", ""),
        ("brief_submitted", "buyer:ana", "A fox"),
        ("order_accepted", "seller:luc", ""),
        ("order_marked_late", "system", ""),
        ("order_cancelled", "buyer:ana", "Too late for me"),
    ]
    late, cancelled = story[-2:]
    assert (late.state, late.late) == ("in_progress", True)
    assert late.at < late.recorded_at
    assert cancelled.state == "cancelled"
    assert str(cancelled.ledger.refunded) == "100.00 EUR"
