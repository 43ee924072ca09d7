"""
Behind every page: who is asking, whether a form is ours, and what pages are drawn with.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException, Request
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from markupsafe import Markup
from pendulum import DateTime
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.responses import Response

from escrowflow import timeline
from escrowflow import words as say
from escrowflow.clock import to_zone

from .market import ZONE, Market
from .tables import Person
from .words import LANGUAGES, word

HERE: Final = Path(__file__).parent

_SAFE: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_templates = Jinja2Templates(HERE / "templates")


# --- who asks ---------------------------------------------------------------------


class NobodyError(Exception):
    """
    This page is for somebody.
    """


def market_of(request: Request) -> Market:
    """
    Return the marketplace that is served.
    """
    market: Market = request.app.state.market
    return market


def _person(request: Request, market: Shop) -> Person | None:
    with market.session() as rows:
        return rows.get(Person, request.session.get("person", ""))


def _me(person: Annotated[Person | None, Depends(_person)]) -> Person:
    if person is None:
        raise NobodyError
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


Shop = Annotated[Market, Depends(market_of)]
Anyone = Annotated[Person | None, Depends(_person)]
Me = Annotated[Person, Depends(_me)]
Posted = Annotated[Mapping[str, str], Depends(_posted)]


def to_sign_in(request: Request, _: Exception) -> Response:
    """
    Send nobody to where people sign in.
    """
    return go("/sign-in")


def problem(request: Request, error: Exception) -> Response:
    """
    Return a page that says why there is none.  An order of other people is not there.
    """
    status, what = 404, "not_found"
    if isinstance(error, AnyHTTPException) and error.status_code == 403:
        status, what = 403, error.detail
    return page(request, "problem.html", status=status, what=what)


# --- drawing ----------------------------------------------------------------------


def go(path: str) -> RedirectResponse:
    """
    Return what sends a browser on, after a form was taken.
    """
    return RedirectResponse(path, 303)


def language_of(request: Request) -> str:
    """
    Return the language somebody chose, or else the one the browser asks for.
    """
    asked = request.headers.get("accept-language", "en")
    return say.language(request.session.get("language") or asked.split(",")[0])


def page(
    request: Request, template: str, *, status: int = 200, **more: Any
) -> Response:
    """
    Return a page, drawn with what all pages need and *more*.
    """
    market = market_of(request)
    language = language_of(request)
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
    return _templates.TemplateResponse(
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
