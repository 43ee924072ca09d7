"""
The web application: what people see, and what they send.

Nothing here decides what an order may do.  A page asks `engine.view` for one reading of
it and draws what it says; a form is posted to one route, whatever the command is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from threading import Thread
from typing import Any, TypeAlias

import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.staticfiles import StaticFiles
from markupsafe import Markup
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import Response

import escrowflow as ef
from escrowflow import casefile, statistics, timeline
from escrowflow import words as say
from escrowflow.clock import as_utc
from escrowflow.events import MessageSent

from . import forms
from .market import PROCESS, ZONE, Market, actor
from .tables import (
    CURRENCY,
    Letter,
    Message,
    Person,
    Purchase,
    SellerTally,
    Service,
    Transfer,
)
from .web import (
    HERE,
    Anyone,
    Me,
    NobodyError,
    Posted,
    Shop,
    go,
    language_of,
    page,
    problem,
    to_sign_in,
)

Orders: TypeAlias = Sequence[ef.Order]

routes = APIRouter()


def application(market: Market, secret: str, *, works: bool = True) -> FastAPI:
    """
    Return the web application of a marketplace.

    Args:
        secret: What session cookies are signed with.

        works: Whether it runs a worker of its own, in a thread.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker = market.worker()
        thread = Thread(target=worker.run)
        if works:
            thread.start()
        yield
        worker.stop()
        if works:
            thread.join()

    web = FastAPI(lifespan=lifespan, openapi_url=None)
    web.state.market = market
    web.add_middleware(
        SessionMiddleware, secret_key=secret, same_site="strict", session_cookie="shop"
    )
    web.mount("/static", StaticFiles(directory=HERE / "static"))
    web.include_router(routes)
    web.add_exception_handler(NobodyError, to_sign_in)
    web.add_exception_handler(AnyHTTPException, problem)
    web.add_exception_handler(ef.OrderNotFoundError, problem)
    return web


# --- coming and going -------------------------------------------------------------


@routes.get("/sign-in")
def sign_in(request: Request, market: Shop) -> Response:
    """
    Everybody who could sign in.
    """
    with market.session() as rows:
        people = rows.scalars(
            sa.select(Person).order_by(Person.role, Person.name)
        ).all()
    return page(request, "sign_in.html", people=people)


@routes.post("/sign-in")
def signed_in(request: Request, market: Shop, posted: Posted) -> Response:
    """
    Pretend that somebody proved who they are.
    """
    with market.session() as rows:
        person = rows.get(Person, posted.get("person", ""))
    if person is None:
        raise HTTPException(404)
    language = request.session.get("language")
    request.session.clear()
    request.session.update(person=person.id, language=language)
    home = {"mediator": "/desk", "operator": "/staff"}
    return go(home.get(person.role, "/orders"))


@routes.post("/sign-out")
def sign_out(request: Request, posted: Posted) -> Response:
    """
    Forget who was here.
    """
    request.session.pop("person", None)
    return go("/")


@routes.post("/language")
def language(request: Request, market: Shop, me: Anyone, posted: Posted) -> Response:
    """
    Speak another language, in mails to come as well.
    """
    chosen = say.language(posted.get("language", ""))
    request.session["language"] = chosen
    if me is not None:
        with market.session() as rows, rows.begin():
            rows.get_one(Person, me.id).language = chosen
    return _back(posted)


@routes.post("/time")
def time(market: Shop, posted: Posted) -> Response:
    """
    Let time pass: to an instant, by some hours, or to the next deadline.
    """
    to = market.engine.next_due_at() or market.clock.now()
    try:
        if "at" in posted:
            to = as_utc(posted["at"], "at")
        if "hours" in posted:
            to = market.clock.now() + timedelta(hours=min(int(posted["hours"]), 24))
    except ValueError:
        raise HTTPException(404) from None
    market.jump(to)
    return _back(posted)


def _back(posted: Mapping[str, str]) -> Response:
    """
    Return to the page the form was on: one of ours.
    """
    path = posted.get("back", "/")
    return go(path if path.startswith("/") and path[1:2] not in "/\\" else "/")


# --- services and people ----------------------------------------------------------


@routes.get("/")
def services(request: Request, market: Shop) -> Response:
    """
    What there is to buy.
    """
    with market.session() as rows:
        found = rows.scalars(sa.select(Service).order_by(Service.id)).all()
    return page(request, "services.html", services=found)


@routes.get("/services/{service_id}")
def service(request: Request, market: Shop, me: Anyone, service_id: int) -> Response:
    """
    One service; for a buyer with the form to order it, and what it will cost.
    """
    return _offered(request, market, me, service_id)


