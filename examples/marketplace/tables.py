"""
The marketplace's own tables.  What an order *is* stands in the library's; here is only
what the library does not know: people, services for sale, words, and moved money.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import escrowflow as ef

CURRENCY = "EUR"


class Base(DeclarativeBase):
    """
    All tables of the marketplace.
    """


class Person(Base):
    """
    Somebody who can sign in.  The id is what the library knows of them: a pseudonym.
    """

    __tablename__ = "person"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    language: Mapped[str] = mapped_column(default="en")
    about: Mapped[str] = mapped_column(Text, default="")


class Service(Base):
    """
    What a seller offers, in the language in which it was written.
    """

    __tablename__ = "service"

    id: Mapped[int] = mapped_column(primary_key=True)
    seller_id: Mapped[str] = mapped_column(ForeignKey(Person.id))
    language: Mapped[str]
    title: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    price_minor: Mapped[int] = mapped_column(BigInteger)
    days: Mapped[int]
    revisions: Mapped[int]

    seller: Mapped[Person] = relationship(lazy="joined")
    extras: Mapped[list[Extra]] = relationship(lazy="selectin", order_by="Extra.id")

    @property
    def price(self) -> ef.Money:
        """
        What it costs, fees not included.
        """
        return ef.Money(self.price_minor, CURRENCY)


class Extra(Base):
    """
    An option of a service, which can also be bought while the order runs.
    """

    __tablename__ = "extra"

    id: Mapped[int] = mapped_column(primary_key=True)
    service_id: Mapped[int] = mapped_column(ForeignKey(Service.id))
    title: Mapped[str]
    price_minor: Mapped[int] = mapped_column(BigInteger)

    @property
    def price(self) -> ef.Money:
        """
        What it costs, fees not included.
        """
        return ef.Money(self.price_minor, CURRENCY)


class Purchase(Base):
    """
    Which service an order is about: written in the transaction that places the order.
    """

    __tablename__ = "purchase"

    order_id: Mapped[str] = mapped_column(primary_key=True)
    service_id: Mapped[int] = mapped_column(ForeignKey(Service.id))

    service: Mapped[Service] = relationship(lazy="joined")


class Message(Base):
    """
    The words of a message.  Who sent it, and when, is in the history of the order,
    which knows it by this id.
    """

    __tablename__ = "message"

    id: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(index=True)
    text: Mapped[str] = mapped_column(Text)


class Letter(Base):
    """
    A mail that a real marketplace would have sent.
    """

    __tablename__ = "letter"

    key: Mapped[str] = mapped_column(primary_key=True)
    recipient_id: Mapped[str] = mapped_column(index=True)
    order_id: Mapped[str]
    language: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[str]


class Transfer(Base):
    """
    Money that a real payment provider would have moved; the key keeps it from moving
    twice.
    """

    __tablename__ = "transfer"

    key: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[str]
    kind: Mapped[str]
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    sent_at: Mapped[str]

    @property
    def amount(self) -> ef.Money:
        """
        How much.
        """
        return ef.Money(self.amount_minor, CURRENCY)


class SellerTally(Base):
    """
    What a seller's figures are read from: an `escrowflow.Tally`.
    """

    __tablename__ = "seller_tally"

    seller_id: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class OrderMarks(Base):
    """
    What of an order is in that tally already: `escrowflow.Marks`.
    """

    __tablename__ = "order_marks"

    order_id: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class Ahead(Base):
    """
    How far the time machine has gone: one row.
    """

    __tablename__ = "ahead"

    id: Mapped[int] = mapped_column(primary_key=True)
    micros: Mapped[int] = mapped_column(BigInteger)
