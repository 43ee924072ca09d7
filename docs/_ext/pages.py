"""
What the pages need beside MyST: a table of contents that is made of the links on an
index, pictures in place of Mermaid, and the reference of the library's names.
"""

from __future__ import annotations

import ast
import inspect
import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import attrs
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata, stringify_annotation

# A page of this site; what lies outside of it is no part of its contents.
LINK = re.compile(r"\]\((?!https?:|\.\.)([^)#]+)\.md\)")
OUTSIDE = re.compile(
    r"\]\(((?:\.\./)+(?:(?:src|examples|benchmarks|tests|tools)/[^)#]+|[A-Z]+\.md))[^)]*\)"
)


PICTURES = Path(__file__).parent.parent / "pictures"


def with_contents(app: Sphinx, docname: str, text: list[str]) -> None:
    """
    Give an index the table of contents that its links say: nothing is listed twice.
    """
    text[0] = OUTSIDE.sub(r"](path:\1)", text[0])
    if docname.rpartition("/")[2] == "index":
        # An index of a section is a chapter of the whole, not another one of its own.
        links = dict.fromkeys(LINK.findall(text[0]))
        if docname == "index":
            links = {link: None for link in links if link.endswith("index")}
        contents = "\n".join(["```{toctree}", ":hidden:", "", *links, "```"])
        text[0] += f"\n{contents}\n"


class Mermaid(SphinxDirective):
    """
    A picture of a process: what the page's text says, drawn beforehand.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        (name,) = re.findall(r"accTitle: (\w+)", "\n".join(self.content))
        (states,) = re.findall(r"accDescr: (.+)", "\n".join(self.content))
        image = f"![{name}: {states}](../pictures/{name}.svg)"
        link = f"[Open the picture by itself](../pictures/{name}.svg)"
        frame = nodes.container(classes=["picture"])
        frame += self.parse_text_to_nodes(image)
        # Graphviz measures in points; at three quarters of a pixel each it can be read.
        points = re.search(
            r'width="(\d+)pt"', (PICTURES / f"{name}.svg").read_text("utf-8")
        )
        (picture,) = frame.findall(nodes.image)
        picture["width"] = f"{int(points[1]) * 3 // 4}px" if points else ""
        return [frame, *self.parse_text_to_nodes(link)]


class Names(SphinxDirective):
    """
    The reference of some names, one a line, in the order given.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        lines = ["```{eval-rst}"]
        for name in self.content:
            lines += self.of(name.strip())
        lines += ["```"]
        source, line = self.get_source_info()
        listed = StringList(
            lines, source=source or "", items=[(source, line)] * len(lines)
        )
        holder = nodes.container()
        self.state.nested_parse(listed, self.content_offset, holder)
        return holder.children

    def of(self, name: str) -> list[str]:
        module, _, last = name.rpartition(".")
        found = getattr(import_module(module), last)
        if inspect.isclass(found):
            kind = "exception" if issubclass(found, BaseException) else "class"
        else:
            kind = (
                "function" if callable(found) and inspect.isroutine(found) else "data"
            )
        said = [f".. auto{kind}:: {name}"]
        if kind == "data":
            said += ["   :no-value:"]
        elif kind != "function":
            said += ["   :members:"]
        return [*said, ""]


# --- docstrings -----------------------------------------------------------------------

SECTION = re.compile(
    r"(Args|Attributes|Returns|Raises|Yields|Implements|Source|Added in):"
)
SAID_AT_ONCE = re.compile(r"(Implements|Source|Added in): (\S.*)")
# Of two words before a colon the first would be taken for a type.
SEVERAL = re.compile(r"    \w+(, \w+)+:")
CODE_WORD = re.compile(r"(?<!`)`([^`]+)`(?!`)(\w?)")