@routes.post("/services/{service_id}")
def buy(
    request: Request, market: Shop, me: Me, posted: Posted, service_id: int
) -> Response:
    """
    Order a service, and pay for it.
    """
    if me.role != "buyer":
        raise HTTPException(404)
    brief = posted.get("brief", "").strip()
    try:
        placed = market.buy(
            _service(market, service_id),
            brief,
            by=ef.Buyer(me.id),
            key=posted.get("key", ""),
        )
    except (ef.InvalidInputError, ef.KeyReusedError, ef.CommandRefusedError) as error:
        blockers = getattr(error, "blockers", ())
        return _offered(
            request,
            market,
            me,
            service_id,
            status=422,
            brief=brief,
            blockers=blockers,
            failed=True,
        )
    return go(f"/orders/{placed.order.id}")


def _offered(
    request: Request,
    market: Market,
    me: Person | None,
    service_id: int,
    *,
    status: int = 200,
    **more: Any,
) -> Response:
    found = _service(market, service_id)
    preview = None
    if me is not None and me.role == "buyer":
        # The library reckons the fees; nothing is written.
        preview = market.engine.preview(
            None, market.placing(found, None), by=ef.Buyer(me.id)
        )
    return page(
        request, "service.html", status=status, service=found, preview=preview, **more
    )


def _service(market: Market, service_id: int) -> Service:
    with market.session() as rows:
        found = rows.get(Service, service_id)
    if found is None:
        raise HTTPException(404)
    return found


@routes.get("/people/{person_id}")
def seller(request: Request, market: Shop, person_id: str) -> Response:
    """
    A seller as everybody sees them: figures, reviews, and what shows of cancellations.
    """
    with market.session() as rows:
        person = rows.get(Person, person_id)
        kept = rows.get(SellerTally, person_id)
        sells = rows.scalars(
            sa.select(Service).where(Service.seller_id == person_id)
        ).all()
    if person is None or person.role != "seller":
        raise HTTPException(404)
    tally = (
        ef.Tally.from_json(kept.data)
        if kept
        else ef.Tally(seller_id=person_id, zone=ZONE)
    )
    policy = PROCESS.policies.statistics
    orders = market.engine.orders(party=person_id, role=ef.SELLER, limit=1000).items
    return page(
        request,
        "seller.html",
        person=person,
        services=sells,
        figures=statistics.figures(policy, tally, now=market.clock.now()),
        minimum=policy.minimum,
        cancelled=statistics.public_cancellations(orders),
        reviews=[
            order.review
            for order in orders
            if order.review and not order.review.removed
        ],
    )


# --- orders -----------------------------------------------------------------------


@routes.get("/orders")
def orders(request: Request, market: Shop, me: Me) -> Response:
    """
    All orders somebody takes part in.
    """
    found = market.engine.orders(party=me.id, limit=1000).items
    return _list(request, market, "orders.html", found)


@routes.get("/desk")
def desk(request: Request, market: Shop, me: Me) -> Response:
    """
    What waits for a mediator, and what this one has taken on.
    """
    if me.role != "mediator":
        raise HTTPException(404)
    waiting = market.engine.orders(unassigned=True, limit=1000).items
    mine = market.engine.orders(party=me.id, role=ef.MEDIATOR, limit=1000).items
    return _list(request, market, "desk.html", (*waiting, *mine))


@routes.get("/staff")
def staff(request: Request, market: Shop, me: Me) -> Response:
    """
    All orders, what is stuck, whether all of it proves itself, and what was moved.
    """
    if me.role != "operator":
        raise HTTPException(404)
    with market.session() as rows:
        moved = rows.scalars(
            sa.select(Transfer).order_by(Transfer.sent_at.desc()).limit(20)
        ).all()
    return _list(
        request,
        market,
        "staff.html",
        market.engine.orders(limit=1000).items,
        stuck=market.engine.stuck(),
        verified=market.engine.verify(),
        transfers=moved,
    )


def _list(
    request: Request, market: Market, template: str, orders: Orders, **more: Any
) -> Response:
    """
    Return a page with orders, the newest first, and what our own rows say of them.
    """
    found = sorted(orders, key=lambda order: order.placed_at, reverse=True)
    ours = _ours(market, found)
    return page(request, template, orders=found, **ours, **more)


def _ours(market: Market, orders: Orders) -> dict[str, Any]:
    """
    Return what only our own tables know of orders: what was bought, and what people
    are called.
    """
    ids = [order.id for order in orders]
    people = {
        person_id
        for order in orders
        for person_id in (order.buyer_id, order.seller_id, order.mediator_id)
    }
    with market.session() as rows:
        bought = rows.scalars(sa.select(Purchase).where(Purchase.order_id.in_(ids)))
        known = rows.scalars(sa.select(Person).where(Person.id.in_(people - {None})))
        return {
            "services": {one.order_id: one.service for one in bought.unique()},
            "names": {one.id: one.name for one in known},
        }


@routes.get("/orders/{order_id}")
def order(request: Request, market: Shop, me: Me, order_id: str) -> Response:
    """
    One order: where it stands, whose money it is, what comes next, what can be done.
    """
    return _order(request, market, me, order_id)


