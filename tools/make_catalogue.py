"""
Write the catalogues in `src/escrowflow/locale` from the tables in `words/`.

    pip install babel && PYTHONPATH=src python tools/make_catalogue.py

- The English words are the keys.  New ones come in without a translation, and the
  script says so when it has written; those that are gone are dropped.
- Translations are made in the `.po` files; then the script is run again.
- A new language begins as an empty `locale/<language>/LC_MESSAGES/escrowflow.po`
  and a word in `LOCALES`.
- What is written depends on the words alone: no dates, no places, no people.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from babel.core import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from escrowflow.words.blockers import BLOCKERS
from escrowflow.words.clauses import CLAUSES, LENGTHS
from escrowflow.words.differences import DIFFERENCES, TOTALS
from escrowflow.words.findings import FINDINGS
from escrowflow.words.names import LABELS
from escrowflow.words.notices import MONEY, NOTICES, RUNNING

TARGET = Path(__file__).parents[1] / "src" / "escrowflow" / "locale"
CATALOGUE = "*/LC_MESSAGES/escrowflow.po"

HEADER = """\
# The words of escrowflow in {language}.
#
# Translate what stands behind `msgstr`, then run tools/make_catalogue.py: it
# writes everything else."""

Key: TypeAlias = str | tuple[str, str]


class Words(Catalog):
    """
    A catalogue that says of itself what its readers need, and nothing else.
    """

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        return [
            ("Language", str(self.locale)),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
            ("Plural-Forms", self.plural_forms),
        ]


def english() -> Iterator[tuple[str, str, Key]]:
    """
    Yield every piece of English: its context, what it belongs to, the words.
    """
    for kind, table in LABELS.items():
        for name, text in table.items():
            yield kind, name, text
    for code, sentences in BLOCKERS.items():
        for sentence in sentences:
            if isinstance(sentence, str):
                yield "blocker", code, sentence
            else:
                yield "blocker", code, (sentence.one, sentence.many)
    for notices in (NOTICES, RUNNING, {"money": MONEY}):
        for name, by_role in notices.items():
            for role, sentences in by_role.items():
                for sentence in sentences:
                    yield "notice", f"{name} {role}", sentence
    for code, findings in FINDINGS.items():
        for text in findings:
            yield "finding", code, text
    for code, sentences in DIFFERENCES.items():
        for sentence in sentences:
            assert isinstance(sentence, str), "no difference is counted"
            yield "difference", code, sentence
    for kind, counted in (("total", TOTALS), ("length", LENGTHS)):
        for name, sentence in counted.items():
            yield kind, name, (sentence.one, sentence.many)
    for name, clause in CLAUSES.items():
        told = clause if isinstance(clause, str) else (clause.one, clause.many)
        yield "clause", name, told


def updated(page: str, language: str) -> Words:
    """
    Return the words of today, with the translations of a `.po` file.
    """
    earlier = read_po(io.StringIO(page), locale=language, abort_invalid=True)
    header = HEADER.format(language=Locale.parse(language).english_name)
    words = Words(language, header_comment=header, fuzzy=False)
    for kind, name, text in english():
        known = earlier.get(text, context=kind)
        words.add(
            text,
            known.string if known is not None and not known.fuzzy else None,
            auto_comments=[name],
            context=kind,
        )
    return words


def missing(words: Words) -> list[str]:
    """
    Return what has no translation yet, as context and name, in order.
    """
    return [
        f"{message.context} {message.auto_comments[0]}"
        for message in words
        if message.id and not all(strings(message))
    ]


def strings(message: Message) -> tuple[str, ...]:
    """
    Return the translations of a message: one, or one for each plural form.
    """
    string = message.string or ""
    return (string,) if isinstance(string, str) else tuple(string)


def rendered(words: Words) -> str:
    """
    Return a catalogue as the text of a `.po` file, in the order of `words/`.
    """
    page = io.BytesIO()
    # Not wrapped: where lines are broken would depend on the version of Babel.
    write_po(page, words, width=0)
    return page.getvalue().decode()


def compiled(words: Words) -> bytes:
    """
    Return a catalogue as the content of a `.mo` file.
    """
    page = io.BytesIO()
    write_mo(page, words)
    return page.getvalue()


if __name__ == "__main__":
    for path in sorted(TARGET.glob(CATALOGUE)):
        words = updated(path.read_text(encoding="utf-8"), path.parts[-3])
        path.write_text(rendered(words), encoding="utf-8", newline="\n")
        path.with_suffix(".mo").write_bytes(compiled(words))
        if gaps := missing(words):
            raise SystemExit(f"{path.name}: not translated: {', '.join(gaps)}")
