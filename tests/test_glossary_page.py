"""
The glossary is what the library says: `python tests/test_glossary_page.py` writes it
anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from escrowflow.words import (
    cause_text,
    choice_text,
    command_text,
    deadline_text,
    event_text,
    field_text,
    figure_text,
    role_text,
    state_text,
)
from escrowflow.words.names import (
    CAUSES,
    CHOICES,
    COMMANDS,
    DEADLINES,
    EVENTS,
    FIELDS,
    FIGURES,
    ROLES,
    STATES,
)

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "glossary.md"

HEAD = """# Glossary

Every name of the library, and what people read for it in English and French.  The French
words are those of the help pages where these have one: a *revision* is a *retouche*, a
*dispute* a *litige*, a *claim* a *réclamation*.

Another language is another catalogue: `tools/make_catalogue.py` says how to begin one.
"""

TABLES: tuple[tuple[str, Mapping[str, str], Callable[[str, str], str]], ...] = (
    ("Roles", ROLES, role_text),
    ("States", STATES, state_text),
    ("Commands", COMMANDS, command_text),
    ("Events", EVENTS, event_text),
    ("Deadlines", DEADLINES, deadline_text),
    ("Causes", CAUSES, cause_text),
    ("Figures", FIGURES, figure_text),
    ("Fields", FIELDS, field_text),
    ("Choices", CHOICES, choice_text),
)


def rows(names: Mapping[str, str], told: Callable[[str, str], str]) -> Iterator[str]:
    """
    Yield a row a name, in the order of an order's life.
    """
    for name in names:
        yield f"| `{name}` | {told(name, 'en')} | {told(name, 'fr')} |\n"


def page() -> str:
    """
    Return the page as it should be.
    """
    parts = [HEAD]
    for title, names, told in TABLES:
        parts.append(
            f"\n## {title}\n\n| name | English | French |\n| --- | --- | --- |\n"
        )
        parts += rows(names, told)
    return "".join(parts)


def test_it_is_fresh() -> None:
    """
    The page has every name, with the words it has now.
    """
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "the page is stale: run `python tests/test_glossary_page.py`"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
