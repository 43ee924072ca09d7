"""
What every event is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from ..inputs import snake_case

__all__ = ["Event"]


@attrs.frozen(kw_only=True)
class Event:
    """
    Something happened; one of the classes below, or a host's own.

    A class of your own is decorated `@attrs.frozen(kw_only=True)`, is named in
    `extend(events=...)`, and changes the order by `fold_extra`.
    """

    name: ClassVar[str] = "event"

    # Whether the event divides everything that is held: at most one an order.
    settles: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = snake_case(cls.__name__)

    def fold_extra(self, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Return the host's own data (`order.extra`) after this event.

        Must be pure.  Only asked of events that are not the library's.
        """
        return extra
