"""
Pictures of processes: what is drawn, that both languages can read it, and that the text
stays the same.

Run as a script, this file writes the pictures anew: those in `tests/diagrams`, and the
page `docs/reference/processes.md`.
"""

from __future__ import annotations

import enum
import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

import escrowflow as ef
from escrowflow.decisions import Step, decides
from escrowflow.diagram import diagram
from escrowflow.events import MessageSent
from escrowflow.parties import Role
from escrowflow.processes import comeup, recommended, vendor_consolidation
from escrowflow.states import BACK, STAY
from escrowflow.words import LOCALES, diagram_text, state_text
from escrowflow.words.names import LABELS
from tests.given import COMEUP
from tests.lives import VARIANTS, Life
from tests.story import (
    ACCEPT,
    ASK_REVISION,
    DELIVER,
    cancelled,
    completed,
    disputed,
    euros,
    late,
    pending,
    revision_refused,
)

if TYPE_CHECKING:
    from escrowflow.rules import Policies
    from tests.story import Story

PROJECT: Final = Path(__file__).parent.parent
GOLDEN: Final = Path(__file__).parent / "diagrams"
PAGE: Final = PROJECT / "docs" / "reference" / "processes.md"


def ruled() -> Story:
    """
    Return an order that was revised, disputed, and divided.
    """
    split = ef.Split(to_buyer=euros("20"))
    return disputed().mediator(ef.RuleDispute(ruling=split, reason="half is right"))


def redone() -> Story:
    """
    Return an order that was handed over twice, and completed in silence.
    """
    story = pending().seller(ACCEPT, DELIVER).buyer(ASK_REVISION)
    story.seller(ef.AcceptRevision(), DELIVER).after(days=8).sweep()
    return story


def history_of(story: Story) -> tuple[ef.Recorded, ...]:
    """
    Return what was recorded of a story.
    """
    return story.engine.history(story.id)


# The pictures that are kept -> how they are made.
PICTURES: Final[dict[str, Callable[[], str]]] = {
    "comeup.mmd": lambda: diagram(comeup()),
    "comeup.dot": lambda: diagram(comeup(), "dot"),
    "comeup.fr.mmd": lambda: diagram(comeup(), locale="fr"),
    "vendor_consolidation.mmd": lambda: diagram(vendor_consolidation()),
    "recommended.mmd": lambda: diagram(recommended()),
    "capped.dot": lambda: diagram(VARIANTS["cap"], "dot"),
    "path.mmd": lambda: diagram(comeup(), path=history_of(redone())),
    "path.fr.dot": lambda: diagram(
        comeup(), "dot", locale="fr", path=history_of(ruled())
    ),
}

HEAD: Final = """# Processes

The built-in processes, drawn from the tables that run.  The letter and the colour of an
arrow say whose it is; what leaves an order where it is has no arrow.

```
escrowflow graph comeup
escrowflow graph vendor_consolidation --format dot | dot -Tsvg > picture.svg
escrowflow graph shop:process --lang fr
escrowflow graph comeup --order 5d3f --db sqlite:///orders.db
```

`escrowflow.diagram.diagram` gives the same texts in Python:

```python
from escrowflow.diagram import diagram
from escrowflow.processes import comeup

assert diagram(comeup(), "mermaid", locale="en").startswith("flowchart TD")
```

Only what a process's policies allow is drawn.  With `path=engine.history(order_id)` the way
of one order is drawn, and the rest is faint.

Below each picture stands its table: every row that these policies open, and every deadline.
*Stays* leaves an order where it is, *back* leads to the state that was left.  Who may do what
at a glance is the [grid](rules.md#who-may-send-what-and-where).
"""


def page() -> str:
    """
    Return the page of the processes as it should be.
    """
    return HEAD + "".join(
        f"\n## {title}\n\n```mermaid\n{diagram(process)}```\n\n{tables(process)}"
        for title, process in (
            ("ComeUp", comeup()),
            ("Vendor Consolidation", vendor_consolidation()),
            ("Recommended", recommended()),
        )
    )


def places(process: ef.Process[Policies], states: Sequence[str]) -> str:
    """
    Return where something holds, the short way.
    """
    rest = [state for state in process.members if state not in states]
    if not rest:
        return "everywhere"
    if len(rest) < len(states) / 2:
        return f"everywhere but {names(rest)}"
    return names(states)


