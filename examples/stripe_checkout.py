"""
From checkout to payout through Stripe, with its webhooks.

Without a key it runs against localstripe, a mock on this machine.  With
STRIPE_API_KEY=sk_test_... it runs in Stripe's test mode; name a connected account in
STRIPE_PAYEE=acct_... to see the seller paid there.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import stripe

import escrowflow as ef
from escrowflow import payments
from escrowflow.payments.stripe import StripeGateway, StripeWebhooks
from escrowflow.processes import comeup
from escrowflow.storage import open_storage

SECRET = "whsec_" + secrets.token_hex(16)
MOCK = """
import socket, sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda store: None
listening = socket.socket(fileno=int(sys.argv[1]))
web.run_app(server.app, sock=listening, print=None, access_log=None)
"""


@contextmanager
def mock() -> Iterator[str]:
    """
    Run localstripe on this machine; yield its address.
    """
    if find_spec("localstripe") is None:
        sys.exit("pip install localstripe, or set STRIPE_API_KEY=sk_test_...")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-c", MOCK, str(listening.fileno())],
            pass_fds=[listening.fileno()],
        )
    try:
        yield address
    finally:
        process.terminate()
        process.wait()


def told(world: stripe.StripeClient, kind: str, reference: str) -> stripe.Event:
    """
    Return what Stripe has to say of something.
    """
    for _ in range(30):
        for event in world.v1.events.list({"type": kind}).data:
            if event.data.object["id"] == reference:
                return event
        time.sleep(1)
    sys.exit(f"Stripe said nothing of {reference}")


def main(key: str, address: str | None = None) -> None:
    """
    Live an order through Stripe, or through a mock at that address.
    """
    stripe.enable_telemetry = False
    # The page of the buyer, the bank of the seller, and the way of webhooks: all that
    # is not your server.
    world = stripe.StripeClient(
        key, base_addresses={"api": address or stripe.api_base}, max_network_retries=2
    )
    payee = "acct_luc" if address else os.environ.get("STRIPE_PAYEE")
    gateway = StripeGateway(
        key,
        base_address=address,
        # The mock knows no transfers.
        payouts="payout" if address else "transfer",
        account_of={"luc": payee}.get,
    )
    webhooks = StripeWebhooks(SECRET, order_of=gateway.order_of)
    engine = ef.Engine(comeup(), open_storage("memory://"))
    handlers = payments.handlers(gateway)
    ana, luc = ef.Buyer("ana"), ef.Seller("luc")

    def hear(kind: str, reference: str) -> None:
        """
        Take a webhook in, as your server would.

        Nobody can call this machine, so it is fetched, and signed as Stripe signs.
        """
        event = told(world, kind, reference)
        payload = json.dumps(event.to_dict(for_json=True))
        signature = stripe.WebhookSignature.generate_signature_header(payload, SECRET)
        notice = webhooks.read(payload.encode(), signature)
        if notice.command is not None:
            engine.execute(notice.order_id, notice.command, by=ef.Provider("stripe"))
            print(f"webhook {notice.type}: {notice.command.name}")

    # The buyer orders, and pays on his page with the client_secret.
    order = engine.place(
        ef.PlaceOrder(
            seller_id="luc",
            price=ef.Money.of("100.00", "EUR"),
            payment=None,
            terms=ef.Terms(delivery_window="P5D"),
        ),
        by=ana,
    ).order
    begun = gateway.checkout(
        order.id,
        order.amount_due,
        key="first try",
        params={"payment_method_types": ["card"]},
    )
    print(f"{order.state}: {order.amount_due} to pay, {begun.status}")
    card = "pm_card_visa" if address else "pm_card_bypassPending"
    world.v1.payment_intents.update(begun.reference, {"payment_method": card})
    world.v1.payment_intents.confirm(begun.reference)
    hear("payment_intent.succeeded", begun.reference)

    # The work is late: a quarter goes back by agreement.
    for by, command in (
        (luc, ef.AcceptOrder()),
        (luc, ef.ProposePartialRefund(amount=order.price.share(1, 4), reason="Late")),
        (ana, ef.AcceptPartialRefund()),
        (luc, ef.DeliverOrder(files=("logo.svg",))),
        (ana, ef.ApproveDelivery()),
    ):
        order = engine.execute(order.id, command, by=by).order
    print(
        f"{order.state}: {order.ledger.refunded} back, {order.ledger.released} earned"
    )

    # A worker carries out what is to be done, and again if it likes: nothing moves
    # twice.
    for _ in range(2):
        engine.run_effects(handlers, kinds=["refund", "pay_out"])
    order = engine.order(order.id)
    (refund,), (payout,) = order.refunds, order.payouts
    print(f"refund {refund.amount}: {refund.status}")
    print(f"payout {payout.amount}: {payout.status}")

    if address:
        # A bank takes a day or two; this one says so now.
        path = f"/v1/payouts/{payout.reference}"
        world.raw_request("post", path, status="paid")
        hear("payout.updated", payout.reference)
        print(f"payout {payout.amount}: {engine.order(order.id).payouts[0].status}")
    for stuck in engine.stuck():
        print(f"for a human: {stuck.kind}, {stuck.reason}")


if __name__ == "__main__":
    api_key = os.environ.get("STRIPE_API_KEY")
    if api_key is None:
        with mock() as at:
            main("sk_test_mock", at)
    elif api_key.startswith("sk_test_"):
        main(api_key)
    else:
        sys.exit("this example moves money: only a test key, sk_test_..., will do")
