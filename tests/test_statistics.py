"""
The figures of a seller: what counts, for how long, and that counting it event by event
is counting it all.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import escrowflow as ef
from escrowflow.decisions.figures import touched
from escrowflow.events import Recorded
from escrowflow.history import evolve
from escrowflow.inputs import Text
from escrowflow.order import Order
from escrowflow.policies import StatisticsPolicy, Verdict
from escrowflow.statistics import (
    CLOCKS,
    FIGURES,
    Figures,
    Marks,
    Rate,
    Tally,
    average_of,
    figures,
    fold,
    public_cancellations,
    recount,
    sales_by_day,
)
from escrowflow.storage.memory import MemoryStorage
from tests.given import an_engine
from tests.lives import VARIANTS, Life
from tests.story import (
    ACCEPT,
    ANA,
    APPROVE,
    ASK_REVISION,
    ASSIGN,
    CANCEL,
    CLAIM,
    DELIVER,
    DISPUTE,
    FREEZE,
    HELLO,
    LUC,
    REFUSE_CANCELLATION,
    REFUSE_REVISION,
    Story,
    awaiting_payment,
    cancellation_requested,
    cancelled,
    completed,
    delivered,
    disputed,
    euros,
    expired,
    in_progress,
    late,
    pending,
    revision_requested,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

History = tuple[Recorded, ...]

COMEUPS: Final = ef.Statistics()
FAIR: Final = ef.Statistics(fault="sellers")

RATES: Final = (
    "acceptance_rate",
    "completion_rate",
    "on_time_rate",
    "cancellation_rate",
)

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


def everything(fault: Any) -> ef.Statistics:
    """
    Return a policy that knows neither an end of its window nor a minimum.
    """
    return ef.Statistics(fault=fault, window=timedelta(days=3650), minimum=0)


def history_of(story: Story) -> History:
    """
    Return what was recorded of a story.
    """
    return story.engine.history(story.id)


def tally_of(*stories: Story) -> Tally:
    """
    Return the tally of Luc, whose orders these are.
    """
    tallies = recount(history_of(story) for story in stories)
    return tallies.get("luc", Tally(seller_id="luc"))


def read(*stories: Story, now: str = "2026-07-01T12:00:00+02:00", **policy: Any) -> Any:
    """
    Return the figures of these orders, without a minimum.
    """
    rules = ef.Statistics(**{"minimum": 0, **policy})
    return figures(rules, tally_of(*stories), now=now)


def shown(found: Figures) -> dict[str, str]:
    """
    Return the rates as people see them.
    """
    return {name: str(getattr(found, name)) for name in RATES}


def swept(story: Story) -> Story:
    """
    Return a story after a worker wrote down what was due.
    """
    story.sweep()
    return story


def held() -> Story:
    """
    Return an order for which a bank holds the money, for four days.
    """
    return Story(
        policies={
            "acceptance": {"charge_at": "acceptance", "acceptance_window": "P6D"}
        },
        payment=ef.Payment("card", "pay-1", held_until="2026-06-05T10:00:00+02:00"),
    )


# --- the scenario --------------------------------------------------------------------


def sc7(finished: int = 7) -> list[Story]:
    """
    Return the ten orders of SC7, some of the completed ones left out.
    """
    on_time = [completed() for _ in range(finished - 1)]
    too_late = late().seller(DELIVER).buyer(APPROVE)
    refused = pending().seller(ef.RefuseOrder(reason="no time"))
    withdrawn = pending().after(hours=1).buyer(CANCEL)
    return [*on_time, too_late, refused, withdrawn, cancelled()]


class TestScenario:
    """
    SC7: nine orders, and a tenth that the buyer cancels.
    """

    def test_the_three_rates(self) -> None:
        """
        SC7, R104, R105, R106: 8 of 10 accepted, 7 of 8 completed, 6 of 7 in time.
        """
        found = figures(COMEUPS, tally_of(*sc7()), now="2026-07-01T12:00:00+02:00")

        assert found.acceptance_rate == Rate(8, 10)
        assert found.completion_rate == Rate(7, 8)
        assert found.on_time_rate == Rate(6, 7)
        assert shown(found) == {
            "acceptance_rate": "80 %",
            "completion_rate": "87.5 %",
            "on_time_rate": "85.7 %",
            "cancellation_rate": "30 %",
        }

    def test_with_four_completed_there_are_none(self) -> None:
        """
        SC7, R103: nothing judges a seller of four orders, what he sold stays.
        """
        tally = tally_of(*sc7(finished=4))

        found = figures(
            COMEUPS, tally, now="2026-07-01T12:00:00+02:00", average=Fraction(0)
        )

        assert found.completed == 4
        assert {getattr(found, name) for name in RATES} == {None}
        assert found.response_time is None
        assert found.performance_score is None
        assert found.above_average is None
        assert (found.sales, found.public_cancellations) == (7, 1)

    def test_the_fifth_completed_order_brings_them(self) -> None:
        """
        R103: five is enough.
        """
        found = figures(
            COMEUPS, tally_of(*sc7(finished=5)), now="2026-07-01T12:00:00+02:00"
        )

        assert found.completion_rate == Rate(5, 6)

    def test_without_what_the_buyer_changed_his_mind_about(self) -> None:
        """
        C22: then it is 8 of 9, and nothing else moves.
        """
        found = read(*sc7(), acceptance_counts_buyer_cancel=False)

        assert found.acceptance_rate == Rate(8, 9)
        assert found.cancellation_rate == Rate(3, 10)
        assert found.completion_rate == Rate(7, 8)

    def test_only_what_was_the_sellers_doing(self) -> None:
        """
        The fair reading of the same histories: the buyer's change of mind is in no
        rate.
        """
        found = read(*sc7(), fault="sellers")

        assert found.acceptance_rate == Rate(8, 9)
        assert found.completion_rate == Rate(7, 8)
        assert found.on_time_rate == Rate(6, 7)
        assert found.cancellation_rate == Rate(2, 9)


# --- which orders count ----------------------------------------------------------------

TOOK: Final = Rate(1, 1)
NOT: Final = Rate(0, 1)

# A story -> acceptance, completion, on time, cancellation: everything counts, and then
# only what was the seller's doing.
# fmt: off
ENDS: Final[dict[str, tuple[Callable[[], Story], tuple[Any, ...], tuple[Any, ...]]]] = {
    "awaiting payment": (
        awaiting_payment, (None, None, None, None), (None, None, None, None)),
    "never paid": (
        lambda: swept(awaiting_payment().after(days=2)),
        (None, None, None, None), (None, None, None, None)),
    "pending": (
        pending, (None, None, None, NOT), (None, None, None, NOT)),
    "refused": (
        lambda: pending().seller(ef.RefuseOrder(reason="no time")),
        (NOT, None, None, TOOK), (NOT, None, None, TOOK)),
    "the buyer withdrew": (
        lambda: pending().buyer(CANCEL),
        (NOT, None, None, TOOK), (None, None, None, None)),
    "not accepted in time": (
        lambda: swept(pending().after(days=3)),
        (NOT, None, None, TOOK), (NOT, None, None, TOOK)),
    "not accepted without a brief": (
        lambda: swept(pending(terms={"brief_required": True}).after(days=3)),
        (NOT, None, None, TOOK), (None, None, None, None)),
    "accepted": (
        in_progress, (TOOK, None, None, NOT), (TOOK, None, None, NOT)),
    "delivered": (
        delivered, (TOOK, None, TOOK, NOT), (TOOK, None, TOOK, NOT)),
    "completed": (
        completed, (TOOK, TOOK, TOOK, NOT), (TOOK, TOOK, TOOK, NOT)),
    "late": (
        lambda: swept(late()), (TOOK, None, NOT, NOT), (TOOK, None, NOT, NOT)),
    "late and cancelled": (
        lambda: late().buyer(CANCEL), (TOOK, NOT, NOT, TOOK), (TOOK, NOT, NOT, TOOK)),
    "late with a revision": (
        lambda: swept(revision_requested().seller(ef.AcceptRevision()).after(days=9)),
        (TOOK, None, NOT, NOT), (TOOK, None, NOT, NOT)),
    "cancelled by the seller": (
        cancelled, (TOOK, NOT, None, TOOK), (TOOK, NOT, None, TOOK)),
    "cancelled late by the seller": (
        lambda: late().seller(CANCEL), (TOOK, NOT, NOT, TOOK), (TOOK, NOT, NOT, TOOK)),
    "excused": (
        lambda: cancelled().staff(ef.ExcuseCancellation(reason="a flood")),
        (TOOK, NOT, None, TOOK), (TOOK, None, None, None)),
    "excused when late": (
        lambda: late().seller(CANCEL).staff(ef.ExcuseCancellation(reason="a flood")),
        (TOOK, NOT, NOT, TOOK), (TOOK, None, None, None)),
    "by consent": (
        lambda: cancellation_requested().seller(ef.AcceptCancellation()),
        (TOOK, NOT, None, TOOK), (TOOK, None, None, None)),
    "ruled for the buyer": (
        lambda: disputed().mediator(ef.RuleDispute(ruling=ef.FullRefund(), reason="no")),
        (TOOK, NOT, TOOK, TOOK), (TOOK, NOT, TOOK, TOOK)),
    "ruled for the seller": (
        lambda: disputed().mediator(ef.RuleDispute(ruling=ef.PaySeller(), reason="yes")),
        (TOOK, TOOK, TOOK, NOT), (TOOK, TOOK, TOOK, NOT)),
    "expired": (
        lambda: swept(expired()), (TOOK, None, NOT, NOT), (TOOK, None, NOT, NOT)),
    "a bank that would not pay": (
        lambda: held().seller(ACCEPT).provider(
            ef.ReportCharge(reference="pay-1", status="failed", reason="no cover")),
        (None, None, None, None), (None, None, None, None)),
    "a hold that ended": (
        lambda: swept(held().after(days=5)),
        (NOT, None, None, TOOK), (None, None, None, None)),
}
# fmt: on


def rated(story: Story, policy: ef.Statistics) -> tuple[Any, ...]:
    """
    Return the four rates of a seller with this one order.
    """
    rules = attrs.evolve(policy, minimum=0)
    found = figures(rules, tally_of(story), now=story.clock.now())
    return tuple(getattr(found, name) for name in RATES)


class TestRates:
    """
    What each end of an order does to the rates (R42, R104 to R107).
    """

    @pytest.mark.parametrize("name", ENDS)
    def test_everything_counts(self, name: str) -> None:
        """
        R42: any cause, any fault; what was never paid is in no rate.
        """
        story, expected, _ = ENDS[name]

        assert rated(story(), COMEUPS) == expected

    @pytest.mark.parametrize("name", ENDS)
    def test_only_the_sellers_doing(self, name: str) -> None:
        """
        The fair policy: the same history, and only what the ending says is his.
        """
        story, _, expected = ENDS[name]

        assert rated(story(), FAIR) == expected

    @pytest.mark.parametrize("name", ENDS)
    def test_an_ending_names_what_falls(self, name: str) -> None:
        """
        R42, R116: `ending.statistics` are the rates that the order was lost for.
        """
        story, expected, _ = ENDS[name]
        ending = story().order.ending

        lost = {
            rate for rate, value in zip(RATES, expected, strict=True) if value == NOT
        }
        if ending is not None and expected[3] == TOOK:
            assert set(ending.statistics) - {"visibility"} == lost - {"on_time_rate"}
        elif ending is not None:
            assert ending.statistics == ()

    def test_late_by_somebody_elses_doing(self) -> None:
        """
        A late order that the buyer ends by himself, no longer late, is not the
        seller's under the fair policy.
        """
        story = Story(policies={"cancellation": Free()}).after(hours=2).seller(ACCEPT)
        story.after(days=6).staff(DISPUTE).mediator(
            ASSIGN, ef.RuleDispute(ruling=ef.Relaunch(), reason="go on")
        )
        story.buyer(CANCEL)

        assert story.ending[0] == "buyer_cancelled"
        assert rated(story, COMEUPS)[2] == NOT
        assert rated(story, FAIR)[2] is None

    def test_a_policy_of_a_host(self) -> None:
        """
        Any object that answers the protocol decides: here nothing by consent counts,
        and every score is one.
        """
        mild: StatisticsPolicy = Mild()
        assert isinstance(mild, StatisticsPolicy)
        by_consent = cancellation_requested().seller(ef.AcceptCancellation())

        found = figures(
            mild, tally_of(by_consent, cancelled()), now="2026-06-30T12:00:00+02:00"
        )

        assert found.completion_rate == Rate(0, 1)
        assert found.cancellation_rate == Rate(1, 1)
        assert found.performance_score is not None
        assert (found.performance_score.value, found.performance_score.grade) == (
            Fraction(1),
            9,
        )


class Free:
    """
    Rights of a host's own: everybody may leave whenever he likes.
    """

    version = "1"
    answer_window = timedelta(hours=48)

    def cancel(self, situation: ef.rules.Situation) -> ef.rules.Right:
        """
        Yes.
        """
        return ef.Alone()

    def request(self, situation: ef.rules.Situation) -> ef.rules.Right:
        """
        Yes.
        """
        return ef.Alone()

    def disputes_after(self, refused: int, *, delivered: bool) -> bool:
        """
        Never.
        """
        return False


class Mild:
    """
    Figures of a host's own.
    """

    version = "1"
    window = timedelta(days=90)
    minimum = 0

    def counts(self, verdict: Verdict) -> bool:
        """
        Not what both sides agreed to.
        """
        return verdict.cause != "by_consent"

    def score(self, **parts: Any) -> Fraction | None:
        """
        Everybody is perfect.
        """
        return Fraction(1)

    def grade(self, score: Fraction) -> int:
        """
        And has the ninth grade.
        """
        return 9


class TestAverage:
    """
    R107: more cancellations than others have is a piece of advice.
    """

    @pytest.mark.parametrize(
        ("average", "above"),
        [(Fraction(1, 2), False), (Fraction(49, 100), True), (1, False), (None, None)],
    )
    def test_above_it(self, average: Fraction | None, above: bool | None) -> None:
        """
        The average itself is not above it.
        """
        tally = tally_of(completed(), cancelled())

        found = figures(
            ef.Statistics(minimum=0), tally, now="2026-07-01T12:00:00Z", average=average
        )

        assert found.cancellation_rate == Rate(1, 2)
        assert found.above_average is above

    def test_of_many(self) -> None:
        """
        Each seller weighs the same, and who has no rate is not asked.
        """
        assert average_of([Rate(1, 2), None, Rate(0, 100)]) == Fraction(1, 4)
        assert average_of([None]) is None

    def test_not_a_float(self) -> None:
        """
        A float is refused by name.
        """
        average: Any = 0.5

        with pytest.raises(ef.InvalidInputError) as caught:
            figures(COMEUPS, Tally(seller_id="luc"), now="2026-07-01Z", average=average)

        assert caught.value.field in ("average", "now")


# --- answers ---------------------------------------------------------------------------


def answers(story: Story) -> dict[str, str]:
    """
    Return how long each clock ran that has stopped; none of them twice.
    """
    _, marks = fold(Tally(seller_id="luc"), None, history_of(story))
    counters: Counter[str] = Counter()
    for days in marks.months.values():
        for counts in days.values():
            counters.update(counts)
    found = {}
    for name, number in counters.items():
        figure, _, clock = name.partition(" ")
        if figure == "response_time":
            assert counters[f"answers {clock}"] == 1
            found[clock] = str(timedelta(microseconds=number))
    return found


BRIEF: Final = ef.SubmitBrief(text="a fox")
BRIEFED: Final = {"brief_required": True}

# fmt: off
ANSWERS: Final[dict[str, tuple[Callable[[], Story], dict[str, str]]]] = {
    # The first message
    "answered": (
        lambda: pending().buyer(HELLO).after(hours=3).seller(HELLO),
        {"first_message": "3:00:00"}),
    "once": (
        lambda: pending().buyer(HELLO).after(hours=3).seller(HELLO)
        .buyer(HELLO).after(hours=9).seller(HELLO),
        {"first_message": "3:00:00"}),
    "from the first of several": (
        lambda: pending().buyer(HELLO).after(hours=3).buyer(HELLO).after(hours=1).seller(HELLO),
        {"first_message": "4:00:00"}),
    "who is written to first has nothing to answer": (
        lambda: pending().seller(HELLO).buyer(HELLO).after(hours=3).seller(HELLO), {}),
    "before the payment nothing counts": (
        lambda: awaiting_payment().buyer(HELLO).after(hours=1).seller(HELLO), {}),
    "the seven days": (
        lambda: in_progress(delivery="P30D").buyer(HELLO).after(days=9).seller(HELLO),
        {"acceptance": "2:00:00", "first_message": "7 days, 0:00:00"}),
    "handing over is an answer": (
        lambda: in_progress().buyer(HELLO).after(hours=5).seller(DELIVER),
        {"acceptance": "2:00:00", "first_message": "5:00:00"}),
    "so is leaving": (
        lambda: in_progress().buyer(HELLO).after(hours=5).seller(CANCEL),
        {"acceptance": "2:00:00", "first_message": "5:00:00"}),
    "the buyer does not wait": (
        lambda: pending().buyer(HELLO).after(hours=5).buyer(CANCEL), {}),
    "after the end nothing begins": (
        lambda: cancelled().buyer(HELLO).after(hours=5).seller(HELLO),
        {"acceptance": "2:00:00"}),
    # Acceptance without a brief
    "accepted": (in_progress, {"acceptance": "2:00:00"}),
    "refused": (
        lambda: pending().after(hours=7).seller(ef.RefuseOrder(reason="no")),
        {"acceptance": "7:00:00"}),
    "a message does not accept": (
        lambda: pending().after(hours=1).seller(HELLO).after(hours=1).seller(ACCEPT),
        {"acceptance": "2:00:00"}),
    "not accepted": (
        lambda: swept(pending().after(days=3)), {"acceptance": "2 days, 0:00:00"}),
    "frozen": (
        lambda: pending().after(hours=1).staff(FREEZE, ef.UnfreezeOrder()).seller(ACCEPT), {}),
    "accepted, and charged later": (
        lambda: held().after(hours=4).seller(ACCEPT).after(hours=3)
        .provider(ef.ReportCharge(reference="pay-1", status="paid")),
        {"acceptance": "4:00:00"}),
    # Acceptance with a brief
    "from the brief on": (
        lambda: pending(terms=BRIEFED).after(hours=5).buyer(BRIEF).after(hours=2).seller(ACCEPT),
        {"acceptance_with_brief": "2:00:00"}),
    "a question will do": (
        lambda: pending(terms=BRIEFED).buyer(BRIEF).after(hours=2).seller(HELLO)
        .after(hours=2).seller(ACCEPT),
        {"acceptance_with_brief": "2:00:00"}),
    "from the first brief": (
        lambda: pending(terms=BRIEFED).buyer(BRIEF).after(hours=2).buyer(BRIEF).seller(ACCEPT),
        {"acceptance_with_brief": "2:00:00"}),
    "without the brief": (
        lambda: pending(terms=BRIEFED).after(hours=5).seller(ACCEPT), {}),
    "nobody waits for a brief": (
        lambda: swept(pending(terms=BRIEFED).after(days=3)), {}),
    "a brief that was not asked for": (
        lambda: pending().after(hours=1).buyer(BRIEF).after(hours=1).seller(ACCEPT),
        {"acceptance": "2:00:00"}),
    "a brief before the payment": (
        lambda: awaiting_payment(terms=BRIEFED).buyer(BRIEF).after(hours=1)
        .provider(ef.ConfirmPayment(payment=ef.Payment("card", "pi_9")))
        .after(hours=2).seller(ACCEPT),
        {"acceptance_with_brief": "2:00:00"}),
    # A request for cancellation
    "agreed": (
        lambda: cancellation_requested().after(hours=2).seller(ef.AcceptCancellation()),
        {"acceptance": "2:00:00", "cancellation": "2:00:00"}),
    "not agreed": (
        lambda: cancellation_requested().after(hours=2).seller(REFUSE_CANCELLATION),
        {"acceptance": "2:00:00", "cancellation": "2:00:00"}),
    "talked about": (
        lambda: cancellation_requested().after(hours=2).seller(HELLO)
        .after(hours=9).seller(REFUSE_CANCELLATION),
        {"acceptance": "2:00:00", "cancellation": "2:00:00"}),
    "cancelled himself": (
        lambda: cancellation_requested().after(hours=2).seller(CANCEL),
        {"acceptance": "2:00:00", "cancellation": "2:00:00"}),
    "taken back in time": (
        lambda: cancellation_requested().after(hours=2).buyer(ef.WithdrawCancellation()),
        {"acceptance": "2:00:00"}),
    "taken back when it was too late": (
        lambda: cancellation_requested().after(hours=50).buyer(ef.WithdrawCancellation()),
        {"acceptance": "2:00:00", "cancellation": "2 days, 2:00:00"}),
    "answered when it was too late": (
        lambda: cancellation_requested(delivery="P30D").after(days=9).seller(REFUSE_CANCELLATION),
        {"acceptance": "2:00:00", "cancellation": "7 days, 0:00:00"}),
    "disputed unanswered": (
        lambda: cancellation_requested().after(hours=60).buyer(DISPUTE),
        {"acceptance": "2:00:00", "cancellation": "2 days, 12:00:00"}),
    "taken up by a mediator in time": (
        lambda: cancellation_requested().buyer(CLAIM).mediator(ASSIGN, ef.ConvertClaim()),
        {"acceptance": "2:00:00"}),
    # A request for revision
    "will do": (
        lambda: revision_requested().after(hours=4).seller(ef.AcceptRevision()),
        {"acceptance": "2:00:00", "revision": "4:00:00"}),
    "will not": (
        lambda: revision_requested().after(hours=4).seller(REFUSE_REVISION),
        {"acceptance": "2:00:00", "revision": "4:00:00"}),
    "what do you mean": (
        lambda: revision_requested().after(hours=4).seller(HELLO, ef.AcceptRevision()),
        {"acceptance": "2:00:00", "revision": "4:00:00"}),
    "disputed unanswered, too": (
        lambda: revision_requested().after(days=3).buyer(DISPUTE),
        {"acceptance": "2:00:00", "revision": "3 days, 0:00:00"}),
    "nobody is asked": (
        lambda: delivered(policies={"revision": {"revision_needs_seller_answer": False}})
        .buyer(ASK_REVISION).after(hours=3).seller(DELIVER),
        {"acceptance": "2:00:00"}),
    "never charged": (
        lambda: held().after(hours=4).seller(ACCEPT).provider(
            ef.ReportCharge(reference="pay-1", status="failed", reason="no cover")),
        {}),
}
# fmt: on


class TestResponseTime:
    """
    R109: five clocks.
    """

    @pytest.mark.parametrize("name", ANSWERS)
    def test_clocks(self, name: str) -> None:
        """
        R109: what starts a clock, what stops it, and what silence counts for.
        """
        story, expected = ANSWERS[name]

        assert answers(story()) == expected

    def test_every_clock_is_there(self) -> None:
        """
        Each of the five is in the table above.
        """
        assert {clock for _, found in ANSWERS.values() for clock in found} == set(
            CLOCKS
        )

    def test_mean(self) -> None:
        """
        R109: 2, 2 and 8 hours are 4 hours in the mean.
        """
        found = read(
            in_progress(), in_progress(), pending().after(hours=8).seller(ACCEPT)
        )

        assert found.response_time == 4 * HOUR

    def test_no_less_than_an_hour(self) -> None:
        """
        R109: who answers at once is shown with an hour.
        """
        assert read(pending().seller(ACCEPT)).response_time == HOUR

    def test_reckoned_not_copied(self) -> None:
        """
        C25: the mean of 1, 15, 30, 60 and 10,080 minutes is 2,037.2 minutes.
        """
        minutes = (1, 15, 30, 60)
        stories = [pending().after(minutes=each).seller(ACCEPT) for each in minutes] + [
            in_progress(delivery="P30D").buyer(HELLO).after(days=8).seller(HELLO)
        ]
        # The last one was accepted after two hours, which is a sixth answer.
        found = read(*stories)

        total = timedelta(minutes=sum(minutes) + 10_080 + 120)
        assert found.response_time == total / 6
        assert timedelta(minutes=1 + 15 + 30 + 60 + 10_080) / 5 == timedelta(
            minutes=2037, seconds=12
        )

    def test_nothing_to_answer(self) -> None:
        """
        Who was never asked has no response time.
        """
        assert read(pending()).response_time is None


# --- the score -------------------------------------------------------------------------


class TestScore:
    """
    R110: a weighted mean of four figures, and six grades.
    """

    @pytest.mark.parametrize(
        ("parts", "value"),
        [
            ((1, HOUR, 1, 1), Fraction(1)),
            ((0, 7 * DAY, 0, 0), Fraction(0)),
            ((1, 7 * DAY, 0, 0), Fraction(5, 14)),
            ((0, HOUR, 0, 0), Fraction(4, 14)),
            ((0, 84 * HOUR + HOUR / 2, 0, 0), Fraction(2, 14)),
            ((0, 7 * DAY, 1, 0), Fraction(3, 14)),
            ((0, 7 * DAY, 0, 1), Fraction(2, 14)),
            ((1, None, None, 1), Fraction(1)),
            ((1, None, 0, None), Fraction(5, 8)),
            ((None, None, None, None), None),
        ],
    )
    def test_weights(self, parts: tuple[Any, ...], value: Fraction | None) -> None:
        """
        R110, C26: 5, 4, 3 and 2; what has not happened yet has no weight.
        """
        completion, response_time, on_time, acceptance = parts

        score = COMEUPS.score(
            completion=completion,
            response_time=response_time,
            on_time=on_time,
            acceptance=acceptance,
        )

        assert score == value

    def test_other_weights(self) -> None:
        """
        C26: a marketplace may weigh otherwise, or leave parts out.
        """
        rules = ef.Statistics(score_weights={"on_time": 1, "acceptance": 3})

        assert rules.score(
            completion=Fraction(0),
            response_time=7 * DAY,
            on_time=Fraction(1),
            acceptance=Fraction(0),
        ) == Fraction(1, 4)

    @pytest.mark.parametrize("weights", [{"speed": 1}, {}, {"on_time": "much"}])
    def test_wrong_weights(self, weights: Any) -> None:
        """
        A weight of something that is no part of the score is refused by name.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            ef.Statistics(score_weights=weights)

        assert caught.value.field == "score_weights"

    @pytest.mark.parametrize(
        ("score", "grade"),
        [
            (Fraction(0), 1),
            (Fraction(1, 6) - Fraction(1, 999), 1),
            (Fraction(1, 6), 2),
            (Fraction(1, 2), 4),
            (Fraction(5, 6), 6),
            (Fraction(1), 6),
        ],
    )
    def test_grades(self, score: Fraction, grade: int) -> None:
        """
        R110: six of them, evenly.
        """
        assert COMEUPS.grade(score) == grade

    def test_of_a_seller(self) -> None:
        """
        It is made of his figures; where there are none, there is no score.
        """
        found = read(completed(), late().seller(DELIVER).buyer(APPROVE))
        none = read(awaiting_payment())

        # Both accepted after two hours, both completed, one of them late.
        speed = 1 - Fraction(1, 167)
        assert (
            found.performance_score.value == (5 + 4 * speed + Fraction(3, 2) + 2) / 14
        )
        assert found.performance_score.grade == 6
        assert none.performance_score is None


