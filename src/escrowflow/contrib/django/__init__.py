"""
Orders in Django: an app that you install.

    INSTALLED_APPS += ["escrowflow.contrib.django"]
    ESCROWFLOW = {"PROCESS": "shop.rules.process", "HANDLERS": "shop.work.HANDLERS"}

It brings the tables as migrations, `engine()` on Django's own connections, orders as a
model to read and to join, pages in the admin, the command `escrow_worker`, and checks.

- Whatever is written is written through `django.db.connections[alias]`: it is in your
  `atomic()`, in your test's transaction, and in the database of your test runner.
- What claims work, and so must be seen by others at once, has a transaction of its own.
"""

from __future__ import annotations

from ...errors import MissingExtraError

try:
    import django.db  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError("django", "django") from error

from .conf import Configured, configured, engine, handlers
from .storage import DjangoStorage

__all__ = ["Configured", "DjangoStorage", "configured", "engine", "handlers"]
