"""
What `recommended` does beyond the pages: every wait has an end, and nobody's money
depends on somebody who never comes back.
"""

from __future__ import annotations

from typing import Any

import pytest

import escrowflow as ef
from escrowflow.clock import WINDOW_DAYS_MAX
from escrowflow.events import AnswerExpired
from escrowflow.processes import recommended
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    ASK_CANCELLATION,
    ASK_REVISION,
    ASSIGN,
    CANCEL,
    CLAIM,
    DELIVER,
    DISPUTE,
    FREEZE,
    LUC,
    MIA,
    OPS,
    REFUSE_CANCELLATION,
    REFUSE_REVISION,
    Story,
    cancellation_requested,
    delivered,
    disputed,
    frozen,
    in_progress,
    late,
    paris,
    pending,
    revision_refused,
    revision_requested,
)

BACK = "0/100/0/0"
PAID = "0/0/100/0"
HELD = "100/0/0/0"

EARLIEST = {"earliest": "2026-06-06T12:00:00.000001+02:00"}
LATEST = {"latest": "2026-08-14T10:00:00+02:00"}

BRIEF = ef.SubmitBrief(text="blue, please")


def ours(**policies: Any) -> dict[str, Any]:
    """
    Return a story's process: `recommended`, with some policies changed.
    """
    return {"process": recommended().with_policies(**policies)}


def more_time(due_at: str = "2026-06-12T12:00:00+02:00") -> ef.RequestExtension:
    """
    Ask for a later date than the seventh of June.
    """
    return ef.RequestExtension(due_at=due_at, reason="one more colour")