def names(states: Iterable[str]) -> str:
    """
    Return states as they are stored.
    """
    return ", ".join(f"`{state}`" for state in states)


def destination(to: object) -> str:
    """
    Return where a row leads.
    """
    if to is STAY:
        return "stays"
    return "back" if to is BACK else f"`{to}`"


def tables(process: ef.Process[Policies]) -> str:
    """
    Return the rows that the policies of a process open, and its deadlines.
    """
    lines = [
        "| command | by | in | leads to |",
        "| --- | --- | --- | --- |",
    ]
    for row in process.rows:
        ends = [
            f"{outcome}: {destination(to)}" if outcome else destination(to)
            for outcome, to in row.leads(process.policies).items()
        ]
        if ends:
            who = " or ".join(role.text for role in row.by)
            lines.append(
                f"| `{row.command.name}` | {who} | {places(process, row.states)} "
                f"| {'; '.join(ends)} |"
            )
    lines += [
        "",
        "| deadline | at its end | runs | stands still |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{kind.name}` | `{kind.command.name}` | {names(kind.runs)} "
        f"| {names(kind.stops)} |"
        for kind in process.deadlines
        if not kind.needs or attrgetter(kind.needs)(process.policies) is not None
    ]
    return "\n".join(lines) + "\n"


class TestGolden:
    """
    The text of a picture changes with its process, and with nothing else.
    """

    @pytest.mark.parametrize("name", PICTURES)
    def test_is_what_was_kept(self, name: str) -> None:
        """
        Each picture is the same, to the byte, as the one that somebody looked at.
        """
        kept = (GOLDEN / name).read_text(encoding="utf-8")

        assert PICTURES[name]() == kept, "look at it: python tests/test_diagram.py"

    def test_page_is_fresh(self) -> None:
        """
        The page of the processes shows those that run.
        """
        kept = PAGE.read_text(encoding="utf-8")

        assert kept == page(), "refresh it: python tests/test_diagram.py"

    @pytest.mark.parametrize("seed", ["1", "2"])
    def test_no_order_of_chance(self, seed: str) -> None:
        """
        Whatever Python's hashes are, the text is the same.
        """
        told = subprocess.run(
            [sys.executable, "-c", "from tests.test_diagram import *; print(digest())"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )

        assert told.stdout.strip() == digest()


def digest() -> str:
    """
    Return the hash of all pictures.
    """
    text = "".join(make() for make in PICTURES.values())
    return hashlib.sha256(text.encode()).hexdigest()


# --- what a picture says ------------------------------------------------------------

# Of Mermaid's language what we write, and nothing looser.
TEXT: Final = r'"(?:[^"#&<>`\x00-\x1f]|#\d+;|<br/>)*"'
LOOK: Final = r"[a-z-]+:[#0-9A-Za-z. ]+(?:,[a-z-]+:[#0-9A-Za-z. ]+)*"
LINES: Final = {
    "node": re.compile(
        rf"(\w+)(?:\(\( \)\)|\(({TEXT})\)|\(\[({TEXT})\]\)|\[({TEXT})\])"
    ),
    "arrow": re.compile(rf"(\w+) (-->|==>|-\.->)(?:\|({TEXT})\|)? (\w+)"),
    "unseen": re.compile(r"\w+(?: ~~~ \w+)+"),
    "group": re.compile(rf"subgraph (\w+) \[({TEXT})\]"),
    "class": re.compile(r"class (\w+(?:,\w+)*) (\w+)"),
    "define": re.compile(rf"classDef (\w+) {LOOK}"),
    "style": re.compile(rf"style (\w+) {LOOK}"),
    "link": re.compile(rf"linkStyle (\d+(?:,\d+)*) ({LOOK})"),
    "words": re.compile(r"acc(?:Title|Descr): [^\x00-\x1f]+"),
    "direction": re.compile(r"direction LR"),
    "end": re.compile(r"end"),
}


@attrs.frozen(kw_only=True)
class Read:
    """
    A picture, read back from its text.
    """

    nodes: dict[str, list[str]]
    arrows: list[tuple[str, str, str, list[str]]]
    colours: dict[int, str]

    def pairs(self) -> set[tuple[str, str]]:
        """
        Return from where to where there is an arrow, lists of states told apart.
        """
        found = set()
        for source, _, to, _ in self.arrows:
            names = self.nodes[source]
            many = names if source.startswith("from_") else names[:1]
            goals = self.nodes[to][:1] if to != "back" else [""]
            found |= {(name, goal) for name in many or [""] for goal in goals}
        return found


def lines_of(text: str) -> list[str]:
    """
    Return what stands in quotes, line by line.
    """
    plain = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text[1:-1])
    return plain.split("<br/>")


