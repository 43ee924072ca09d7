"""
A shop in a database of its own, for each test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.recipes.shops import Shop

if TYPE_CHECKING:
    from tests.pg import Server


@pytest.fixture
def shop(postgres: Server, tmp_path: Path) -> Iterator[Shop]:
    """
    A shop with twenty orders that everybody forgot.
    """
    url = postgres.url_of(postgres.database())
    with closing(Shop(url, tmp_path)) as shop:
        shop.open(20)
        yield shop
