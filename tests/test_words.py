"""
Words: there are some for everything, in every language, and they agree.

What needs words is read from the package itself: a new command, state or code
without words fails here.
"""

from __future__ import annotations

import ast
import gettext
import importlib.util
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pendulum
import pytest

from escrowflow import processes
from escrowflow.commands import REMOVAL_CAUSES, Command
from escrowflow.decisions.figures import FIGURES
from escrowflow.decisions.settlement import ORDER_CAP
from escrowflow.errors import CommandRefusedError, InvalidInputError
from escrowflow.events import EVENTS
from escrowflow.money import Fee, Money, Share
from escrowflow.parties import Role
from escrowflow.payments import Difference, Line
from escrowflow.payments.lines import KINDS
from escrowflow.refusals import Blocker
from escrowflow.rules import ROUTES
from escrowflow.states import State
from escrowflow.terms import RULINGS
from escrowflow.words import (
    LOCALES,
    amount_text,
    blocker_text,
    cause_text,
    command_text,
    day_text,
    deadline_text,
    difference_text,
    event_text,
    figure_text,
    finding_text,
    instant_text,
    language,
    letter_text,
    move_text,
    notice_text,
    parts,
    role_text,
    ruling_text,
    state_text,
    story_text,
    total_text,
)
from escrowflow.words.blockers import BLOCKERS
from escrowflow.words.differences import DIFFERENCES, TOTALS
from escrowflow.words.findings import FINDINGS
from escrowflow.words.names import LABELS
from escrowflow.words.sentences import Counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PROJECT = Path(__file__).parents[1]
ROOT = PROJECT / "src" / "escrowflow"
LOCALE = ROOT / "locale"
TOOL = PROJECT / "tools" / "make_catalogue.py"

# Every language but English, which needs no catalogue.
TRANSLATED = LOCALES[1:]

# What the spaces of French typography are called here.
SPACE, THIN = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"

NOON = pendulum.datetime(2026, 5, 5, 8, 0, 59)

translated = pytest.mark.parametrize("locale", TRANSLATED)


class TestCompleteness:
    """
    Whatever the package can name has words, and there are no idle ones.
    """

    def test_every_blocker(self) -> None:
        """
        Each code that a decision or a policy refuses with has its sentences.
        """
        assert set(BLOCKERS) == set(blocker_codes())

    def test_every_command(self) -> None:
        """
        Each command of the library has a label.
        """
        names = {
            command.name
            for command in Command.__subclasses__()
            if command.__module__.startswith("escrowflow.")
        }

        assert set(LABELS["command"]) == names

    def test_every_event(self) -> None:
        """
        Each event of the library has a label.
        """
        assert set(LABELS["event"]) == set(EVENTS)

    def test_every_state(self) -> None:
        """
        Each state of the built-in processes has a label.
        """
        assert set(LABELS["state"]) == {str(state) for state in State}

    def test_every_deadline(self) -> None:
        """
        Each deadline of the built-in processes has a label.
        """
        names = {
            name for build in built_in() for name in getattr(processes, build)().kinds
        }

        assert set(LABELS["deadline"]) == names

    def test_every_role(self) -> None:
        """
        Each role has a label.
        """
        assert set(LABELS["role"]) == {role.text for role in Role}

    def test_every_figure(self) -> None:
        """
        Each figure of a seller has a label.
        """
        assert tuple(LABELS["figure"]) == FIGURES

    def test_every_cause(self) -> None:
        """
        Each reason why an order ends, a dispute begins or a review goes is told.
        """
        assert set(LABELS["cause"]) == {
            *causes(),
            ORDER_CAP,
            *ROUTES,
            *REMOVAL_CAUSES,
            "not_owed",
        }

    def test_every_part_of_a_blocker(self) -> None:
        """
        A sentence only has parts that some decision gives it.
        """
        given = {
            (code, name) for code, names in blocker_codes().items() for name in names
        }

        assert {
            (code, name)
            for code, sentences in BLOCKERS.items()
            for sentence in sentences
            for name in parts(sentence)
        } <= given

    def test_last_sentence_needs_nothing(self) -> None:
        """
        There is something to say about a blocker even if its parts are unknown.
        """
        assert [code for code, told in BLOCKERS.items() if parts(told[-1])] == []

    def test_every_difference(self) -> None:
        """
        Whatever a report and our books can say differently has its sentences, the last
        of which needs nothing, and only parts that a difference has.
        """
        codes = set(Difference.__doc__.split("`")) & set(DIFFERENCES)  # type: ignore[union-attr]
        line = Line(kind="refund", reference="re_1", amount=Money(1, "EUR"), at=NOON)
        given = Difference(code="twice", otherwise="twice", line=line, order_id="o1")

        assert codes == set(DIFFERENCES)
        for told in DIFFERENCES.values():
            assert not parts(told[-1])
            assert {name for one in told for name in parts(one)} <= set(given.params)

    def test_every_ruling(self) -> None:
        """
        Each ruling is told in a form and in a message.
        """
        assert set(LABELS["ruling"]) == set(RULINGS) <= set(LABELS["choice"])

    def test_every_movement(self) -> None:
        """
        Each kind of line, and each way in which money stands, has a label.
        """
        standings = {"owed", "sent", "paid", "failed", "released", "covered"}

        assert set(LABELS["movement"]) == set(KINDS)
        assert set(LABELS["standing"]) == standings.union(*KINDS.values())

    def test_both_numbers_have_the_same_parts(self) -> None:
        """
        One or many, a counted sentence is told with the same parts.
        """
        counted = [
            sentence
            for sentences in BLOCKERS.values()
            for sentence in sentences
            if isinstance(sentence, Counted)
        ]

        assert counted
        for sentence in counted:
            assert parts(sentence.one) == parts(sentence.many)
            assert sentence.by in parts(sentence)


