"""
People walk through the marketplace, each in a browser of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.browser.visitor import Visitor

    Visit = Callable[..., Visitor]

PHONE: Final = {"width": 390, "height": 844}

# Every kind of page, and who reads it; `*` is the first order on the page before, and
# `case` its file.
PAGES: Final = (
    ("", "/", "/sign-in", "/services/1", "/people/luc", "/nothing"),
    ("Ana Morel", "/orders", "*", "/services/3", "/letters"),
    ("Luc Fabre", "/orders", "*"),
    ("Mia Rossi", "/desk", "*", "case"),
    ("Sam Okoro", "/staff", "*"),
)


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

        order = luc.order("A logo in two colours", "Pending")
        assert order == ana.page.url
        luc.expect_text("A fox, in blue")
        luc.act("Accept the order")
        luc.expect_state("In progress")
        luc.act("Deliver the order", {"Files": "fox.svg", "Note": "It looks left"})
        luc.expect_state("Delivered")

        ana.page.reload()
        ana.expect_text("It looks left")
        ana.act("Approve the delivery")
        ana.expect_state("Completed")
        ana.expect_money(held="0.00 EUR", released="108.00 EUR", kept="18.00 EUR")

    def test_cancellation_when_late(self, visit: Visit) -> None:
        """
        What the page says of a right that is still to come is true: once the order is
        late, the buyer cancels alone, and all of it goes back.
        """
        ana = visit("Ana Morel")
        ana.order("A business card, both sides", "In progress")
        why = ana.page.locator(".blocked").filter(has_text="Cancel the order")
        when = why.locator("time").inner_text()
        assert when == ana.page.locator(".coming time").nth(1).inner_text()

        ana.jump("Time to deliver")
        ana.expect_state("In progress", "late")
        ana.act("Cancel the order", {"Reason": "The party was yesterday"})

        ana.expect_state("Cancelled")
        ana.expect_money(held="0.00 EUR", refunded="47.25 EUR")
        ana.expect_text("The order was late and the buyer cancelled it")

    def test_a_dispute_to_a_split(self, visit: Visit) -> None:
        """
        A mediator takes a case from the desk, asks, reads the file, and divides.
        """
        ana, mia = visit("Ana Morel"), visit("Mia Rossi")
        ana.page.goto(mia.order("A logo in two colours"))
        mia.act("Assign a mediator")
        mia.act("Question both sides", {"Text": "Is it a loaf or a brick?"})

        ana.page.reload()
        ana.expect_text("Is it a loaf or a brick?")
        ana.act("Answer the mediator", {"Text": "A brick", "Files": "brick.jpg"})

        mia.page.get_by_role("link", name="Open the file").click()
        mia.expect_text("Nothing was changed")
        mia.expect_text("brick.jpg")
        mia.page.get_by_role("link", name="Back to the order").click()
        ruling = {"Divide": "", "To the buyer": "45,50", "Reason": "It is half a loaf"}
        mia.act("Rule on the dispute", ruling)

        mia.expect_state("Completed")
        mia.expect_money(held="0.00 EUR", refunded="45.50 EUR")
        ana.page.reload()
        ana.expect_text("It is half a loaf")

    def test_more_work(self, visit: Visit) -> None:
        """
        A custom offer, an option and a later date: amounts, lengths and instants are
        taken as they are written, and prices are the server's.
        """
        ana, luc = visit("Ana Morel"), visit("Luc Fabre")
        ana.page.goto(luc.order("A business card, both sides", "In progress"))
        offer = {"Title": "A fold", "Price": "12.50", "Delivery time": "2"}
        luc.act("Send a custom offer", offer)
        luc.act(
            "Ask for more time",
            {"New deadline": "2026-05-20T18:00", "Reason": "The fold takes longer"},
        )

        ana.page.reload()
        ana.act("Pay for the custom offer")
        option = {"Option": "A second language on the back, 10.00 EUR"}
        ana.act("Buy an option", option)
        ana.act("Grant more time")

        ana.expect_money(held="70.88 EUR")
        ana.expect_text("Wed 20 May 2026, 18:00 (+02:00)")


class TestPages:
    """
    How the pages are.
    """

    def test_what_changed_meanwhile(self, visit: Visit) -> None:
        """
        Whoever sends a form of a page that is out of date is shown the order as it is,
        with his words still there.
        """
        ana, luc = visit("Ana Morel"), visit("Luc Fabre")
        ana.page.goto(luc.order("A business card, both sides", "In progress"))
        luc.act("Deliver the order", {"Note": "Here it is"})

        ana.act("Request the cancellation", {"Reason": "It takes too long"})

        ana.expect_text("The order has changed since you looked at it")
        ana.expect_state("Delivered")

    def test_another_language(self, visit: Visit) -> None:
        """
        The browser's language is spoken until somebody chooses another; mails follow.
        """
        luc = visit("Luc Fabre", locale="fr-FR")
        luc.page.goto("/orders")
        luc.page.get_by_role("link", name="A business card").first.click()
        luc.expect_state("En cours de réalisation")
        luc.expect_text("Ce que vous pouvez faire")
        luc.act("Livrer la commande", {"Remarque": "La voici"})
        luc.expect_state("Livrée")
        luc.expect_text("47,25")

        luc.page.get_by_role("button", name="English").click()

        luc.expect_state("Delivered")
        luc.expect_text("What you can do")

    def test_with_the_keyboard_alone(self, visit: Visit) -> None:
        """
        Sign in, skip the menu, pay, open a form, send it: with no mouse.
        """
        ana = visit()
        press = ana.page.keyboard.press
        ana.page.goto("/sign-in")
        ana.tab_to("Ana Morel buyer")
        press("Enter")
        ana.page.wait_for_url("**/orders")
        ana.page.goto("/services/2")
        ana.tab_to("Skip to the content")
        press("Enter")
        ana.tab_to("Your brief (optional)")
        ana.page.keyboard.type("Cards for a baker")
        ana.tab_to("Pay 47.25 EUR")
        press("Enter")
        ana.expect_state("Pending")

        ana.tab_to("Cancel the order")
        press("Enter")
        ana.tab_to("Reason (optional)")
        ana.page.keyboard.type("Wrong button")
        ana.tab_to("Cancel the order")
        press("Enter")

        ana.expect_state("Cancelled")
        ana.expect_text("Wrong button")

    def test_without_a_script(self, visit: Visit) -> None:
        """
        All of it works without the script: countdowns stand still, and say how long.
        """
        ana = visit("Ana Morel", java_script_enabled=False)
        ana.order("A business card, both sides", "In progress")

        ana.expect_text("16 hours 48 minutes")
        ana.act("File a claim", {"Reason": "Nobody answers"})
        ana.expect_text("Nobody answers")

    def test_countdowns_tick(self, visit: Visit) -> None:
        """
        With the script they count down, second by second.
        """
        ana = visit()
        ana.page.clock.install()
        ana.sign_in("Ana Morel")
        ana.order("A business card, both sides", "In progress")
        left = ana.page.locator(".coming .left").first
        before = seconds(left.inner_text())

        ana.page.clock.run_for(60_000)

        assert before - seconds(left.inner_text()) == 60

    @pytest.mark.parametrize(
        "look",
        [
            {"locale": "en-GB"},
            {"locale": "fr-FR", "color_scheme": "dark", "viewport": PHONE},
        ],
        ids=["by day", "phone by night, in French"],
    )
    @pytest.mark.parametrize(
        ("name", "paths"), [(name, paths) for name, *paths in PAGES], ids=str
    )
    def test_nobody_is_kept_out(
        self, visit: Visit, name: str, paths: list[str], look: dict[str, object]
    ) -> None:
        """
        No page has an accessibility violation, or is wider than the screen.
        """
        visitor = visit(name, **look)
        for path in paths:
            if path == "*":
                visitor.page.locator(".orders a").first.click()
            elif path == "case":
                visitor.page.goto(f"{visitor.page.url}/case")
            else:
                visitor.page.goto(path)
            visitor.check()


def seconds(countdown: str) -> int:
    """
    Return what a countdown has left: `16:48:01`.
    """
    hours, minutes, rest = map(int, countdown.split(":"))
    return hours * 3600 + minutes * 60 + rest