# --- money -----------------------------------------------------------------------------


def sold(tally: Tally) -> list[tuple[str, int, str, str]]:
    """
    Return the curves of a seller, as text.
    """
    return [
        (
            str(point.day),
            point.sales,
            " ".join(map(str, point.generated)),
            " ".join(map(str, point.collected)),
        )
        for point in sales_by_day(tally)
    ]


class TestRevenue:
    """
    R111, R112: what was sold, and what came of it.
    """

    def test_the_example_of_the_page(self) -> None:
        """
        R112: 350 on 5 February, 20 more while it runs, done on 4 April: 370 generated
        on 5 February, and 370 collected on 4 April.
        """
        story = Story(
            "2026-02-05T10:00:00+01:00", price="350", tip=euros("10"), delivery="P90D"
        )
        story.seller(ACCEPT).after(days=20)
        story.buyer(
            ef.BuyAddOn(
                title="More", price=euros("20"), payment=ef.Payment("card", "pi_2")
            )
        )
        story.at("2026-04-03T10:00:00+02:00").seller(DELIVER)
        story.at("2026-04-04T10:00:00+02:00").buyer(APPROVE)

        assert sold(tally_of(story)) == [
            ("2026-02-05", 1, "370.00 EUR", ""),
            ("2026-04-04", 0, "", "370.00 EUR"),
        ]

    def test_an_offer_that_was_paid(self) -> None:
        """
        R112: it counts on the day of the order; one that was not paid never does.
        """
        story = in_progress().after(days=2)
        story.seller(ef.SendOffer(title="More", price=euros("30")))
        story.seller(ef.SendOffer(title="Never", price=euros("50")))
        story.buyer(ef.PayOffer(offer_id="offer-1", payment=ef.Payment("card", "pi_2")))

        assert sold(tally_of(story)) == [("2026-06-01", 1, "130.00 EUR", "")]

    def test_what_was_bought_with_the_order(self) -> None:
        """
        R112: options are in it, an option that waits for its payment is not, and
        neither are fees.
        """
        story = in_progress(
            add_ons=(ef.AddOn(title="Source files", price=euros("15")),),
            policies={"fees": {"buyer_fee": ef.Fee(bps=1000)}},
        )
        story.buyer(ef.BuyAddOn(title="More", price=euros("20"), payment=None))

        assert sold(tally_of(story)) == [("2026-06-01", 1, "115.00 EUR", "")]

        story.seller(DELIVER).buyer(APPROVE)

        assert sold(tally_of(story)) == [("2026-06-01", 1, "115.00 EUR", "115.00 EUR")]

    def test_a_cancelled_order_was_sold(self) -> None:
        """
        R111, R112: it counts as a sale, and nothing of it is collected.
        """
        found = read(cancelled(), completed())

        assert found.sales == 2
        assert found.revenue_generated == (euros("200"),)
        assert found.revenue_collected == (euros("100"),)

    def test_what_went_back_in_part(self) -> None:
        """
        Collected is what was paid for work: less what went back, before his fee, and
        without the tip.
        """
        fees = {"seller_fee": ef.Fee(bps=2000), "buyer_fee": ef.Fee(flat=euros("5"))}
        story = in_progress(tip=euros("10"), policies={"fees": fees})
        story.buyer(ef.ProposePartialRefund(amount=euros("30"), reason="less work"))
        story.seller(ef.AcceptPartialRefund(), DELIVER).buyer(APPROVE)

        found = read(story)

        # 70 for work, of which the platform takes 14, and the tip.
        assert story.books == "0/30/66/19"
        assert found.revenue_generated == (euros("100"),)
        assert found.revenue_collected == (euros("70"),)

    def test_nothing_is_left_to_collect(self) -> None:
        """
        A ruling that leaves the seller nothing but a cent of tip collects nothing.
        """
        story = disputed(
            tip=euros("0.01"),
            policies={"partial_refunds": {"partial_refund_base": "all"}},
        )
        split = ef.Split(to_buyer=euros("100"))
        story.mediator(ef.RuleDispute(ruling=split, reason="so"))

        found = read(story)

        assert found.revenue_collected == ()
        assert found.completion_rate == Rate(1, 1)

    def test_two_currencies(self) -> None:
        """
        They are never added up.
        """
        found = read(completed(), completed(currency="JPY", price="900"))

        assert found.revenue_generated == (euros("100"), ef.Money(900, "JPY"))


