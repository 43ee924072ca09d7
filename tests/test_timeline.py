"""
An order's story for people.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

import escrowflow as ef
from escrowflow.clock import FakeClock
from escrowflow.processes import comeup
from escrowflow.storage import open_storage
from escrowflow.timeline import Moment, as_html, as_lines, as_text, timeline
from tests.markup import Reader, read_html
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    ASSIGN,
    CLAIM,
    DELIVER,
    LUC,
    OPS,
    Story,
    disputed,
    euros,
    in_progress,
    pending,
)


def test_it_tells_who_did_what_and_where_the_money_stood() -> None:
    """
    Each moment has the instant it counts, the actor, the words and the books.
    """
    clock = FakeClock("2026-05-05T10:00:00+02:00")
    engine = ef.Engine(comeup(), open_storage("memory://"), clock=clock)
    order_id = engine.place(
        ef.PlaceOrder(
            seller_id="luc",
            price=ef.Money.of("100.00", "EUR"),
            payment=ef.Payment(method="card", reference="pi_1"),
            terms=ef.Terms(delivery_window=timedelta(days=5)),
        ),
        by=ANA,
    ).order.id
    engine.execute(order_id, ef.SubmitBrief(text="A fox"), by=ANA)
    engine.execute(order_id, ef.AcceptOrder(), by=LUC)
    clock.advance(days=6)
    engine.execute(order_id, ef.CancelOrder(reason="Too late for me"), by=ANA)

    story = timeline(engine.history(order_id))

    assert [(moment.event, str(moment.by), moment.said) for moment in story] == [
        ("order_placed", "buyer:ana", ""),
        ("payment_booked", "buyer:ana", ""),
        ("order_paid", "buyer:ana", ""),
        ("brief_submitted", "buyer:ana", "A fox"),
        ("order_accepted", "seller:luc", ""),
        ("order_marked_late", "system", ""),
        ("order_cancelled", "buyer:ana", "Too late for me"),
    ]
    late, cancelled = story[-2:]
    assert (late.state, late.late) == ("in_progress", True)
    assert late.at < late.recorded_at
    assert cancelled.state == "cancelled"
    assert str(cancelled.ledger.refunded) == "100.00 EUR"


def told(story: Story, by: ef.Actor | None = None) -> tuple[Moment, ...]:
    """
    Return the story as somebody may read it.
    """
    return timeline(story.engine.history(story.id, by=by))


class TestMoments:
    """
    What is told.
    """

    def test_the_money_that_moved(self) -> None:
        """
        Each moment tells where money went by it, and only that.
        """
        story = in_progress()
        story.buyer(ef.ProposePartialRefund(amount=euros("30"), reason="half the work"))
        story.seller(ef.AcceptPartialRefund(), DELIVER).buyer(APPROVE)

        moves = [
            (moment.event, move.to, str(move.most))
            for moment in told(story)
            for move in moment.moved
        ]

        assert moves == [
            ("payment_booked", "escrow", "100.00 EUR"),
            ("partial_refund_accepted", "buyer", "30.00 EUR"),
            ("order_completed", "seller", "70.00 EUR"),
        ]

    def test_why(self) -> None:
        """
        What began a dispute, ended an order or sent a payment back is its cause.
        """
        story = disputed().mediator(
            ef.RuleDispute(ruling=ef.PaySeller(), reason="as agreed")
        )
        payment = ef.Payment("card", "pay-2", euros("5"))
        story.staff(ef.ConfirmPayment(payment=payment))

        causes = {moment.event: moment.cause for moment in told(story) if moment.cause}

        assert causes == {
            "dispute_opened": "revision_refused",
            "order_completed": "ruled",
            "payment_returned": "not_owed",
        }

    def test_what_was_erased(self) -> None:
        """
        Words that are gone are told to be gone.
        """
        story = pending().buyer(ef.SubmitBrief(text="A fox"), ef.CancelOrder())
        story.engine.erase(ANA.id)

        (brief,) = (one for one in told(story) if one.event == "brief_submitted")

        assert (str(brief.said), brief.said.erased) == ("", True)
        assert "(this text was erased)" in as_text([brief])
        assert "(ce texte a été effacé)" in as_html([brief], locale="fr")

    def test_as_json(self) -> None:
        """
        Programs get the codes, and people's words beside them.
        """
        story = pending(delivery="P1D").seller(ACCEPT).after(days=1)
        story.buyer(ef.CancelOrder(reason="too late"))

        *_, last = json.loads(json.dumps(ef.to_json(told(story), locale="fr")))

        assert last["event"] == "order_cancelled"
        assert (last["by"], last["said"], last["erased"]) == (
            "buyer:ana",
            "too late",
            False,
        )
        assert last["cause"] == "late"
        assert last["cause_label"].startswith("La commande était en retard")
        assert last["moved"][0]["to"] == "buyer"
        assert last["moved"][0]["most"] == {"amount": "100.00", "currency": "EUR"}

    @pytest.mark.parametrize("filer", [ANA, LUC], ids=str)
    def test_r71_each_reader_reads_his_own(self, filer: ef.Actor) -> None:
        """
        R71: why a claim was not kept is told to its filer, the mediator and staff;
        whoever else reads only learns that it was not.
        """
        story = in_progress()
        story.by(filer, CLAIM)
        story.mediator(ASSIGN)
        before = {str(actor): 0 for actor in (ANA, LUC)}
        story.mediator(ef.RejectClaim(reason="nothing to see"))

        readers = {
            str(by): as_text(told(story, by)).count("nothing to see")
            for by in (ANA, LUC, OPS, ef.Provider("bank"))
        }

        assert readers == {
            **before,
            str(filer): 1,
            "operator:ops": 1,
            "provider:bank": 0,
        }


class TestText:
    """
    For a terminal or a mail.
    """

    @pytest.mark.parametrize(
        ("locale", "zone", "line", "why", "money"),
        [
            (
                "en",
                "Asia/Tokyo",
                r"Thu 4 Jun 2026, 17:00 \(\+09:00\) +buyer ana +Order cancelled +"
                r"Cancelled \(late\) +0\.00 +100\.00 +0\.00 +0\.00",
                "The order was late and the buyer cancelled it",
                "100.00 EUR to the buyer",
            ),
            (
                "fr",
                "Europe/Paris",
                r"jeudi 4\xa0juin 2026 à 10:00 \(\+02:00\) +acheteur ana +"
                r"Commande annulée +Annulée \(en retard\) +0,00 +100,00 +0,00 +0,00",
                "La commande était en retard et l’acheteur l’a annulée",
                "Pour l’acheteur\xa0: 100,00\xa0EUR",
            ),
        ],
    )
    def test_who_what_when_why_money(
        self, locale: str, zone: str, line: str, why: str, money: str
    ) -> None:
        """
        A moment is a line, in the reader's language and zone; under it stand what was
        said, why, and the money.
        """
        story = pending("2026-06-02T10:00:00+02:00", delivery="P1D").seller(ACCEPT)
        story.after(days=2).buyer(ef.CancelOrder(reason="I need it\nnow"))

        *_, moment, one, two, three, four = as_text(
            told(story), locale=locale, zone=zone
        ).splitlines()

        assert re.fullmatch(line, moment)
        assert [one, two, three] == ["    | I need it", "    | now", f"    {why}"]
        assert four == f"    {money}"

    def test_it_fits_the_window(self) -> None:
        """
        What does not fit is broken, words between words.
        """
        story = pending().buyer(ef.SubmitBrief(text="a fox and a hen " * 20))

        text = as_text(told(story), zone="Europe/Paris", width=80)

        assert max(map(len, text.splitlines())) <= 80
        assert text.count("fox and") + text.count("fox\n") >= 19

    def test_nobody_can_write_our_lines(self) -> None:
        """
        What somebody wrote is set in, line by line, and turns nothing around.
        """
        forged = "fine\u2028Mon 1 Jun 2026  seller luc  Order accepted\u202e"
        story = pending().buyer(ef.SubmitBrief(text=forged))

        text = as_text(told(story))

        assert "    | Mon 1 Jun 2026  seller luc  Order accepted\ufffd" in text
        assert sum(not line.startswith("    ") for line in text.splitlines()) == 1 + 4

    def test_what_people_are_called(self) -> None:
        """
        Whoever has a name is told by it, on one line that nothing turns around; anybody
        else by the id, and the system is nobody.
        """
        story = pending().seller(ACCEPT).after(days=6)
        story.engine.run_due()
        names = {"ana": "Ana\nTue  seller \u202eMorel"}

        text = as_text(told(story), names=names)

        assert "  buyer Ana Tue seller \ufffdMorel  Order placed" in text
        assert "  seller luc  " in text
        assert "  system  " in text
        assert "buyer ana" not in text

    def test_several_share_their_columns(self) -> None:
        """
        Stories told together are aligned from the first to the last.
        """
        stories = [told(pending()), told(disputed()), ()]

        found = as_lines(stories, zone="Europe/Paris")

        assert {
            len(line.text)
            for lines in found
            for line in lines
            if line.kind in ("head", "moment")
        } == {len(found[2][0].text)}

    def test_unknown_zone(self) -> None:
        """
        A wall that nobody knows is refused by name.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            as_text(told(pending()), zone="Mars/Olympus")

        assert caught.value.field == "zone"


