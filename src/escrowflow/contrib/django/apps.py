"""
The app, as Django installs it.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

__all__ = ["EscrowflowConfig"]


class EscrowflowConfig(AppConfig):
    """
    Orders whose money is held, beside your models.
    """

    name = "escrowflow.contrib.django"
    label = "escrowflow"
    verbose_name = gettext_lazy("Orders")

    def ready(self) -> None:
        """
        Register the checks.
        """
        from . import checks  # noqa: F401
