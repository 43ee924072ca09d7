"""
What many tests begin with: the people, the money, an order, an engine.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from escrowflow import commands as c
from escrowflow.clock import FakeClock
from escrowflow.engine import Engine
from escrowflow.money import Money, Payment
from escrowflow.parties import Buyer, Mediator, Operator, Provider, Seller
from escrowflow.processes import comeup
from escrowflow.terms import Terms

if TYPE_CHECKING:
    from pathlib import Path

    from escrowflow.rules import Policies
    from escrowflow.states import Process
    from escrowflow.storage import Storage

T0: Final = "2026-05-05T10:00:00+02:00"

ANA: Final = Buyer("ana")
LUC: Final = Seller("luc")
MIA: Final = Mediator("mia")
OPS: Final = Operator("ops")
STRIPE: Final = Provider("stripe")
PEOPLE: Final = (ANA, LUC, MIA, OPS, STRIPE)

# One process for all: it is a value, and building it takes a while.
COMEUP: Final = comeup()


def eur(amount: str | int) -> Money:
    """
    Return so many euros.
    """
    return Money.of(amount, "EUR")


def paid(reference: str = "pi_1", amount: Money | None = None) -> Payment:
    """
    Return a payment by card.
    """
    return Payment("card", reference, amount)


def any_text(**sizes: int) -> st.SearchStrategy[str]:
    """
    Return a strategy for any text that UTF-8 has.
    """
    # The default of Hypothesis is the same, and takes seconds to find that out.
    return st.text(st.characters(exclude_categories=["Cs"]), **sizes)


def terms(**changes: Any) -> Terms:
    """
    Return terms of five days.
    """
    return Terms(**{"delivery_window": timedelta(days=5), **changes})


def an_order(**changes: Any) -> c.PlaceOrder:
    """
    Return the command that orders from Luc for 100 euros, paid.
    """
    fields: dict[str, Any] = {
        "seller_id": "luc",
        "price": eur(100),
        "payment": paid(),
        "terms": terms(),
    }
    return c.PlaceOrder(**{**fields, **changes})


def an_engine(
    storage: Storage,
    process: Process[Policies] = COMEUP,
    clock: FakeClock | None = None,
    **options: Any,
) -> Engine:
    """
    Return an engine whose clock stands at `T0`.
    """
    return Engine(
        process, storage, clock=clock if clock is not None else FakeClock(T0), **options
    )


def a_storage(kind: str, folder: Path) -> Storage:
    """
    Return a new storage: `"memory"` or `"sqlite"`.
    """
    from escrowflow.storage import open_storage

    if kind == "memory":
        return open_storage("memory://")
    return open_storage(f"sqlite:///{folder}/orders.db")


# The shortest way into each state, as (who, what); what is due is waited for.
WAY: Final[dict[str, tuple[tuple[Any, c.Command], ...]]] = {
    "pending": (),
    "in_progress": ((LUC, c.AcceptOrder()),),
}
WAY["cancellation_requested"] = (
    *WAY["in_progress"],
    (ANA, c.RequestCancellation(reason="changed my mind")),
)
WAY["delivered"] = (*WAY["in_progress"], (LUC, c.DeliverOrder(note="here it is")))
WAY["revision_requested"] = (
    *WAY["delivered"],
    (ANA, c.RequestRevision(reason="too blue")),
)
WAY["revision_refused"] = (
    *WAY["revision_requested"],
    (LUC, c.RefuseRevision(reason="you asked for blue")),
)
WAY["disputed"] = (*WAY["revision_refused"], (ANA, c.OpenDispute(reason="not right")))
WAY["frozen"] = (*WAY["in_progress"], (OPS, c.FreezeOrder(reason="checks")))
WAY["completed"] = (*WAY["delivered"], (ANA, c.ApproveDelivery()))
WAY["cancelled"] = ((ANA, c.CancelOrder()),)


def brought_to(
    engine: Engine, state: str, order_id: str = "o1", **changes: Any
) -> None:
    """
    Place an order and take it to a state, in no time.
    """
    command = an_order(**changes)
    if state == "awaiting_payment":
        command = an_order(**{"payment": None, **changes})
    engine.place(command, by=ANA, order_id=order_id)
    for by, step in WAY.get(state, ()):
        engine.execute(order_id, step, by=by)
