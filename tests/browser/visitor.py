"""
Somebody in front of the marketplace's pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Locator, Page

__all__ = ["Visitor"]

_AXE: Final = Axe()

# What somebody reads of a control, as one line.
_NAMES: Final = """
one => [one, ...one.labels ?? []].map(
    text => (text.innerText ?? "").replace(/\\s+/g, " ").trim()
)"""

# Forms close each other: to look at all of them, they must not.
_UNFOLD: Final = """
for (const one of document.querySelectorAll("details")) {
    one.removeAttribute("name");
    one.open = true;
}"""


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
        # A refusal has a status of its own, and so has a page that is not there.
        expected = any(f" {status} " in said.text for status in (404, 409, 422))
        if said.type in ("error", "warning") and not expected:
            self.complaints.append(said.text)

    def sign_in(self, name: str) -> None:
        """
        Sign in as somebody.
        """
        self.page.goto("/sign-in")
        self.page.get_by_role("button", name=name).click()
        expect(self.page.locator(".me")).to_contain_text(name)

    def order(self, title: str, state: str = "") -> str:
        """
        Open the newest order of a service that is in a state; return its address.
        """
        self.page.reload()
        rows = self.page.locator(".orders li").filter(has_text=state)
        rows.get_by_role("link", name=title).first.click()
        expect(self.page.locator("h1")).to_have_text(title)
        return self.page.url

    def act(self, label: str, fields: Mapping[str, str] | None = None) -> None:
        """
        Open the form of a command, fill it in by the labels of its fields, and send it.
        """
        form = self.open(label)
        for name, value in (fields or {}).items():
            field = form.get_by_label(name)
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            elif field.get_attribute("type") == "radio":
                field.check()
            else:
                field.fill(value)
        form.get_by_role("button", name=label).click()

    def open(self, label: str) -> Locator:
        """
        Open the form of a command.
        """
        form = self.page.locator("details.act").filter(
            has=self.page.locator("summary").get_by_text(label, exact=True)
        )
        form.locator("summary").click()
        return form

    def jump(self, label: str) -> None:
        """
        Let time pass to the end of one of the order's waits.
        """
        wait = self.page.locator(".coming li").filter(has_text=label)
        wait.get_by_role("button").click()

    def tab_to(self, name: str) -> None:
        """
        Press the tab key until something of this name has the focus.
        """
        for _ in range(80):
            self.page.keyboard.press("Tab")
            focused = self.page.locator(":focus")
            if focused.count() and name in focused.evaluate(_NAMES):
                return
        raise AssertionError(f"the tab key does not lead to {name!r}")

    # --- what is there ----------------------------------------------------------

    def expect_text(self, text: str) -> None:
        """
        See something on the page.
        """
        expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible()

    def expect_state(self, *names: str) -> None:
        """
        See in which state the order is, and whether it is late.
        """
        expect(self.page.locator(".head .pill")).to_have_text(list(names))

    def expect_money(self, **parts: str) -> None:
        """
        See whose money it is: `held="0.00 EUR"`.
        """
        for part, amount in parts.items():
            row = self.page.locator(".side .sums div").filter(
                has=self.page.locator(f".dot.{part}")
            )
            expect(row.locator("dd")).to_have_text(amount)

    def check(self) -> None:
        """
        See that nobody is kept from using this page, whatever is unfolded on it, that it
        fits on the screen, and that the browser is content.
        """
        self.page.evaluate(_UNFOLD)
        found = _AXE.run(self.page)
        assert found.violations_count == 0, found.generate_report()
        too_wide = "document.documentElement.scrollWidth > innerWidth"
        assert not self.page.evaluate(too_wide)
        assert self.complaints == []
