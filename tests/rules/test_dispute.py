"""
Claims, mediators and rulings: R69 to R82.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import attrs
import pytest
from pendulum import DateTime

import escrowflow as ef
from escrowflow.clock import WINDOW_DAYS_MAX
from escrowflow.decisions import settle
from escrowflow.events import DisputeRuled
from escrowflow.parties import Role
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    ASSIGN,
    CANCEL,
    CLAIM,
    DELIVER,
    DISPUTE,
    FREEZE,
    HELLO,
    IN,
    LUC,
    MIA,
    OPS,
    REVIEW,
    Story,
    Why,
    cancellation_requested,
    delivered,
    disputed,
    euros,
    frozen,
    in_progress,
    late,
    paris,
    pending,
    revision_refused,
    revision_requested,
)

CLAIM_FIRST = "claim_then_mediator"

ACCEPTED = [
    "in_progress",
    "cancellation_requested",
    "delivered",
    "revision_requested",
    "revision_refused",
]


def rule(ruling: Any, reason: str = "seen everything") -> ef.RuleDispute:
    """
    Rule, with a reason.
    """
    return ef.RuleDispute(ruling=ruling, reason=reason)


SPLIT = rule(ef.Split(to_buyer=euros("45")))
FULL_REFUND = rule(ef.FullRefund())
PAY_SELLER = rule(ef.PaySeller())
RELAUNCH = rule(ef.Relaunch())


class TestClaim:
    """
    Calling for a mediator.
    """

    @pytest.mark.parametrize("state", ACCEPTED)
    @pytest.mark.parametrize("actor", [ANA, LUC], ids=str)
    def test_r69_filed(self, state: str, actor: ef.Actor) -> None:
        """
        R69: after acceptance either side files one; the order goes on unchanged.
        """
        story = IN[state]()
        before = story.order

        story.by(actor, CLAIM)

        after = story.order
        assert after.standing == before.standing
        assert after.claim is not None
        assert after.claim.by is actor.role
        other = {"buyer", "seller"} - {actor.role.text}
        assert story.told("claim_filed") == other | {"operator"}

    @pytest.mark.parametrize("state", sorted(set(IN) - set(ACCEPTED)))
    def test_r69_not_here(self, state: str) -> None:
        """
        R69: not before acceptance, not disputed or frozen, not after the end.
        """
        story = IN[state]()

        assert {"not_in_this_state", "order_ended"} & set(story.refused(ANA, CLAIM))

    def test_r69_one_at_a_time(self) -> None:
        """
        R69: one open claim an order, whoever filed it.
        """
        story = in_progress().buyer(CLAIM)

        assert story.why(ANA, CLAIM) == [("claim_open", {}, ["buyer withdraw_claim"])]
        assert story.why(LUC, CLAIM) == [("claim_open", {}, ["buyer withdraw_claim"])]
        # Nobody takes it back once a mediator has looked at it.
        assert story.mediator(ASSIGN).why(ANA, CLAIM) == [("claim_open", {}, [])]

    @pytest.mark.parametrize(
        ("openers", "codes"),
        [("buyer", ((), ("may_not_call_mediator",))),
         ("seller", (("may_not_call_mediator",), ()))],
    )  # fmt: skip
    def test_c3_who_may_call(self, openers: str, codes: Any) -> None:
        """
        C3: where only one side may call for a mediator, the other is told so.
        """
        story = revision_refused(policies={"dispute": {"dispute_openers": {openers}}})

        for actor, expected in zip((ANA, LUC), codes, strict=True):
            found = story.blocked(actor, ef.FileClaim)
            assert found == [(code, {}, []) for code in expected]
        found = story.blocked(ANA, ef.OpenDispute)
        assert found == [(code, {}, []) for code in codes[0]]

    def test_r69_stops_no_timer(self) -> None:
        """
        R69: a claim stops nothing: the order completes in silence under it.
        """
        story = delivered().buyer(CLAIM)

        story.after(days=7).sweep()

        assert story.state == "completed"

    def test_gap_dies_with_the_order(self) -> None:
        """
        Gap: an open claim dies with the order, as the process declares.
        """
        story = in_progress().buyer(CLAIM)

        story.seller(CANCEL)

        assert story.order.claim is None
        assert "claim_dies" in {gap.code for gap in story.process.gaps}

    def test_r70_edited(self) -> None:
        """
        R70: the filer may change it as long as no mediator has looked at it.
        """
        story = in_progress().buyer(CLAIM)

        story.buyer(ef.EditClaim(reason="look more closely"))

        assert story.order.claim is not None
        assert story.order.claim.reason == "look more closely"

    def test_r70_withdrawn(self) -> None:
        """
        R70: or take it back; another one may follow.
        """
        story = in_progress().buyer(CLAIM, ef.WithdrawClaim())
        assert story.order.claim is None

        story.seller(CLAIM)

        assert story.order.claim is not None

    @pytest.mark.parametrize(
        "command", [ef.EditClaim(reason="x"), ef.WithdrawClaim()], ids=lambda c: c.name
    )
    def test_r70_only_the_filer(self, command: ef.Command) -> None:
        """
        R70: the other side can do neither.
        """
        story = in_progress().buyer(CLAIM)

        assert story.why(LUC, command) == [("not_the_filer", {"filer": "buyer"}, [])]

    @pytest.mark.parametrize(
        "command", [ef.EditClaim(reason="x"), ef.WithdrawClaim()], ids=lambda c: c.name
    )
    def test_r70_not_once_looked_at(self, command: ef.Command) -> None:
        """
        R70: nor the filer once a mediator is assigned.
        """
        story = in_progress().buyer(CLAIM).mediator(ASSIGN)

        assert story.refused(ANA, command) == ("mediator_looked_at_it",)

    @pytest.mark.parametrize("state", ACCEPTED)
    def test_r71_rejected(self, state: str) -> None:
        """
        R71: rejected with a reason, the order goes on.
        """
        story = IN[state]().seller(CLAIM).mediator(ASSIGN)
        standing = story.order.standing

        story.mediator(ef.RejectClaim(reason="nothing to see"))

        assert story.order.claim is None
        assert story.order.standing == standing
        assert story.told("claim_rejected") == {"buyer", "seller"}

    def test_r71_reason_for_the_filer_only(self) -> None:
        """
        R71: the other party only learns that it was not kept.
        """
        story = in_progress().seller(CLAIM).mediator(ASSIGN)

        story.mediator(ef.RejectClaim(reason="nothing to see"))

        notices = [
            status.effect
            for status in story.engine.effects(story.id)
            if isinstance(status.effect, ef.Notify)
            and status.effect.kind == "claim_rejected"
        ]
        assert not any("nothing to see" in str(notice) for notice in notices)

    def test_gap_reasons_for_one_side_only(self) -> None:
        """
        Why money did not arrive is told to whose it is, why staff froze an order to
        neither side, why a cancellation is excused to the seller.
        """
        frozen = in_progress().staff(ef.FreezeOrder(reason="a suspicion"))
        excused = in_progress().seller(ef.CancelOrder(reason="I am ill"))
        excused.staff(ef.ExcuseCancellation(reason="a certificate"))

        def readers(story: Story, words: str) -> set[str]:
            return {
                by.role.text
                for by in (ANA, LUC, OPS)
                if words in repr(story.engine.history(story.id, by=by))
                and words in repr(story.engine.view(story.id, by=by).timeline)
            }

        assert readers(frozen, "a suspicion") == {"operator"}
        assert readers(excused, "a certificate") == {"seller", "operator"}
        assert readers(excused, "I am ill") == {"buyer", "seller", "operator"}

    @pytest.mark.parametrize("state", ACCEPTED)
    def test_r72_converted(self, state: str) -> None:
        """
        R72: converted, everything stands still and nobody may write.
        """
        story = IN[state]().seller(CLAIM).mediator(ASSIGN)

        story.mediator(ef.ConvertClaim())

        assert story.row == ("disputed", "", "100/0/0/0")
        assert story.waits == []
        assert not story.order.conversation.open
        assert story.order.dispute is not None
        assert story.order.dispute.cause == "claim"
        assert story.order.claim is None

    def test_only_the_assigned_mediator(self) -> None:
        """
        R72, R76: another mediator does not even see the order.
        """
        story = in_progress().seller(CLAIM).mediator(ASSIGN)

        for command in (ef.ConvertClaim(), ef.RejectClaim(reason="x"), ASSIGN):
            with pytest.raises(ef.OrderNotFoundError):
                story.by(ef.Mediator("zoe"), command)

    def test_unassigned_mediator_is_told_so(self) -> None:
        """
        R76: what a mediator without the order is offered is to take it, no more.
        """
        story = in_progress().seller(CLAIM)

        offered = {entry for entry in story.allowed if entry.startswith("M")}

        assert offered == {"M assign_mediator"}


@attrs.frozen
class Rulings:
    """
    A host's own rules of disputes, of which one says what was never ruled on.
    """

    version: ClassVar[str] = "1"

    ruling: Any
    dispute_chat: str = "mediator_thread_only"
    mediator_sla: timedelta = timedelta(days=2)
    ruling_window: timedelta = timedelta(days=1)
    claim_window: timedelta | None = None

    def may_open(self, role: Role) -> bool:
        """
        Everybody may.
        """
        return True

    def direct(self, route: str) -> bool:
        """
        At once.
        """
        return True

    def by_default(self, *, delivered: bool) -> Any:
        """
        What the host says.
        """
        return self.ruling


class TestOpening:
    """
    The direct ways into a dispute.
    """

    def test_r73_refused_revision(self) -> None:
        """
        R73: the buyer, once his revision was refused.
        """
        story = revision_refused().buyer(DISPUTE)

        assert story.order.dispute is not None
        assert story.order.dispute.cause == "revision_refused"

    @pytest.mark.parametrize(
        ("begin", "cause"),
        [
            (cancellation_requested, "cancellation_unanswered"),
            (revision_requested, "revision_unanswered"),
        ],
    )
    def test_r73_unanswered(self, begin: Any, cause: str) -> None:
        """
        R73: the buyer, once a request of his was unanswered for 48 hours.
        """
        story = begin().after(hours=48, microseconds=-1)
        assert story.refused(ANA, DISPUTE) == ("answer_still_due",)
        (blocker,) = story.option(ANA, ef.OpenDispute).blockers
        assert blocker.unblocked_at == story.order.due_at

        story.after(microseconds=1).buyer(DISPUTE)

        assert story.order.dispute is not None
        assert story.order.dispute.cause == cause

    @pytest.mark.parametrize(
        ("policies", "why"),
        [
            (
                {"dispute": {"dispute_entry": {"revision_refused": CLAIM_FIRST}}},
                ("claim_first", {}, ["buyer file_claim"]),
            ),
            (
                {"revision": {"dispute_after_revision_refusals": 2}},
                ("too_few_refusals", {}, ["buyer request_revision"]),
            ),
        ],
        ids=["C3", "C4"],
    )
    def test_c3_c4_another_way_first(self, policies: Any, why: Why) -> None:
        """
        C3, C4: by way of a claim, or only after one more refusal.
        """
        assert revision_refused(policies=policies).why(ANA, DISPUTE) == [why]

    def test_r69_to_r73_what_was_said(self) -> None:
        """
        R69 to R73: every reason is on record, a claim's as it was last said.
        """
        story = in_progress().seller(CLAIM, ef.EditClaim(reason="look closely"))
        story.mediator(ASSIGN, ef.RejectClaim(reason="no ground"))
        story.buyer(CLAIM).mediator(ASSIGN, ef.ConvertClaim())

        assert story.names[-2:] == ["claim_converted", "dispute_opened"]

        assert story.reasons == [
            "please look at this",
            "look closely",
            "no ground",
            "please look at this",
            "please look at this",
        ]
        assert revision_refused().buyer(DISPUTE).reasons[-1] == "we do not agree"

    @pytest.mark.parametrize("state", ["pending", "in_progress", "delivered"])
    def test_r73_otherwise_a_claim(self, state: str) -> None:
        """
        R73: every other opening, by either side, is a claim.
        """
        story = IN[state]()

        assert "not_in_this_state" in story.refused(ANA, DISPUTE)
        assert "not_your_command" in story.refused(LUC, DISPUTE)

    @pytest.mark.parametrize("state", [*ACCEPTED, "frozen"])
    def test_r73_staff(self, state: str) -> None:
        """
        R73: staff may open one from acceptance on, frozen orders included.
        """
        story = IN[state]().staff(DISPUTE)

        assert story.row == ("disputed", "", "100/0/0/0")
        assert story.order.dispute is not None
        assert story.order.dispute.cause == "staff"

    def test_r73_never_accepted(self) -> None:
        """
        R73: an order frozen before it was accepted cannot be disputed.
        """
        story = pending().staff(FREEZE)

        assert story.refused(OPS, DISPUTE) == ("never_accepted",)

    def test_r74_agreed_split(self) -> None:
        """
        R74: agreed in the chat, the seller claims, the mediator converts and splits.
        """
        story = in_progress().seller(HELLO, CLAIM).mediator(ASSIGN)

        story.mediator(ef.ConvertClaim(), SPLIT)

        assert story.row == ("completed", "", "0/45/55/0")


class TestDisputed:
    """
    While a mediator has the order.
    """

    @pytest.mark.parametrize(
        ("actor", "command"),
        [
            (ANA, APPROVE),
            (ANA, CANCEL),
            (ANA, REVIEW),
            (ANA, HELLO),
            (ANA, CLAIM),
            (LUC, CANCEL),
            (LUC, DELIVER),
            (LUC, HELLO),
            (LUC, ef.SendOffer(title="More", price=euros("5"))),
            (LUC, ef.ProposePartialRefund(amount=euros("5"), reason="x")),
        ],
        ids=lambda value: str(value)[:24],
    )
    def test_r75_nothing_can_be_changed(
        self, actor: ef.Actor, command: ef.Command
    ) -> None:
        """
        R75: neither side changes anything, nor writes to the other.
        """
        story = disputed()

        assert story.refused(actor, command)[0] in (
            "not_in_this_state",
            "not_your_command",
        )
        assert story.row == ("disputed", "", "100/0/0/0")

    def test_r75_everything_stands_still(self) -> None:
        """
        R75: months pass and nothing happens.
        """
        story = disputed().after(days=300)

        story.sweep()

        assert story.row == ("disputed", "", "100/0/0/0")

    def test_r75_the_cap_does_not_apply(self) -> None:
        """
        R75: the five months do not end an order in dispute.
        """
        story = disputed(policies={"lifetime": {"order_cap": "P5M"}})

        story.after(days=300).sweep()

        assert story.state == "disputed"

    def test_gap_proposals_and_requests_are_taken_up(self) -> None:
        """
        Gap: a dispute closes an open proposal and an open request.
        """
        story = cancellation_requested().after(hours=48)
        story.buyer(ef.ProposePartialRefund(amount=euros("5"), reason="x"))

        story.buyer(DISPUTE)

        assert story.order.partial_refund is None
        assert story.order.cancellation is None

    def test_r76_himself(self) -> None:
        """
        R76: a mediator takes an order nobody has, and only for himself.
        """
        story = revision_refused().buyer(DISPUTE)

        other = ef.AssignMediator(mediator_id="zoe")
        assert story.refused(MIA, other) == ("only_oneself",)
        story.mediator(ASSIGN)

        assert story.order.mediator_id == "mia"
        assert story.told("mediator_assigned") == {"buyer", "seller"}

    def test_r76_not_twice(self) -> None:
        """
        R76: taken is taken; only staff assigns another.
        """
        story = disputed()

        assert story.why(MIA, ASSIGN) == [
            ("mediator_assigned", {}, ["operator assign_mediator"])
        ]
        story.staff(ef.AssignMediator(mediator_id="zoe"))

        assert story.order.mediator_id == "zoe"
        with pytest.raises(ef.OrderNotFoundError):
            story.mediator(FULL_REFUND)

    def test_r76_who_is_asked_for(self) -> None:
        """
        R76: a mediator's form names him alone, that of staff everybody but the parties.
        """
        story = revision_refused().buyer(DISPUTE)

        (himself,) = story.option(MIA, ef.AssignMediator).fields
        (anybody,) = story.option(OPS, ef.AssignMediator).fields

        assert (himself.name, himself.choices) == ("mediator_id", ("mia",))
        assert (anybody.name, anybody.excludes) == ("mediator_id", ("ana", "luc"))

    @pytest.mark.parametrize("party", ["ana", "luc"])
    def test_r76_neither_party(self, party: str) -> None:
        """
        R76: the mediator is neither the buyer nor the seller.
        """
        story = revision_refused().buyer(DISPUTE)

        codes = story.refused(OPS, ef.AssignMediator(mediator_id=party))

        assert codes == ("mediator_is_a_party",)
        with pytest.raises(ef.OrderNotFoundError):
            story.by(ef.Mediator(party), ef.AssignMediator(mediator_id=party))

    def test_r76_may_question_both(self) -> None:
        """
        R76: he asks, both answer to him, and he is told.
        """
        story = disputed().mediator(ef.AskParties(text="what was agreed?"))

        story.buyer(ef.AnswerMediator(text="blue", files=("chat.png",)))
        story.seller(ef.AnswerMediator(text="green"))

        assert story.told("parties_asked") == {"buyer", "seller"}
        assert story.told("mediator_answered") == {"mediator"}
        said = [
            (recorded.data["text"], recorded.data.get("files", ()))
            for recorded in story.engine.history(story.id)[-3:]
        ]
        assert said == [
            ("what was agreed?", ()),
            ("blue", ("chat.png",)),
            ("green", ()),
        ]

    def test_r77_everything_on_the_platform(self) -> None:
        """
        R77: brief, messages, deliveries, requests and the service text are on record.
        """
        story = pending(terms={"title": "A logo", "text": "one logo, two colours"})
        story.buyer(ef.SubmitBrief(text="blue"), HELLO).seller(ACCEPT, DELIVER)
        story.buyer(ef.RequestRevision(reason="darker"))
        story.seller(ef.RefuseRevision(reason="not included"))
        story.buyer(DISPUTE).mediator(ASSIGN)

        order = story.engine.order(story.id, by=MIA)
        history = story.engine.history(story.id, by=MIA)

        assert order.terms.text == "one logo, two colours"
        assert order.brief is not None
        assert order.brief.text == "blue"
        assert order.deliveries[0].files == ("logo.svg",)
        assert order.revisions[0].reason == "darker"
        assert "message_sent" in [recorded.name for recorded in history]


class TestLateEvidence:
    """
    What comes too late, or where there is nobody to hear it, is refused and says why.
    """

    ANSWER = ef.AnswerMediator(text="one thing more", files=("late.png",))

    @pytest.mark.parametrize("ruling", [SPLIT, FULL_REFUND, PAY_SELLER, RELAUNCH])
    @pytest.mark.parametrize("actor", [ANA, LUC], ids=str)
    def test_r77_after_the_ruling(self, ruling: ef.Command, actor: ef.Actor) -> None:
        """
        R77, R82: what is said after the ruling does not count, and is told since when.
        """
        story = disputed().mediator(ruling)
        ruled_at = story.clock.now()
        story.after(hours=1)
        where = "not_in_this_state" if ruling is RELAUNCH else "order_ended"

        assert story.refused(actor, self.ANSWER) == ("dispute_ruled", where)
        (option,) = (
            one
            for one in story.engine.options(story.id, by=actor)
            if one.command is ef.AnswerMediator
        )
        assert [one.code for one in option.blockers] == ["dispute_ruled", where]
        assert option.blockers[0].params == {"ruled_at": ruled_at}
        assert "mediator_answered" not in story.names

    def test_r77_after_a_default_ruling(self) -> None:
        """
        R77: nor after the ruling that was agreed in advance, at its very instant.
        """
        policies = {
            "dispute": {"ruling_window": "P10D", "default_ruling": ef.FullRefund()}
        }
        story = disputed(policies=policies).after(days=10)

        assert story.refused(ANA, self.ANSWER) == (
            "deadline_passed",
            "dispute_ruled",
            "order_ended",
        )

    def test_r77_no_more_questions(self) -> None:
        """
        R77: nor does the mediator ask any more.
        """
        story = disputed().mediator(SPLIT)

        assert story.refused(MIA, ef.AskParties(text="and then?")) == (
            "dispute_ruled",
            "order_ended",
        )

    def test_r77_a_new_dispute_hears_anew(self) -> None:
        """
        R77: in another dispute, after a relaunch, evidence counts again.
        """
        story = disputed().mediator(RELAUNCH).buyer(CLAIM).mediator(ASSIGN)
        assert story.refused(ANA, self.ANSWER)[0] == "dispute_ruled"

        story.mediator(ef.ConvertClaim()).buyer(self.ANSWER)

        assert story.names[-1] == "mediator_answered"

    @pytest.mark.parametrize("state", sorted(set(IN) - {"disputed"}))
    @pytest.mark.parametrize("actor", [ANA, LUC], ids=str)
    def test_r77_where_nobody_asks(self, state: str, actor: ef.Actor) -> None:
        """
        R77: outside a dispute there is no mediator's thread.
        """
        story = IN[state]()

        codes = story.refused(actor, self.ANSWER)

        ended = story.process.ended(state)
        assert codes[-1] == ("order_ended" if ended else "not_in_this_state")

    @pytest.mark.parametrize("state", sorted(set(IN) - {"awaiting_payment", "pending"}))
    def test_r77_a_brief_that_comes_late(self, state: str) -> None:
        """
        R7, R77: once the order is accepted the brief is what it is; whoever has more
        to say is told in which states it would have counted.
        """
        story = IN[state]()
        brief = story.order.brief

        codes = story.refused(ANA, ef.SubmitBrief(text="I always wanted green"))

        ended = story.process.ended(state)
        assert codes[-1] == ("order_ended" if ended else "not_in_this_state")
        assert story.order.brief == brief


class TestRuling:
    """
    What a mediator decides.
    """

    def test_r78_full_refund(self) -> None:
        """
        R78: everything back, fees included; the order is cancelled.
        """
        story = disputed(
            tip=euros("10"), policies={"fees": {"buyer_fee": ef.Fee(bps=500)}}
        )

        story.mediator(FULL_REFUND)

        assert story.row == ("cancelled", "", "0/115/0/0")
        assert story.ending == ("ruled", "rule_dispute", "seller", False)
        assert story.reasons[-1] == "seen everything"
        assert story.order.ending is not None
        assert story.order.ending.reason == "seen everything"
        assert story.told("dispute_ruled") == {"buyer", "seller"}

    def test_r79_split(self) -> None:
        """
        R79: part to the buyer, the rest to the seller; the order is completed.
        """
        story = disputed().mediator(SPLIT)

        assert story.row == ("completed", "", "0/45/55/0")
        assert story.ending == ("ruled", "rule_dispute", "", False)

    def test_r80_relaunch(self) -> None:
        """
        R80: back to work with a deadline; both may talk again.
        """
        story = disputed().mediator(RELAUNCH)

        assert (story.state, story.books) == ("in_progress", "100/0/0/0")
        assert story.order.conversation.open
        assert [name for name, _ in story.waits] == ["delivery"]

    def test_r81_pay_seller(self) -> None:
        """
        R81: everything to the seller; the order is completed.
        """
        story = disputed().mediator(PAY_SELLER)

        assert story.row == ("completed", "", "0/0/100/0")

    @pytest.mark.parametrize("first", [SPLIT, FULL_REFUND, PAY_SELLER])
    @pytest.mark.parametrize("second", [SPLIT, FULL_REFUND, PAY_SELLER, RELAUNCH])
    def test_r82_final(self, first: ef.Command, second: ef.Command) -> None:
        """
        R82: no second ruling, no appeal by anybody.
        """
        story = disputed().mediator(first)
        books = story.books

        assert story.refused(MIA, second)[-1] == "order_ended"
        for actor in (ANA, LUC, OPS):
            codes = story.refused(actor, ef.OpenDispute(reason="unfair"))
            assert {"order_ended", "not_your_command"} & set(codes)
        assert story.books == books

    def test_r82_states_reasons(self) -> None:
        """
        R82: a ruling without reasons cannot be built.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            rule(ef.PaySeller(), " ")

        assert caught.value.field == "reason"

    @pytest.mark.parametrize(
        ("build", "actor", "choices"),
        [
            (disputed, MIA, ("full_refund", "split", "relaunch", "pay_seller")),
            (frozen, OPS, ("full_refund", "split", "pay_seller")),
        ],
    )
    def test_r78_to_r81_the_choices(
        self, build: Any, actor: ef.Actor, choices: tuple[str, ...]
    ) -> None:
        """
        R78 to R81: the form says which rulings there are, and how much a split may give
        back; staff does not send a frozen order back to work, but unfreezes it.
        """
        story = build()
        ruling, _ = story.option(actor, ef.RuleDispute).fields
        inside = {field.name: field for field in ruling.fields}

        assert (ruling.name, ruling.choices) == ("ruling", choices)
        assert inside["to_buyer"].maximum == euros("99.99")
        assert "due_at" not in inside
        if actor is OPS:
            assert story.why(OPS, RELAUNCH) == [
                ("unfreeze_instead", {}, ["operator unfreeze_order"])
            ]

    @pytest.mark.parametrize("amount", ["100", "100.01"])
    def test_gap_split_is_less_than_held(self, amount: str) -> None:
        """
        Gap: a split gives back less than what is held.
        """
        story = disputed()

        codes = story.refused(MIA, rule(ef.Split(to_buyer=euros(amount))))

        assert codes == ("amount_above_maximum",)

    def test_gap_split_is_more_than_nothing(self) -> None:
        """
        Gap: a split of nothing is wrong by itself.
        """
        with pytest.raises(ef.InvalidInputError):
            ef.Split(to_buyer=euros("0"))

    def test_after_a_partial_refund(self) -> None:
        """
        Gap: only what is still held is divided.
        """
        story = in_progress().buyer(
            ef.ProposePartialRefund(amount=euros("40"), reason="x")
        )
        story.seller(ef.AcceptPartialRefund()).staff(DISPUTE).mediator(ASSIGN)

        assert story.refused(MIA, rule(ef.Split(to_buyer=euros("60")))) == (
            "amount_above_maximum",
        )
        story.mediator(SPLIT)

        assert story.books == "0/85/15/0"