class TestProfile:
    """
    R43: what the seller cancelled himself shows, until it is excused.
    """

    def test_public_cancellations(self) -> None:
        """
        R43: newest first, with what the seller said; what others ended does not show.
        """
        first = in_progress().seller(ef.CancelOrder(reason="too much work"))
        second = late().seller(CANCEL)
        excused = cancelled().staff(ef.ExcuseCancellation(reason="a flood"))
        stories = [first, second, excused, late().buyer(CANCEL), in_progress()]

        shown = public_cancellations(story.order for story in stories)

        assert [(one.cause, str(one.reason)) for one in shown] == [
            ("seller_cancelled", ""),
            ("seller_cancelled", "too much work"),
        ]
        assert [one.closed_at for one in shown] == [
            second.order.closed_at,
            first.order.closed_at,
        ]
        assert {one.order_id for one in shown} == {"order-1"}
        assert read(*stories).public_cancellations == 2

    def test_erased_reasons(self) -> None:
        """
        A tally holds nobody's words: what is erased is gone.
        """
        story = in_progress().seller(ef.CancelOrder(reason="too much work"))
        story.engine.erase("luc")

        (shown,) = public_cancellations([story.order])

        assert (shown.reason, shown.reason.erased) == (Text(), True)
        assert "too much" not in json.dumps(tally_of(story).to_json())


