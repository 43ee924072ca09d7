"""
Why a command may not be: what is in the way, and what clears it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

import attrs
from pendulum import DateTime

from .inputs import FrozenDict
from .parties import Role

__all__ = ["Blocker", "Way"]


@final
@attrs.frozen(kw_only=True)
class Way:
    """
    A way out of a blocker: a command, and who can send it.

    Attributes:
        command: The name of the command.

        by: The roles that can send it.
    """

    command: str
    by: Role


_NOTHING: Final[Mapping[str, Any]] = FrozenDict()


def _params(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return FrozenDict(value) if value else _NOTHING


@final
@attrs.frozen(kw_only=True)
class Blocker:
    """
    One reason why a command is not possible now.

    Attributes:
        code: What is in the way; stable, listed in the reference.

        params: The parts of the sentence, by name.

        unblocked_by: The commands that clear it in one step; empty if it takes
            more than one, or if nothing does.

        unblocked_at: The instant from which it no longer stands, if there is one.
    """

    code: str
    params: Mapping[str, Any] = attrs.field(default=FrozenDict(), converter=_params)
    unblocked_by: tuple[Way, ...] = ()
    unblocked_at: DateTime | None = None

    def message(self, locale: str = "en", zone: str = "UTC") -> str:
        """
        Return the reason as a sentence.

        Args:
            locale: The language; English where it is unknown.

            zone: Whose wall clock: a name of the IANA database.

        Raises:
            InvalidInputError: If the zone is unknown.
        """
        # Sentences are only needed when somebody reads one.
        from .words import blocker_text

        return blocker_text(self.code, self.params, locale, zone)