def relaunched(story: Story, ruling: ef.Relaunch | None = None) -> Story:
    """
    Let the mediator send the order back to work.
    """
    return story.mediator(rule(ruling if ruling is not None else ef.Relaunch()))


class TestRelaunch:
    """
    Gap: the deadline after a relaunch.
    """

    def test_remaining_at_the_dispute(self) -> None:
        """
        Gap, `remaining`: what was left when the dispute stopped the work.
        """
        story = (
            in_progress("2026-06-01T10:00:00+02:00").at("06-03 12:00").staff(DISPUTE)
        )
        story.at("06-20 12:00").mediator(ASSIGN)

        relaunched(story)

        assert story.row == ("in_progress", "2026-06-23T12:00:00+02:00", "100/0/0/0")

    def test_remaining_at_the_last_delivery(self) -> None:
        """
        Gap, `remaining`: or when the last delivery stopped it.
        """
        story = in_progress("2026-06-01T10:00:00+02:00").at("06-02 12:00")
        story.seller(DELIVER).after(days=3).buyer(ef.RequestRevision(reason="x"))
        story.seller(ef.RefuseRevision(reason="no")).buyer(DISPUTE).mediator(ASSIGN)

        relaunched(story.at("06-20 12:00"))

        assert story.due == "2026-06-24T12:00:00+02:00"

    def test_remaining_at_least_a_day(self) -> None:
        """
        Gap, `remaining`: never less than 24 hours; and `late` is cleared.
        """
        story = late().staff(DISPUTE).mediator(ASSIGN)
        story.at("06-20 12:00")

        relaunched(story)

        assert story.row == ("in_progress", "2026-06-21T12:00:00+02:00", "100/0/0/0")
        assert story.order.ever_late

    def test_restart_full(self) -> None:
        """
        Gap, `restart_full`: the whole delivery time again.
        """
        policies = {"delivery": {"relaunch_deadline": "restart_full"}}
        story = late(policies=policies).staff(DISPUTE).mediator(ASSIGN)

        relaunched(story.at("06-20 12:00"))

        assert story.due == "2026-06-25T12:00:00+02:00"

    def test_mediator_sets(self) -> None:
        """
        Gap, `mediator_sets`: the ruling names the deadline, and must.
        """
        policies = {"delivery": {"relaunch_deadline": "mediator_sets"}}
        story = late(policies=policies).staff(DISPUTE).mediator(ASSIGN)
        story.at("06-20 12:00")

        assert story.refused(MIA, RELAUNCH) == ("due_at_required",)
        past = ef.Relaunch(due_at="2026-06-20T12:00:00+02:00")
        assert story.refused(MIA, rule(past)) == ("due_at_passed",)
        never = ef.Relaunch(due_at="9999-12-31T23:59:59Z")
        latest = story.clock.now().add(days=WINDOW_DAYS_MAX)
        assert story.why(MIA, rule(never)) == [
            ("due_at_too_late", {"latest": paris(latest)}, [])
        ]
        ruling, _ = story.option(MIA, ef.RuleDispute).fields
        (due_at,) = (field for field in ruling.fields if field.name == "due_at")
        soonest = story.clock.now().add(microseconds=1)
        assert due_at.required
        assert (due_at.minimum, due_at.maximum) == (soonest, latest)
        relaunched(story, ef.Relaunch(due_at="2026-06-29T09:00:00+02:00"))

        assert story.row == ("in_progress", "2026-06-29T09:00:00+02:00", "100/0/0/0")

    @pytest.mark.parametrize("ahead", [{"microseconds": 1}, {"days": WINDOW_DAYS_MAX}])
    def test_mediator_sets_any_date(self, ahead: dict[str, int]) -> None:
        """
        Gap, `mediator_sets`: from the very next moment to the longest there is.
        """
        policies = {"delivery": {"relaunch_deadline": "mediator_sets"}}
        story = disputed(policies=policies)
        due_at = story.clock.now().add(**ahead)

        relaunched(story, ef.Relaunch(due_at=due_at))

        assert story.order.due_at == due_at

    def test_date_refused_elsewhere(self) -> None:
        """
        Gap: a date is refused where the process sets the deadline itself.
        """
        story = disputed()
        dated = ef.Relaunch(due_at=DateTime.fromisoformat("2026-12-01T00:00:00+00:00"))

        assert story.refused(MIA, rule(dated)) == ("due_at_not_taken",)

    def test_may_be_disputed_again(self) -> None:
        """
        R80: a relaunched order may come back, to a new mediator.
        """
        story = relaunched(disputed())
        assert story.order.mediator_id is None

        story.seller(DELIVER).buyer(ef.RequestRevision(reason="x"))
        story.seller(ef.RefuseRevision(reason="no")).buyer(DISPUTE)

        assert story.state == "disputed"
        assert story.order.dispute is not None
        assert story.order.dispute.ruling is None
        assert [name for name, _ in story.waits] == ["mediator"]

    @pytest.mark.parametrize(
        ("deadline", "days"), [("remaining", 4), ("restart_full", 5)]
    )
    def test_gap_cap_passed_meanwhile(self, deadline: str, days: int) -> None:
        """
        Gap, `grace`: seven days after the ruling if the cap passed in the dispute; the
        work has its own deadline.
        """
        policies = {
            "lifetime": {"order_cap": "P5M"},
            "delivery": {"relaunch_deadline": deadline},
        }
        story = disputed(policies=policies).after(days=200)
        at = story.clock.now()

        relaunched(story)

        cap = story.order.deadline("lifetime")
        assert cap is not None
        assert cap.due_at == at.add(days=7)
        assert story.order.due_at == at.add(days=days)

    def test_gap_cap_not_passed(self) -> None:
        """
        Gap: a cap still to come is where it was: it ran on in the dispute.
        """
        story = disputed(
            "2026-06-01T10:00:00+02:00", policies={"lifetime": {"order_cap": "P5M"}}
        )

        relaunched(story.after(days=20))

        assert ("lifetime", "2026-11-01T10:00:00+01:00") in story.waits

    def test_offers_go_on(self) -> None:
        """
        Gap: an offer was paused, and has its time left, at least a day.
        """
        story = in_progress("2026-06-01T10:00:00+02:00", delivery="P30D")
        story.seller(ef.SendOffer(title="More", price=euros("5")))
        story.at("06-04 12:00").staff(DISPUTE).mediator(ASSIGN)

        relaunched(story.at("06-20 12:00"))

        assert ("offer", "2026-06-24T12:00:00+02:00") in story.waits