# --- days ------------------------------------------------------------------------------


class TestWindow:
    """
    R102: six months, and the days move on.
    """

    def test_values_move_with_no_new_event(self) -> None:
        """
        R102: an order of 1 June counts up to 30 November, and no longer on
        1 December.
        """
        tally = tally_of(cancelled())
        rules = ef.Statistics(minimum=0)

        def rate(now: str) -> Rate | None:
            return figures(rules, tally, now=now).cancellation_rate

        assert rate("2026-05-31T23:59:59.999999+02:00") is None
        assert rate("2026-06-01T00:00:00+02:00") == Rate(1, 1)
        assert rate("2026-11-30T23:59:59.999999+01:00") == Rate(1, 1)
        assert rate("2026-12-01T00:00:00+01:00") is None

    @pytest.mark.parametrize(
        ("last", "window", "first"),
        [
            ("2026-06-01", "P6M", "2025-12-02"),
            ("2026-08-27", "P6M", "2026-02-28"),
            ("2026-08-28", "P6M", "2026-03-01"),
            ("2026-08-31", "P6M", "2026-03-01"),
            ("2028-08-29", "P6M", "2028-03-01"),
            ("2026-01-31", "P1M", "2026-01-01"),
            ("2026-06-01", "P12M", "2025-06-02"),
            ("2026-06-10", "P1D", "2026-06-10"),
            ("2026-06-10", "P7D", "2026-06-04"),
            ("2026-06-10", "PT1H", "2026-06-10"),
            ("2026-06-10", "PT36H", "2026-06-09"),
        ],
    )
    def test_edges(self, last: str, window: Any, first: str) -> None:
        """
        R102: the day of the reading is in, the one as many months before is out;
        a part of a day is a day.
        """
        found = figures(
            ef.Statistics(window=window),
            Tally(seller_id="luc"),
            now=f"{last}T12:00:00Z",
        )

        assert (str(found.first), str(found.last)) == (first, last)

    def test_whose_days(self) -> None:
        """
        An order of the last hour of May in London is one of June in Paris.
        """
        history = history_of(Story("2026-06-01T00:30:00+02:00"))

        for zone, day in (
            ("Europe/Paris", "2026-06-01"),
            ("Europe/London", "2026-05-31"),
        ):
            tally, _ = fold(Tally(seller_id="luc", zone=zone), None, history)
            assert [str(point.day) for point in sales_by_day(tally)] == [day]
            assert recount([history], zone) == {"luc": tally}

    def test_what_belongs_to_which_day(self) -> None:
        """
        Lateness counts on the day it is known, a completion when it happens, the rest
        on the day of the order.
        """
        tally = tally_of(late().after(days=3).seller(DELIVER).buyer(APPROVE))
        days = {
            day: set(counts)
            for month in tally.months.values()
            for day, counts in month.items()
        }

        assert days == {
            "2026-06-01": {
                "sales",
                "revenue_generated EUR",
                "cancellation_rate good",
                "acceptance_rate good",
                "response_time acceptance",
                "answers acceptance",
            },
            "2026-06-06": {"on_time_rate bad seller late"},
            "2026-06-09": {"completion_rate good", "revenue_collected EUR"},
        }

    def test_a_redelivery_that_is_late(self) -> None:
        """
        R106: late for ever, and on the day the order was first handed over.
        """
        story = revision_requested().seller(ef.AcceptRevision()).after(days=9)
        tally = tally_of(swept(story))

        assert tally.months["2026-06"]["2026-06-02"] == {
            "on_time_rate bad seller late": 1,
            "answers revision": 1,
        }


