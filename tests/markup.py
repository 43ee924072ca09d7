"""
Reading HTML as strictly as a person who checks it: a helper, no tests.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import ClassVar, Final, final

__all__ = ["Reader", "read_html"]

# What may stand in what, of all that is used here; text and phrases may stand in all
# but lists.
_PHRASES: Final = frozenset({"time", "span", "strong", "bdi", "code", "br"})
_BLOCKS: Final = frozenset({"p", "blockquote", "ol", "ul", "dl"})
_INSIDE: Final = {
    "": frozenset({"ol", "article"}),
    "article": _BLOCKS | {"section", "h2"},
    "section": _BLOCKS | {"h3"},
    "ol": frozenset({"li"}),
    "ul": frozenset({"li"}),
    "li": _BLOCKS | _PHRASES,
    "dl": frozenset({"dt", "dd"}),
    "dd": _PHRASES,
    "p": _PHRASES,
    "blockquote": frozenset({"br"}),
    "span": frozenset({"bdi"}),
    "h2": frozenset({"bdi"}),
}
_NO_TEXT: Final = frozenset({"", "ol", "ul", "dl", "article", "section"})


@final
class Reader(HTMLParser):
    """
    What a piece of HTML says; it fails on what is not well nested or not expected.
    """

    ALLOWED: ClassVar[frozenset[str]] = frozenset(_INSIDE).union(*_INSIDE.values())

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """
        See `HTMLParser`.
        """
        within = self.open[-1] if self.open else ""
        assert tag in _INSIDE.get(within, ()), f"{tag} in {within}"
        assert len({name for name, _ in attrs}) == len(attrs)
        self.seen.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """
        See `HTMLParser`.
        """
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """
        See `HTMLParser`.
        """
        within = self.open[-1] if self.open else ""
        assert within not in _NO_TEXT or not data.strip(), f"{data!r} in {within}"
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        """
        See `HTMLParser`.
        """
        raise AssertionError(f"a comment: {data!r}")

    @property
    def text(self) -> str:
        """
        All that a person reads.
        """
        return "".join(self.words)

    @property
    def tags(self) -> set[str]:
        """
        The elements there are.
        """
        return {tag for tag, _ in self.seen}

    @property
    def names(self) -> set[str]:
        """
        The attributes there are.
        """
        return {name for _, attributes in self.seen for name in attributes}

    def count(self, tag: str) -> int:
        """
        Return how many elements of a kind there are.
        """
        return sum(one == tag for one, _ in self.seen)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """
        Return the attributes of each element of a kind, in their order.
        """
        return [attributes for one, attributes in self.seen if one == tag]


def read_html(markup: str) -> Reader:
    """
    Return what a fragment says; fail if it is not well nested to its end.
    """
    reader = Reader()
    reader.feed(markup)
    reader.close()
    assert reader.open == []
    return reader