class TestCatalogues:
    """
    The languages beside English.
    """

    def test_languages_are_those_on_disk(self) -> None:
        """
        A language is offered if, and only if, it has a catalogue.
        """
        found = {path.parts[-3] for path in LOCALE.glob("*/LC_MESSAGES/*.mo")}

        assert set(TRANSLATED) == found

    @translated
    def test_everything_is_translated(self, locale: str) -> None:
        """
        Every piece of English has other words in every other language.
        """
        catalogue = gettext.translation("escrowflow", LOCALE, [locale])

        same = [
            (kind, text)
            for kind, text in pieces()
            if catalogue.pgettext(kind, text) == text
        ]

        assert same == []

    @translated
    def test_sentences_have_the_same_parts(self, locale: str, tool: ModuleType) -> None:
        """
        No translation forgets a part of its sentence, and none invents one.
        """
        for message in catalogue_of(locale, tool):
            if message.id:
                key = message.id if isinstance(message.id, str) else message.id[1]
                for text in tool.strings(message):
                    assert parts(text) == parts(key), text
                    assert text.count("%") == text.count("%("), text

    @translated
    def test_sentences_end_alike(self, locale: str, tool: ModuleType) -> None:
        """
        What ends with a full stop in English does so everywhere; labels have none.
        """
        for message in catalogue_of(locale, tool):
            if message.context not in (None, "form"):
                stop = message.context in (
                    "blocker",
                    "difference",
                    "clause",
                    "notice",
                    "finding",
                )
                key = message.id if isinstance(message.id, str) else message.id[1]
                for text in (key, *tool.strings(message)):
                    assert text.endswith(".") is stop, text

    @translated
    def test_nothing_is_missing_or_guessed(self, locale: str, tool: ModuleType) -> None:
        """
        A catalogue holds a finished translation of every text, and nothing else.
        """
        page = page_of(locale)

        assert tool.missing(tool.updated(page, locale)) == []
        assert "fuzzy" not in page
        assert "#~" not in page

    @translated
    def test_page_is_up_to_date(self, locale: str, tool: ModuleType) -> None:
        """
        The script has nothing to add to the `.po` file, and nothing to drop.
        """
        page = page_of(locale)

        assert tool.rendered(tool.updated(page, locale)) == page

    @translated
    def test_compiled_from_the_page(self, locale: str, tool: ModuleType) -> None:
        """
        The `.mo` file is what the `.po` file says.
        """
        words = tool.updated(page_of(locale), locale)

        made = (LOCALE / locale / "LC_MESSAGES" / "escrowflow.mo").read_bytes()

        assert made == tool.compiled(words)

    @translated
    def test_says_nothing_about_its_makers(self, locale: str) -> None:
        """
        A catalogue names no date, no place and no person.
        """
        header, _, _ = page_of(locale).partition("\n\n")

        assert not re.search(r"\d{4}|@|/home|Date|Translator", header)

    def test_new_words_are_noticed(self, tool: ModuleType) -> None:
        """
        The script names what is not translated yet, both plural forms included.
        """
        gaps = tool.missing(tool.updated("", "fr"))

        assert "state pending" in gaps
        assert "blocker revision_limit_reached" in gaps
        assert len(gaps) == len({(kind, key) for kind, _, key in tool.english()})

    def test_french_typography(self) -> None:
        """
        French has its own quotes and apostrophe, and no break before a colon.
        """
        text = re.sub(r'"$\n"', "", page_of("fr"), flags=re.MULTILINE)
        told = "\n".join(re.findall(r"^msgstr.*", text, flags=re.MULTILINE)[1:])

        assert not re.search(f"[^{SPACE}]:", told)
        assert not re.search(f"[^{THIN}][;!?]", told)
        assert not re.search(f"«[^{SPACE}]|[^{SPACE}]»|['“”]", told)

    def test_french_has_one_word_for_one_thing(self) -> None:
        """
        Words that stood beside others for the same thing, or promise what only a host
        can, do not come back.
        """
        others = "séquestre|brief|délai de livraison|rétrofacturation|porte-monnaie"
        told = "\n".join(re.findall(r"^msgstr.*", page_of("fr"), flags=re.MULTILINE))

        assert re.findall(others, told, flags=re.IGNORECASE) == []

    def test_no_verb_agrees_with_an_amount(self) -> None:
        """
        Nobody can say whether an amount is one or many: it is no subject in French.
        """
        told = re.findall(r"^msgstr.*", page_of("fr"), flags=re.MULTILINE)
        amounts = "amount|lost|paid|payout|price|refund|resent|returned|won"
        plural = rf"%\(({amounts})\)s,? (\w+ )?(sont|ont|vont|\w+és)\b"

        assert [text for text in told if re.search(plural, text)] == []

    @pytest.fixture
    def tool(self) -> ModuleType:
        """
        The script, loaded as a module.
        """
        pytest.importorskip("babel")
        spec = importlib.util.spec_from_file_location("make_catalogue", TOOL)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