# --- event by event --------------------------------------------------------------------


def at_another_time(history: History, window: timedelta) -> History:
    """
    Return the same history, begun later.
    """
    return tuple(
        attrs.evolve(
            recorded,
            effective_at=datetime.__add__(recorded.effective_at, window),
            recorded_at=datetime.__add__(recorded.recorded_at, window),
        )
        for recorded in history
    )


@cache
def lives() -> tuple[History, ...]:
    """
    Return the histories of lives led at random, under all kinds of rules.
    """
    found = []
    for name, process in VARIANTS.items():
        rng = random.Random(f"figures {name}")
        life = Life(rng=rng, process=process, previewed=0.0, order_id=name)
        for _ in range(30):
            life.step()
        found.append(life.engine.history(name))
    # And such as are led every day.
    told = [ends[0] for ends in ENDS.values()]
    told += [answered[0] for answered in ANSWERS.values()]
    return (*found, *(history_of(story()) for story in told))


class TestIncremental:
    """
    Folding events as they come is counting everything.
    """

    @given(st.data())
    def test_equals_the_full_recount(self, data: st.DataObject) -> None:
        """
        R102: whatever orders, in whatever order their events come, twice or late: the
        tallies are those of a recount, and so are the figures on any day.
        """
        pool = lives()
        picks = data.draw(
            st.dictionaries(
                st.integers(0, len(pool) - 1),
                st.integers(0, 300),
                min_size=1,
                max_size=6,
            )
        )
        rng = data.draw(st.randoms(use_true_random=False))
        histories = {
            pick: at_another_time(pool[pick], timedelta(days=days))
            for pick, days in picks.items()
        }
        tally = Tally(seller_id="luc")
        marks: dict[int, Marks] = {}
        known: Counter[int] = Counter()
        for _ in range(3 * len(histories)):
            pick = rng.choice([*histories])
            # What comes may be newer, the same, or older than what was counted.
            length = rng.randint(1, len(histories[pick]))
            known[pick] = max(known[pick], length)
            tally, marks[pick] = fold(tally, marks.get(pick), histories[pick][:length])

        again = recount(histories[pick][:length] for pick, length in known.items())[
            "luc"
        ]
        assert tally == again
        assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally
        clock = ef.FakeClock("2026-05-01T10:00:00+02:00")
        now = clock.advance(days=rng.randint(0, 600))
        for policy in (COMEUPS, FAIR, everything("any")):
            assert figures(policy, tally, now=now) == figures(policy, again, now=now)
        for found in marks.values():
            assert Marks.from_json(json.loads(json.dumps(found.to_json()))) == found

    @pytest.mark.parametrize("number", range(len(VARIANTS) + len(ENDS) + len(ANSWERS)))
    def test_touched_is_what_changes(self, number: int) -> None:
        """
        Each figure that an event changes is named by `touched`, and each that is named
        changes; but for the host's visibility, and for answers, where it names what
        could be one.
        """
        history = lives()[number]
        order: Order | None = None
        tally = Tally(seller_id="luc")
        marks = None
        last = history[-1].effective_at
        for recorded in history:
            after, marks = fold(tally, marks, history[: recorded.seq])
            everybodys = set(touched(order, recorded))
            for policy in (
                everything("any"),
                everything("sellers"),
            ):
                named = set(touched(order, recorded, policy=policy))
                changed = differing(policy, tally, after, last)
                certain = named - {"visibility", "response_time", "performance_score"}

                assert changed <= named <= everybodys <= set(FIGURES)
                assert certain == changed - {"response_time", "performance_score"}
                scored = named & {*RATES[:3], "response_time"}
                assert ("performance_score" in named) == bool(scored)
            order, tally = evolve(order, recorded), after

    def test_what_a_command_touches(self) -> None:
        """
        Several events touch what they change together: a payment that comes with the
        order, and an acceptance that is answered at once.
        """
        history = history_of(in_progress())

        assert touched(None, *history) == (
            "acceptance_rate",
            "cancellation_rate",
            "response_time",
            "performance_score",
            "sales",
            "revenue_generated",
        )
        assert touched(None) == ()

    def test_options_say_it_beforehand(self) -> None:
        """
        R116: what a command touches stands among its consequences.
        """
        story = pending()
        said = story.option(ANA, ef.CancelOrder).consequences
        before = story.order
        story.buyer(CANCEL)

        found = touched(before, *story.last.events, policy=COMEUPS)

        assert {"acceptance_rate", "visibility"} <= set(found)
        assert said is not None
        assert said.statistics == found

    def test_lives_touch_everything(self) -> None:
        """
        The lives above are no idle ones: every figure is touched in them.
        """
        found: set[str] = set()
        for history in lives():
            order: Order | None = None
            for recorded in history:
                found |= set(touched(order, recorded))
                order = evolve(order, recorded)

        assert found == set(FIGURES)

    def test_endings_say_what_is_touched(self) -> None:
        """
        R42, R116: what an ending stores is a part of what its event touches.
        """
        seen = Counter[str]()
        for history in lives():
            order: Order | None = None
            for recorded in history:
                ending = getattr(recorded.event, "ending", None)
                if ending is not None:
                    assert set(ending.statistics) <= set(touched(order, recorded))
                    seen.update(ending.statistics)
                order = evolve(order, recorded)

        assert set(seen) == {"acceptance_rate", "visibility", "completion_rate"}

    def test_a_step_costs_the_same_after_ten_thousand_orders(self) -> None:
        """
        No loop is longer, and nothing that is copied is larger, than after ten.
        """
        few = many = Tally(seller_id="luc")
        before = None
        days = [
            at_another_time(history_of(in_progress()), timedelta(days=days))
            for days in range(10)
        ]
        for number in range(10_000):
            first, *rest = days[number % 10]
            placed: Any = first.event
            event = attrs.evolve(placed, order_id=f"o{number}")
            history = (attrs.evolve(first, event=event), *rest)
            if number < 9_999:
                many, _ = fold(many, None, history)
            else:
                few, before = fold(few, None, history[:-1])
                many, _ = fold(many, None, history[:-1])
            if number < 10:
                few = many
        now = history[-1].effective_at
        assert figures(COMEUPS, few, now=now).sales == 11
        assert figures(COMEUPS, many, now=now).sales == 10_000

        # Once before: what is remembered costs less the second time.
        cost(few, before, history)

        assert cost(few, before, history) == cost(many, before, history)