def read_mermaid(text: str) -> Read:
    """
    Read a flowchart; an error if a line is none that we know, or names what is not
    there.
    """
    first, *lines = text.removesuffix("\n").split("\n")
    assert first == "flowchart TD"
    nodes: dict[str, list[str]] = {}
    arrows: list[tuple[str, str, str, list[str]]] = []
    links: dict[int, str] = {}
    defined: set[str] = set()
    groups = open_groups = 0
    for line in lines:
        found = {kind: rule.fullmatch(line.strip()) for kind, rule in LINES.items()}
        kinds = [kind for kind, match in found.items() if match]
        assert len(kinds) == 1, f"{kinds}: {line}"
        (kind,) = kinds
        match = found[kind]
        assert match is not None
        if kind == "node":
            name, *texts = match.groups()
            assert name not in nodes
            assert name not in ("end", "graph", "subgraph", "flowchart", "class")
            told = [each for each in texts if each is not None]
            nodes[name] = lines_of(told[0]) if told else []
        elif kind == "arrow":
            source, sign, words, to = match.groups()
            assert {source, to} <= set(nodes), line
            arrows.append((source, sign, to, lines_of(words) if words else []))
        elif kind == "unseen":
            assert set(line.strip().split(" ~~~ ")) <= {*nodes, "legend"}
        elif kind in ("group", "end"):
            open_groups += 1 if kind == "group" else -1
            groups += kind == "group"
        elif kind == "define":
            defined.add(match[1])
        elif kind == "class":
            assert set(match[1].split(",")) <= set(nodes)
            assert match[2] in defined
        elif kind == "style":
            assert match[1] in {*nodes, "legend"}
        elif kind == "link":
            colour = re.search(r"stroke:(#\w{6})", match[2])
            assert colour is not None
            for number in map(int, match[1].split(",")):
                assert number not in links
                links[number] = colour[1]
    assert (groups, open_groups) == (1, 0)
    # Every arrow has its colour, and no colour is without its arrow.
    assert sorted(links) == [*range(len(arrows))]
    return Read(nodes=nodes, arrows=arrows, colours=links)


TOKEN: Final = re.compile(r'\s*("(?:[^"\\\x00-\x1f]|\\["\\n])*"|->|[{}\[\]=]|[\w.]+)')


def read_dot(text: str) -> tuple[dict[str, dict[str, str]], list[tuple[Any, ...]]]:
    """
    Read a digraph: its nodes and its arrows, each with what is said of it.
    """
    words, at = [], 0
    end = text.rstrip()
    while at < len(end):
        found = TOKEN.match(end, at)
        assert found is not None, end[at : at + 40]
        words.append(found[1])
        at = found.end()
    todo = iter([*words, ""])
    nodes: dict[str, dict[str, str]] = {}
    arrows: list[tuple[Any, ...]] = []

    def said(word: str) -> tuple[dict[str, str], str]:
        if word != "[":
            return {}, word
        found: dict[str, str] = {}
        while (name := next(todo)) != "]":
            assert next(todo) == "="
            assert name not in found
            found[name] = next(todo)
        return found, next(todo)

    def statements(word: str) -> str:
        while word != "}":
            if word in ("subgraph", "{"):
                assert word == "{" or (next(todo), next(todo))[1] == "{"
                assert statements(next(todo)) == "}"
                word = next(todo)
                continue
            assert re.fullmatch(r"\w+", word), word
            name, word = word, next(todo)
            if word == "=":
                next(todo)
                word = next(todo)
                continue
            chain = [name]
            while word == "->":
                chain.append(next(todo))
                word = next(todo)
            found, word = said(word)
            if len(chain) > 1:
                assert set(chain) <= set(nodes)
                arrows.extend((source, to, found) for source, to in pairwise(chain))
            elif name not in ("node", "edge"):
                assert name not in nodes
                nodes[name] = found
        return word

    assert next(todo) == "digraph"
    assert next(todo).startswith('"')
    assert next(todo) == "{"
    assert statements(next(todo)) == "}"
    assert next(todo) == ""
    return nodes, arrows