class TestExtension:
    """
    A later date, by agreement (R24).
    """

    def test_granted(self) -> None:
        """
        The work is due at the date the two sides agreed on.
        """
        story = in_progress(**ours())
        assert story.due == "2026-06-06T12:00:00+02:00"

        asked = story.seller(more_time()).order

        assert asked.extension is not None
        assert str(asked.extension.reason) == "one more colour"
        assert story.due == "2026-06-06T12:00:00+02:00"
        assert story.told("extension_requested") == {"buyer"}

        granted = story.buyer(ef.AcceptExtension()).order

        assert granted.extension is None
        assert story.due == "2026-06-12T12:00:00+02:00"
        assert story.told("extension_accepted") == {"seller"}

    def test_it_stops_nothing(self) -> None:
        """
        R23: until the buyer agrees, the order turns late as it would have.
        """
        story = in_progress(**ours()).seller(more_time()).at("06-06 12:00")

        assert story.order.late
        assert "B cancel_order" in story.allowed

    def test_a_late_order_is_late_no_more(self) -> None:
        """
        A new later deadline clears `late`; that it was late stays known.
        """
        story = late(**ours()).seller(more_time()).buyer(ef.AcceptExtension())

        assert (story.order.late, story.order.ever_late) == (False, True)
        assert "B cancel_order" not in story.allowed
        assert "delay" not in [wait.name for wait in story.order.deadlines]

    @pytest.mark.parametrize(
        ("actor", "command", "told"),
        [
            (ANA, ef.RefuseExtension(), "seller"),
            (LUC, ef.WithdrawExtension(), "buyer"),
        ],
    )
    def test_no(self, actor: ef.Actor, command: ef.Command, told: str) -> None:
        """
        Refused or withdrawn, the work is due as before, and another date may follow.
        """
        story = in_progress(**ours()).seller(more_time())

        story.by(actor, command)

        assert story.order.extension is None
        assert story.due == "2026-06-06T12:00:00+02:00"
        event = story.names[-1]
        assert story.told(event) == {told}
        story.seller(more_time())

    @pytest.mark.parametrize(
        ("due_at", "code", "params"),
        [
            ("2026-06-06T12:00:00+02:00", "due_at_not_later", EARLIEST),
            ("2026-06-01T00:00:00+02:00", "due_at_not_later", EARLIEST),
            ("2026-08-14T10:00:01+02:00", "due_at_too_late", LATEST),
        ],
    )
    def test_dates(self, due_at: str, code: str, params: dict[str, str]) -> None:
        """
        A later one than there is, and not beyond the order's longest life; either end
        is told.
        """
        story = in_progress(**ours())

        assert story.why(LUC, more_time(due_at)) == [(code, params, [])]
        (end,) = params.values()
        story.seller(more_time(end))

    def test_the_only_date(self) -> None:
        """
        A moment before the longest life ends there is one later date: that end.
        """
        story = pending(**ours(lifetime={"order_cap": "P6D"}))
        end = story.order.effective_at.add(days=6)
        story.clock.advance_to(end.subtract(days=5, microseconds=1))

        story.seller(ACCEPT, more_time(end.isoformat()))

        assert story.order.extension is not None
        assert story.order.extension.due_at == end

    def test_no_longest_life(self) -> None:
        """
        Where an order lives as long as it takes, a window has its own longest length.
        """
        story = in_progress(**ours(lifetime={"order_cap": None}))

        (due_at,) = (
            field
            for field in story.option(LUC, ef.RequestExtension).fields
            if field.name == "due_at"
        )

        assert due_at.maximum == story.clock.now().add(days=WINDOW_DAYS_MAX)

    def test_no_time_runs(self) -> None:
        """
        Where a revision has no time of its own, a date can be asked for from now on.
        """
        story = revision_requested(**ours(delivery={"revision_deadline": "none"}))
        story.seller(ef.AcceptRevision())
        assert story.order.due_at is None

        now = paris(story.clock.now())
        earliest = paris(story.clock.now().add(microseconds=1))

        assert story.why(LUC, more_time(now)) == [
            ("due_at_not_later", {"earliest": earliest}, [])
        ]
        story.seller(more_time(earliest))

    def test_no_later_date(self) -> None:
        """
        Where the order ends before the work is due, there is nothing to ask for.
        """
        story = in_progress(**ours(), delivery="P80D")

        assert story.blocked(LUC, ef.RequestExtension) == [
            ("no_later_date", LATEST, [])
        ]

    def test_limits_are_told(self) -> None:
        """
        The form says from when, and until when.
        """
        option = in_progress(**ours()).option(LUC, ef.RequestExtension)
        (due_at,) = (field for field in option.fields if field.name == "due_at")

        assert str(due_at.minimum) == "2026-06-06 10:00:00.000001+00:00"
        assert str(due_at.maximum) == "2026-08-14 08:00:00+00:00"

    def test_one_at_a_time(self) -> None:
        """
        One request an order; nobody answers his own.
        """
        story = in_progress(**ours())
        assert story.refused(ANA, ef.AcceptExtension()) == ("no_extension",)
        assert story.refused(ANA, ef.RefuseExtension()) == ("no_extension",)
        assert story.refused(LUC, ef.WithdrawExtension()) == ("no_extension",)

        story.seller(more_time())

        assert story.why(LUC, more_time()) == [
            ("extension_open", {}, ["seller withdraw_extension"])
        ]
        assert "S accept_extension" not in story.allowed

    def test_a_date_that_has_passed(self) -> None:
        """
        It cannot be granted any more; refused, it makes room for another one.
        """
        story = in_progress(**ours()).seller(more_time()).at("06-12 12:00")

        assert story.why(ANA, ef.AcceptExtension()) == [
            ("extension_passed", {}, ["buyer refuse_extension"])
        ]
        story.buyer(ef.RefuseExtension()).seller(more_time("2026-06-14T12:00:00+02:00"))

    @pytest.mark.parametrize(
        "ends",
        [(LUC, DELIVER), (OPS, FREEZE), (OPS, DISPUTE), (LUC, CANCEL)],
        ids=["delivered", "frozen", "disputed", "cancelled"],
    )
    def test_closed_by(self, ends: tuple[ef.Actor, ef.Command]) -> None:
        """
        It is over once the work is there, or the order goes another way.
        """
        story = in_progress(**ours()).seller(more_time())

        story.by(*ends)

        assert story.order.extension is None

    def test_not_under_the_published_rules(self) -> None:
        """
        R23: there, no formal extension exists.
        """
        assert in_progress().refused(LUC, more_time()) == ("not_your_command",)


