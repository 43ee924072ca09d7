"""
Orders as a model: to read and to join, never to write.

It lies on `escrowflow_orders`, the view that the library publishes for its hosts.  It
shows what was last recorded: a deadline that has passed shows once it is settled.  The
engine settles before it answers; ask it for what an order is now, and what it can do.
"""

from __future__ import annotations

from typing import Any, NoReturn, Self, final

from django.db import models
from django.db.models.expressions import RawSQL
from pendulum import DateTime

from ...clock import as_utc, from_micros, to_micros
from ...errors import InvalidInputError
from ...money import Money
from .conf import database

__all__ = ["EscrowOrder", "FlagField", "InstantField", "Orders"]


def _read_only() -> NoReturn:
    raise InvalidInputError(
        "EscrowOrder",
        "orders are only read here: send a command with "
        "escrowflow.contrib.django.engine(), and it is written with its history",
    )


# --- columns ----------------------------------------------------------------------


@final
class FlagField(models.BooleanField):
    """
    A flag that is kept as 0 or 1.
    """

    def from_db_value(self, value: int | None, *_: object) -> bool | None:
        """
        Return it as Python has it.
        """
        return None if value is None else bool(value)

    def get_prep_value(self, value: object) -> int | None:
        """
        Return it as it is kept.
        """
        flag = super().get_prep_value(value)
        return None if flag is None else int(flag)


@final
class InstantField(models.Field):
    """
    An instant that is kept as whole microseconds since 1970, UTC.
    """

    def get_internal_type(self) -> str:
        """
        Return what the database takes it for.
        """
        return "BigIntegerField"

    def from_db_value(self, value: int | None, *_: object) -> DateTime | None:
        """
        Return it as Python has it, in UTC.
        """
        return None if value is None else from_micros(value)

    def get_prep_value(self, value: object) -> int | None:
        """
        Return it as it is kept.

        Raises:
            InvalidInputError: If it is no instant: also a `datetime` without a zone.
        """
        value = super().get_prep_value(value)
        return None if value is None else to_micros(as_utc(value, self.name))


# --- the model --------------------------------------------------------------------


class Orders(models.QuerySet):
    """
    Orders that are found by what the view shows of them.
    """

    def of(self, person_id: str) -> Self:
        """
        Return the orders in which somebody has a part, whichever it is.
        """
        # By the index of people; the view would be read whole.
        theirs = RawSQL(
            "SELECT order_id FROM escrowflow_party WHERE id = %s", [person_id]
        )
        found: Self = self.filter(order_id__in=theirs)
        return found

    def bulk_create(self, *_: object, **__: object) -> NoReturn:
        """
        Refuse: orders are only read here.
        """
        _read_only()

    def bulk_update(self, *_: object, **__: object) -> NoReturn:
        """
        Refuse: orders are only read here.
        """
        _read_only()

    def update(self, **_: object) -> NoReturn:
        """
        Refuse: orders are only read here.
        """
        _read_only()

    def delete(self) -> NoReturn:
        """
        Refuse: orders are only read here.
        """
        _read_only()


class _Manager(models.Manager.from_queryset(Orders)):  # type: ignore[misc]
    """
    Asks the database in which orders are kept, whatever the routers say.
    """

    def get_queryset(self) -> Orders:
        found: Orders = super().get_queryset()
        return found if self._db else found.using(database())


@final
class EscrowOrder(models.Model):
    """
    What was last recorded of an order.

    Point at it from a model of yours, in the same database:

        order = models.OneToOneField(
            "escrowflow.EscrowOrder", on_delete=models.DO_NOTHING, db_constraint=False
        )

    Attributes:
        process: The name of the process it was placed under.

        due_at: When something happens by itself next; `None` if nothing does.

        version: How many events it has.
    """

    order_id = models.CharField("order", max_length=255, primary_key=True)
    process = models.TextField()
    state = models.TextField()
    late = FlagField()
    buyer_id = models.TextField("buyer", null=True)
    seller_id = models.TextField("seller", null=True)
    mediator_id = models.TextField("mediator", null=True)
    price_minor = models.BigIntegerField()
    currency = models.TextField()
    due_at = InstantField("due", null=True)
    version = models.BigIntegerField()

    objects = _Manager()

    class Meta:
        app_label = "escrowflow"
        managed = False
        db_table = "escrowflow_orders"
        default_permissions = ("view",)
        verbose_name = "order"

    def __str__(self) -> str:
        return str(self.order_id)

    @property
    def price(self) -> Money:
        """
        What was agreed on.
        """
        return Money(self.price_minor, self.currency)

    def save(self, *_: Any, **__: Any) -> NoReturn:
        """
        Refuse: orders are only read here.
        """
        _read_only()

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        """
        Refuse: orders are only read here.
        """
        _read_only()
