"""
A mediator's file of an order: what is in it, who reads it, and that it proves itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import timedelta
from itertools import chain
from typing import Any

import attrs
import pytest

import escrowflow as ef
from escrowflow.casefile import (
    TOPICS,
    CaseFile,
    Kept,
    as_html,
    as_text,
    case_file,
    deadlines_kept,
)
from escrowflow.clock import as_utc, to_micros
from escrowflow.events import EVENTS, MessageSent
from escrowflow.inputs import Text
from escrowflow.processes import comeup
from escrowflow.storage import threaded
from escrowflow.words import story_text
from escrowflow.words.names import LABELS
from tests.markup import Reader, read_html
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    ASSIGN,
    BANK,
    CLAIM,
    DELIVER,
    DISPUTE,
    FREEZE,
    HELLO,
    IN,
    LUC,
    MIA,
    OPS,
    Story,
    delivered,
    disputed,
    euros,
    in_progress,
    pending,
    revision_requested,
)
from tests.wander import wanderers


def heard() -> Story:
    """
    Return an order that was late, refused a revision, and was ruled.
    """
    story = pending(terms={"title": "A logo", "text": "one logo, two colours"})
    story.buyer(ef.SubmitBrief(text="blue")).after(hours=3).buyer(HELLO)
    story.seller(ACCEPT).after(days=6).seller(DELIVER).after(days=1)
    story.buyer(ef.RequestRevision(reason="darker")).after(hours=50)
    story.seller(ef.RefuseRevision(reason="not included")).buyer(DISPUTE)
    story.after(days=3).mediator(ASSIGN, ef.AskParties(text="what was agreed?"))
    story.buyer(ef.AnswerMediator(text="dark blue", files=("chat.png",)))
    return story.mediator(
        ef.RuleDispute(ruling=ef.Split(to_buyer=euros("30")), reason="half of it")
    )


def file_of(story: Story) -> CaseFile:
    """
    Return the file as the host reads it.
    """
    return story.engine.case_file(story.id)


class TestContent:
    """
    What counts as evidence (R77).
    """

    def test_r77_all_of_it(self) -> None:
        """
        R77: service text, brief, messages, deliveries, requests with their answers,
        and what was asked, answered and ruled.
        """
        case = heard().engine.case_file("order-1", by=MIA)

        said = {
            topic: [
                (one.event.name, [str(text.text) for text in one.texts])
                for one in case.about(topic)
            ]
            for topic in TOPICS
            if topic != "course"
        }

        assert said == {
            "service": [("order_placed", ["A logo", "one logo, two colours"])],
            "brief": [("brief_submitted", ["blue"])],
            "messages": [("message_sent", [])],
            "deliveries": [("order_marked_late", []), ("order_delivered", [])],
            "requests": [
                ("revision_requested", ["darker"]),
                ("dispute_unlocked", []),
                ("revision_refused", ["not included"]),
            ],
            "claims": [],
            "proposals": [],
            "extras": [],
            "dispute": [
                ("dispute_opened", ["we do not agree"]),
                ("mediator_alerted", []),
                ("mediator_assigned", []),
                ("parties_asked", ["what was agreed?"]),
                ("mediator_answered", ["dark blue"]),
                ("dispute_ruled", ["half of it"]),
            ],
        }
        assert case.terms.text == "one logo, two colours"
        assert (case.buyer_id, case.seller_id, case.mediator_id) == (
            "ana",
            "luc",
            "mia",
        )

    def test_the_whole_history(self) -> None:
        """
        Each event of the history is one exhibit, whatever it is about.
        """
        story = heard()

        case, history = file_of(story), story.engine.history(story.id)

        assert [
            (one.seq, one.event, one.by, one.effective_at, one.recorded_at)
            for one in case.exhibits
        ] == [
            (one.seq, one.event, one.by, one.effective_at, one.recorded_at)
            for one in history
        ]
        assert sum(len(case.about(topic)) for topic in TOPICS) == len(history)

    def test_every_event_has_one_chapter(self) -> None:
        """
        No event is in two chapters, and each chapter is one of the library's events.
        """
        kinds = list(chain.from_iterable(TOPICS.values()))

        assert len(kinds) == len(set(kinds))
        assert set(kinds) <= set(EVENTS.values())

    def test_as_of_now(self) -> None:
        """
        What has become due counts, though nobody has written it down yet.
        """
        story = in_progress().buyer(CLAIM).after(days=6)

        case = file_of(story)

        assert (case.late, case.as_of) == (True, story.clock.now())
        assert case.deadlines[-1].outcome == "missed"
        assert case.exhibits[-1].event.name == "claim_filed"

    def test_awaited(self) -> None:
        """
        The engine that is awaited says the same.
        """
        story = heard()
        engine = ef.AsyncEngine(
            story.process, threaded(story.storage), clock=story.clock
        )

        assert asyncio.run(engine.case_file(story.id, by=MIA)) == file_of(story)


class TestReaders:
    """
    Who may read it.
    """

    @pytest.mark.parametrize("by", [None, MIA, OPS], ids=str)
    def test_mediator_staff_and_host(self, by: ef.Actor | None) -> None:
        """
        The mediator of the order, staff and the host read the same.
        """
        story = disputed()

        assert story.engine.case_file(story.id, by=by) == file_of(story)

    @pytest.mark.parametrize("by", [ANA, LUC, BANK], ids=str)
    @pytest.mark.parametrize("order_id", ["order-1", "nowhere"])
    def test_nobody_else(self, by: ef.Actor, order_id: str) -> None:
        """
        A party or a provider is told what to read instead, whatever the order is.
        """
        story = disputed()

        with pytest.raises(ef.InvalidInputError) as caught:
            story.engine.case_file(order_id, by=by)

        assert caught.value.field == "by"
        assert caught.value.problem == (
            "a case file is for the mediator of the order and for staff: a "
            f"{by.role.text} reads what is for him with view(order_id, by=)"
        )

    def test_who_may_take_it(self) -> None:
        """
        Any mediator who is no party reads it while the order looks for one; after
        that the one who took it.
        """
        zoe, luc = ef.Mediator("zoe"), ef.Mediator("luc")
        story = in_progress()

        def may_read(by: ef.Actor) -> bool:
            try:
                story.engine.case_file(story.id, by=by)
            except ef.OrderNotFoundError:
                return False
            return True

        assert not may_read(zoe)
        story.buyer(CLAIM)
        assert (may_read(zoe), may_read(MIA), may_read(luc)) == (True, True, False)
        story.mediator(ASSIGN)
        assert (may_read(zoe), may_read(MIA)) == (False, True)

    def test_no_such_order(self) -> None:
        """
        There is no file of an order that is not there.
        """
        with pytest.raises(ef.OrderNotFoundError):
            disputed().engine.case_file("nowhere")


class TestProof:
    """
    Nothing was changed, and anybody can see that.
    """

    @pytest.mark.parametrize("state", sorted(IN))
    def test_it_holds(self, state: str) -> None:
        """
        The file of an order that nobody tampered with is sound, whatever the state.
        """
        assert file_of(IN[state]()).wrong is None

    def test_from_the_json_alone(self) -> None:
        """
        Whoever has the JSON and SHA-256 needs nothing of ours to prove it.
        """
        case = json.loads(json.dumps(ef.to_json(file_of(heard()))))

        head = b""
        for one in case["exhibits"]:
            at, written = (
                to_micros(as_utc(one[name], name))
                for name in ("effective_at", "recorded_at")
            )
            fields = (case["order_id"], one["seq"], one["name"], at, written)
            said = "\x1f".join(map(str, (*fields, int(one["settles"]), "")))
            head = hashlib.sha256(head + (said + one["body"]).encode()).digest()
            assert head.hex() == one["hash"]
            for text in one["texts"]:
                salt = bytes.fromhex(text["salt"])
                words = len(salt).to_bytes(2, "big") + salt + text["text"].encode()
                assert hashlib.sha256(words).hexdigest()[:40] == text["commitment"]
                assert text["commitment"] in one["body"]
        assert head.hex() == case["head"]
        assert case["wrong"] is None

    @pytest.mark.parametrize(
        "change",
        [
            {"body": "{}"},
            {"by": ANA},
            {"event": MessageSent(reference="message-9")},
            {"settles": True},
            {"seq": 40},
            {"hash": "00" * 32},
            {"effective_at": as_utc("2026-01-01T00:00:00Z", "at")},
            {"recorded_at": as_utc("2026-01-01T00:00:00Z", "at")},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_change_shows(self, change: dict[str, Any]) -> None:
        """
        Whatever is changed in an exhibit, its number is named.
        """
        case = file_of(heard())
        exhibits = list(case.exhibits)
        exhibits[7] = attrs.evolve(exhibits[7], **change)

        assert attrs.evolve(case, exhibits=tuple(exhibits)).wrong == 8

    @pytest.mark.parametrize("body", ["", "{}", "[1]", '{"by": "eve", "data": {}}'])
    def test_what_cannot_be_read_is_not_sound(self, body: str) -> None:
        """
        An exhibit whose bytes say nothing, or somebody else's, proves nothing.
        """
        exhibit = file_of(heard()).exhibits[3]
        assert exhibit.sound()

        assert not attrs.evolve(exhibit, body=body).sound()

    def test_other_words_show(self) -> None:
        """
        Nor can words be put into somebody's mouth.
        """
        case = file_of(heard())
        place = next(
            place
            for place, one in enumerate(case.exhibits)
            if one.event.name == "mediator_answered"
        )
        exhibits = list(case.exhibits)
        (said,) = exhibits[place].texts
        forged = attrs.evolve(said, text=Text("light blue"))
        exhibits[place] = attrs.evolve(exhibits[place], texts=(forged,))

        assert attrs.evolve(case, exhibits=tuple(exhibits)).wrong == place + 1

    def test_an_end_that_was_cut_off_shows(self) -> None:
        """
        An order remembers its last hash: what is missing at the end is missed.
        """
        case = file_of(heard())

        cut = attrs.evolve(case, exhibits=case.exhibits[:-2])

        assert cut.wrong == len(case.exhibits) - 1

    def test_changed_behind_our_back(self) -> None:
        """
        A journal that somebody changed is read, and says which event is wrong.
        """
        story = heard()
        journal = list(story.storage.events(story.id))
        journal[4] = attrs.evolve(journal[4], hash=bytes(32))

        case = case_file(
            story.order,
            story.engine.history(story.id),
            journal,
            story.storage.texts(story.id),
            head=story.storage.load(story.id).head,
        )

        assert case.wrong == 5

    def test_what_was_erased(self) -> None:
        """
        Words that are gone leave their commitment, and the proof holds.
        """
        story = heard()
        story.engine.erase(ANA.id)

        case = file_of(story)

        (brief,) = case.about("brief")
        (said,) = brief.texts
        assert (str(said.text), said.salt, said.erased) == ("", "", True)
        assert len(said.commitment) == 40
        assert said.commitment in brief.body
        assert case.wrong is None
        assert "(this text was erased)" in as_text(case)
        assert "(this text was erased)" in as_html(case)


def kept(story: Story) -> dict[str, tuple[str, str, timedelta | None]]:
    """
    Return what became of each deadline, the last one of each name.
    """
    return {
        one.name: (one.outcome, "" if one.by is None else str(one.by), one.margin)
        for one in file_of(story).deadlines
    }


# The waits before whose end somebody has to act.
PEOPLES = {
    *("payment", "acceptance", "delivery", "answer", "verification", "choice"),
    *("offer", "mediator", "ruling", "brief", "delay", "claim"),
}


class TestDeadlines:
    """
    Met or missed, by whom, and by how much.
    """

    def test_of_a_whole_life(self) -> None:
        """
        Each deadline of a person tells how it went.
        """
        assert kept(heard()) == {
            "payment": ("met", "buyer:ana", timedelta(days=1)),
            "acceptance": ("met", "seller:luc", timedelta(hours=45)),
            "delivery": ("missed", "seller:luc", timedelta(days=1)),
            "verification": ("met", "buyer:ana", timedelta(days=6)),
            "answer": ("missed", "seller:luc", timedelta(hours=2)),
            "choice": ("met", "buyer:ana", timedelta(days=7)),
            "mediator": ("missed", "mediator:mia", timedelta(days=1)),
        }

    def test_missed_for_good(self) -> None:
        """
        Where nobody ever acted, there is nobody to name.
        """
        assert kept(pending().after(days=2))["acceptance"] == ("missed", "", None)
        assert kept(delivered().after(days=7))["verification"] == ("missed", "", None)

    def test_ended_before_its_time(self) -> None:
        """
        What nobody needed any more was neither met nor missed.
        """
        story = pending().after(hours=1).buyer(ef.CancelOrder())

        assert kept(story)["acceptance"] == (
            "lifted",
            "buyer:ana",
            timedelta(hours=47),
        )

    def test_a_refusal_is_an_answer(self) -> None:
        """
        Whoever refuses the order has kept his time to accept.
        """
        story = pending().seller(ef.RefuseOrder(reason="no time"))

        assert kept(story)["acceptance"][0] == "met"

    def test_still_running(self) -> None:
        """
        What is to come runs, and what is stopped stands still.
        """
        story = in_progress()
        assert kept(story)["delivery"] == ("running", "", None)

        story.staff(FREEZE)
        assert kept(story)["delivery"] == ("stopped", "", None)

        story.after(days=30).staff(ef.UnfreezeOrder()).seller(DELIVER)
        assert kept(story)["delivery"][:2] == ("met", "seller:luc")
        assert kept(story)["delivery"][2] is not None

    def test_each_round_is_its_own(self) -> None:
        """
        A revision brings a new time to deliver, and a new time to verify.
        """
        story = revision_requested().seller(ef.AcceptRevision()).after(days=6)
        story.seller(DELIVER).buyer(APPROVE)

        rounds = [
            (one.name, one.outcome)
            for one in file_of(story).deadlines
            if one.name in ("delivery", "verification", "answer")
        ]

        assert rounds == [
            ("delivery", "met"),
            ("verification", "met"),
            ("answer", "met"),
            ("delivery", "missed"),
            ("verification", "met"),
        ]

    def test_asked_again_at_once(self) -> None:
        """
        A second request at the same instant has its own time to be answered.
        """
        story = in_progress(delivery="P30D")
        ask = ef.RequestCancellation(reason="changed my mind")
        story.buyer(ask).seller(ef.RefuseCancellation(reason="half done")).buyer(ask)
        story.after(days=2)

        answers = [
            one.outcome for one in file_of(story).deadlines if one.name == "answer"
        ]

        assert answers == ["met", "missed"]

    def test_a_choice_that_was_taken_away(self) -> None:
        """
        A dispute that staff opens is nobody's choice.
        """
        story = IN["revision_refused"]().staff(DISPUTE)

        assert kept(story)["choice"][:2] == ("lifted", "operator:ops")

    def test_of_each_offer(self) -> None:
        """
        Each offer has a time of its own.
        """
        story = in_progress(delivery="P30D")
        for title in ("Red", "Green", "Blue"):
            story.seller(ef.SendOffer(title=title, price=euros("5")))
        red, green, blue = (offer.id for offer in story.order.offers)
        story.buyer(ef.RefuseOffer(offer_id=green))
        story.seller(ef.WithdrawOffer(offer_id=blue))
        story.after(days=7)

        offers = {
            one.subject: one.outcome
            for one in file_of(story).deadlines
            if one.name == "offer"
        }

        assert offers == {red: "missed", green: "met", blue: "lifted"}

    def test_a_default_ruling_is_a_ruling_that_was_missed(self) -> None:
        """
        Where nobody ruled in time, the mediator missed it.
        """
        policies = {
            "dispute": {"ruling_window": "P10D", "default_ruling": ef.FullRefund()}
        }

        story = disputed(policies=policies).after(days=10)

        assert kept(story)["ruling"] == ("missed", "", None)

    def test_whatever_happens(self) -> None:
        """
        In any life: what was met was met by somebody, what was missed is over, and
        what the order still waits for runs, nothing else.
        """
        outcomes = set()
        for wanderer in wanderers("kept", 130):
            found = deadlines_kept(wanderer.history)
            outcomes |= {one.outcome for one in found}
            check_kept(found)
            running = [
                (one.name, one.subject, one.due_at)
                for one in found
                if one.outcome == "running"
            ]
            assert sorted(running) == sorted(
                (one.name, one.subject, one.due_at)
                for one in wanderer.order.deadlines
                if one.name in PEOPLES
            )

        assert outcomes == {"met", "missed", "lifted", "running", "stopped"}


def check_kept(found: tuple[Kept, ...]) -> None:
    """
    Check what must be true of every deadline.
    """
    for one in found:
        if one.outcome == "met":
            assert one.by is not None
            assert one.at is not None
        if one.outcome == "missed":
            assert one.at is None or one.at >= one.due_at
        if one.outcome in ("running", "stopped"):
            assert one.seq is None


class TestForPeople:
    """
    As text and as HTML, in both languages.
    """

    @pytest.mark.parametrize(
        ("locale", "lines"),
        [
            (
                "en",
                [
                    "Case file order-1",
                    "#8  Sun 7 Jun 2026, 13:00 (+02:00)  seller luc  Order delivered",
                    "    Files: logo.svg",
                    "    | not included",
                    "    Ruling: Divide (30.00 EUR)",
                    "Time to deliver, Sat 6 Jun 2026, 13:00 (+02:00): missed, "
                    "seller luc (#8), 24 hours after the end",
                    "Nothing was changed: every hash and every text is as it was "
                    "written",
                ],
            ),
            (
                "fr",
                [
                    "Dossier order-1",
                    "#8  dimanche 7\xa0juin 2026 à 13:00 (+02:00)  vendeur luc  "
                    "Commande livrée",
                    "    Fichiers\xa0: logo.svg",
                    "    Décision\xa0: Partager la somme (30,00\xa0EUR)",
                    "Délai de réalisation, samedi 6\xa0juin 2026 à 13:00 (+02:00)\xa0: "
                    "dépassé, vendeur luc (#8), 24 heures après la fin",
                ],
            ),
        ],
    )
    def test_text(self, locale: str, lines: list[str]) -> None:
        """
        A file is read from top to bottom, each exhibit with its number and hash.
        """
        case = file_of(heard())

        text = as_text(case, locale=locale, zone="Europe/Paris").splitlines()

        assert [line for line in lines if line not in text] == []
        for one in case.exhibits:
            assert any(line.endswith(one.hash) for line in text)

    @pytest.mark.parametrize("locale", ["en", "fr"])
    def test_html(self, locale: str) -> None:
        """
        It is an article with a chapter for all there is, and says what the text says.
        """
        case = file_of(heard())

        page = read_html(as_html(case, locale=locale, zone="Europe/Paris"))

        chapters = [one["class"] for one in page.attributes("section")]
        assert chapters == [
            *(topic for topic in TOPICS if case.about(topic)),
            "deadlines",
            "proof",
        ]
        assert page.attributes("article")[0]["lang"] == locale
        assert {one["value"] for one in page.attributes("li") if one} == {
            str(one.seq) for one in case.exhibits
        }
        for one in case.exhibits:
            assert one.hash in page.text
            for said in one.texts:
                assert str(said.text) in page.text
        assert page.tags <= Reader.ALLOWED

    @pytest.mark.parametrize("words", ["<img src=x onerror=y>", "</article>", "&lt;"])
    def test_everything_is_escaped(self, words: str) -> None:
        """
        Whatever people write stays what they wrote.
        """
        story = pending(terms={"title": words}).buyer(ef.SubmitBrief(text=words))

        page = read_html(as_html(file_of(story)))

        assert page.text.count(words) == 2

    def test_what_people_are_called(self) -> None:
        """
        Names stand for ids, and once beside them: what was hashed has the ids.
        """
        names = {"ana": "Ana Morel", "mia": "Mia <i> Rossi"}
        case = file_of(heard())

        text = as_text(case, names=names)
        page = read_html(as_html(case, names=names))

        for told in (text, page.text):
            assert "Ana Morel (ana)" in told
            assert "buyer Ana Morel" in told
            assert "seller luc" in told
            assert told.count("Mia <i> Rossi (mia)") == 1
        assert "Mediator: Mia <i> Rossi\n" in text
        assert "buyer ana" not in text
        assert page.tags <= Reader.ALLOWED
        assert case.wrong is None

    def test_of_an_order_that_is_late(self) -> None:
        """
        That it is late, what was agreed without limit, and each offer by its name.
        """
        story = in_progress(terms={"revisions": "unlimited"})
        story.seller(
            ef.SendOffer(title="More", price=euros("5"), delivery_window="P2D")
        )
        (offer,) = story.order.offers
        story.after(days=5, hours=1)

        text = as_text(file_of(story), zone="Europe/Paris")

        assert "State: In progress (late)\n" in text
        assert "Revisions agreed: Unlimited\n" in text
        assert "    Time to deliver: 48 hours\n" in text
        assert (
            f"Time to take the custom offer ({offer.id}), Mon 8 Jun 2026, 12:00 "
            "(+02:00): still runs\n"
        ) in text

    def test_a_lifted_deadline_that_stood_still(self) -> None:
        """
        Where time stood still, nothing is said of how much there was.
        """
        case = file_of(
            in_progress().staff(
                FREEZE, ef.RuleDispute(ruling=ef.FullRefund(), reason="fraud")
            )
        )

        (line,) = (
            line
            for line in as_text(case).splitlines()
            if line.startswith("Time to deliver,")
        )
        assert line.endswith(": ended before its time, platform staff ops (#7)")

    def test_by_how_much_at_a_glance(self) -> None:
        """
        A margin is told in whole minutes, in seconds below one, and not at all below
        a second.
        """
        for length, told in (
            (
                {"hours": 50, "minutes": 5, "seconds": 7},
                "2 days 2 hours 5 minutes after the end",
            ),
            ({"seconds": 30}, "30 seconds after the end"),
            ({"microseconds": 1}, "missed, seller luc (#8)"),
        ):
            story = revision_requested().after(hours=48).after(**length)
            story.seller(ef.AcceptRevision())
            (line,) = (
                line
                for line in as_text(file_of(story)).splitlines()
                if line.startswith("Time to answer,")
            )
            assert line.endswith(told)

    def test_a_change_is_said(self) -> None:
        """
        A file that does not prove itself says so, in any form.
        """
        case = attrs.evolve(file_of(heard()), head="00" * 32)

        assert "event 19 is not as it was written" in as_text(case)
        assert "l’événement 19 n’est pas" in read_html(as_html(case, locale="fr")).text
        assert ef.to_json(case)["wrong"] == 19

    def test_every_part_has_words(self) -> None:
        """
        Each chapter and each outcome is told in a word of its own.
        """
        outcomes = {"met", "missed", "lifted", "running", "stopped"}

        assert {*TOPICS, *outcomes} <= set(LABELS["story"])
        assert story_text("met", "fr") == "respecté"

    def test_json(self) -> None:
        """
        Programs get every part, with words beside the codes.
        """
        told = json.loads(json.dumps(ef.to_json(file_of(heard()), locale="fr")))

        late = next(one for one in told["deadlines"] if one["name"] == "delivery")
        assert (late["outcome"], late["outcome_label"]) == ("missed", "dépassé")
        assert (late["role"], late["by"], late["margin"]) == (
            "seller",
            "seller:luc",
            "P1D",
        )
        assert told["exhibits"][7]["topic_label"] == "Livraisons"
        assert told["state_label"] == "Terminée"


def test_an_order_of_rules_that_are_gone() -> None:
    """
    A file is readable though nobody knows the rules of the order any more.
    """
    story = disputed()
    other = ef.Engine(
        story.process.with_policies(fees=ef.Fees(buyer_fee=ef.Fee(bps=100))),
        story.storage,
        clock=story.clock,
    )

    case = other.case_file(story.id, by=MIA)

    assert (case.state, case.wrong) == ("disputed", None)


def test_who_has_to_act_is_said_in_the_table() -> None:
    """
    A case file names the role that the table of deadlines names.
    """
    kept = {one.name: one.role for one in file_of(heard()).deadlines if one.role}

    assert kept
    assert kept == {name: comeup().kinds[name].awaits for name in kept}