class TestBrief:
    """
    The clock stands still while the buyer owes the brief (R5, R30).
    """

    @staticmethod
    def waiting(**policies: Any) -> Story:
        """
        An order that the seller began without the brief it needs.
        """
        acceptance = {"brief_required": True, **policies}
        return in_progress(**ours(acceptance=acceptance))

    def test_paused(self) -> None:
        """
        The time to deliver begins with the brief, all of it.
        """
        story = self.waiting()
        assert story.due == ""
        assert story.waits == [
            ("brief", "2026-06-08T12:00:00+02:00"),
            ("lifetime", "2026-08-14T10:00:00+02:00"),
        ]

        story.after(days=6)
        assert not story.order.late
        story.buyer(BRIEF)

        assert story.due == "2026-06-12T12:00:00+02:00"
        assert "brief" not in [name for name, _ in story.waits]
        assert story.refused(ANA, BRIEF) == ("brief_not_owed",)

    def test_a_short_delivery_time_stays_short(self) -> None:
        """
        What had not begun is not rounded up to a day.
        """
        story = in_progress(
            **ours(acceptance={"brief_required": True}), delivery="PT6H"
        ).after(days=1)

        story.buyer(BRIEF)

        assert story.due == "2026-06-02T18:00:00+02:00"

    @pytest.mark.parametrize("days", [7, 2])
    def test_it_never_comes(self, days: int) -> None:
        """
        After the window everything goes back, and it is not the seller's fault.
        """
        story = self.waiting(brief_window=f"P{days}D").after(days=days)

        assert story.row == ("cancelled", "", BACK)
        assert story.ending == ("brief_missing", "expire_brief", "buyer", False)

    def test_the_seller_may_do_without(self) -> None:
        """
        Whoever can deliver is not kept from it: nothing can be taken from him then.
        """
        story = self.waiting().seller(DELIVER)

        assert story.state == "delivered"
        assert story.after(days=7).row[2] == PAID

    def test_after_a_delivery_nothing_is_owed(self) -> None:
        """
        The time to deliver again runs, brief or not.
        """
        story = self.waiting().seller(DELIVER).buyer(ASK_REVISION)
        story.seller(ef.AcceptRevision())

        assert story.due == "2026-06-06T12:00:00+02:00"

    def test_no_date_to_move(self) -> None:
        """
        Where no time runs, there is no more of it to ask for.
        """
        assert self.waiting().why(LUC, more_time()) == [
            ("brief_owed", {}, ["buyer submit_brief"])
        ]

    def test_the_seller_called_for_help(self) -> None:
        """
        Silence takes nothing from whom a mediator should hear.
        """
        story = self.waiting().seller(CLAIM).after(days=7)

        assert story.row == ("disputed", "2026-06-22T12:00:00+02:00", HELD)

    def test_through_a_freeze(self) -> None:
        """
        Both waits stand still, and go on.
        """
        story = self.waiting().staff(FREEZE).after(days=3).staff(ef.UnfreezeOrder())

        assert story.waits[0] == ("brief", "2026-06-11T12:00:00+02:00")
        assert story.buyer(BRIEF).due == "2026-06-09T12:00:00+02:00"

    def test_through_a_request(self) -> None:
        """
        A request to cancel does not make the seller late for want of a brief.
        """
        story = self.waiting().buyer(ASK_CANCELLATION).seller(REFUSE_CANCELLATION)

        assert not story.after(days=6).order.late
        story.buyer(BRIEF)
        assert story.due == "2026-06-12T12:00:00+02:00"

    def test_accepted_with_a_brief(self) -> None:
        """
        With the brief there, all is as ever.
        """
        story = pending(**ours(acceptance={"brief_required": True})).buyer(BRIEF)

        story.after(hours=2).seller(ACCEPT)

        assert story.due == "2026-06-06T12:00:00+02:00"