class TestNames:
    """
    Labels of commands, states, events, deadlines, causes, figures and roles.
    """

    @pytest.mark.parametrize(
        ("ask", "name", "english", "french"),
        [
            (command_text, "accept_order", "Accept the order", "Accepter la commande"),
            (state_text, "in_progress", "In progress", "En cours de réalisation"),
            (event_text, "order_accepted", "Order accepted", "Commande acceptée"),
            (deadline_text, "acceptance", "Time to accept", "Délai d’acceptation"),
            (
                cause_text,
                "sensitive",
                "Sensitive information",
                "Informations sensibles",
            ),
            (
                figure_text,
                "acceptance_rate",
                "Acceptance rate",
                "Taux d’acceptation",
            ),
            (story_text, "deliveries", "Deliveries", "Livraisons"),
            (story_text, "held", "Held", "Bloqué"),
            (story_text, "refunded", "Refunded", "Remboursé"),
            (story_text, "released", "Released", "Versé"),
            (story_text, "kept", "Kept", "Conservé"),
            (role_text, "buyer", "buyer", "acheteur"),
            (role_text, "buyer, seller", "buyer or seller", "acheteur ou vendeur"),
        ],
    )
    def test_told(self, ask: object, name: str, english: str, french: str) -> None:
        """
        A name is told in English, unless another language is asked for.
        """
        assert callable(ask)
        assert ask(name) == ask(name, "en") == english
        assert ask(name, "fr") == french

    @pytest.mark.parametrize(
        "ask",
        [
            command_text,
            state_text,
            event_text,
            deadline_text,
            cause_text,
            role_text,
        ],
    )
    @pytest.mark.parametrize("locale", LOCALES)
    def test_unknown(self, ask: object, locale: str) -> None:
        """
        A name of the host's own is shown as it is spelled.
        """
        assert callable(ask)
        assert ask("on_hold", locale) == "on hold"

    @pytest.mark.parametrize(
        "locale", ["fr", "FR", "fr_FR", "fr-CA", "fr.UTF-8", "fr@euro"]
    )
    def test_regions_speak_the_language(self, locale: str) -> None:
        """
        A region, a charset or a capital letter makes no other language.
        """
        assert state_text("frozen", locale) == "Gelée"

    @pytest.mark.parametrize(
        ("asked", "spoken"),
        [("en", "en"), ("fr_CA", "fr"), ("FR", "fr"), ("de", "en"), ("", "en")],
    )
    def test_which_language_that_is(self, asked: str, spoken: str) -> None:
        """
        Whoever asks for a language can know which one he gets.
        """
        assert language(asked) == spoken

    @pytest.mark.parametrize("to", ["escrow", "buyer", "seller", "platform"])
    def test_where_money_went(self, to: str) -> None:
        """
        Money that moved is told with its amount, in either language.
        """
        amount = Money(3000, "EUR")

        assert "30.00 EUR" in move_text(to, amount)
        assert f"30,00{SPACE}EUR" in move_text(to, amount, "fr")

    @pytest.mark.parametrize(
        ("amount", "english", "french"),
        [
            (Money(123450, "EUR"), "1234.50 EUR", f"1234,50{SPACE}EUR"),
            (Money(500, "JPY"), "500 JPY", f"500{SPACE}JPY"),
            (Money(1234, "KWD"), "1.234 KWD", f"1,234{SPACE}KWD"),
            (Share(1, 8), "12.5 %", f"12,5{SPACE}%"),
            (Share(1, 3), "1/3", "1/3"),
            (
                Fee(flat=Money(61, "EUR"), bps=670),
                "0.61 EUR + 6.7 %",
                f"0,61{SPACE}EUR + 6,7{SPACE}%",
            ),
            (Fee(bps=50), "0.5 %", f"0,5{SPACE}%"),
        ],
        ids=str,
    )
    def test_amounts(
        self, amount: Money | Share | Fee, english: str, french: str
    ) -> None:
        """
        An amount has the point and the space of its reader's language.
        """
        assert amount_text(amount) == english
        assert amount_text(amount, "fr") == french

    @pytest.mark.parametrize("name", RULINGS)
    def test_rulings(self, name: str) -> None:
        """
        What a ruling brings is told in the middle of a sentence.
        """
        for locale in LOCALES:
            told = ruling_text(name, locale)
            assert told[0].islower()
            assert told in notice_text(
                "dispute_ruled", "buyer", {"ruling": name}, locale
            )

    @pytest.mark.parametrize("locale", LOCALES)
    def test_letters(self, locale: str) -> None:
        """
        Each role has a letter of its own in a picture.
        """
        letters = [letter_text(role.text, locale) for role in Role]

        assert len(set(letters)) == len(letters)
        assert all(re.fullmatch("[A-Z]", letter) for letter in letters)

    @pytest.mark.parametrize("locale", ["", "de", "xx", "frr", "../fr", "en_GB"])
    def test_unknown_languages_speak_english(self, locale: str) -> None:
        """
        Where a language is unknown, the words are English.
        """
        assert state_text("frozen", locale) == "Frozen"

    def test_totals(self) -> None:
        """
        One is one; none is as many in English, and as one in French.
        """
        assert total_text(0, 1) == "0 differences, 1 in transit"
        assert total_text(1, 0) == "1 difference, 0 in transit"
        assert total_text(0, 1, "fr") == "0 écart, 1 en transit"
        assert total_text(2, 2, "fr") == "2 écarts, 2 en transit"

    def test_returned_payment(self) -> None:
        """
        A payment goes back for the reason its command was refused for, or for none.
        """
        assert cause_text("not_owed", "en") == "Nothing was owed for this payment"
        assert cause_text("order_ended", "en") == "The order is over"
        assert cause_text("order_ended", "fr") == "La commande est close"

    def test_cause_before_blocker(self) -> None:
        """
        What began a dispute is told as that, though a blocker has the same name.
        """
        assert "revision_refused" in BLOCKERS
        assert cause_text("revision_refused") == "The seller refused the revision"


