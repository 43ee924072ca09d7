"""
The shop's rows in the admin; orders are there already.
"""

from __future__ import annotations

from django.contrib import admin

from .models import Listing, Sale, Transfer

__all__ = ["SaleAdmin"]

admin.site.register([Listing, Transfer])


@admin.register(Sale)
class SaleAdmin(admin.ModelAdmin):
    """
    Sales, with the state of their orders: one query.
    """

    list_display = ("listing", "order_id", "state")
    list_select_related = ("listing", "order")

    @admin.display(ordering="order__state")
    def state(self, sale: Sale) -> str:
        """
        Tell what was last recorded.
        """
        return str(sale.order.state)
