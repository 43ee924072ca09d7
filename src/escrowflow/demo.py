"""
The stories that the help pages tell, played on a real file with a fake clock.

Every command carries a key: played again on the same file, each is answered as
before and nothing happens twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final, TypeAlias, final

import attrs

from . import commands as c
from .clock import FakeClock
from .engine import Engine, Outcome
from .money import Money, Payment
from .order import Order
from .parties import Buyer, Mediator, Seller
from .processes import comeup
from .storage.sqlite import SqliteStorage
from .terms import Split, Terms
from .timeline import Line, Moment, as_lines, timeline
from .words import LOCALES, amount_text, number_text, story_text

__all__ = ["STORIES", "Played", "Story", "play", "rendered", "totals"]

ANA: Final = Buyer("ana")
LUC: Final = Seller("luc")
MIA: Final = Mediator("mia")

_ZONE: Final = "Europe/Paris"

Acts: TypeAlias = Callable[["Stage"], None]


@final
@attrs.frozen(kw_only=True)
class Story:
    """
    One story.

    Attributes:
        key: Its name on the file: the key of its order.

        title: Its title, English and French.

        starts: When the buyer pays.

        acts: What happens then.
    """

    key: str
    title: tuple[str, str]
    starts: str
    acts: Acts


@final
@attrs.define
class Stage:
    """
    An order on an engine whose clock the story turns.
    """

    engine: Engine
    clock: FakeClock
    story: Story
    order_id: str = ""
    scene: int = 0

    def place(self, *, revisions: int | None = None) -> None:
        """
        The buyer pays 100 euros for five days of work.
        """
        placed = self.engine.place(
            c.PlaceOrder(
                seller_id=LUC.id,
                price=Money.of("100.00", "EUR"),
                payment=Payment(method="card", reference=f"{self.story.key}-payment"),
                terms=Terms(
                    delivery_window=timedelta(days=5),
                    revisions=revisions,
                    title="A logo",
                ),
            ),
            by=ANA,
            key=self.story.key,
        )
        self.order_id = placed.order.id

    def after(
        self, by: Buyer | Seller | Mediator, command: c.Command, **later: float
    ) -> Outcome:
        """
        Some time later, somebody sends a command.
        """
        self.clock.advance(**later)
        self.scene += 1
        return self.engine.execute(
            self.order_id, command, by=by, key=f"{self.story.key}-{self.scene}"
        )

    def silence(self, **length: float) -> None:
        """
        Nobody does anything for a while; a worker passes by.
        """
        self.clock.advance(**length)
        self.engine.run_due()


def _reviewed(stage: Stage) -> None:
    stage.place()
    stage.after(ANA, c.SubmitBrief(text="A fox, two colours"), minutes=20)
    stage.after(LUC, c.AcceptOrder(), hours=5)
    stage.after(LUC, c.DeliverOrder(files=("fox.svg",)), days=3, hours=18)
    stage.after(ANA, c.LeaveReview(rating=5, text="Lovely"), days=2, hours=8)


def _unanswered(stage: Stage) -> None:
    stage.place()
    stage.silence(hours=48)


def _late(stage: Stage) -> None:
    stage.place()
    stage.after(LUC, c.AcceptOrder(), hours=2)
    stage.silence(days=5)
    stage.after(ANA, c.CancelOrder(reason="I need it now"), hours=3)


def _disputed(stage: Stage) -> None:
    stage.place(revisions=2)
    stage.after(LUC, c.AcceptOrder(), hours=2)
    stage.after(LUC, c.DeliverOrder(files=("v1.svg",)), days=2)
    stage.after(ANA, c.RequestRevision(reason="The fox looks left"), days=1)
    stage.after(LUC, c.AcceptRevision(), hours=6)
    stage.after(LUC, c.DeliverOrder(files=("v2.svg",)), days=2)
    stage.after(ANA, c.RequestRevision(reason="A little more red"), hours=18)
    stage.after(LUC, c.AcceptRevision(), hours=1)
    stage.after(LUC, c.DeliverOrder(files=("v3.svg",)), days=1)
    stage.after(ANA, c.RequestRevision(reason="Make it a wolf"), days=1)
    stage.after(LUC, c.RefuseRevision(reason="A wolf is another order"), hours=2)
    stage.after(ANA, c.OpenDispute(reason="The red is not right either"), days=1)
    stage.after(MIA, c.AssignMediator(mediator_id=MIA.id), days=1)
    stage.after(
        MIA,
        c.RuleDispute(
            ruling=Split(to_buyer=Money.of("30.00", "EUR")),
            reason="The work is good, the colour is not as agreed",
        ),
        days=1,
    )


def _silent(stage: Stage) -> None:
    stage.place()
    stage.after(LUC, c.AcceptOrder(), hours=4)
    stage.after(LUC, c.DeliverOrder(note="It is on your server"), days=4)
    stage.silence(days=7)


STORIES: Final[Sequence[Story]] = (
    Story(
        key="reviewed",
        title=(
            "Paid, accepted, delivered, reviewed",
            "Payée, acceptée, livrée, évaluée",
        ),
        starts="2026-05-05T10:00:00+02:00",
        acts=_reviewed,
    ),
    Story(
        key="unanswered",
        title=(
            "48 hours of silence: the buyer gets everything back",
            "48 heures de silence\xa0: l’acheteur est remboursé",
        ),
        starts="2026-05-06T09:00:00+02:00",
        acts=_unanswered,
    ),
    Story(
        key="late",
        title=(
            "Late, and cancelled by the buyer alone",
            "En retard, et annulée par l’acheteur seul",
        ),
        starts="2026-05-07T14:00:00+02:00",
        acts=_late,
    ),
    Story(
        key="disputed",
        title=(
            "Two revisions, the third refused, a dispute, a split",
            "Deux retouches, la troisième refusée, un litige, un partage",
        ),
        starts="2026-06-02T10:00:00+02:00",
        acts=_disputed,
    ),
    Story(
        key="silent",
        title=(
            "Seven days of silence: the seller is paid",
            "Sept jours de silence\xa0: le vendeur est payé",
        ),
        starts="2026-06-10T11:00:00+02:00",
        acts=_silent,
    ),
)


@final
@attrs.frozen(kw_only=True)
class Played:
    """
    A story that was played.
    """

    story: Story
    order: Order
    moments: tuple[Moment, ...]


def play(database: str) -> Sequence[Played]:
    """
    Play the stories one after the other; return them as they stand at the end.

    Args:
        database: The path of the SQLite file; it is made if it is not there.
    """
    with SqliteStorage(database) as storage:
        stages = []
        for story in STORIES:
            clock = FakeClock(story.starts)
            stage = Stage(Engine(comeup(), storage, clock=clock), clock, story)
            story.acts(stage)
            stages.append(stage)
        # What came due for an early story while a late one was played counts too.
        last = stages[-1].engine
        last.run_due()
        return tuple(
            Played(
                story=stage.story,
                order=last.order(stage.order_id),
                moments=timeline(last.history(stage.order_id)),
            )
            for stage in stages
        )


# --- as text ----------------------------------------------------------------------

_SUMS: Final = ("All ledgers together", "Tous les comptes ensemble")
_PAID_IN: Final = ("paid in", "encaissé")

# The parts of a ledger, and what they are called.
_PARTS: Final = ("held", "refunded", "released", "kept")


def rendered(played: Sequence[Played], locale: str, width: int) -> Iterator[Line]:
    """
    Yield the stories as aligned lines in local time, two a moment if they must fit.

    Args:
        locale: `en` or `fr`.

        width: The columns there are.
    """
    told = as_lines(
        [one.moments for one in played], locale=locale, zone=_ZONE, width=width
    )
    for one, lines in zip(played, told, strict=True):
        yield Line("title", one.story.title[LOCALES.index(locale)])
        yield from lines
        yield Line("moment", "")


def totals(played: Sequence[Played], locale: str) -> Iterator[Line]:
    """
    Yield what all ledgers add up to: what came in is what is accounted for.
    """
    language = LOCALES.index(locale)
    ledgers = [one.order.ledger for one in played]
    zero = Money.zero("EUR")
    sums = [sum((getattr(ledger, part) for ledger in ledgers), zero) for part in _PARTS]
    paid_in = sum((ledger.paid_in for ledger in ledgers), zero)
    sign = "=" if sum(sums, zero) == paid_in else "≠"
    parts = " + ".join(
        f"{story_text(part, locale)} {number_text(money, locale)}"
        for part, money in zip(_PARTS, sums, strict=True)
    )
    yield Line("title", _SUMS[language])
    told = amount_text(paid_in, locale)
    yield Line("total", f"{parts} {sign} {_PAID_IN[language]} {told}")
