"""
What many marketplaces write themselves: an order as a mapped class, its states in a
`transitions` machine, a history row and an outbox row in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, Engine, ForeignKey, Text, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from transitions import Machine

from .life import TABLE

__all__ = ["Marketplace"]

DATA = '{"buyer": "u-1001", "seller": "u-2002", "amount": 125000}'


class _Base(DeclarativeBase):
    pass


class _Order(_Base):
    __tablename__ = "orm_orders"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    state: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column()
    due: Mapped[int | None] = mapped_column(BigInteger)
    data: Mapped[str] = mapped_column(Text)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class _History(_Base):
    __tablename__ = "orm_history"

    order_id: Mapped[int] = mapped_column(ForeignKey("orm_orders.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(Text)
    data: Mapped[str] = mapped_column(Text)


class _Outbox(_Base):
    __tablename__ = "orm_outbox"

    order_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)


_MACHINE = Machine(
    model=None,
    states=sorted({state for _, *both in TABLE for state in both}),
    transitions=[list(row) for row in dict.fromkeys(TABLE)],
    initial="pending",
    auto_transitions=False,
    send_event=True,
)


class Marketplace:
    """
    Orders through SQLAlchemy and `transitions`, one machine for all.

    Args:
        url: What SQLAlchemy connects to, or what makes its connections.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.engine: Engine = create_engine(url, **options)
        _Base.metadata.create_all(self.engine)

    def place(self, numbers: Iterable[int]) -> None:
        """
        Write orders.
        """
        with Session(self.engine) as session, session.begin():
            session.add_all(
                _Order(id=number, state="pending", version=1, due=None, data=DATA)
                for number in numbers
            )

    def step(self, number: int, event: str) -> None:
        """
        Send one command.
        """
        with Session(self.engine) as session, session.begin():
            order = session.get_one(_Order, number)
            _MACHINE.events[event].trigger(order)
            order.due = 1_700_000_000
            session.add(
                _History(order_id=number, seq=order.version, event=event, data=DATA)
            )
            session.add(
                _Outbox(order_id=number, seq=order.version, kind="notify", payload=DATA)
            )

    def close(self) -> None:
        """
        Let go of the connections.
        """
        self.engine.dispose()
