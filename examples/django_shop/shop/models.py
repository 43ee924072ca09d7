"""
The shop's own rows.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

import escrowflow as ef

__all__ = ["Listing", "Sale", "Transfer"]


class Listing(models.Model):
    """
    Something that somebody does for money.
    """

    seller = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    title = models.CharField(max_length=100)
    price_minor = models.PositiveIntegerField()
    days = models.PositiveSmallIntegerField(default=5)
    sold = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.title)

    @property
    def price(self) -> ef.Money:
        """
        What it costs.
        """
        return ef.Money(self.price_minor, "EUR")


class Sale(models.Model):
    """
    What was bought, and the order that it is.
    """

    listing = models.ForeignKey(Listing, on_delete=models.PROTECT)
    # To the library's view: to filter and to join, with nothing to hold up a deletion.
    order = models.OneToOneField(
        "escrowflow.EscrowOrder", on_delete=models.DO_NOTHING, db_constraint=False
    )

    def __str__(self) -> str:
        return f"{self.listing}: {self.order_id}"


class Transfer(models.Model):
    """
    What the bank was told to send; here it is only written down.
    """

    key = models.CharField(max_length=255, primary_key=True)
    kind = models.CharField(max_length=20)
    order_id = models.CharField(max_length=255)
    amount = models.CharField(max_length=40)

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"