def unquoted(text: str) -> list[str]:
    """
    Return the lines of a text of Graphviz.
    """
    plain = re.sub(
        r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text[1:-1]
    )
    return plain.split("\n")


class Odd(enum.StrEnum):
    """
    States with names that both languages might trip over.
    """

    END = "end"
    QUOTED = 'he said "so" <b>#1 & `more`</b>'
    BROKEN = "a \\ b\nc\t[d] {e} |f|"


@attrs.frozen(kw_only=True)
class Try(ef.Command):
    """
    A command of a host's own.
    """


def odd() -> ef.Process[Policies]:
    """
    Return a process with odd states on the way.
    """

    @decides(Try, version="1")
    def tried(case: Any, command: Try) -> Any:
        yield Step(events=(MessageSent(reference="m"),))

    return COMEUP.extend(
        name="odd",
        states=Odd,
        rows=(
            ef.Row(Try, Role.BUYER, ef.State.PENDING, Odd.END),
            ef.Row(Try, Role.SELLER, Odd.END, Odd.QUOTED),
            ef.Row(Try, Role.SELLER, Odd.QUOTED, Odd.BROKEN),
            ef.Row(Try, Role.OPERATOR, Odd.BROKEN, ef.State.IN_PROGRESS),
        ),
        decisions=(tried,),
        gaps=tuple(ef.Gap("no_timed_exit", state, "a test") for state in Odd),
    )


EVERY: Final[dict[str, ef.Process[Policies]]] = {
    **VARIANTS,
    "vendor consolidation": vendor_consolidation(),
    "odd": odd(),
}


