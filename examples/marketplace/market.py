"""
The marketplace itself: one engine, one database, and what people do in it.

`buy` and `send` show the heart of it: the marketplace's own rows and the order are
written in one transaction, with `engine.within(session)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, final

import sqlalchemy as sa
from pendulum import DateTime
from sqlalchemy.orm import sessionmaker

import escrowflow as ef
from escrowflow.clock import Clock
from escrowflow.processes import recommended
from escrowflow.storage import open_storage

from . import provider
from .machine import TimeMachine
from .tables import Ahead, Base, Extra, Message, Purchase, Service

# The rules of this marketplace: those we advise, fees of its own, and figures that are
# shown from the third completed order on, so that there is something to see.
PROCESS: Final = recommended().with_policies(
    fees={"buyer_fee": ef.Fee(bps=500), "seller_fee": ef.Fee(bps=1000)},
    statistics={"minimum": 3},
)
ZONE: Final = PROCESS.policies.time.zone

_ACTORS: Final = {
    "buyer": ef.Buyer,
    "seller": ef.Seller,
    "mediator": ef.Mediator,
    "operator": ef.Operator,
}


def actor(role: str, person_id: str) -> ef.Actor:
    """
    Return how the library knows somebody.  You authenticate, it authorises.
    """
    return _ACTORS[role](person_id)


@final
class Market:
    """
    All that the pages need.  Nothing is opened before `open`.

    Args:
        url: The database: `sqlite:///market.db`, `postgresql://user@host/database`.

        wall: The clock that ticks.
    """

    def __init__(self, url: str, wall: Clock) -> None:
        driver = sa.make_url(url)
        if driver.get_backend_name() == "postgresql":
            driver = driver.set(drivername="postgresql+psycopg")
        self.database = sa.create_engine(driver)
        self.session = sessionmaker(self.database, expire_on_commit=False)
        self.clock = TimeMachine(wall)
        self.engine = ef.Engine(
            PROCESS, open_storage(url), clock=self.clock, publish=True
        )
        self.handlers = provider.handlers(self.engine, self.session, ZONE)

    def open(self) -> bool:
        """
        Make the tables, and set the clock; return whether the marketplace is new.
        """
        self.engine.storage.migrate()
        Base.metadata.create_all(self.database)
        with self.session() as session:
            ahead = session.get(Ahead, 1)
            if ahead is not None:
                self.clock.ahead = timedelta(microseconds=ahead.micros)
            return session.scalar(sa.select(sa.func.count(Service.id))) == 0

    def close(self) -> None:
        """
        Let go of the database.
        """
        self.engine.close()
        self.database.dispose()

    # --- what people do -----------------------------------------------------------

    def placing(self, service: Service, payment: ef.Payment | None) -> ef.PlaceOrder:
        """
        Return the order of a service: its price and its terms are the server's word.
        """
        return ef.PlaceOrder(
            seller_id=service.seller_id,
            price=service.price,
            payment=payment,
            listing_id=str(service.id),
            terms=ef.Terms(
                delivery_window=timedelta(days=service.days),
                revisions=service.revisions,
                title=service.title,
                text=service.text,
            ),
        )

    def buy(
        self, service: Service, brief: str, *, by: ef.Buyer, key: str
    ) -> ef.Outcome:
        """
        Place a paid order, with its brief and a row of ours: all of it or nothing.

        Args:
            key: Made with the form: a form that is sent twice buys once.
        """
        command = self.placing(service, provider.charge(key))
        with self.session() as session:
            inside = self.engine.within(session)
            placed = inside.place(command, by=by, key=key)
            if not placed.replayed:
                order_id = placed.order.id
                session.add(Purchase(order_id=order_id, service_id=service.id))
                if brief:
                    inside.execute(order_id, ef.SubmitBrief(text=brief), by=by)
            session.commit()
            return placed

    def send(
        self,
        order_id: str,
        name: str,
        data: Mapping[str, Any],
        *,
        by: ef.Actor,
        key: str,
        if_version: int | None = None,
        extra_id: int = 0,
        words: str = "",
    ) -> ef.Outcome | ef.Refusal:
        """
        Send any command to an order.

        Args:
            name: The name of the command: `deliver_order`.

            data: What somebody filled in, as `Process.parse` takes it.

            key: Made with the form; of a message it is the id as well.

            extra_id: The option that is bought.

            words: What a message says: they stay with us, the library keeps its id.

        Raises:
            InvalidInputError: If something was filled in wrongly.

            OrderNotFoundError: If this is no order of theirs.

            OrderChangedError: If the order is not at *if_version*.
        """
        if words:
            data = {"reference": key}
        command = PROCESS.parse(
            name, data, by=by, vouched=self._vouched(name, key, extra_id)
        )
        with self.session() as session:
            inside = self.engine.within(session)
            answer = inside.attempt(
                order_id, command, by=by, key=key, if_version=if_version
            )
            if words and isinstance(answer, ef.Outcome) and not answer.replayed:
                session.add(Message(id=key, order_id=order_id, text=words))
            # Also after a refusal: what was due is settled, and money that came along
            # is booked to go back.
            session.commit()
            return answer

    def _vouched(self, name: str, key: str, extra_id: int) -> dict[str, Any]:
        """
        Return what no buyer may say of a command: our prices, and that money came.
        """
        if name == ef.PayOffer.name:
            return {"payment": provider.charge(key)}
        if name == ef.BuyAddOn.name:
            with self.session() as session:
                extra = session.get(Extra, extra_id)
            if extra is None:
                raise ef.InvalidInputError("title", "no such option")
            return {
                "title": extra.title,
                "price": extra.price,
                "payment": provider.charge(key),
            }
        return {}

    # --- what happens by itself ---------------------------------------------------

    def worker(self) -> ef.Worker:
        """
        Return a worker: it settles what is due and carries out effects.
        """
        return ef.Worker(self.engine, self.handlers, poll="PT1S")

    def jump(self, to: DateTime) -> None:
        """
        Let time pass until an instant, and do on the way what there is to do then.
        """
        due = self.engine.next_due_at()
        while due is not None and self.clock.now() < due < to:
            self.clock.advance_to(due)
            self.work()
            due = self.engine.next_due_at()
        self.clock.advance_to(to)
        self.work()
        micros = self.clock.ahead // timedelta(microseconds=1)
        with self.session() as session, session.begin():
            session.merge(Ahead(id=1, micros=micros))

    def work(self) -> None:
        """
        Do what there is to do now, without waiting for the worker to come by.
        """
        worker = self.worker()
        while not worker.run_once().idle:
            pass
