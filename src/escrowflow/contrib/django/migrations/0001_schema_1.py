"""
The tables of orders, as the library makes them, and the model on their view.
"""

from __future__ import annotations

from django.db import migrations, models

from escrowflow.contrib.django.models import FlagField, InstantField
from escrowflow.contrib.django.schema import MakeSchema

__all__ = ["Migration"]


class Migration(migrations.Migration):
    """
    Version 1 of the schema.
    """

    initial = True
    dependencies = ()
    operations = (
        MakeSchema(1),
        migrations.CreateModel(
            name="EscrowOrder",
            fields=[
                (
                    "order_id",
                    models.CharField(
                        max_length=255,
                        primary_key=True,
                        serialize=False,
                        verbose_name="order",
                    ),
                ),
                ("process", models.TextField()),
                ("state", models.TextField()),
                ("late", FlagField()),
                ("buyer_id", models.TextField(null=True, verbose_name="buyer")),
                ("seller_id", models.TextField(null=True, verbose_name="seller")),
                ("mediator_id", models.TextField(null=True, verbose_name="mediator")),
                ("price_minor", models.BigIntegerField()),
                ("currency", models.TextField()),
                ("due_at", InstantField(null=True, verbose_name="due")),
                ("version", models.BigIntegerField()),
            ],
            options={
                "verbose_name": "order",
                "db_table": "escrowflow_orders",
                "managed": False,
                "default_permissions": ("view",),
            },
        ),
    )
