"""
Somebody in front of the marketplace's pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Locator, Page

__all__ = ["Visitor"]

_AXE: Final = Axe()


@final
class Visitor:
    """
    A page of a browser, and what somebody does with it.

    Attributes:
        page: The page.

        complaints: What the browser complained of: a script, a style, a file that is
            not there.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, said: ConsoleMessage) -> None:
        # A refusal is an answer with a status of its own, and no fault.
        if said.type in ("error", "warning") and " 409 " not in said.text:
            self.complaints.append(said.text)

    def sign_in(self, name: str) -> None:
        """
        Sign in as somebody.
        """
        self.page.goto("/sign-in")
        self.page.get_by_role("button", name=name).click()

    def order(self, title: str, number: int = 0) -> str:
        """
        Open one of the orders on the list; return its path.
        """
        self.page.locator(".orders").get_by_role("link", name=title).nth(number).click()
        return self.page.url

    def act(self, label: str, **fields: str) -> None:
        """
        Open the form of a command, fill it in by the labels of its fields, and send it.
        """
        form = self.form(label)
        for name, value in fields.items():
            form.get_by_label(name.replace("_", " ")).fill(value)
        form.get_by_role("button", name=label).click()

    def form(self, label: str) -> Locator:
        """
        Open the form of a command.
        """
        form = self.page.locator("details.act").filter(
            has=self.page.locator("summary").get_by_text(label, exact=True)
        )
        form.locator("summary").click()
        return form

    def expect_text(self, text: str) -> None:
        """
        See something on the page.
        """
        expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible()

    def expect_state(self, name: str) -> None:
        """
        See in which state the order is.
        """
        expect(self.page.locator(".head .pill").first).to_have_text(name)

    def expect_money(self, **parts: str) -> None:
        """
        See whose money it is: `held="0.00 EUR"`.
        """
        section = self.page.get_by_role("region", name="The money")
        for part, amount in parts.items():
            row = section.locator(".sums div").filter(has_text=part.capitalize())
            expect(row.locator("dd")).to_have_text(amount)

    def check(self) -> None:
        """
        See that nobody is kept from using this page, and that the browser is content.
        """
        found = _AXE.run(self.page)
        assert found.violations_count == 0, found.generate_report()
        assert self.complaints == []