def prepared(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """
    Turn what our docstrings write as Markdown into what Sphinx reads.
    """
    if what == "data":
        # Otherwise a tuple would be explained as Python explains tuples.
        lines[:] = comment_on(name)
    found: list[str] = []
    inside = table = False
    before = ""
    for line in lines:
        if line.startswith("|"):
            found += [] if before.startswith("|") else ["::", ""]
            found.append(f"    {line}")
            before = line
            continue
        if line and not line[0].isspace():
            inside = SECTION.match(line) is not None
            table = False
            if (said := SAID_AT_ONCE.match(line)) is not None:
                line = f"**{said[1]}:** {said[2]}"
            if line.startswith("- ") and before and not before.startswith(("- ", " ")):
                found.append("")
        elif not (inside or table or before or not line or listed(found)):
            # An indented block by itself is a table, or lines as they are.
            found += ["::", ""]
            table = True
        if inside and SEVERAL.match(line):
            names, _, rest = line.partition(":")
            line = f"{names.replace(', ', ',')}:{rest}"
        found.append(line)
        before = line
    lines[:] = CODE_WORD.sub(as_code, "\n".join(found)).split("\n")
    if what in ("data", "attribute", "property"):
        # Napoleon takes what stands before the first colon there for a type.
        read = GoogleDocstring(lines, app.config, app, "function", name, obj, options)
        lines[:] = ["", f".. {name}", "", *read.lines()]


def listed(lines: list[str]) -> bool:
    """
    Whether what comes next may belong to an item of a list.
    """
    return any(line.startswith("- ") for line in lines[-8:])


def as_code(word: re.Match[str]) -> str:
    """
    Return a word in backticks as reStructuredText has it, letters behind it too.
    """
    return f"``{' '.join(word[1].split())}``" + (f"\\ {word[2]}" if word[2] else "")


def comment_on(name: str) -> list[str]:
    """
    Return the comment above the line that gives a name its value.
    """
    module, _, last = name.rpartition(".")
    lines = inspect.getsource(home_of(import_module(module), last)).splitlines()
    (at, *_) = (
        number
        for number, line in enumerate(lines)
        if re.match(rf"{last}(: [^=]+)? = ", line)
    )
    above: list[str] = []
    while lines[at - 1].startswith("# ") and not lines[at - 1].startswith("# --"):
        at -= 1
        above.insert(0, lines[at].removeprefix("# "))
    return above


def home_of(module: ModuleType, name: str) -> ModuleType:
    """
    Return the module in which a name gets its value, and not only comes along.
    """
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and name in {
            one.name for one in node.names
        }:
            package = (
                module.__name__ if hasattr(module, "__path__") else module.__package__
            )
            found = import_module("." * node.level + (node.module or ""), package)
            return home_of(found, name)
    return module


def signed(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """
    Write a class of values as its fields say it, with its defaults.
    """
    if what not in ("class", "exception") or not attrs.has(obj):
        return None
    try:
        hints = get_type_hints(obj)
    except NameError:
        # A type that only a checker imports: its name will do.
        hints = {}
    fields = [field for field in attrs.fields(obj) if field.init]
    positional = [field for field in fields if not field.kw_only]
    named = [field for field in fields if field.kw_only]
    said = [parameter(field, hints) for field in positional]
    if named:
        said += ["*", *(parameter(field, hints) for field in named)]
    return f"({', '.join(said)})", returns


def parameter(field: Any, hints: dict[str, Any]) -> str:
    """
    Return a field as a parameter.
    """
    kind = hints.get(field.name, field.type)
    text = kind if isinstance(kind, str) else stringify_annotation(kind, "smart")
    said = f"{field.alias}: {text}"
    if field.default is attrs.NOTHING:
        return said
    made = field.default
    if isinstance(made, attrs.Factory):  # type: ignore[arg-type]
        if made.takes_self:
            return f"{said} = ..."
        if inspect.isclass(made.factory):
            return f"{said} = {made.factory.__name__}()"
        made = made.factory()
    return f"{said} = {value_text(made)}"


def value_text(value: Any) -> str:
    """
    Return a default as it would be written.
    """
    if isinstance(value, timedelta):
        for unit in ("days", "hours", "minutes", "seconds"):
            count, rest = divmod(value, timedelta(**{unit: 1}))
            if count and not rest:
                return f"timedelta({unit}={count})"
    if inspect.isroutine(value):
        return f"{value.__module__}.{value.__name__}"
    if isinstance(value, tuple):
        return f"({', '.join(map(value_text, value))}{',' * (len(value) == 1)})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(repr(one) for one in sorted(value))}}}" if value else "()"
    return repr(value)


def skipped(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """
    Leave out what the class already says of its attributes.
    """
    if what in ("class", "exception") and (
        inspect.ismemberdescriptor(obj) or type(obj).__name__ == "_Nothing"
    ):
        return True
    return None


def setup(app: Sphinx) -> ExtensionMetadata:
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            # What a value has are its fields; nothing about them varies.
            field.label = "Fields"
    app.connect("source-read", with_contents)
    app.connect("autodoc-process-docstring", prepared, priority=100)
    app.connect("autodoc-process-signature", signed)
    app.connect("autodoc-skip-member", skipped)
    app.add_directive("mermaid", Mermaid)
    app.add_directive("names", Names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
