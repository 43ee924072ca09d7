"""
Many small cases of one test: each is tried, and the failure names all that are broken.

A case of pytest's own costs a millisecond; here there are thousands of cases of a few
microseconds each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

__all__ = ["hold"]


def hold(check: Callable[..., object], cells: Iterable[tuple[Any, ...]]) -> int:
    """
    Make a check of every cell; return how many there were.

    Args:
        cells: What the check is given, for each of them.

    Raises:
        BaseExceptionGroup: If it does not hold in some: what was raised in each of
            them, with the cell.
    """
    broken: list[BaseException] = []
    names: list[str] = []
    count = 0
    for cell in cells:
        count += 1
        try:
            check(*cell)
        except (Exception, pytest.fail.Exception) as error:
            name = "-".join(str(getattr(part, "text", part)) for part in cell)
            error.add_note(f"in the cell {name}")
            broken.append(error)
            names.append(name)
    if broken:
        said = f"{len(broken)} of {count} cells: {', '.join(names)}"
        raise BaseExceptionGroup(said, broken)
    return count
