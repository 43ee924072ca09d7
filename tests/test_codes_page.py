"""
The reference of codes is what the library says: `python tests/test_codes_page.py`
writes it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from escrowflow.words import (
    blocker_text,
    difference_text,
    parts,
)
from escrowflow.words.blockers import BLOCKERS
from escrowflow.words.differences import DIFFERENCES

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "codes.md"

HEAD = """# Codes

## Of refusals

What `Blocker.code` can be, and `WalletRefusedError.code`: stable, for a program to switch
on.  The sentence is what `message(locale)` says where none of its parts is known; the
parts come in `params`.

| code | parts | English | French |
| --- | --- | --- | --- |
"""

DIFFERENCES_HEAD = """
## Of differences

What `payments.Difference.code` can be, see
[how to reconcile](../how-to/reconcile.md).  The sentence is what
`Difference.message(locale)` says where none of its parts is known; the parts come in
`Difference.params`.

| code | parts | English | French |
| --- | --- | --- | --- |
"""


def rows(codes: Mapping[str, Sequence[Any]], told: Callable[..., str]) -> Iterator[str]:
    """
    Yield a row a code, in the order of the alphabet.
    """
    for code, sentences in sorted(codes.items()):
        names = sorted({name for sentence in sentences for name in parts(sentence)})
        shown = ", ".join(f"`{name}`" for name in names)
        english, french = (told(code, {}, locale) for locale in ("en", "fr"))
        yield f"| `{code}` | {shown} | {english} | {french} |\n"


def page() -> str:
    """
    Return the page as it should be.
    """
    return "".join(
        (
            HEAD,
            *rows(BLOCKERS, blocker_text),
            DIFFERENCES_HEAD,
            *rows(DIFFERENCES, difference_text),
        )
    )


def test_it_is_fresh() -> None:
    """
    The page has every code, with the words it has now.
    """
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "the page is stale: run `python tests/test_codes_page.py`"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
