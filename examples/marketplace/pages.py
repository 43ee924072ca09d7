"""
The web application: who is signed in, what they see, and what they send.

Nothing here decides what an order may do.  A page asks `engine.view` for one reading of
it and draws what it says; a form is posted to one route, whatever the command is.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Annotated, Any, Final, TypeAlias

import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from markupsafe import Markup
from pendulum import DateTime
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import Response

import escrowflow as ef
from escrowflow import casefile, statistics, timeline
from escrowflow import words as say
from escrowflow.clock import as_utc, to_zone
from escrowflow.events import MessageSent

from . import forms
from .market import PROCESS, ZONE, Market, actor
from .tables import (
    Letter,
    Message,
    Person,
    Purchase,
    SellerTally,
    Service,
    Transfer,
)
from .words import LANGUAGES, word

_HERE: Final = Path(__file__).parent
_SAFE: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

routes = APIRouter()
templates = Jinja2Templates(_HERE / "templates")


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
    web.mount("/static", StaticFiles(directory=_HERE / "static"))
    web.include_router(routes)
    web.add_exception_handler(_NobodyError, _to_sign_in)
    web.add_exception_handler(AnyHTTPException, _problem)
    web.add_exception_handler(ef.OrderNotFoundError, _problem)
    return web


# --- who asks ---------------------------------------------------------------------


class _NobodyError(Exception):
    """
    This page is for somebody.
    """


def _market(request: Request) -> Market:
    market: Market = request.app.state.market
    return market


def _person(request: Request, market: Shop) -> Person | None:
    with market.session() as rows:
        return rows.get(Person, request.session.get("person", ""))


def _me(person: Annotated[Person | None, Depends(_person)]) -> Person:
    if person is None:
        raise _NobodyError
    return person


async def _posted(request: Request) -> Mapping[str, str]:
    """
    Return what a form sent, if it was a form of ours: it carries the session's token.
    """
    form = await request.form()
    posted = {name: value for name, value in form.items() if isinstance(value, str)}
    token = request.session.get("token", "")
    sent = posted.get("token", "").encode()
    if not token or not secrets.compare_digest(sent, token.encode()):
        raise HTTPException(403, "forged")
    return posted


Shop = Annotated[Market, Depends(_market)]
Anyone = Annotated[Person | None, Depends(_person)]
Me = Annotated[Person, Depends(_me)]
Orders: TypeAlias = Sequence[ef.Order]
Posted = Annotated[Mapping[str, str], Depends(_posted)]


def _to_sign_in(request: Request, _: Exception) -> Response:
    return _go("/sign-in")


def _problem(request: Request, error: Exception) -> Response:
    status, what = 404, "not_found"
    if isinstance(error, HTTPException) and error.status_code == 403:
        status, what = 403, error.detail
    return _page(request, "problem.html", status=status, what=what)


# --- drawing ----------------------------------------------------------------------


def _go(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303)


def _language(request: Request) -> str:
    """
    Return the language somebody chose, or else the one the browser asks for.
    """
    asked = request.headers.get("accept-language", "en")
    return say.language(request.session.get("language") or asked.split(",")[0])


def _page(
    request: Request, template: str, *, status: int = 200, **more: Any
) -> Response:
    market = _market(request)
    language = _language(request)
    request.session.setdefault("token", secrets.token_urlsafe(24))
    now = market.clock.now()
    context = {
        **_words(language),
        "countdown": lambda at: _countdown(at, now, language),
        "languages": LANGUAGES,
        "me": _person(request, market),
        "token": request.session["token"],
        # A form that is sent twice counts once.
        "key": secrets.token_hex(8),
        "now": now,
        "next_due_at": market.engine.next_due_at(),
        **more,
    }
    return templates.TemplateResponse(
        request, template, context, status_code=status, headers=_SAFE
    )


def _words(language: str) -> dict[str, Any]:
    """
    Return what templates speak with: the library's words and our own, in a language.
    """

    def told(words: Callable[[Any, str], str]) -> Callable[[Any], str]:
        return lambda value: words(value, language)

    return {
        "language": language,
        "t": lambda name, *parts: word(name, language, *parts),
        "money": told(say.amount_text),
        "state": told(say.state_text),
        "command": told(say.command_text),
        "choice": told(say.choice_text),
        "deadline": told(say.deadline_text),
        "cause": told(say.cause_text),
        "figure": told(say.figure_text),
        "story": told(say.story_text),
        "rate": told(say.amount_text),
        "span": lambda window: say.length_text(_rounded(window), language),
        "role": told(say.role_text),
        "move": lambda move: say.move_text(move.to, move.most, language),
        "instant": lambda at: Markup(timeline.instant_html(at, language, ZONE)),
        "because": lambda blocker: blocker.message(language, ZONE),
        "wall": lambda at: to_zone(at, ZONE).format("YYYY-MM-DD[T]HH:mm"),
    }


def _countdown(at: DateTime, now: DateTime, language: str) -> Markup:
    """
    Return how long there is until an instant; the script lets it tick.
    """
    left = max((at - now).as_timedelta(), timedelta())
    shown = say.length_text(_rounded(left), language)
    html = '<time datetime="{}" data-left="{}">{}</time>'
    return Markup(html).format(at.isoformat(), left.total_seconds(), shown)


def _rounded(window: timedelta) -> timedelta:
    """
    Return a length of time as people say it: days, hours or minutes, and no more.
    """
    unit = timedelta(hours=1) if window >= timedelta(days=1) else timedelta(minutes=1)
    return max(window // unit, 1) * unit


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
    return _page(request, "sign_in.html", people=people)


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
    return _go(home.get(person.role, "/orders"))


@routes.post("/sign-out")
def sign_out(request: Request, posted: Posted) -> Response:
    """
    Forget who was here.
    """
    request.session.pop("person", None)
    return _go("/")


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
    return _go(path if path.startswith("/") and path[1:2] not in "/\\" else "/")


# --- services and people ----------------------------------------------------------


@routes.get("/")
def services(request: Request, market: Shop) -> Response:
    """
    What there is to buy.
    """
    with market.session() as rows:
        found = rows.scalars(sa.select(Service).order_by(Service.id)).all()
    return _page(request, "services.html", services=found)


@routes.get("/services/{service_id}")
def service(
    request: Request, market: Shop, me: Anyone, service_id: int, status: int = 200
) -> Response:
    """
    One service; for a buyer with the form to order it, and what it will cost.
    """
    found = _service(market, service_id)
    preview = None
    if me is not None and me.role == "buyer":
        # The library reckons the fees; nothing is written.
        preview = market.engine.preview(
            None, market.placing(found, None), by=ef.Buyer(me.id)
        )
    return _page(request, "service.html", service=found, preview=preview)


@routes.post("/services/{service_id}")
def buy(
    request: Request, market: Shop, me: Me, posted: Posted, service_id: int
) -> Response:
    """
    Order a service, and pay for it.
    """
    if me.role != "buyer":
        raise HTTPException(404)
    placed = market.buy(
        _service(market, service_id),
        posted.get("brief", "").strip(),
        by=ef.Buyer(me.id),
        key=posted.get("key", ""),
    )
    return _go(f"/orders/{placed.order.id}")


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
    return _page(
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
    return _page(request, template, orders=found, **ours, **more)


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
    by, language = actor(me.role, me.id), _language(request)
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
    return _page(request, "order.html", status=status, **context)


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
    Send a command, whichever it is.
    """
    by = actor(me.role, me.id)
    options = {one.name: one for one in market.engine.options(order_id, by=by)}
    if name not in options:
        raise HTTPException(404)
    problem: dict[str, Any] = {"sent": {**posted, "command": name}}
    try:
        answer = market.send(
            order_id,
            name,
            forms.read(options[name].fields, posted, ZONE, "EUR"),
            by=by,
            key=posted.get("key", ""),
            if_version=int(posted.get("version") or 0) or None,
            extra_id=int(posted.get("extra") or 0),
            words=posted.get("words", ""),
        )
    except ef.InvalidInputError as error:
        field = error.field.rpartition(".")[2]
        problem["malformed"] = say.field_text(field, _language(request))
        return _order(request, market, me, order_id, status=422, **problem)
    except ef.OrderChangedError:
        problem["changed"] = True
        return _order(request, market, me, order_id, status=409, **problem)
    if isinstance(answer, ef.Refusal):
        problem["blockers"] = answer.blockers
        return _order(request, market, me, order_id, status=409, **problem)
    return _go(f"/orders/{order_id}")


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
        found, locale=_language(request), zone=ZONE, names=ours["names"]
    )
    return _page(
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
    return _page(
        request,
        "letters.html",
        letters=[(letter, as_utc(letter.sent_at, "sent_at")) for letter in found],
    )
