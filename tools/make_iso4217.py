"""
Write `src/escrowflow/_iso4217.py` from the list of the `iso4217` package.

    pip install iso4217 && python tools/make_iso4217.py

- Codes without minor units (XAU, XXX and the like) are left out: nobody can be
  charged in them.
- A code that left the official list stays in the table, or the orders that were
  placed in it could no longer be read.
- A code whose exponent changed stops the script: amounts already stored in its
  minor units would silently become others.
"""

from __future__ import annotations

import re
from pathlib import Path

import iso4217

TARGET = Path(__file__).parents[1] / "src" / "escrowflow" / "_iso4217.py"

PAGE = '''\
"""
The currencies of ISO 4217, each with the number of its decimals.

Made by `tools/make_iso4217.py` from iso4217 {version}, the list published on
{published}.  Do not edit: run the script again.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EXPONENTS"]

# fmt: off
EXPONENTS: Final[dict[str, int]] = {{
{rows}
}}
# fmt: on
'''


def listed() -> dict[str, int]:
    """
    Return what the installed `iso4217` knows: code to exponent.
    """
    return {
        currency.code: currency.exponent
        for currency in iso4217.Currency
        if currency.exponent is not None
    }


def kept(page: str) -> dict[str, int]:
    """
    Return what an earlier run wrote: code to exponent; empty for an empty page.
    """
    return {code: int(n) for code, n in re.findall(r'"([A-Z]{3})": (\d)', page)}


def merged(earlier: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    """
    Return both tables as one; stops if they contradict each other.
    """
    changed = sorted(
        code for code in earlier.keys() & now if earlier[code] != now[code]
    )
    if changed:
        raise SystemExit(f"the exponent changed, decide by hand: {', '.join(changed)}")
    return earlier | now


def render(table: dict[str, int]) -> str:
    """
    Return the module as text, sorted by code.
    """
    cells = [f'"{code}": {exponent},' for code, exponent in sorted(table.items())]
    return PAGE.format(
        version=iso4217.__version__,
        published=iso4217.__published__,
        rows="\n".join(
            "    " + " ".join(cells[i : i + 8]) for i in range(0, len(cells), 8)
        ),
    )


if __name__ == "__main__":
    earlier = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    TARGET.write_text(render(merged(kept(earlier), listed())), encoding="utf-8")
