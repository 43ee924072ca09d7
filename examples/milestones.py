"""
A project in milestones: each is an order of its own, paid for when it begins, and what
one of them did not use pays for the next.
"""

from __future__ import annotations

import escrowflow as ef
from escrowflow import payments
from escrowflow.clock import FakeClock
from escrowflow.payments.wallets import Wallets
from escrowflow.processes import recommended
from escrowflow.storage import open_storage

clock = FakeClock("2026-05-05T10:00:00+02:00")
storage = open_storage("memory://")
engine = ef.Engine(recommended(), storage, clock=clock)
wallets = Wallets(storage, clock=clock)
ana, luc = ef.Buyer("ana"), ef.Seller("luc")

# Refunds and earnings arrive in wallets, and orders are paid from them.
worker = ef.Worker(
    engine,
    payments.handlers(
        wallets, methods={"wallet": wallets}, payouts=wallets, clock=clock
    ),
    kinds=("refund", "pay_out"),
    wallets=wallets,
)


def eur(amount: str) -> ef.Money:
    return ef.Money.of(amount, "EUR")


def begin(name: str, price: str) -> str:
    order = engine.place(
        ef.PlaceOrder(
            seller_id="luc",
            price=eur(price),
            payment=None,
            terms=ef.Terms(delivery_window="P14D"),
        ),
        by=ana,
        order_id=f"website-{name}",
    ).order
    wallets.pay(engine, order.id, by=ana, key=f"pay-{order.id}")
    engine.execute(order.id, ef.AcceptOrder(), by=luc)
    return order.id


def tell(order_id: str) -> None:
    books = engine.order(order_id).ledger
    balances = (wallets.balance(person, "EUR") for person in ("ana", "luc"))
    print(
        f"{order_id}: {books.held} held, ana has {{}}, luc has {{}}".format(*balances)
    )


# Only the first milestone is funded: no more than 300 EUR is ever at stake.
wallets.credit("ana", eur("600.00"), key="topup-pi_77")
design = begin("design", "300.00")
tell(design)
engine.execute(design, ef.DeliverOrder(files=("draft.pdf",)), by=luc)
engine.execute(design, ef.ApproveDelivery(), by=ana)
worker.run_once()
tell(design)

# The second turns out smaller: they agree that 120 EUR go back.
build = begin("build", "300.00")
engine.execute(
    build,
    ef.ProposePartialRefund(amount=eur("120.00"), reason="Three pages less"),
    by=luc,
)
engine.execute(build, ef.AcceptPartialRefund(), by=ana)
engine.execute(build, ef.DeliverOrder(files=("site.zip",)), by=luc)
engine.execute(build, ef.ApproveDelivery(), by=ana)
worker.run_once()
tell(build)

# What came back pays for the third, which is never delivered: it ends by itself.
launch = begin("launch", "120.00")
tell(launch)
clock.advance(days=60)
worker.run_once()
tell(launch)

order = engine.order(launch)
assert order.ending is not None
print(f"{order.state}: {order.ending.cause}")
assert wallets.balance("ana", "EUR") == eur("120.00")
assert wallets.balance("luc", "EUR") == eur("480.00")
assert [one.state for one in engine.orders(party="ana").items].count("completed") == 2