class TestDelay:
    """
    A late order does not wait for ever (R27).
    """

    @pytest.mark.parametrize("days", [7, 3])
    def test_everything_goes_back(self, days: int) -> None:
        """
        After so many days, without that anybody does anything.
        """
        policies = ours(delivery={"late_window": f"P{days}D"})
        story = late(**policies)

        story.at(f"06-{6 + days:02} 11:59")
        assert story.row[::2] == ("in_progress + late", HELD)
        story.at(f"06-{6 + days:02} 12:00")
        assert story.row == ("cancelled + late", "", BACK)
        assert story.ending == ("not_delivered", "expire_delivery", "seller", False)

    def test_late_during_a_request(self) -> None:
        """
        The request is answered first; then the days begin.
        """
        story = in_progress(**ours()).at("06-05 12:00").buyer(ASK_CANCELLATION)
        story.at("06-06 13:00")
        assert story.row[::2] == ("cancellation_requested + late", HELD)

        story.seller(REFUSE_CANCELLATION)

        assert dict(story.waits)["delay"] == "2026-06-13T13:00:00+02:00"

    def test_delivered_late(self) -> None:
        """
        Until then the work may still come.
        """
        assert late(**ours()).seller(DELIVER).after(days=7).row[2] == PAID

    def test_the_seller_called_for_help(self) -> None:
        """
        Then a mediator decides.
        """
        story = late(**ours()).seller(CLAIM).after(days=7)

        assert story.row[::2] == ("disputed + late", HELD)
        assert story.order.dispute is not None
        assert story.order.dispute.cause == "claim_unanswered"
        story.sweep()
        assert story.reasons == ["please look at this", "please look at this"]

    def test_the_buyer_called_for_help(self) -> None:
        """
        What he would get by silence he gets.
        """
        assert late(**ours()).buyer(CLAIM).after(days=7).row[2] == BACK

    @pytest.mark.parametrize("mode", ["add_days", "max"])
    @pytest.mark.parametrize("by_offer", [False, True])
    def test_an_extra_brings_a_later_date(self, mode: str, by_offer: bool) -> None:
        """
        Gap: what is late no more is not cancelled for being late, while the work that
        was just paid for is not due yet.
        """
        story = late(**ours(extras={"addon_deadline": mode}))
        work: dict[str, Any] = {"title": "more", "price": ef.Money.of(10, "EUR")}
        money = ef.Payment("card", "pi_more")
        if by_offer:
            story.seller(ef.SendOffer(**work, delivery_window="P20D"))
            story.buyer(ef.PayOffer(offer_id="offer-1", payment=money))
        else:
            story.buyer(ef.BuyAddOn(**work, extra_window="P20D", payment=money))

        assert not story.order.late
        assert "delay" not in dict(story.waits)
        story.after(days=8)
        assert story.row[::2] == ("in_progress", "110/0/0/0")
        # And where nothing comes by the new date the days begin anew.
        story.after(days=20)
        assert story.row[::2] == ("cancelled + late", "0/110/0/0")


class TestFrozenForGood:
    """
    An order that staff froze ends with its longest life, whoever gets what is held.
    """

    @pytest.mark.parametrize(
        ("beneficiary", "books"),
        [("buyer", BACK), ("seller", PAID), ("platform", "0/0/0/100")],
    )
    def test_its_end(self, beneficiary: str, books: str) -> None:
        """
        C24: also where no mediator is asked.
        """
        story = frozen(**ours(lifetime={"expiry_beneficiary": beneficiary}))

        assert story.after(days=80).row[::2] == ("expired", books)