class TestLanguages:
    """
    Both languages can read what is written.
    """

    @pytest.mark.parametrize("locale", ["en", "fr"])
    @pytest.mark.parametrize("name", EVERY)
    def test_both_say_the_same(self, name: str, locale: str) -> None:
        """
        Each line is one of the language, names what is there, and both languages have
        the same states and arrows.
        """
        drawn = read_mermaid(diagram(EVERY[name], locale=locale))
        nodes, arrows = read_dot(diagram(EVERY[name], "dot", locale=locale))

        assert {*nodes} == {*drawn.nodes}
        for node, lines in drawn.nodes.items():
            assert unquoted(nodes[node]["label"]) == (lines or [""])
        seen = [one for one in arrows if one[2].get("style") != "invis"]
        assert [
            (source, to, [line.strip() for line in unquoted(said["label"])])
            for source, to, said in seen
        ] == [(source, to, words) for source, _, to, words in drawn.arrows]

    def test_names_that_are_odd(self) -> None:
        """
        Whatever a state is called, it is shown, and breaks nothing.
        """
        drawn = read_mermaid(diagram(odd()))
        shown = {lines[0] for lines in drawn.nodes.values() if lines}

        assert {"end", 'he said "so" <b>#1 & `more`</b>'} <= shown
        assert "a \\ b c [d] {e} |f|" in shown
        assert ("end", 'he said "so" <b>#1 & `more`</b>') in drawn.pairs()

    def test_no_process(self) -> None:
        """
        What is no process is not drawn.
        """
        with pytest.raises(ef.InvalidInputError, match="a Process, not str"):
            diagram("comeup")  # type: ignore[arg-type]

    def test_no_such_format(self) -> None:
        """
        Another format is refused by name.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            diagram(COMEUP, "svg")  # type: ignore[arg-type]

        assert str(caught.value) == "format: one of 'mermaid', 'dot'"


class TestTold:
    """
    What a picture says is what the table says.
    """

    def test_the_usual_way_comes_first(self) -> None:
        """
        From the top: placed, paid, accepted, delivered, approved; drawn thick.
        """
        drawn = read_mermaid(diagram(COMEUP))
        thick = [(to, words) for _, sign, to, words in drawn.arrows if sign == "==>"]

        assert thick == [
            ("state_awaiting_payment", ["B Place the order"]),
            ("state_pending", ["OP Confirm the payment"]),
            ("state_in_progress", ["S Accept the order"]),
            ("state_delivered", ["S Deliver the order"]),
            ("state_completed", ["B Approve the delivery", "B Leave a review"]),
        ]
        assert [sign for _, sign, *_ in drawn.arrows[:5]] == ["==>"] * 5

    @pytest.mark.parametrize("name", EVERY)
    def test_not_by_colour_alone(self, name: str) -> None:
        """
        The letters on an arrow say whose it is, and so does its colour; what time does
        is dashed, too.
        """
        drawn = read_mermaid(diagram(EVERY[name]))
        letters: dict[str, set[str]] = {}

        for number, (_, sign, _, words) in enumerate(drawn.arrows):
            (whose,) = {line.partition(" ")[0] for line in words}
            assert whose
            assert set(whose) <= set("BSMOPY")
            assert (sign == "-.->") == (whose == "Y")
            letters.setdefault(drawn.colours[number], set()).add(whose)

        assert all(
            len(found) == 1 or all(len(one) > 1 for one in found)
            for found in letters.values()
        )

    def test_legend(self) -> None:
        """
        Every letter that stands on an arrow is explained.
        """
        drawn = read_mermaid(diagram(COMEUP))
        explained = {
            lines[0].partition(" ")[0]
            for name, lines in drawn.nodes.items()
            if name.startswith("sign_")
        }
        used = {
            letter
            for _, _, _, words in drawn.arrows
            for line in words
            for letter in line.partition(" ")[0]
        }

        assert used <= explained

    @pytest.mark.parametrize("name", VARIANTS)
    def test_every_step_that_orders_take(self, name: str) -> None:
        """
        Whatever an order does under these policies, there is an arrow for it.
        """
        process = VARIANTS[name]
        pairs = read_mermaid(diagram(process)).pairs()
        taken = set()
        for number in range(3):
            rng = random.Random(f"drawn {name} {number}")
            life = Life(rng=rng, process=process, previewed=0.0)
            for _ in range(30):
                life.step()
            states = [
                state_text(recorded.standing.state)
                for recorded in life.engine.history("o1")
                if recorded.standing is not None
            ]
            taken |= {(a, b) for a, b in pairwise(states) if a != b}

        missing = {
            step for step in taken if step not in pairs and (step[0], "") not in pairs
        }
        assert taken
        assert missing == set()

    @pytest.mark.parametrize(
        ("policies", "step"),
        [
            ({"cancellation": {"late_cancel": "request_auto_accepted"}},
             ("In progress", "Cancelled", "B Request the cancellation")),
            ({"revision": {"revision_needs_seller_answer": False}},
             ("Delivered", "In progress", "B Request a revision")),
            ({"delivery": {"deliver_during_cancel_request": True}},
             ("Cancellation requested", "Delivered", "S Deliver the order")),
            ({"acceptance": {"charge_at": "acceptance"}},
             ("Pending", "In progress", "OP Report a charge")),
            ({"acceptance": {"charge_at": "acceptance"}},
             ("Pending", "Cancelled", "Y Time for which the bank holds the money")),
            ({"lifetime": {"order_cap": "P5M"}},
             ("Delivered", "Expired", "Y Longest life of the order")),
            ({"dispute": {"ruling_window": "P9D", "default_ruling": ef.PaySeller()}},
             ("In dispute", "Completed", "Y Time to rule")),
        ],
    )  # fmt: skip
    def test_what_other_policies_open(
        self, policies: dict[str, Any], step: tuple[str, str, str]
    ) -> None:
        """
        It is drawn under them, and not under the defaults.
        """

        def steps(process: ef.Process[Policies]) -> set[tuple[str, str, str]]:
            drawn = read_mermaid(diagram(process))
            return {
                (name, drawn.nodes[to][0], line)
                for source, _, to, words in drawn.arrows
                for name in drawn.nodes[source]
                for line in words
            }

        assert step not in steps(COMEUP)
        assert step in steps(COMEUP.with_policies(**policies))

    def test_every_word(self) -> None:
        """
        What pictures say beside names is said in some picture, in both languages.
        """
        for locale in LOCALES:
            text = diagram(COMEUP, locale=locale) + diagram(
                COMEUP, locale=locale, path=history_of(completed())
            )
            assert all(diagram_text(name, locale) in text for name in LABELS["diagram"])

    def test_what_nothing_leads_to(self) -> None:
        """
        No order expires where orders may live for ever, so the state is not drawn.
        """
        assert "state_expired" not in read_mermaid(diagram(COMEUP)).nodes
        assert "state_expired" in read_mermaid(diagram(VARIANTS["cap"])).nodes

    def test_back_to_one_state(self) -> None:
        """
        A request that can only have come from one state leads back to it; one that can
        have come from several leads back to where it was.
        """
        one = read_mermaid(diagram(COMEUP)).pairs()
        several = read_mermaid(diagram(VARIANTS["C12"])).pairs()

        assert ("Cancellation requested", "In progress") in one
        assert ("Cancellation requested", "") not in one
        assert ("Cancellation requested", "") in several
        assert ("Frozen", "") in one


class TestPath:
    """
    The way of one order.
    """

    @pytest.mark.parametrize(
        "told", [redone, ruled, completed, cancelled, late, pending, revision_refused]
    )
    def test_is_the_history(self, told: Callable[[], Story]) -> None:
        """
        Each change of state is one numbered step, and nothing else is written.
        """
        history = history_of(told())
        drawn = read_mermaid(diagram(COMEUP, path=history))
        steps = {
            int(line.partition(".")[0]): drawn.nodes[to][0]
            for _, _, to, words in drawn.arrows
            for line in words
        }
        states = [
            state_text(recorded.standing.state)
            for recorded in history
            if recorded.standing is not None
        ]
        changes = [b for a, b in pairwise(["", *states]) if a != b]

        assert [steps[number] for number in sorted(steps)] == changes
        assert sorted(steps) == [*range(1, len(changes) + 1)]

    def test_who_and_when(self) -> None:
        """
        A step says who did what, and when; what came twice stands on one arrow.
        """
        drawn = read_mermaid(diagram(COMEUP, path=history_of(redone())))

        (words,) = (
            words
            for source, _, to, words in drawn.arrows
            if (source, to) == ("state_in_progress", "state_delivered")
        )
        assert words == [
            "4. S Order delivered, Mon 1 Jun 2026, 10:00 (+02:00)",
            "7. S Order delivered, Mon 1 Jun 2026, 10:00 (+02:00)",
        ]
        assert drawn.arrows[-1][3] == []
        signs = {to: sign for _, sign, to, words in drawn.arrows if words}
        assert signs["state_completed"] == "-.->"

    def test_both_languages(self) -> None:
        """
        Graphviz can read it, too.
        """
        nodes, arrows = read_dot(diagram(COMEUP, "dot", path=history_of(ruled())))

        assert nodes["state_frozen"]["fontcolor"] == '"#6E6E6E"'
        assert sum("penwidth" in said for _, _, said in arrows) == 8

    def test_a_state_that_its_policies_do_not_reach(self) -> None:
        """
        An order that ran under other policies is drawn all the same.
        """
        life = Life(rng=random.Random(1), process=VARIANTS["cap"], previewed=0.0)
        life.clock.advance(days=3)
        life.sweep()
        history = life.engine.history("o1")

        drawn = read_mermaid(diagram(COMEUP, path=history))

        assert str(life.stored().state) in ("expired", "cancelled")
        assert f"state_{life.stored().state}" in drawn.nodes

    def test_of_another_process(self) -> None:
        """
        The history of another process, a piece of one, and none are refused.
        """
        history = history_of(completed())

        for path, process in (
            (history, vendor_consolidation()),
            (history[1:], COMEUP),
            ((), COMEUP),
        ):
            with pytest.raises(ef.InvalidInputError) as caught:
                diagram(process, path=path)
            assert caught.value.field == "path"

    def test_a_state_that_is_not_there(self) -> None:
        """
        An older release may have known states that this one does not.
        """
        history = list(history_of(completed()))
        standing = history[-1].standing
        assert standing is not None
        history[-1] = attrs.evolve(
            history[-1], standing=attrs.evolve(standing, state="gone")
        )

        with pytest.raises(ef.InvalidInputError, match="comeup has no state 'gone'"):
            diagram(COMEUP, path=history)


def written() -> Iterator[tuple[Path, str]]:
    """
    Yield every file that is made of pictures, and what belongs into it.
    """
    for name, make in PICTURES.items():
        yield GOLDEN / name, make()
    yield PAGE, page()


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for file, text in written():
        file.write_text(text, encoding="utf-8")