def _order(
    request: Request,
    market: Market,
    me: Person,
    order_id: str,
    *,
    status: int = 200,
    **more: Any,
) -> Response:
    by, language = actor(me.role, me.id), language_of(request)
    # One reading: everything in it belongs to one instant.
    view = market.engine.view(order_id, by=by)
    history = market.engine.history(order_id, by=by)
    ours = _ours(market, [view.order])
    with market.session() as rows:
        written = rows.scalars(sa.select(Message).where(Message.order_id == order_id))
        words = {message.id: message.text for message in written}
        mediators = rows.scalars(sa.select(Person).where(Person.role == "mediator"))
        choices = {
            "mediator_id": {one.id: one.name for one in mediators},
            "offer_id": {
                one.id: f"{one.title}, {say.amount_text(one.price, language)}"
                for one in view.order.offers
            },
        }
    options = [one for one in view.options if one.command is not ef.SendMessage]
    allowed = {one.name for one in view.options if one.allowed}
    moving = [one for one in options if _moves_on(one, view.order)]
    # What time alone makes possible is worth a place of its own.
    near = [one for one in options if any(b.unblocked_at for b in one.blockers)]
    context = {
        "by": by,
        "order": view.order,
        "service": ours["services"].get(order_id),
        "names": ours["names"],
        "allowed": allowed,
        "moving": moving,
        "staying": [one for one in options if one.allowed and one not in moving],
        "near": near,
        "far": [one for one in options if not one.allowed and one not in near],
        "talk": next(
            (one for one in view.options if one.command is ef.SendMessage), None
        ),
        "forecast": view.forecast,
        "told": Markup(
            timeline.as_html(
                view.timeline, locale=language, zone=ZONE, names=ours["names"]
            )
        ),
        "story_title": say.story_text("timeline", language),
        "messages": [
            (one, words.get(one.event.reference, ""))
            for one in history
            if isinstance(one.event, MessageSent)
        ],
        "choices": choices,
        "sent": {},
        **more,
    }
    return page(request, "order.html", status=status, **context)


def _moves_on(option: ef.Option, order: ef.Order) -> bool:
    """
    Whether a command is possible, and leads to another state.
    """
    told = option.consequences
    return told is not None and told.state != order.state


@routes.post("/orders/{order_id}/{name}")
def send(
    request: Request, market: Shop, me: Me, posted: Posted, order_id: str, name: str
) -> Response:
    """
    Send a command, whichever it is.  If it is not taken, the order is shown again, with
    the reason and with what was filled in.
    """
    by = actor(me.role, me.id)
    option = {one.name: one for one in market.engine.options(order_id, by=by)}.get(name)
    if option is None:
        raise HTTPException(404)
    sent = {**posted, "command": name}
    try:
        answer = market.send(
            order_id,
            name,
            forms.read(option.fields, posted, ZONE, CURRENCY),
            by=by,
            key=posted.get("key", ""),
            if_version=_number(posted, "version") or None,
            extra_id=_number(posted, "extra"),
            words=posted.get("words", ""),
        )
    except ef.InvalidInputError as error:
        wrong = say.field_text(error.field.rpartition(".")[2], language_of(request))
        return _order(
            request, market, me, order_id, status=422, sent=sent, malformed=wrong
        )
    except (ef.OrderChangedError, ef.KeyReusedError):
        return _order(
            request, market, me, order_id, status=409, sent=sent, changed=True
        )
    if isinstance(answer, ef.Refusal):
        return _order(
            request,
            market,
            me,
            order_id,
            status=409,
            sent=sent,
            blockers=answer.blockers,
        )
    return go(f"/orders/{order_id}")


def _number(posted: Mapping[str, str], name: str) -> int:
    """
    Return a whole number that a form sent; zero if it sent none.
    """
    text = posted.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0


@routes.get("/orders/{order_id}/case")
def case(request: Request, market: Shop, me: Me, order_id: str) -> Response:
    """
    The mediator's file of an order, with its proof.
    """
    if me.role not in ("mediator", "operator"):
        raise HTTPException(403, "not_yours")
    found = market.engine.case_file(order_id, by=actor(me.role, me.id))
    ours = _ours(market, [market.engine.order(order_id)])
    html = casefile.as_html(
        found, locale=language_of(request), zone=ZONE, names=ours["names"]
    )
    return page(
        request,
        "case.html",
        order_id=order_id,
        service=ours["services"].get(order_id),
        file=Markup(html),
    )


@routes.get("/letters")
def letters(request: Request, market: Shop, me: Me) -> Response:
    """
    The mails that somebody would have got.
    """
    with market.session() as rows:
        found = rows.scalars(
            sa.select(Letter)
            .where(Letter.recipient_id == me.id)
            .order_by(Letter.sent_at.desc())
        ).all()
    return page(
        request,
        "letters.html",
        letters=[(letter, as_utc(letter.sent_at, "sent_at")) for letter in found],
    )