class TestAnswers:
    """
    A request that is not answered counts as agreed to (R34, R65).
    """

    def test_cancellation(self) -> None:
        """
        Two days of silence, and everything goes back.
        """
        story = cancellation_requested(**ours()).after(hours=48)

        assert story.row == ("cancelled", "", BACK)
        assert story.ending == (
            "cancellation_unanswered",
            "expire_answer",
            "seller",
            False,
        )
        story.sweep()
        expired, cancelled = (one.event for one in story.engine.history(story.id)[-2:])
        assert expired == AnswerExpired(request="cancellation")
        assert cancelled.name == "order_cancelled"

    def test_cancellation_answered(self) -> None:
        """
        A seller who answers, or delivers, loses nothing by it.
        """
        story = cancellation_requested(**ours()).seller(REFUSE_CANCELLATION)
        assert story.after(hours=48).state == "in_progress"

        story = cancellation_requested(**ours()).seller(DELIVER)
        assert story.state == "delivered"

    def test_cancellation_and_a_claim(self) -> None:
        """
        A seller who called for help is heard.
        """
        story = in_progress(**ours()).seller(CLAIM).buyer(ASK_CANCELLATION)

        assert story.after(hours=48).row[::2] == ("disputed", HELD)

    def test_revision(self) -> None:
        """
        Two days of silence, and the work begins again.
        """
        story = revision_requested(**ours()).after(hours=48)
        story.sweep()

        assert story.state == "in_progress"
        assert story.order.revisions_used == 1
        assert story.order.revisions[-1].answer == "accepted"
        assert story.told("answer_expired") == {"buyer", "seller"}
        assert AnswerExpired(request="revision") in [
            recorded.event for recorded in story.engine.history(story.id)
        ]

    def test_a_seller_who_never_comes_back(self) -> None:
        """
        The buyer who asked for changes has his money in the end.
        """
        story = revision_requested(**ours()).after(days=30)

        assert story.row == ("cancelled + late", "", BACK)

    def test_no_dispute_is_needed(self) -> None:
        """
        Where time answers, nobody has to go to a mediator for it.
        """
        story = revision_requested(**ours())

        assert "B open_dispute" not in story.allowed
        assert "B open_dispute" in revision_refused(**ours()).allowed