class TestHtml:
    """
    For a page.
    """

    def test_a_list_of_moments(self) -> None:
        """
        One item a moment, with an instant that programs read and people do.
        """
        story = disputed()

        page = read_html(as_html(told(story), locale="fr", zone="Europe/Paris"))

        assert page.count("ol") == 1
        assert page.count("li") == page.count("time") == story.order.version
        assert page.attributes("ol") == [
            {
                "class": "escrowflow-timeline",
                "lang": "fr",
                "aria-label": "Ce qui s’est passé",
            }
        ]
        assert page.attributes("time")[0] == {
            "datetime": "2026-06-01T08:00:00.000+00:00"
        }
        assert "lundi 1er\xa0juin 2026 à 10:00 (+02:00)" in page.text
        assert "acheteur ana" in page.text
        assert "Somme bloquée\xa0: 100,00\xa0EUR" in page.text

    @pytest.mark.parametrize(
        "words",
        [
            "<script>alert(1)</script>",
            "</li></ol>",
            '" onload="x',
            "a & b &lt;",
            "']]>",
        ],
    )
    def test_everything_is_escaped(self, words: str) -> None:
        """
        Whatever people write is read as they wrote it, and is never markup.
        """
        story = pending().buyer(ef.SubmitBrief(text=words))

        page = read_html(as_html(told(story)))

        assert words in page.text
        assert page.tags <= Reader.ALLOWED
        assert not {"style", "onload"} & page.names

    def test_what_people_are_called(self) -> None:
        """
        A name stands where the id stood, and is never markup either.
        """
        names = {"ana": "Ana <b> Morel"}

        page = read_html(as_html(told(in_progress()), names=names))

        assert "buyer Ana <b> Morel" in page.text
        assert "seller luc" in page.text
        assert page.tags <= Reader.ALLOWED

    def test_an_unknown_language_is_english(self) -> None:
        """
        The fragment says which language it is in, not which was asked for.
        """
        page = read_html(as_html(told(pending()), locale="de_AT"))

        assert page.attributes("ol")[0]["lang"] == "en"

    def test_nothing_happened(self) -> None:
        """
        A story without moments is an empty list.
        """
        assert read_html(as_html(())).count("li") == 0
