"""
What has happened before you came: people, services, and two months of orders.

It is told as a diary and played through `Market`, the way the pages would: no row of an
order is made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import escrowflow as ef

from .market import Market, actor
from .tables import Extra, Person, Service

# fmt: off
_PEOPLE: Final = (
    ("ana", "buyer",    "Ana Morel",    "Opens a bakery, and needs everything at once."),
    ("noe", "buyer",    "Noé Lambert",  "Makes short films."),
    ("luc", "seller",   "Luc Fabre",    "Draws logos that still work at the size of a stamp."),
    ("zoe", "seller",   "Zoé Petit",    "Translates between English and French since 2011."),
    ("mia", "mediator", "Mia Rossi",    "Hears both sides."),
    ("sam", "operator", "Sam Okoro",    "Looks after the marketplace."),
)

_SERVICES: Final = (
    ("luc", "en", "A logo in two colours", 12_000, 5, 2,
     "One logo, drawn by hand, in two colours of your choice, as SVG and PNG.",
     (("Source files", 2_000), ("A third colour", 1_500))),
    ("luc", "en", "A business card, both sides", 4_500, 3, 1,
     "Print-ready, with bleed.  Your logo goes on the front.",
     (("A second language on the back", 1_000),)),
    ("zoe", "fr", "Traduction de l’anglais, 1\xa0000 mots", 6_000, 4, 2,
     "Une traduction soignée de l’anglais vers le français, relue à voix haute.",
     (("Relecture par une seconde personne", 1_800),)),
    ("zoe", "en", "Subtitles for a film of ten minutes", 8_000, 6, 1,
     "English and French subtitles, timed, as SRT.",
     (("Burned into the picture", 2_500),)),
)

# Days ago, who, which order, what, and with what.
_DIARY: Final[tuple[tuple[float, str, str, str, Mapping[str, Any]], ...]] = (
    (58.0, "ana", "fox",     "buy",               {"service": 1, "brief": "A fox that bakes, seen from the left."}),
    (57.8, "luc", "fox",     "accept_order",      {}),
    (54.0, "luc", "fox",     "deliver_order",     {"files": ["fox.svg", "fox.png"]}),
    (53.2, "ana", "fox",     "leave_review",      {"rating": 5, "text": "The fox is on the door now.  Lovely."}),
    (53.0, "luc", "fox",     "reply_to_review",   {"text": "Send a picture!"}),
    (50.0, "noe", "poster",  "buy",               {"service": 1, "brief": "A title card for a film about tides."}),
    (49.5, "luc", "poster",  "accept_order",      {}),
    (46.0, "luc", "poster",  "deliver_order",     {"files": ["tides.svg"]}),
    (45.0, "noe", "poster",  "request_revision",  {"reason": "Could the wave go to the right?"}),
    (44.8, "luc", "poster",  "accept_revision",   {}),
    (43.0, "luc", "poster",  "deliver_order",     {"files": ["tides-2.svg"]}),
    (42.0, "noe", "poster",  "leave_review",      {"rating": 4, "text": "Good work, one round of changes."}),
    (40.0, "ana", "cards",   "buy",               {"service": 2, "brief": "The fox, and our address."}),
    (39.9, "luc", "cards",   "accept_order",      {}),
    (38.0, "luc", "cards",   "deliver_order",     {"files": ["card.pdf"]}),
    (30.5, "noe", "stamp",   "buy",               {"service": 1, "brief": "A stamp for old tapes."}),
    (29.6, "luc", "stamp",   "refuse_order",      {"reason": "I am on holiday until the end of the month, sorry."}),
    (29.0, "noe", "flyer",   "buy",               {"service": 2, "brief": "A card for the première."}),
    (28.8, "luc", "flyer",   "accept_order",      {}),
    (28.2, "luc", "flyer",   "cancel_order",      {"reason": "My printer broke down, and I will not make the date.  My fault."}),
    (28.0, "noe", "subs",    "buy",               {"service": 4, "brief": "Ten minutes, two voices."}),
    (27.5, "zoe", "subs",    "accept_order",      {}),
    (22.5, "zoe", "subs",    "deliver_order",     {"files": ["tides.en.srt", "tides.fr.srt"]}),
    (22.0, "noe", "subs",    "leave_review",      {"rating": 5, "text": "Every comma in its place."}),
    (21.0, "ana", "menu",    "buy",               {"service": 3, "brief": "The menu of a bakery."}),
    (20.5, "zoe", "menu",    "accept_order",      {}),
    (17.0, "zoe", "menu",    "deliver_order",     {"files": ["menu.fr.txt"]}),
    (12.0, "noe", "trailer", "buy",               {"service": 4, "brief": "A trailer, three minutes, fast cuts."}),
    (11.8, "zoe", "trailer", "accept_order",      {}),
    (10.0, "ana", "bread",   "buy",               {"service": 1, "brief": "A loaf, as if cut from paper."}),
    (9.7,  "luc", "bread",   "accept_order",      {}),
    (7.0,  "zoe", "trailer", "deliver_order",     {"files": ["trailer.srt"], "note": "Three minutes, as agreed."}),
    (6.5,  "luc", "bread",   "deliver_order",     {"files": ["bread.svg"]}),
    (6.4,  "noe", "credits", "buy",               {"service": 1, "brief": "Letters for the credits, like chalk."}),
    (6.3,  "luc", "credits", "accept_order",      {}),
    (6.0,  "ana", "bread",   "request_revision",  {"reason": "This is a brick, not a loaf."}),
    (5.8,  "luc", "bread",   "refuse_revision",   {"reason": "It is as the brief says: cut from paper."}),
    (5.5,  "noe", "trailer", "request_revision",  {"reason": "The second voice is missing."}),
    (5.2,  "zoe", "trailer", "refuse_revision",   {"reason": "One voice was ordered, and one is there."}),
    (5.0,  "ana", "bread",   "open_dispute",      {"reason": "Nobody would eat this."}),
    (4.5,  "noe", "trailer", "open_dispute",      {"reason": "A trailer has two voices; the brief had both."}),
    (4.0,  "mia", "trailer", "assign_mediator",   {"mediator_id": "mia"}),
    (3.8,  "mia", "trailer", "ask_parties",       {"text": "Who has the file with both voices?"}),
    (3.5,  "zoe", "trailer", "answer_mediator",   {"text": "I only ever got one track.", "files": ["track.wav"]}),
    (3.0,  "ana", "recipe",  "buy",               {"service": 3, "brief": "Twelve recipes, grandmother’s tone."}),
    (2.9,  "zoe", "recipe",  "accept_order",      {}),
    (2.4,  "ana", "label",   "buy",               {"service": 2, "brief": "A label for jam, the same fox."}),
    (2.3,  "luc", "label",   "accept_order",      {}),
    (2.0,  "ana", "label",   "send_message",      {"words": "Apricot, not strawberry.  Does that change the colours?"}),
    (1.9,  "luc", "label",   "send_message",      {"words": "It does, for the better."}),
    (1.0,  "zoe", "recipe",  "deliver_order",     {"files": ["recipes.fr.txt"], "note": "Grandmother would agree."}),
    (0.2,  "ana", "sign",    "buy",               {"service": 1, "brief": "A sign for the window: open, closed, back soon."}),
)
# fmt: on


def plant(market: Market) -> None:
    """
    Fill a new marketplace, beginning two months ago and ending now.
    """
    with market.session() as session, session.begin():
        session.add_all(
            Person(id=person_id, role=role, name=name, about=about)
            for person_id, role, name, about in _PEOPLE
        )
        session.flush()
        for number, service in enumerate(_SERVICES, 1):
            seller_id, language, title, price, days, revisions, text, extras = service
            session.add(
                Service(
                    id=number,
                    seller_id=seller_id,
                    language=language,
                    title=title,
                    text=text,
                    price_minor=price,
                    days=days,
                    revisions=revisions,
                    extras=[
                        Extra(title=extra, price_minor=costs) for extra, costs in extras
                    ],
                )
            )
    today = market.clock.now()
    market.clock.ahead = -timedelta(days=_DIARY[0][0])
    roles = {person_id: role for person_id, role, _, _ in _PEOPLE}
    orders: dict[str, str] = {}
    for number, (days_ago, who, order, what, given) in enumerate(_DIARY):
        market.jump(today.subtract(seconds=int(days_ago * 86_400)))
        _write(market, actor(roles[who], who), orders, order, what, given, number)
        market.work()
    market.jump(today)


def _write(
    market: Market,
    by: ef.Actor,
    orders: dict[str, str],
    order: str,
    what: str,
    given: Mapping[str, Any],
    number: int,
) -> None:
    """
    Do what one line of the diary says.
    """
    key = f"diary-{number}"
    if what == "buy":
        assert isinstance(by, ef.Buyer)
        with market.session() as session:
            service = session.get_one(Service, given["service"])
        orders[order] = market.buy(service, given["brief"], by=by, key=key).order.id
        return
    data = {name: value for name, value in given.items() if name != "words"}
    words = given.get("words", "")
    answer = market.send(orders[order], what, data, by=by, key=key, words=words)
    assert isinstance(answer, ef.Outcome), (order, what, answer)