class TestBlockers:
    """
    Sentences with parts.
    """

    def test_names_are_translated(self) -> None:
        """
        States and commands in a sentence bear the names people know.
        """
        params = {
            "command": "deliver_order",
            "state": "delivered",
            "states": ("in_progress", "cancellation_requested", "on_hold"),
        }

        assert blocker_text("not_in_this_state", params) == (
            "“Deliver the order” is not possible in the state “Delivered”, only in "
            "“In progress”, “Cancellation requested” or “on hold”."
        )
        assert blocker_text("not_in_this_state", params, "fr") == (
            f"«{SPACE}Livrer la commande{SPACE}» n’est pas possible à l’étape "
            f"«{SPACE}Livrée{SPACE}», seulement à l’étape "
            f"«{SPACE}En cours de réalisation{SPACE}», "
            f"«{SPACE}Annulation demandée{SPACE}» ou «{SPACE}on hold{SPACE}»."
        )

    def test_one_state(self) -> None:
        """
        A list of one is that one, and an empty one says nothing.
        """
        params = {"command": "accept_order", "state": "frozen", "states": ["pending"]}

        assert blocker_text("not_in_this_state", params).endswith("only in “Pending”.")
        assert blocker_text("not_in_this_state", {**params, "states": ()}).endswith(
            "only in ."
        )

    def test_instants_and_deadlines(self) -> None:
        """
        An instant is shown with its offset, a deadline by its name.
        """
        params = {"command": "accept_order", "deadline": "acceptance", "due_at": NOON}

        assert blocker_text("deadline_passed", params) == (
            "“Accept the order” comes too late: “Time to accept” ended on "
            "Tue 5 May 2026, 08:00 (UTC)."
        )
        assert blocker_text("deadline_passed", params, "fr").endswith(
            f"a pris fin le mardi 5{SPACE}mai 2026 à 08:00 (UTC)."
        )

    def test_money(self) -> None:
        """
        An amount is shown with its currency.
        """
        params = {"maximum": Money.of("10.00", "EUR")}

        assert blocker_text("tip_above_cap", params) == (
            "The tip is too high: it can be at most 10.00 EUR."
        )
        assert blocker_text("tip_above_cap", params, "fr").endswith(
            f"le maximum est de 10,00{SPACE}EUR."
        )

    def test_roles(self) -> None:
        """
        A role stands in a sentence as a word, not as a quotation.
        """
        params = {"command": "accept_order", "role": "buyer"}

        assert blocker_text("not_your_command", params) == (
            "“Accept the order” belongs to another role than yours (buyer)."
        )
        assert "(acheteur)" in blocker_text("not_your_command", params, "fr")
        assert "(vendeur)" in blocker_text("not_the_filer", {"filer": "seller"}, "fr")

    def test_offers(self) -> None:
        """
        An offer is called by its id, its status by name.
        """
        params = {"offer": "offer-1", "status": "withdrawn"}

        assert blocker_text("offer_closed", params) == (
            "The custom offer offer-1 is no longer open (“Withdrawn”)."
        )

    @pytest.mark.parametrize(
        ("limit", "english", "french"),
        [
            (0, "includes 0 revisions and", "comprend 0 retouche et"),
            (1, "includes 1 revision and", "comprend 1 retouche et"),
            (2, "includes 2 revisions and", "comprend 2 retouches et"),
        ],
    )
    def test_numbers(self, limit: int, english: str, french: str) -> None:
        """
        Nought is a plural in English and none in French.
        """
        params = {"limit": limit, "used": limit}

        assert english in blocker_text("revision_limit_reached", params)
        assert french in blocker_text("revision_limit_reached", params, "fr")

    @pytest.mark.parametrize("limit", ["unlimited", True, None])
    def test_no_number(self, limit: object) -> None:
        """
        Without a number, the sentence without one is told.
        """
        params = {"limit": limit, "used": 3}

        assert blocker_text("revision_limit_reached", params).startswith(
            "All the revisions of this order are used up"
        )

    @pytest.mark.parametrize(
        ("params", "english"),
        [
            ({"closed_at": NOON}, "closed on Tue 5 May 2026, 08:00 (UTC)."),
            ({"closed_at": None}, "The conversation is closed."),
            ({}, "The conversation is closed."),
        ],
    )
    def test_missing_parts(self, params: dict[str, object], english: str) -> None:
        """
        What is not known is not spoken of.
        """
        assert blocker_text("conversation_closed", params).endswith(english)

    @pytest.mark.parametrize("code", BLOCKERS)
    @pytest.mark.parametrize("locale", LOCALES)
    def test_every_sentence_can_be_told(self, code: str, locale: str) -> None:
        """
        With all its parts or with none, a blocker makes a finished sentence.
        """
        full = dict.fromkeys(
            {name for sentence in BLOCKERS[code] for name in parts(sentence)}, 1
        )

        for params in (full, {}):
            text = blocker_text(code, params, locale)
            assert text[0] in "“«" or text[0].isupper()
            assert text.endswith(".")
            assert "%" not in text

    @pytest.mark.parametrize("code", DIFFERENCES)
    @pytest.mark.parametrize("locale", LOCALES)
    def test_every_difference_can_be_told(self, code: str, locale: str) -> None:
        """
        With all its parts or with none, a difference makes finished sentences.
        """
        names = {name for told in DIFFERENCES[code] for name in parts(told)}

        for params in (dict.fromkeys(names, "x"), {}):
            text = difference_text(code, params, locale)
            assert text.endswith(".")
            assert "%" not in text

    @pytest.mark.parametrize("code", FINDINGS)
    @pytest.mark.parametrize("locale", LOCALES)
    def test_every_finding_can_be_told(self, code: str, locale: str) -> None:
        """
        With its parts, a finding makes finished sentences; a part that is missing, or
        a code that nobody knows, is no error.
        """
        names = {name for told in FINDINGS[code] for name in parts(told)}

        text = finding_text(code, dict.fromkeys(names, "x"), locale)

        assert text.endswith(".")
        assert "%" not in text
        assert finding_text(code, {}, locale)
        assert finding_text("very_odd", {}, locale) == "very odd"

    def test_difference_of_a_host(self) -> None:
        """
        A code that nobody knows is shown as it is spelled.
        """
        assert difference_text("very_odd", {}) == "very odd"

    def test_percent_in_a_part(self) -> None:
        """
        What a part says is shown as it is, also if it looks like a part.
        """
        params = {"offer": "%(offer)s 5 %"}

        assert blocker_text("no_such_offer", params) == (
            "This order has no custom offer %(offer)s 5 %."
        )

    def test_code_of_a_host(self) -> None:
        """
        A code of the host's own makes a sentence, too.
        """
        assert blocker_text("quota_exceeded", {"limit": 3}) == (
            "This is not possible now: quota exceeded."
        )
        assert blocker_text("quota_exceeded", {}, "fr") == (
            f"Ce n’est pas possible pour le moment{SPACE}: quota exceeded."
        )

    def test_told_by_the_blocker(self) -> None:
        """
        A blocker and the error that carries it speak with these words.
        """
        blocker = Blocker(code="review_left")

        assert blocker.message() == blocker_text("review_left", {})
        assert blocker.message("fr") == blocker_text("review_left", {}, "fr")
        assert str(CommandRefusedError([blocker])) == blocker.message()


