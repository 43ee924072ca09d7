"""
The process drawn, as text that Mermaid or Graphviz makes a picture of.

- Everything comes from the table that runs: states, rows, deadlines, endings.  What
  only other policies open is not drawn, and neither is a state that nothing leads to.
- A picture shows what moves an order.  What leaves it where it is has no arrow; the
  deadline of a state's own window then stands in the state.
- A move that is possible from many states is drawn once, from a list of them.
- The letter on an arrow says whose it is, and so does its colour.
- The same process gives the same text, to the byte.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import pairwise, product
from operator import or_
from typing import Any, Final, Literal, TypeAlias, final

import attrs

from .commands import Command
from .errors import InvalidInputError
from .events import Recorded
from .inputs import kind_of
from .parties import Role
from .states import BACK, STAY, DeadlineKind, Process
from .words import (
    command_text,
    deadline_text,
    diagram_text,
    event_text,
    instant_text,
    letter_text,
    role_text,
    state_text,
)

__all__ = ["FORMATS", "Format", "diagram"]

FORMATS: Final = ("mermaid", "dot")

# Told apart by most who see colours otherwise (after Okabe and Ito, 2008), and dark
# enough on white.
_COLOURS: Final[Mapping[Role, str]] = {
    Role.BUYER: "#0072B2",
    Role.SELLER: "#C04F00",
    Role.MEDIATOR: "#A0478A",
    Role.OPERATOR: "#7A5C00",
    Role.PROVIDER: "#00704F",
    Role.SYSTEM: "#595959",
}
_SEVERAL: Final = "#1A1A1A"
_FAINT: Final = "#C4C4C4"

# From so many states a move is drawn from a list of them.
_MANY: Final = 4

# Whoever is no party to an order is not who it usually goes on by.
_PARTIES: Final = Role.BUYER | Role.SELLER | Role.PROVIDER
_DETOUR: Final = 100

_START: Final = "start"
_BACK: Final = "back"

Format: TypeAlias = Literal["mermaid", "dot"]


def diagram(
    process: Process[Any],
    format: Format = "mermaid",
    *,
    locale: str = "en",
    path: Iterable[Recorded] | None = None,
) -> str:
    """
    Return the picture of a process, as text.

    Args:
        process: What is drawn, under its policies.

        format: `"mermaid"`, a flowchart, or `"dot"`, for Graphviz.

        locale: The language of its words, as for `command_text`.

        path: The history of an order: then its way is drawn, step by step, and
            the rest is faint.

    Returns:
        Lines, the last one ended.  The shortest way by which buyer and seller get
        to the first of the endings is drawn from the top to the bottom.

    Raises:
        InvalidInputError: If there is no such format, or the history is of another
            process.
    """
    if not isinstance(process, Process):
        raise InvalidInputError("process", f"a Process, not {kind_of(process)}")
    if format not in FORMATS:
        raise InvalidInputError("format", f"one of {', '.join(map(repr, FORMATS))}")
    picture = _drawn(process, locale)
    if path is not None:
        picture = _walked(process, picture, tuple(path), locale)
    lines = _mermaid(picture) if format == "mermaid" else _dot(picture)
    return "\n".join(lines) + "\n"


# --- what is drawn ----------------------------------------------------------------


@final
@attrs.frozen(kw_only=True)
class _Node:
    """
    A state, the start, or a list of states.

    Attributes:
        id: What arrows call it; a word of neither language.

        lines: What stands in it.

        kind: `"start"`, `"state"`, `"ending"` or `"list"`.

        thick: Whether it is on the usual way, or on a path.

        faint: Whether a path leaves it out.
    """

    id: str
    lines: tuple[str, ...] = ()
    kind: str = "state"
    thick: bool = False
    faint: bool = False


@final
@attrs.frozen(kw_only=True)
class _Arrow:
    """
    What leads from one node to another.

    Attributes: as those of `_Node`, and

        roles: Whose it is.
    """

    source: str
    to: str
    roles: Role
    lines: tuple[str, ...] = ()
    thick: bool = False
    faint: bool = False

    @property
    def dashed(self) -> bool:
        """
        Whether time brings it about.
        """
        return self.roles == Role.SYSTEM

    @property
    def colour(self) -> str:
        """
        Whose it is, as a colour.
        """
        return _FAINT if self.faint else _COLOURS.get(self.roles, _SEVERAL)


@final
@attrs.frozen(kw_only=True)
class _Sign:
    """
    What the legend explains: a colour, or a kind of line.

    Attributes:
        line: `"solid"`, `"dashed"`, or `"list"`.
    """

    words: str
    colour: str
    line: str = "solid"


@final
@attrs.frozen(kw_only=True)
class _Picture:
    """
    All of it, in the order in which it is written.

    Attributes:
        title: The name of the process.

        told: The way that is drawn thick, in words.

        last: The node at its end.

        legend: What the list of signs is called.

        signs: What it explains, in order.
    """

    title: str
    told: str
    last: str
    nodes: tuple[_Node, ...]
    arrows: tuple[_Arrow, ...]
    legend: str
    signs: tuple[_Sign, ...]


@final
@attrs.frozen(kw_only=True)
class _Move:
    """
    One step that one role may take from one state.

    Attributes:
        to: Where it leads; `None`: back to one of several states.
    """

    source: str
    to: str | None
    role: Role
    words: str


def _drawn(process: Process[Any], locale: str) -> _Picture:
    moves = _reached(process, tuple(_moves(process, locale)))
    usual = _usual(process, moves)
    ids = _ids(process)
    lists: dict[tuple[str, ...], str] = {}
    drawn = [
        _Arrow(
            source=_START,
            to=ids[str(process.initial)],
            roles=Role.BUYER,
            lines=(_signed(Role.BUYER, command_text("place_order", locale), locale),),
            thick=True,
        ),
        *_arrows(moves, usual, ids, lists, locale),
    ]
    # The usual way first: what is named first is drawn further up.
    drawn.sort(key=lambda arrow: not arrow.thick)
    reached = {arrow.to for arrow in drawn}
    nodes = [_Node(id=_START, kind="start", thick=True)]
    nodes += (
        _node(process, state, ids[state], locale, thick=state in usual)
        for state in dict.fromkeys((*usual, *process.members))
        if ids[state] in reached
    )
    nodes += (
        _Node(
            id=name,
            lines=tuple(state_text(state, locale) for state in states)
            or (diagram_text("back", locale),),
            kind="list",
        )
        for states, name in lists.items()
    )
    return _Picture(
        title=process.name,
        told=", ".join(state_text(state, locale) for state in usual),
        last=ids[usual[-1]],
        nodes=tuple(nodes),
        arrows=tuple(drawn),
        legend=diagram_text("legend", locale),
        signs=_signs(
            drawn, ("usual", "dashed", *(["list"] if any(lists) else [])), locale
        ),
    )


def _ids(process: Process[Any]) -> dict[str, str]:
    """
    Return what each state is called in either language.
    """
    found: dict[str, str] = {}
    for number, state in enumerate(process.members):
        plain = re.sub("[^0-9A-Za-z]+", "_", state)
        found[state] = f"state_{plain}" if plain == state else f"odd_{number}_{plain}"
    return found


def _moves(process: Process[Any], locale: str) -> Iterable[_Move]:
    """
    Yield each step that moves an order, in the order of the table.
    """
    for row in process.rows:
        leads = row.leads(process.policies)
        for state, to in product(map(str, row.states), dict.fromkeys(leads.values())):
            goal = _goal(process, state, to)
            if goal == state:
                continue
            for role in row.by:
                words = [command_text(row.command.name, locale)]
                if role is Role.SYSTEM:
                    kinds = _waits(process, row.command, state)
                    words = [deadline_text(kind.name, locale) for kind in kinds]
                for text in words:
                    yield _Move(source=state, to=goal, role=role, words=text)


def _reached(process: Process[Any], moves: tuple[_Move, ...]) -> tuple[_Move, ...]:
    """
    Return the moves from states that an order can get to.
    """
    reached = {str(process.initial)}
    # Back to one of several states leads where the order was before.
    while (
        more := {
            move.to for move in moves if move.source in reached and move.to is not None
        }
        - reached
    ):
        reached |= more
    return tuple(move for move in moves if move.source in reached)


def _goal(process: Process[Any], state: str, to: Any) -> str | None:
    """
    Return where an outcome leads; `None` if that depends on where the order was.
    """
    if to is BACK:
        left = {
            str(source)
            for row in process.rows
            if row.away and state in row.leads(process.policies).values()
            for source in row.states
        }
        return left.pop() if len(left) == 1 else None
    return state if to is STAY else str(to)


def _waits(
    process: Process[Any], command: type[Command], state: str
) -> Iterable[DeadlineKind]:
    """
    Yield the deadlines that send a command in a state.
    """
    for kind in process.deadlines:
        if kind.command is command and state in kind.runs and process.armed(kind):
            yield kind


def _usual(process: Process[Any], moves: Iterable[_Move]) -> tuple[str, ...]:
    """
    Return the states on the shortest way to the first of the endings that there is a
    way to, by what buyer, seller and provider do if it can be; only the initial one if
    there is none.
    """
    number = {state: number for number, state in enumerate(process.members)}
    states = tuple(process.members)
    ways: dict[int, dict[int, int]] = {}
    for move in moves:
        if move.to is not None:
            cost = 1 if move.role in _PARTIES else _DETOUR
            found = ways.setdefault(number[move.source], {})
            to = number[move.to]
            found[to] = min(cost, found.get(to, cost))
    # Of ways that cost the same, the one through the earlier states.
    start = (number[str(process.initial)],)
    todo: list[tuple[int, tuple[int, ...]]] = [(0, start)]
    best: dict[int, tuple[int, ...]] = {}
    while todo:
        cost, way = heapq.heappop(todo)
        if way[-1] not in best:
            best[way[-1]] = way
            for to, more in ways.get(way[-1], {}).items():
                heapq.heappush(todo, (cost + more, (*way, to)))
    ends = [number[str(state)] for state in process.endings]
    way = next((best[end] for end in ends if end in best), start)
    return tuple(states[at] for at in way)


def _arrows(
    moves: Sequence[_Move],
    usual: Sequence[str],
    ids: Mapping[str, str],
    lists: dict[tuple[str, ...], str],
    locale: str,
) -> Iterable[_Arrow]:
    """
    Yield the arrows of moves; lists of states that they need are added to *lists*.
    """
    steps = set(pairwise(usual))
    alike: dict[tuple[str | None, Role, str], list[str]] = {}
    for move in moves:
        alike.setdefault((move.to, move.role, move.words), []).append(move.source)
    roles: dict[tuple[str, str, str], Role] = {}
    for (goal, role, words), sources in alike.items():
        alone = [source for source in sources if (source, goal) in steps]
        many = tuple(state for state in ids if state in sources and state not in alone)
        starts = [ids[source] for source in (*alone, *many)]
        if len(many) >= _MANY:
            name = lists.setdefault(many, f"from_{len(lists) + 1}")
            starts = [*(ids[source] for source in alone), name]
        for start in starts:
            # A list of none: whatever it was.
            to = lists.setdefault((), _BACK) if goal is None else ids[goal]
            step = (start, to, words)
            roles[step] = roles.get(step, Role(0)) | role
    merged: dict[tuple[str, str, Role], list[str]] = {}
    for (start, to, words), by in roles.items():
        merged.setdefault((start, to, by), []).append(_signed(by, words, locale))
    thick = {(ids[source], ids[to]) for source, to in steps}
    for (start, to, by), lines in merged.items():
        usually = (start, to) in thick and bool(by & _PARTIES)
        if usually:
            thick.remove((start, to))
        yield _Arrow(source=start, to=to, roles=by, lines=tuple(lines), thick=usually)


def _signed(roles: Role, words: str, locale: str) -> str:
    letters = (letter_text(role.text, locale) for role in roles)
    return f"{''.join(letters)} {words}"


def _signs(
    arrows: Iterable[_Arrow], lines: Iterable[str], locale: str
) -> tuple[_Sign, ...]:
    """
    Return what the legend explains: the roles that are there, and kinds of lines.
    """
    there = Role(0)
    for arrow in arrows:
        if not arrow.faint:
            there |= arrow.roles
    roles = (
        _Sign(
            words=_signed(role, role_text(role.text, locale), locale),
            colour=_COLOURS[role],
        )
        for role in there
    )
    kinds = (
        _Sign(
            words=diagram_text(line, locale),
            colour=_SEVERAL,
            line=line if line in _BROKEN else "solid",
        )
        for line in lines
    )
    return (*roles, *kinds)


# --- the path of an order ---------------------------------------------------------


def _walked(
    process: Process[Any],
    picture: _Picture,
    history: Sequence[Recorded],
    locale: str,
) -> _Picture:
    """
    Return the picture with the way of one order; the rest of it is faint.
    """
    ids, names = _ids(process), {node.id: node for node in picture.nodes}
    zone = process.policies.time.zone
    steps: dict[tuple[str, str], list[tuple[Role, str]]] = {}
    visited: list[str] = []
    placed = [recorded.data.get("process") for recorded in history[:1]]
    if placed != [process.name]:
        of = f", not of {placed[0]}" if placed and placed[0] else ""
        raise InvalidInputError(
            "path", f"the history of an order of {process.name}{of}, from its beginning"
        )
    for recorded in history:
        standing = recorded.standing
        if standing is None or visited[-1:] == [standing.state]:
            continue
        state = str(standing.state)
        if state not in ids:
            raise InvalidInputError("path", f"{process.name} has no state {state!r}")
        role = recorded.by.role
        words = _signed(role, event_text(recorded.name, locale), locale)
        at = instant_text(recorded.effective_at, locale, zone)
        start = ids[visited[-1]] if visited else _START
        told = steps.setdefault((start, ids[state]), [])
        visited.append(state)
        told.append((role, f"{len(visited)}. {words}, {at}"))
    ways = [
        _Arrow(
            source=source,
            to=to,
            roles=reduce(or_, (role for role, _ in told)),
            lines=tuple(words for _, words in told),
            thick=True,
        )
        for (source, to), told in steps.items()
    ]
    nodes = {_START: names[_START]}
    for state in visited:
        nodes[ids[state]] = _node(process, state, ids[state], locale, thick=True)
    for node in picture.nodes:
        if node.kind != "list":
            nodes.setdefault(node.id, attrs.evolve(node, thick=False, faint=True))
    # What may happen is told by the other picture.
    plain = [attrs.evolve(node, lines=node.lines[:1]) for node in nodes.values()]
    faint = [
        attrs.evolve(arrow, lines=(), thick=False, faint=True)
        for arrow in picture.arrows
        if arrow.source in nodes
        and arrow.to in nodes
        and arrow.source != arrow.to
        and (arrow.source, arrow.to) not in steps
    ]
    # One of each is enough where nothing is written on it.
    rest = {(arrow.source, arrow.to): arrow for arrow in faint}
    arrows = (*ways, *rest.values())
    return attrs.evolve(
        picture,
        told=", ".join(state_text(state, locale) for state in visited),
        last=ids[visited[-1]],
        nodes=tuple(plain),
        arrows=arrows,
        signs=_signs(arrows, ("path", "dashed"), locale),
    )


def _node(
    process: Process[Any], state: str, name: str, locale: str, *, thick: bool
) -> _Node:
    lines = [state_text(state, locale)]
    for row in process.rows:
        if Role.SYSTEM in row.by and STAY in row.leads(process.policies).values():
            for kind in _waits(process, row.command, state):
                if state in kind.window_of:
                    wait = deadline_text(kind.name, locale)
                    then = command_text(row.command.name, locale)
                    lines.append(_signed(Role.SYSTEM, f"{wait} → {then}", locale))
    return _Node(
        id=name,
        lines=tuple(lines),
        kind="ending" if process.ended(state) else "state",
        thick=thick,
    )


# --- Mermaid ----------------------------------------------------------------------

# Strokes and gaps of lines that are not solid.
_BROKEN: Final = {"dashed": "8 5", "list": "2 3"}

# What would begin something else inside of quotes, and what is no sign at all.
_CONTROLS: Final = dict.fromkeys(range(32), " ")
_MERMAID: Final = {**_CONTROLS, **{ord(sign): f"#{ord(sign)};" for sign in '"#&<>`'}}
_SHAPES: Final = {"state": ("(", ")"), "ending": ("([", "])"), "list": ("[", "]")}


def _mermaid(picture: _Picture) -> Iterable[str]:
    yield "flowchart TD"
    yield f"    accTitle: {picture.title}"
    yield f"    accDescr: {picture.told.translate(_MERMAID)}"
    for node in picture.nodes:
        if node.kind == "start":
            yield f"    {node.id}(( ))"
        else:
            left, right = _SHAPES[node.kind]
            yield f"    {node.id}{left}{_quoted(node.lines)}{right}"
    for arrow in picture.arrows:
        line = "-.->" if arrow.dashed else "==>" if arrow.thick else "-->"
        label = f"|{_quoted(arrow.lines)}|" if arrow.lines else ""
        yield f"    {arrow.source} {line}{label} {arrow.to}"
    yield f"    subgraph legend [{_quoted((picture.legend,))}]"
    yield "        direction LR"
    for number, sign in enumerate(picture.signs, 1):
        yield f"        sign_{number}[{_quoted((sign.words,))}]"
    # Side by side: what is not seen leads from one to the next.
    signs = (f"sign_{number}" for number, _ in enumerate(picture.signs, 1))
    yield f"        {' ~~~ '.join(signs)}"
    yield "    end"
    yield f"    {picture.last} ~~~ legend"
    yield from _classes(picture)
    colours: dict[str, list[str]] = {}
    for number, arrow in enumerate(picture.arrows):
        width = "3px" if arrow.thick else "1.5px"
        style = f"stroke:{arrow.colour},stroke-width:{width}"
        if arrow.dashed:
            style = f"{style},stroke-dasharray:{_BROKEN['dashed']}"
        colours.setdefault(style, []).append(str(number))
    for style, numbers in colours.items():
        yield f"    linkStyle {','.join(numbers)} {style}"


def _classes(picture: _Picture) -> Iterable[str]:
    classes = {
        "state": "fill:#FFFFFF,stroke:#1A1A1A,color:#1A1A1A",
        "ending": "fill:#EDEDED,stroke:#1A1A1A,color:#1A1A1A",
        "list": "fill:#FFFFFF,stroke:#595959,color:#1A1A1A,"
        f"stroke-dasharray:{_BROKEN['list']}",
        "start": "fill:#1A1A1A,stroke:#1A1A1A",
        "thick": "stroke-width:3px",
        "faint": f"fill:#FFFFFF,stroke:{_FAINT},color:#6E6E6E",
    }
    members: dict[str, list[str]] = {}
    for node in picture.nodes:
        members.setdefault(node.kind, []).append(node.id)
        for name in ("thick", "faint"):
            if getattr(node, name):
                members.setdefault(name, []).append(node.id)
    for name, style in classes.items():
        if name in members:
            yield f"    classDef {name} {style}"
            yield f"    class {','.join(members[name])} {name}"
    yield f"    style legend fill:#FFFFFF,stroke:{_FAINT},color:#1A1A1A"
    for number, sign in enumerate(picture.signs, 1):
        look = f"fill:#FFFFFF,stroke:{sign.colour},color:#1A1A1A,stroke-width:3px"
        if sign.line in _BROKEN:
            look = f"{look},stroke-dasharray:{_BROKEN[sign.line]}"
        yield f"    style sign_{number} {look}"


def _quoted(lines: Iterable[str]) -> str:
    return '"' + "<br/>".join(line.translate(_MERMAID) for line in lines) + '"'


# --- Graphviz ---------------------------------------------------------------------

_LINES: Final = {
    "solid": "rounded",
    "dashed": "rounded,dashed",
    "list": "rounded,dotted",
}
_DOT: Final = {**_CONTROLS, ord('"'): '\\"', ord("\\"): "\\\\"}


def _dot(picture: _Picture) -> Iterable[str]:
    yield f"digraph {_escaped((picture.title,))} {{"
    yield f"    tooltip={_escaped((picture.told,))}"
    yield "    rankdir=TB nodesep=0.5 ranksep=0.7"
    yield '    node [fontname="Helvetica" fontsize=12 shape=box style=rounded]'
    yield '    edge [fontname="Helvetica" fontsize=10]'
    for node in picture.nodes:
        yield f"    {node.id} [{' '.join(_looks(node))}]"
    for arrow in picture.arrows:
        look = [f'color="{arrow.colour}"']
        if arrow.lines:
            # What stands beside a line is not cut by it.
            label = _escaped(f"  {line}" for line in arrow.lines)
            look.append(f"label={label}")
            look.append(f'fontcolor="{arrow.colour}"')
        if arrow.dashed:
            look.append("style=dashed")
        if arrow.thick:
            look.append("penwidth=3 weight=20")
        yield f"    {arrow.source} -> {arrow.to} [{' '.join(look)}]"
    yield "    subgraph cluster_legend {"
    yield f'        label={_escaped((picture.legend,))} fontname="Helvetica"'
    for number, sign in enumerate(picture.signs, 1):
        colour = f'color="{sign.colour}" penwidth=3'
        line = f'style="{_LINES[sign.line]}"'
        yield f"        sign_{number} [label={_escaped((sign.words,))} {colour} {line}]"
    # Side by side: what is not seen leads from one to the next.
    signs = (f"sign_{number}" for number, _ in enumerate(picture.signs, 1))
    yield f"        {{ rank=same {' -> '.join(signs)} [style=invis] }}"
    yield "    }"
    yield "}"


def _looks(node: _Node) -> Iterable[str]:
    if node.kind == "start":
        yield 'shape=circle label="" width=0.25 style=filled fillcolor="#1A1A1A"'
        return
    yield f"label={_escaped(node.lines)}"
    if node.kind == "ending":
        yield "peripheries=2"
    elif node.kind == "list":
        yield f'style="{_LINES["list"]}"'
    if node.thick:
        yield "penwidth=3"
    if node.faint:
        yield f'color="{_FAINT}" fontcolor="#6E6E6E"'


def _escaped(lines: Iterable[str]) -> str:
    return '"' + "\\n".join(line.translate(_DOT) for line in lines) + '"'
