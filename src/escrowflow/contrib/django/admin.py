"""
Orders in the admin: a list to search, and a page with state, money and story.

Everything is read, and nothing can be changed here: what an operator does is a command,
and goes into the history with a name on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.contrib import admin
from django.db.models import F, Q
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from ...clock import check_zone
from ...engine.answers import View
from ...errors import EscrowflowError, InvalidInputError
from ...timeline import as_html, instant_html
from ...words import deadline_text, state_text, story_text
from .conf import configured, engine
from .models import EscrowOrder, Orders

__all__ = ["EscrowOrderAdmin"]

_MONEY: Final = ("held", "refunded", "released", "kept")


def _locale() -> str:
    return (get_language() or "en").partition("-")[0]


def _zone() -> str:
    """
    Return the zone of whoever looks; UTC if it is one without a name.
    """
    try:
        return check_zone(get_current_timezone_name(), "zone")
    except InvalidInputError:
        return "UTC"


class _ByState(admin.SimpleListFilter):
    """
    By state, as the processes of this site know them: the table is not read for it.
    """

    title = "state"
    parameter_name = "state"

    def lookups(self, *_: object) -> list[tuple[str, str]]:
        processes = configured().processes
        states = dict.fromkeys(
            str(state) for process in processes for state in process.states
        )
        return [(state, state_text(state, _locale())) for state in states]

    def queryset(self, _: object, queryset: Orders) -> Orders:
        found: Orders = (
            queryset.filter(state=self.value()) if self.value() else queryset
        )
        return found


@admin.register(EscrowOrder)
class EscrowOrderAdmin(admin.ModelAdmin):
    """
    What an operator can see of orders.
    """

    list_display = (
        "order_id",
        "state_told",
        "late",
        "price_told",
        *("buyer_id", "seller_id", "due_at"),
    )
    list_filter = (_ByState, "late")
    search_fields = ("order_id",)
    search_help_text = "The id of an order, or of a person, in full"
    # Never read the whole table to say how much of it there is.
    show_full_result_count = False
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "order_id",
                    "state_now",
                    *("buyer_id", "seller_id", "mediator_id"),
                    "process",
                    "version",
                )
            },
        ),
        ("Money", {"fields": ("price_told", "money")}),
        ("What happens next", {"fields": ("next",)}),
        ("What happened", {"fields": ("story",)}),
        ("Effects", {"fields": ("effects",)}),
    )
    readonly_fields = ("state_now", "price_told", "money", "next", "story", "effects")

    # --- what is allowed ----------------------------------------------------------

    def has_add_permission(self, *_: object) -> bool:
        """
        Nobody adds an order here.
        """
        return False

    def has_change_permission(self, *_: object) -> bool:
        """
        Nobody changes an order here.
        """
        return False

    def has_delete_permission(self, *_: object) -> bool:
        """
        Nobody deletes an order.
        """
        return False

    # --- the list -----------------------------------------------------------------

    def get_ordering(self, _: object) -> tuple[Any, ...]:
        """
        Return what is due first, and then what waits for nothing.
        """
        return (F("due_at").asc(nulls_last=True), "order_id")

    def get_search_results(
        self, _: object, queryset: Orders, search_term: str
    ) -> tuple[Orders, bool]:
        """
        Return the order with this id, and the orders of the person with this id.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        theirs = EscrowOrder.objects.of(term).values("order_id")
        return queryset.filter(Q(order_id=term) | Q(order_id__in=theirs)), False

    @admin.display(description="state", ordering="state")
    def state_told(self, found: EscrowOrder) -> str:
        """
        Tell what was last recorded.
        """
        return state_text(found.state, _locale())

    @admin.display(description="price", ordering="price_minor")
    def price_told(self, found: EscrowOrder) -> str:
        """
        Tell what was agreed on.
        """
        return str(found.price)

    # --- one order ----------------------------------------------------------------

    @admin.display(description="state")
    def state_now(self, found: EscrowOrder) -> str:
        """
        Tell the state as the engine has it at this moment.
        """
        view = _view(found)
        if isinstance(view, str):
            return view
        late = f" ({story_text('late', _locale())})" if view.order.late else ""
        return f"{state_text(view.order.state, _locale())}{late}"

    @admin.display(description="books")
    def money(self, found: EscrowOrder) -> str:
        """
        Tell where the money is.
        """
        view = _view(found)
        if isinstance(view, str):
            return "-"
        ledger = view.order.ledger
        return _table((name, getattr(ledger, name)) for name in _MONEY)

    @admin.display(description="by itself")
    def next(self, found: EscrowOrder) -> str:
        """
        Tell what happens if nobody does anything.
        """
        view = _view(found)
        if isinstance(view, str):
            return "-"
        return _table(
            (
                deadline_text(wait.name, _locale()),
                # Escaped by the one who made it.
                mark_safe(instant_html(wait.due_at, _locale(), _zone())),
            )
            for wait in view.order.deadlines
        )

    @admin.display(description="timeline")
    def story(self, found: EscrowOrder) -> str:
        """
        Tell its timeline.
        """
        view = _view(found)
        if isinstance(view, str):
            return "-"
        # Whatever people wrote is escaped in it.
        told: str = mark_safe(as_html(view.timeline, locale=_locale(), zone=_zone()))
        return told

    @admin.display(description="refunds, payouts, messages")
    def effects(self, found: EscrowOrder) -> str:
        """
        Tell what was carried out, and what was not.
        """
        try:
            effects = engine().effects(found.order_id)
        except EscrowflowError as error:
            return str(error)
        return _table((one.effect.name, one.status, one.reason) for one in effects)


def _view(found: EscrowOrder) -> View | str:
    """
    Return one reading of an order for a whole page, or why it cannot be read.
    """
    if not hasattr(found, "_view"):
        try:
            found._view = engine().view(found.order_id)
        except EscrowflowError as error:
            found._view = f"it cannot be read: {error}"
    view: View | str = found._view
    return view


def _table(rows: Iterator[tuple[object, ...]]) -> str:
    """
    Return rows as a table, escaped; a dash if there are none.
    """
    lines = [
        (format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),)
        for row in rows
    ]
    if not lines:
        return "-"
    table: str = format_html(
        "<table>{}</table>", format_html_join("", "<tr>{}</tr>", lines)
    )
    return table
