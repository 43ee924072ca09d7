"""
People walk through the marketplace, each in a browser of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.browser.visitor import Visitor

    Visit = Callable[..., Visitor]


class TestOrders:
    """
    Whole lives of orders.
    """

    def test_purchase_to_release(self, visit: Visit) -> None:
        """
        Paid, accepted, delivered and approved: the seller has the money, and the
        platform its fees.
        """
        ana, luc = visit("Ana Morel"), visit("Luc Fabre")
        ana.page.goto("/services/1")
        ana.page.get_by_label("Your brief").fill("A fox, in blue")
        ana.page.get_by_role("button", name="Pay 126.00 EUR").click()
        ana.expect_state("Pending")
        ana.expect_money(held="126.00 EUR", released="0.00 EUR")

        luc.page.goto("/orders")
        order = luc.order("A logo in two colours")
        assert order == ana.page.url
        luc.expect_text("A fox, in blue")
        luc.act("Accept the order")
        luc.expect_state("In progress")
        luc.act("Deliver the order", Files="fox.svg", Note="It looks left")
        luc.expect_state("Delivered")

        ana.page.reload()
        ana.act("Approve the delivery")
        ana.expect_state("Completed")
        ana.expect_money(held="0.00 EUR", released="108.00 EUR", kept="18.00 EUR")