class TestNobodyRules:
    """
    C23 and the gap of an order nobody rules.
    """

    def test_c23_alert(self) -> None:
        """
        C23: 48 hours without a mediator raise an alert, and nothing else.
        """
        story = revision_refused().buyer(DISPUTE).after(hours=48)

        story.sweep()

        assert story.names[-1] == "mediator_alerted"
        assert story.row == ("disputed", "", "100/0/0/0")
        assert story.told("mediator_alerted") == {"operator"}

    def test_c23_both_waits(self) -> None:
        """
        C23: where a ruling has its time, a mediator still has to be found in his.
        """
        policies = {
            "dispute": {"ruling_window": "P14D", "default_ruling": ef.PaySeller()}
        }
        story = revision_refused(policies=policies).buyer(DISPUTE)

        assert [name for name, _ in story.waits] == ["mediator", "ruling"]

    def test_c23_not_once_assigned(self) -> None:
        """
        C23: an assigned mediator raises none, however long he takes.
        """
        story = disputed().after(days=30)

        story.sweep()

        assert "mediator_alerted" not in story.names

    def test_gap_no_default_ruling(self) -> None:
        """
        Gap: without a ruling window nothing ends it, which the process declares.
        """
        story = disputed()

        declared = {(gap.code, str(gap.where)) for gap in story.process.gaps}

        assert ("no_timed_exit", "disputed") in declared

    def test_gap_nobody_gave_a_reason(self) -> None:
        """
        Gap: a ruling that nobody made has no reasons, and is no less a ruling.
        """
        policies = {
            "dispute": {"ruling_window": "P14D", "default_ruling": ef.FullRefund()}
        }
        story = disputed(policies=policies)
        order, at = story.order, story.clock.now().add(days=14)

        settled = settle(story.process, order, now=at, recorded_at=at)

        ruled = settled.recorded[0].event
        assert isinstance(ruled, DisputeRuled)
        assert (ruled.by_default, ruled.reason) == (True, "")

    @pytest.mark.parametrize("ruling", [None, ef.Relaunch()])
    def test_a_ruling_of_ones_own_ends_the_order(self, ruling: Any) -> None:
        """
        A host's policy that lets the time run out, and then does not end the order, is
        a mistake of the process.
        """
        story = disputed(policies={"dispute": Rulings(ruling)}).after(days=1)

        with pytest.raises(ef.ProcessError) as caught:
            story.sweep()

        assert caught.value.process == "comeup"
        assert caught.value.findings == (
            "a ruling_window needs a ruling that ends the order",
        )

    def test_gap_default_ruling(self) -> None:
        """
        Gap: with one, the default is ruled at its end, by nobody.
        """
        policies = {
            "dispute": {
                "ruling_window": "P14D",
                "default_ruling": ef.PaySeller(),
            }
        }
        story = disputed("2026-06-01T10:00:00+02:00", policies=policies)
        assert story.due == "2026-06-16T15:00:00+02:00"

        story.after(days=14).sweep()

        assert story.row == ("completed", "", "0/0/100/0")
        assert story.order.dispute is not None
        assert story.order.dispute.by_default
        assert story.ending == ("ruled", "default_ruling", "", False)
        assert paris(story.order.closed_at) == "2026-06-16T15:00:00+02:00"
