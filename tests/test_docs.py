"""
Every Python block of README and docs runs, top to bottom, page by page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")

each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)


@each_page
def test_its_code_runs(page: Path) -> None:
    """
    The blocks of one page share one namespace, as they do in the reader's head.
    """
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {}

    for block in BLOCK.finditer(text):
        # Blank lines up to the block keep line numbers in tracebacks true.
        padding = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(padding + block[1], str(page), "exec"), namespace)


@each_page
def test_its_links_lead_somewhere(page: Path) -> None:
    """
    A link to another page of the project names a file that is there.
    """
    text = page.read_text(encoding="utf-8")

    dead = [link for link in LINK.findall(text) if not (page.parent / link).exists()]

    assert dead == []
