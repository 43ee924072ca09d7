"""
What the marketplace does outside of its transactions, with a payment provider and a
mail server that only pretend.

A real handler would call somebody else with `effect.key` as the idempotency key.  These
write a row under that key: called again, they find it there.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.orm import Session

import escrowflow as ef
from escrowflow import statistics
from escrowflow.engine import Handlers

from .tables import Letter, OrderMarks, Person, SellerTally, Transfer


def charge(key: str) -> ef.Payment:
    """
    Take a payment, or pretend to: the same key is the same payment.
    """
    return ef.Payment(method="card", reference=f"pay-{key}")


def handlers(engine: ef.Engine, session: Callable[[], Session], zone: str) -> Handlers:
    """
    Return what carries out each kind of effect that an order can ask for.
    """

    def move(effect: ef.Refund | ef.PayOut) -> ef.Done:
        with session() as rows, rows.begin():
            if rows.get(Transfer, effect.key) is None:
                transfer = Transfer(
                    key=effect.key,
                    order_id=effect.order_id,
                    kind=effect.name,
                    amount_minor=effect.amount.minor,
                    sent_at=engine.clock.now().isoformat(),
                )
                rows.add(transfer)
        return ef.Done(reference=f"tr-{effect.key[:10]}")

    def write(effect: ef.Notify) -> None:
        with session() as rows, rows.begin():
            reader = rows.get(Person, effect.recipient_id)
            if reader is None or rows.get(Letter, effect.key) is not None:
                return  # Staff reads its own page, and nobody gets a letter twice.
            letter = Letter(
                key=effect.key,
                recipient_id=reader.id,
                order_id=effect.order_id,
                language=reader.language,
                subject=effect.subject(reader.language),
                text=effect.message(reader.language, zone=zone),
                sent_at=engine.clock.now().isoformat(),
            )
            rows.add(letter)

    def count(effect: ef.Publish) -> None:
        history = engine.history(effect.order_id)
        seller_id = history[0].data["seller_id"]
        with session() as rows, rows.begin():
            # Changes nothing, and has others wait: there may be several workers.
            mine = sa.update(SellerTally).where(SellerTally.seller_id == seller_id)
            rows.execute(mine.values(seller_id=seller_id))
            kept = rows.get(SellerTally, seller_id)
            counted = rows.get(OrderMarks, effect.order_id)
            tally, marks = statistics.fold(
                ef.Tally.from_json(kept.data)
                if kept
                else ef.Tally(seller_id=seller_id, zone=zone),
                ef.Marks.from_json(counted.data) if counted else None,
                history,
            )
            rows.merge(SellerTally(seller_id=seller_id, data=tally.to_json()))
            rows.merge(OrderMarks(order_id=effect.order_id, data=marks.to_json()))

    return {ef.Refund: move, ef.PayOut: move, ef.Notify: write, ef.Publish: count}