class TestInstants:
    """
    Instants, as a wall shows them.
    """

    @pytest.mark.parametrize(
        ("locale", "zone", "text"),
        [
            ("en", "UTC", "Tue 5 May 2026, 08:00 (UTC)"),
            ("en", "Europe/Paris", "Tue 5 May 2026, 10:00 (+02:00)"),
            ("fr", "Europe/Paris", f"mardi 5{SPACE}mai 2026 à 10:00 (+02:00)"),
            ("fr", "Asia/Kolkata", f"mardi 5{SPACE}mai 2026 à 13:30 (+05:30)"),
            ("de", "America/New_York", "Tue 5 May 2026, 04:00 (-04:00)"),
        ],
    )
    def test_told(self, locale: str, zone: str, text: str) -> None:
        """
        The wall is that of the zone, and the offset says which it is.
        """
        assert instant_text(NOON, locale, zone) == text

    def test_utc_in_english(self) -> None:
        """
        Unless something else is asked for.
        """
        assert instant_text(NOON) == "Tue 5 May 2026, 08:00 (UTC)"

    def test_any_aware_instant(self) -> None:
        """
        The zone an instant came in makes no difference.
        """
        elsewhere = timezone(timedelta(hours=5))
        instant = datetime(2026, 5, 5, 13, 0, tzinfo=elsewhere)

        assert instant_text(instant) == "Tue 5 May 2026, 08:00 (UTC)"

    def test_first_of_the_month(self) -> None:
        """
        French says "first" of the first day, and of no other.
        """
        first = datetime(2027, 1, 1, tzinfo=UTC)

        assert instant_text(first) == "Fri 1 Jan 2027, 00:00 (UTC)"
        assert instant_text(first, "fr") == (
            f"vendredi 1er{SPACE}janvier 2027 à 00:00 (UTC)"
        )
        assert f" 2{SPACE}janvier " in instant_text(first + timedelta(days=1), "fr")

    def test_day(self) -> None:
        """
        A day is that of the wall, and nothing is said of the hour.
        """
        late = datetime(2026, 5, 5, 22, 30, tzinfo=UTC)

        assert day_text(late) == "Tue 5 May 2026"
        assert day_text(late, "fr", "Europe/Paris") == f"mercredi 6{SPACE}mai 2026"

    @pytest.mark.parametrize("locale", LOCALES)
    def test_every_day_and_month(self, locale: str) -> None:
        """
        No two days of a week and no two months of a year have the same name.
        """
        days = [datetime(2026, 5, day, tzinfo=UTC) for day in range(2, 9)]
        months = [datetime(2026, month, 2, tzinfo=UTC) for month in range(1, 13)]

        assert len({instant_text(day, locale).split()[0] for day in days}) == 7
        assert len({instant_text(month, locale).split()[2] for month in months}) == 12

    @pytest.mark.parametrize("zone", ["Mars/Base", "Europe", "", "/etc/passwd", "\0"])
    def test_unknown_zone(self, zone: str) -> None:
        """
        A zone that nobody knows is refused, by its name.
        """
        with pytest.raises(InvalidInputError, match="IANA") as caught:
            instant_text(NOON, zone=zone)

        assert caught.value.field == "zone"

    def test_end_of_the_calendar(self) -> None:
        """
        An instant that lies beyond a zone's calendar is refused like the zone.
        """
        last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)

        with pytest.raises(InvalidInputError, match="Kiritimati"):
            instant_text(last, zone="Pacific/Kiritimati")


