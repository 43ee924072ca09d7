"""
`manage.py fill_shop`: somebody to be, and something to buy.
"""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from ...models import Listing

__all__ = ["Command"]


class Command(BaseCommand):
    """
    People whose passwords are their names: for your own machine only.
    """

    help = "Make ana, who buys, luc, who sells, and sam, who sees the admin."

    def handle(self, *_: object, **__: object) -> None:
        """
        Make what is not there yet.
        """
        users = get_user_model().objects
        for name in ("ana", "luc", "sam"):
            if not users.filter(username=name).exists():
                make = users.create_superuser if name == "sam" else users.create_user
                make(username=name, password=name)
        luc = users.get(username="luc")
        for title, price in (("A logo", 100_00), ("A business card", 40_00)):
            Listing.objects.get_or_create(
                seller=luc, title=title, defaults={"price_minor": price}
            )
        self.stdout.write("ana, luc and sam can sign in; the password is the name")