class TestClaims:
    """
    An open claim pauses silent completion (R69).
    """

    @pytest.mark.parametrize("build", [delivered, revision_refused])
    @pytest.mark.parametrize("filer", [ANA, LUC], ids=["buyer", "seller"])
    def test_silence_pays_nobody(self, build: Any, filer: ef.Actor) -> None:
        """
        The window stands still; once nobody decided for a week, a mediator has to.
        """
        story = build(**ours())
        window = story.waits[0][0] if build is revision_refused else "verification"

        story.by(filer, CLAIM)

        assert story.due == ""
        waits = [name for name, _ in story.waits]
        assert window not in waits
        assert not [name for name in waits if "reminder" in name]
        assert story.state == story.after(days=6, hours=23).state
        assert story.after(hours=1).row[::2] == ("disputed", HELD)
        assert story.order.dispute is not None
        assert story.order.dispute.cause == "claim_unanswered"
        story.sweep()
        assert story.reasons[-2:] == ["please look at this", "please look at this"]

    def test_withdrawn(self) -> None:
        """
        The window goes on with what was left of it.
        """
        story = delivered(**ours())
        assert dict(story.waits)["verification"] == "2026-06-09T12:00:00+02:00"

        story.buyer(CLAIM).after(days=3).buyer(ef.WithdrawClaim())

        assert dict(story.waits)["verification"] == "2026-06-12T12:00:00+02:00"
        assert "claim" not in dict(story.waits)

    @pytest.mark.parametrize("rejected", [False, True])
    def test_at_least_a_day(self, rejected: bool) -> None:
        """
        A claim that the other side takes back in the last second, or that is rejected,
        leaves time to act.
        """
        story = delivered(**ours()).at("06-09 11:59").seller(CLAIM)

        story.after(days=3)
        if rejected:
            story.mediator(ASSIGN, ef.RejectClaim(reason="it is what was ordered"))
        else:
            story.seller(ef.WithdrawClaim())

        assert dict(story.waits)["verification"] == "2026-06-13T11:59:00+02:00"

    def test_rejected(self) -> None:
        """
        So does one that a mediator rejects.
        """
        story = delivered(**ours()).buyer(CLAIM).mediator(ASSIGN)

        story.after(days=5).mediator(ef.RejectClaim(reason="it is what was ordered"))

        assert dict(story.waits)["verification"] == "2026-06-14T12:00:00+02:00"
        assert story.after(days=7).row[2] == PAID

    def test_the_buyer_may_still_approve(self) -> None:
        """
        Only silence stands still.
        """
        assert delivered(**ours()).buyer(CLAIM, APPROVE).row[2] == PAID

    def test_through_a_freeze(self) -> None:
        """
        Held, frozen, thawed: held still.
        """
        story = delivered(**ours()).buyer(CLAIM).staff(FREEZE)

        story.after(days=9).staff(ef.UnfreezeOrder())

        assert dict(story.waits)["claim"] == "2026-06-18T12:00:00+02:00"
        assert "verification" not in dict(story.waits)

    @pytest.mark.parametrize("days", [7, 2])
    def test_while_the_work_goes_on(self, days: int) -> None:
        """
        Before a delivery a claim stops nothing, and is no dispute by itself; it is
        once it keeps the order from its end.
        """
        window = {"claim_window": f"P{days}D"}
        story = in_progress(**ours(dispute=window), delivery="P20D")
        story.buyer(CLAIM).after(days=days + 1)
        assert story.state == "in_progress"

        story.seller(DELIVER)

        assert story.state == "disputed"


class TestDisputes:
    """
    A mediator who never rules (R75), and one who may not begin anew.
    """

    def test_something_was_delivered(self) -> None:
        """
        The seller is paid after fourteen days.
        """
        story = disputed(**ours())

        assert story.after(days=13, hours=23).row[::2] == ("disputed", HELD)
        assert story.after(hours=1).row == ("completed", "", PAID)

    def test_nothing_was_delivered(self) -> None:
        """
        Everything goes back.
        """
        story = in_progress(**ours()).staff(DISPUTE).after(days=14)

        assert story.row == ("cancelled", "", BACK)

    def test_a_ruling(self) -> None:
        """
        In time, the mediator's word counts.
        """
        story = disputed(**ours())
        split = ef.Split(to_buyer=ef.Money.of("40", "EUR"))

        story.mediator(ef.RuleDispute(ruling=split, reason="half of it"))

        assert story.row == ("completed", "", "0/40/60/0")