# --- what the package can name ----------------------------------------------------


def built_in() -> list[str]:
    """
    Return the names of the functions that build the built-in processes.
    """
    return list(processes.__all__)


def blocker_codes() -> dict[str, set[str]]:
    """
    Return the codes that the package refuses with, each with its parts.
    """
    codes: dict[str, set[str]] = {}
    for node in nodes():
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if node.func.id == "No":
            code = node.args[0] if node.args else given["code"]
        elif node.func.id == "Blocker":
            code = given["code"]
        else:
            continue
        # Another expression passes on a code that stands elsewhere.
        if isinstance(code, ast.Constant):
            params = given.get("params", ast.Dict(keys=[], values=[]))
            assert isinstance(params, ast.Dict), ast.unparse(node)
            names = {key.value for key in params.keys if isinstance(key, ast.Constant)}
            codes.setdefault(str(code.value), set()).update(map(str, names))
    return codes


def causes() -> set[str]:
    """
    Return what the decisions write down as a cause, in an argument or a variable.
    """
    found: set[str] = set()
    for node in nodes("decisions"):
        if isinstance(node, ast.keyword) and node.arg == "cause":
            found |= set(texts(node.value))
        elif isinstance(node, ast.Assign):
            for target, value in pairs(node.targets[0], node.value):
                if isinstance(target, ast.Name) and target.id == "cause":
                    found |= set(texts(value))
    return found


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """
    Yield what is assigned to what: `a, b = 1, 2` is two pairs.
    """
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        yield from zip(target.elts, value.elts, strict=True)
    else:
        yield target, value