def cost(tally: Tally, before: Marks | None, history: History) -> tuple[int, int]:
    """
    Return how many functions a step calls, and how much there is to copy for it.
    """
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        fold(tally, before, history)
    finally:
        sys.setprofile(None)
    days = [counts for month in tally.months.values() for counts in month.values()]
    return calls, len(tally.months) + len(days) + sum(map(len, days))


def differing(policy: ef.Statistics, before: Tally, after: Tally, now: Any) -> set[str]:
    """
    Return the figures that differ between two tallies.
    """
    earlier = figures(policy, before, now=now)
    later = figures(policy, after, now=now)
    named = set(FIGURES) & {field.name for field in attrs.fields(Figures)}
    found = {name for name in named if getattr(earlier, name) != getattr(later, name)}
    # The shown one is an hour at least, and hides that there is one answer more.
    found -= {"response_time"}
    if heard(before) != heard(after):
        found.add("response_time")
    return found


def heard(tally: Tally) -> list[tuple[str, str, int]]:
    """
    Return the counters of the answers.
    """
    return sorted(
        (day, name, number)
        for month in tally.months.values()
        for day, counts in month.items()
        for name, number in counts.items()
        if name.startswith(("answers ", "response_time "))
    )


class TestStoring:
    """
    What a host keeps, and what it may hand in again.
    """

    def test_twice_is_once(self) -> None:
        """
        A history that was counted before changes nothing, nor does an older one.
        """
        history = history_of(completed())
        tally, marks = fold(Tally(seller_id="luc"), None, history)

        assert fold(tally, marks, history) == (tally, marks)
        assert fold(tally, marks, history[:4]) == (tally, marks)
        assert marks.version == len(history)

    def test_what_leaves_is_gone(self) -> None:
        """
        An order that counts for nothing any more leaves no trace in the tally.
        """
        story = held().seller(ACCEPT)
        tally, marks = fold(Tally(seller_id="luc"), None, history_of(story))
        assert tally.months

        failed = ef.ReportCharge(reference="pay-1", status="failed", reason="no cover")
        tally, marks = fold(tally, marks, history_of(story.provider(failed)))

        assert (tally.months, marks.months) == ({}, {})

    def test_not_from_the_beginning(self) -> None:
        """
        A piece of a history is refused, and so is none.
        """
        history = history_of(completed())

        with pytest.raises(ef.InvalidInputError, match="event 3 where 1 belongs"):
            fold(Tally(seller_id="luc"), None, history[2:])
        with pytest.raises(ef.InvalidInputError, match="event 4 where 3 belongs"):
            fold(Tally(seller_id="luc"), None, (*history[:2], *history[3:]))
        with pytest.raises(ef.InvalidInputError, match="empty"):
            fold(Tally(seller_id="luc"), None, ())

    def test_of_somebody_else(self) -> None:
        """
        An order of another seller, and marks of another order or zone, are refused.
        """
        history = history_of(completed())
        tally, marks = fold(Tally(seller_id="luc"), None, history)

        with pytest.raises(ef.InvalidInputError, match="'luc', not of 'eve'"):
            fold(Tally(seller_id="eve"), None, history)
        with pytest.raises(ef.InvalidInputError, match="'o2' in Europe/Paris, not of"):
            fold(tally, attrs.evolve(marks, order_id="o2"), history)
        with pytest.raises(ef.InvalidInputError, match="in UTC"):
            fold(tally, attrs.evolve(marks, zone="UTC"), history)

    @pytest.mark.parametrize("zone", ["Europe/Nowhere", 7])
    def test_no_such_zone(self, zone: Any) -> None:
        """
        A zone that is none is refused by name.
        """
        for make in (
            lambda: Tally(seller_id="luc", zone=zone),
            lambda: recount([history_of(completed())], zone),
        ):
            with pytest.raises(ef.InvalidInputError) as caught:
                make()
            assert caught.value.field == "zone"

    @pytest.mark.parametrize(
        "months",
        [
            None,
            [],
            {"2026-06": None},
            {"2026-06": {"2026-07-01": {}}},
            {"2026-06": {"2026-06-31": {}}},
            {"2026-06": {"20260601": {}}},
            {"2026-06": {"2026-06-01": []}},
            {"2026-06": {"2026-06-01": {"sales": "1"}}},
            {"2026-06": {"2026-06-01": {"sales": True}}},
            {"2026-06": {"2026-06-01": {"sales": -1}}},
            {"2026-06": {"2026-06-01": {"luck": 1}}},
            {"2026-06": {"2026-06-01": {"on_time_rate": 1}}},
            {"2026-06": {"2026-06-01": {"on_time_rate bad": 1}}},
            {"2026-06": {"2026-06-01": {"on_time_rate so so late": 1}}},
            {"2026-06": {"2026-06-01": {"on_time_rate bad thief late": 1}}},
            {"2026-06": {"2026-06-01": {1: 1}}},
        ],
    )
    def test_damaged_counters(self, months: Any) -> None:
        """
        What `to_json` cannot have given is refused, and nothing else is raised.
        """
        plain = {"seller_id": "luc", "zone": "Europe/Paris", "months": months}

        with pytest.raises(ef.InvalidInputError) as caught:
            Tally.from_json(plain)
        assert caught.value.field == "tally.months"
        with pytest.raises(ef.InvalidInputError) as caught:
            Marks.from_json({**plain, "order_id": "o1", "version": 1})
        assert caught.value.field == "marks.months"

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"version": 0}, "marks.version"),
            ({"version": True}, "marks.version"),
            ({"order_id": ""}, "marks.order_id"),
            ({"seller_id": ""}, "seller_id"),
            ({"zone": "Nowhere"}, "zone"),
            ({"more": 1}, "marks"),
        ],
    )
    def test_damaged_marks(self, change: dict[str, Any], field: str) -> None:
        """
        Each field of stored marks is checked, and named.
        """
        _, marks = fold(Tally(seller_id="luc"), None, history_of(completed()))

        with pytest.raises(ef.InvalidInputError) as caught:
            Marks.from_json({**marks.to_json(), **change})

        assert caught.value.field == field

    @pytest.mark.parametrize("data", [None, [], {}, {"seller_id": "luc"}])
    def test_no_tally(self, data: Any) -> None:
        """
        What is no tally at all is refused.
        """
        with pytest.raises(ef.InvalidInputError) as caught:
            Tally.from_json(data)

        assert caught.value.field == "tally"

    def test_publish_brings_it_up_to_date(self) -> None:
        """
        The events that an engine publishes are enough, in any order and twice.
        """
        clock = ef.FakeClock("2026-06-01T10:00:00+02:00")
        engine = an_engine(MemoryStorage(), clock=clock, publish=True)
        kept: dict[str, Any] = {}
        seen: list[ef.Publish] = []

        def publish(effect: ef.Publish) -> None:
            seen.append(effect)
            stored = kept.get("luc")
            tally = (
                Tally(seller_id="luc") if stored is None else Tally.from_json(stored)
            )
            stored = kept.get(effect.order_id)
            before = None if stored is None else Marks.from_json(stored)
            tally, marks = fold(tally, before, engine.history(effect.order_id))
            kept.update({"luc": tally.to_json(), effect.order_id: marks.to_json()})

        for number in range(6):
            order = ef.PlaceOrder(
                seller_id="luc",
                price=euros("100"),
                payment=ef.Payment("card", f"pi_{number}"),
                terms=ef.Terms(delivery_window="P5D"),
            )
            order_id = engine.place(order, by=ANA).order.id
            engine.execute(order_id, ACCEPT, by=LUC)
            if number:
                engine.execute(order_id, DELIVER, by=LUC)
                engine.execute(order_id, APPROVE, by=ANA)
        handlers: Any = {
            ef.Publish: publish,
            ef.Notify: lambda _: None,
            ef.PayOut: lambda _: None,
            ef.Refund: lambda _: None,
        }
        engine.run_effects(handlers, limit=1000)
        for effect in [*seen]:
            publish(effect)

        tally = Tally.from_json(kept["luc"])
        assert recount(
            engine.history(effect.order_id) for effect in first_of(seen)
        ) == {"luc": tally}
        assert figures(COMEUPS, tally, now=clock.now()).completed == 5


def first_of(effects: Iterable[ef.Publish]) -> Sequence[ef.Publish]:
    """
    Return one effect an order.
    """
    return list({effect.order_id: effect for effect in effects}.values())
