"""
The shop, tried by Django's own runner: `manage.py test`.

Orders are in the test's database and in the test's transaction, like every model.
"""

from __future__ import annotations

from io import StringIO

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import transaction
from django.test import Client, TestCase, TransactionTestCase, override_settings
from django.urls import reverse

import escrowflow as ef
from escrowflow.clock import FakeClock
from escrowflow.contrib.django import engine
from escrowflow.contrib.django.models import EscrowOrder

from .models import Listing, Sale, Transfer

CLOCK = FakeClock("2026-05-05T08:00:00+00:00")

AT_MY_TIME = override_settings(
    ESCROWFLOW={
        "PROCESS": "shop.rules.PROCESS",
        "HANDLERS": "shop.work.HANDLERS",
        "CLOCK": "shop.tests.CLOCK",
    }
)


class _Shop:
    """
    People, and something to buy.
    """

    client: Client

    def setUp(self) -> None:
        users = get_user_model().objects
        # Without passwords: nobody has to prove anything here.
        users.create_user("ana")
        users.create_superuser("sam")
        self.listing = Listing.objects.create(
            seller=users.create_user("luc"), title="A logo", price_minor=100_00
        )
        self.be("ana")

    def be(self, name: str) -> None:
        self.client.force_login(get_user_model().objects.get(username=name))

    def buy(self, key: str = "k-1") -> str:
        answer = self.client.post(
            reverse("place", args=[self.listing.pk]), {"key": key}
        )
        assert answer.status_code == 302
        return str(answer.url.split("/")[2])

    def say(self, order_id: str, name: str, **data: str) -> str:
        answer = self.client.post(
            reverse("send", args=[order_id, name]), {"key": name, **data}, follow=True
        )
        assert answer.status_code == 200
        return str(answer.content.decode())


@AT_MY_TIME
class Orders(_Shop, TestCase):
    """
    From the listing to the last cent.
    """

    def test_order_and_sale_together(self) -> None:
        """
        Both rows are there; a form that is sent twice buys once.
        """
        order_id = self.buy()
        assert self.buy() == order_id

        (sale,) = Sale.objects.filter(order__state="pending", order__buyer_id="ana")
        assert sale.order.price == self.listing.price
        self.listing.refresh_from_db()
        assert self.listing.sold == 1

    def test_both_or_neither(self) -> None:
        """
        What fails after the order takes the order back with it.
        """
        order = ef.PlaceOrder(
            seller_id="luc",
            price=self.listing.price,
            payment=ef.Payment(method="card", reference="pi_1"),
            terms=ef.Terms(delivery_window="P5D"),
        )
        with transaction.atomic():
            placed = engine().place(order, by=ef.Buyer("ana"))
            Sale.objects.create(listing=self.listing, order_id=placed.order.id)
            assert EscrowOrder.objects.count() == 1
            transaction.set_rollback(True)

        assert (EscrowOrder.objects.count(), Sale.objects.count()) == (0, 0)
        with self.assertRaises(ef.OrderNotFoundError):
            engine().order(placed.order.id)

    def test_whole_life(self) -> None:
        """
        Accepted, delivered, silence: the worker pays the seller.
        """
        order_id = self.buy()
        assert "is not possible" in self.say(order_id, "approve_delivery")
        self.be("luc")
        self.say(order_id, "accept_order")
        assert "Delivered" in self.say(order_id, "deliver_order", files="a.svg")

        CLOCK.advance(days=40)
        said = StringIO()
        call_command("escrow_worker", once=True, stdout=said)

        assert "in need of a human: 0" in said.getvalue()
        assert EscrowOrder.objects.get(pk=order_id).state == "completed"
        assert Transfer.objects.get().amount == "90.00 EUR"
        page = self.client.get(reverse("order", args=[order_id])).content.decode()
        assert "Completed" in page

    def test_strangers(self) -> None:
        """
        Somebody else's order is not there.
        """
        order_id = self.buy()
        self.be("sam")
        url = reverse("order", args=[order_id])
        assert self.client.get(url).status_code == 404

    def test_admin(self) -> None:
        """
        Staff reads orders and sales, and changes none.
        """
        order_id = self.buy()
        self.be("sam")
        page = self.client.get(f"/admin/escrowflow/escroworder/{order_id}/change/")
        self.assertContains(page, "escrowflow-timeline")
        self.assertContains(self.client.get("/admin/shop/sale/"), "pending")
        assert self.client.get("/admin/escrowflow/escroworder/add/").status_code == 403


@AT_MY_TIME
class Committed(_Shop, TransactionTestCase):
    """
    The same without a transaction around it.
    """

    def test_no_claims_in_a_transaction(self) -> None:
        """
        A worker's round belongs outside of `atomic()`.
        """
        self.buy("committed")
        with self.assertRaises(ef.InvalidInputError), transaction.atomic():
            engine().run_due()
        engine().run_due()