def texts(value: ast.expr) -> Iterator[str]:
    """
    Yield the texts that an expression can come to.
    """
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from texts(value.body)
        yield from texts(value.orelse)


def nodes(under: str = "") -> Iterator[ast.AST]:
    """
    Yield everything that Python reads in the package, or in a part of it.
    """
    for path in sorted((ROOT / under).rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text("utf-8"), str(path)))


def pieces() -> Iterator[tuple[str, str]]:
    """
    Yield every piece of English with its context; of counted ones, the singular.
    """
    for kind, table in LABELS.items():
        for text in table.values():
            yield kind, text
    for sentences in BLOCKERS.values():
        for sentence in sentences:
            yield "blocker", sentence if isinstance(sentence, str) else sentence.one
    for sentences in DIFFERENCES.values():
        for sentence in sentences:
            assert isinstance(sentence, str)
            yield "difference", sentence
    for total in TOTALS.values():
        yield "total", total.one


def page_of(locale: str) -> str:
    """
    Return a catalogue as its translators see it.
    """
    path = LOCALE / locale / "LC_MESSAGES" / "escrowflow.po"
    return path.read_text(encoding="utf-8")


def catalogue_of(locale: str, tool: ModuleType) -> Iterator[Any]:
    """
    Yield the messages of a catalogue, its header first.
    """
    yield from tool.updated(page_of(locale), locale)