class TestLifetime:
    """
    No order lives longer than 89 days.
    """

    def test_a_mediator_ends_it(self) -> None:
        """
        After 74 days from its payment it is ruled on, and 14 days later it is over.
        """
        story = in_progress(**ours(), delivery="P90D").after(days=73, hours=22)

        assert story.row == ("disputed", "2026-08-28T10:00:00+02:00", HELD)
        assert story.order.dispute is not None
        assert story.order.dispute.cause == "order_cap"
        assert story.order.dispute.reason == ""
        assert story.after(days=14).row == ("cancelled", "", BACK)

    def test_a_freeze_does_not_stop_it(self) -> None:
        """
        What staff froze and forgot is ruled on, too.
        """
        story = frozen(**ours())

        assert story.at("08-14 10:00").state == "disputed"

    def test_what_was_never_accepted_goes_back(self) -> None:
        """
        There is nothing to rule on.
        """
        story = pending(**ours()).staff(FREEZE).at("08-14 10:00")

        assert story.row == ("cancelled", "", BACK)
        assert story.ending == ("order_cap", "expire_order", "", False)

    def test_staff_does_not_move_it(self) -> None:
        """
        All other deadlines, but not this one.
        """
        story = in_progress(**ours())

        story.staff(ef.ExtendDeadlines(window="P9D", reason="an outage"))

        assert dict(story.waits)["lifetime"] == "2026-08-14T10:00:00+02:00"
        assert dict(story.waits)["delivery"] == "2026-06-15T12:00:00+02:00"

    def test_no_way_back(self) -> None:
        """
        From there a ruling ends it: nobody is sent back to work.
        """
        again = ef.RuleDispute(ruling=ef.Relaunch(), reason="a misunderstanding")
        story = in_progress(**ours(), delivery="P90D").at("08-14 10:00")
        story.mediator(ASSIGN)
        assert story.refused(MIA, again) == ("too_old_to_relaunch",)
        (ruling, *_) = story.option(MIA, ef.RuleDispute).fields
        assert "relaunch" not in ruling.choices

        # Nor if it grew too old in the dispute.
        story = in_progress(**ours(), delivery="P90D").at("08-10 10:00")
        story.staff(DISPUTE).mediator(ASSIGN).at("08-14 10:00")
        assert story.refused(MIA, again) == ("too_old_to_relaunch",)

    def test_relaunched_in_time(self) -> None:
        """
        Before that it goes back to work, and its life goes on.
        """
        again = ef.RuleDispute(ruling=ef.Relaunch(), reason="a misunderstanding")
        story = disputed(**ours()).mediator(again)

        assert story.state == "in_progress"
        assert dict(story.waits)["lifetime"] == "2026-08-14T10:00:00+02:00"

    def test_an_order_without_one(self) -> None:
        """
        Where an order lives as long as it takes, none is too old to be sent back.
        """
        story = disputed(**ours(lifetime={"order_cap": None})).after(days=13)

        story.mediator(ef.RuleDispute(ruling=ef.Relaunch(), reason="go on"))

        assert story.state == "in_progress"


class TestStatistics:
    """
    A figure falls by what the seller did, and by nothing else (C22).
    """

    def test_values(self) -> None:
        """
        Of the policies, these are what is fair about it.
        """
        statistics = recommended().policies.statistics

        assert statistics == ef.Statistics(
            acceptance_counts_buyer_cancel=False, fault="sellers"
        )


class TestProcess:
    """
    The table, and what it is made of.
    """

    def test_revisions_are_counted(self) -> None:
        """
        Two, unless something else was agreed; the third is refused.
        """
        story = delivered(**ours())
        for _ in range(2):
            story.buyer(ASK_REVISION).seller(ef.AcceptRevision(), DELIVER)

        assert story.refused(ANA, ASK_REVISION) == ("revision_limit_reached",)
        assert "B file_claim" in story.allowed

    def test_nothing_is_declared(self) -> None:
        """
        It has no gap to declare.
        """
        assert recommended().gaps == ()

    @pytest.mark.parametrize(
        "policies",
        [
            {"acceptance": {"brief_window": "P7D"}},
            {"delivery": {"late_window": "P7D"}},
            {"dispute": {"claim_window": "P7D"}},
        ],
        ids=lambda value: next(iter(value)),
    )
    def test_policies_that_would_do_nothing(self, policies: Any) -> None:
        """
        A wait that a process does not have cannot be asked of it.
        """
        with pytest.raises(ef.ProcessError, match="`recommended` has one"):
            in_progress(policies=policies)

    def test_dispute_after_a_refused_revision(self) -> None:
        """
        The ways that the pages have are there.
        """
        story = revision_requested(**ours()).seller(REFUSE_REVISION).buyer(DISPUTE)

        assert story.state == "disputed"
