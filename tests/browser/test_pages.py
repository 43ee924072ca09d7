"""
The marketplace's pages without a browser: what is written together, what is not believed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.request import urlopen

import pytest

import escrowflow as ef
from escrowflow.clock import FakeClock
from tests.given import T0

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx2 import Response
    from starlette.testclient import TestClient

    from examples.marketplace.market import Market
    from examples.marketplace.tables import Service
    from tests.pg import Server

ANA: Final = ef.Buyer("ana")
LUC: Final = ef.Seller("luc")


class Forms(HTMLParser):
    """
    The forms of a page: where each leads, and what is in it.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[dict[str, str]]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((given.get("action", ""), []))
        elif tag in ("input", "select", "textarea", "button") and self.found:
            self.found[-1][1].append({"tag": tag, **given})
        elif tag == "option" and given.get("value") and self.found:
            self.found[-1][1][-1].setdefault("first", given["value"])

    def hidden(self, action: str) -> dict[str, str]:
        """
        Return what a form sends by itself.
        """
        parts = next(parts for to, parts in self.found if to == action)
        return {
            part["name"]: part["value"]
            for part in parts
            if part.get("type") == "hidden"
        }


def sign_in(client: TestClient, person: str) -> None:
    """
    Let somebody sign in.
    """
    form = Forms(client.get("/sign-in").text).hidden("/sign-in")
    assert client.post("/sign-in", data={**form, "person": person}).status_code == 303


def send(client: TestClient, order_id: str, name: str, **fields: str) -> Response:
    """
    Send a form of an order's page, filled in.
    """
    page, action = client.get(f"/orders/{order_id}"), f"/orders/{order_id}/{name}"
    return client.post(action, data={**Forms(page.text).hidden(action), **fields})


def newest(market: Market, state: str, by: str = "ana") -> ef.Order:
    """
    Return the newest order of somebody in a state.
    """
    found = market.engine.orders(party=by, states={state}, limit=1000).items
    return max(found, key=lambda order: order.placed_at)


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Market]:
    """
    A marketplace with one service, in each database it can be kept in.
    """
    request.getfixturevalue("planted")
    from examples.marketplace.market import Market
    from examples.marketplace.tables import Person, Service

    url = f"sqlite:///{tmp_path}/kept.db"
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        url = server.url_of(server.database())
    with closing(Market(url, FakeClock(T0))) as market:
        assert market.open()
        with market.session() as rows, rows.begin():
            rows.add(Person(id="luc", name="Luc", role="seller"))
            rows.flush()
            service = Service(id=1, seller_id="luc", language="en", title="A logo")
            service.text, service.days, service.revisions = "One logo", 5, 2
            service.price_minor = 10_000
            rows.add(service)
        yield market


def logo(market: Market) -> Service:
    """
    Return the first service.
    """
    from examples.marketplace.tables import Service

    with market.session() as rows:
        return rows.get_one(Service, 1)


def filled(parts: list[dict[str, str]]) -> dict[str, str]:
    """
    Return what somebody sends who fills in all that must be, and every text.
    """
    found: dict[str, str] = {}
    for part in parts:
        name, kind = part.get("name", ""), part.get("type", "")
        if kind == "hidden":
            found[name] = part["value"]
        elif kind == "radio":
            found.setdefault(name, part["value"])
        elif part["tag"] == "textarea":
            found[name] = "fox.svg"
        elif "required" in part:
            found[name] = part.get("first") or _WRITTEN.get(kind, "1.00")
    return found


_WRITTEN: Final = {"number": "3", "datetime-local": "2026-06-01T12:00"}


class TestTogether:
    """
    The marketplace's rows and the orders: all or nothing.
    """

    def test_both_are_there(self, kept: Market) -> None:
        """
        A purchase is an order with its brief, and a row of the marketplace's own.
        """
        from examples.marketplace.tables import Purchase

        order_id = kept.buy(logo(kept), "A fox", by=ANA, key="k").order.id

        order = kept.engine.order(order_id)
        assert (order.state, order.brief and order.brief.text) == ("pending", "A fox")
        with kept.session() as rows:
            assert rows.get_one(Purchase, order_id).service.title == "A logo"

    def test_sent_twice(self, kept: Market) -> None:
        """
        A form that is sent twice buys once, and pays once.
        """
        first, again = (kept.buy(logo(kept), "", by=ANA, key="k") for _ in range(2))

        assert (again.replayed, again.order.id) == (True, first.order.id)
        assert len(kept.engine.orders().items) == len(again.order.payments) == 1

    def test_neither_is_there(self, kept: Market) -> None:
        """
        If the marketplace's own row cannot be written, there is no order either.
        """
        from sqlalchemy.exc import IntegrityError

        from examples.marketplace.tables import Purchase

        # Where the order would be, a row is in the way.
        order_id = _id_of(kept, key="k")
        with kept.session() as rows, rows.begin():
            rows.add(Purchase(order_id=order_id, service_id=1))

        with pytest.raises(IntegrityError):
            kept.buy(logo(kept), "A fox", by=ANA, key="k")

        with pytest.raises(ef.OrderNotFoundError):
            kept.engine.order(order_id)

    def test_a_message_and_its_words(self, kept: Market) -> None:
        """
        If the words cannot be kept, the order does not know of the message; if the
        order refuses it, nobody keeps the words.
        """
        from sqlalchemy.exc import IntegrityError

        from examples.marketplace.tables import Message

        order_id = kept.buy(logo(kept), "", by=ANA, key="k").order.id
        before = kept.engine.history(order_id)
        with kept.session() as rows, rows.begin():
            rows.add(Message(id="m", order_id="another", text="hello"))

        with pytest.raises(IntegrityError):
            kept.send(order_id, "send_message", {}, by=LUC, key="m", words="hello")
        assert kept.engine.history(order_id) == before

        kept.send(order_id, "deliver_order", {"note": "here"}, by=LUC, key="d")
        kept.send(order_id, "approve_delivery", {}, by=ANA, key="a")
        kept.clock.advance_to(kept.clock.now().add(days=30))
        answer = kept.send(order_id, "send_message", {}, by=LUC, key="n", words="hi")
        assert isinstance(answer, ef.Refusal)
        with kept.session() as rows:
            assert rows.get(Message, "n") is None

    def test_money_for_what_is_gone(self, kept: Market) -> None:
        """
        A payment that comes with a refused command is booked all the same, and goes
        back: a refusal is committed.
        """
        from examples.marketplace.tables import Extra

        order_id = kept.buy(logo(kept), "", by=ANA, key="k").order.id
        with kept.session() as rows, rows.begin():
            rows.add(Extra(id=1, service_id=1, title="More", price_minor=500))
        kept.send(order_id, "cancel_order", {}, by=ANA, key="c")

        answer = kept.send(order_id, "buy_add_on", {}, by=ANA, key="x", extra_id=1)

        assert isinstance(answer, ef.Refusal)
        refunds = kept.engine.order(order_id).refunds
        assert [str(refund.amount) for refund in refunds] == ["105.00 EUR", "5.25 EUR"]


class TestForms:
    """
    What is drawn is taken.
    """

    def test_every_form_is_taken(self, market: Market, client: TestClient) -> None:
        """
        In turn everybody sends a form of those he is shown, one of a command that was
        sent the least so far, until each has sent each: all of them are carried out.
        """
        times: Counter[str] = Counter()
        sent: set[tuple[str, str]] = set()
        before = -1
        while before < len(sent):
            before = len(sent)
            for person in ("luc", "ana", "zoe", "noe", "mia", "sam"):
                sign_in(client, person)
                party = None if person in ("mia", "sam") else person
                for order in market.engine.orders(party=party, limit=1000).items:
                    page = client.get(f"/orders/{order.id}").text
                    shown = {
                        action: parts
                        for action, parts in Forms(page).found
                        if action.startswith("/orders/")
                        and (person, action) not in sent
                    }
                    if not shown:
                        continue
                    names = {action: action.rpartition("/")[2] for action in shown}
                    # What ends an order stands at the top.
                    action = min(reversed(shown), key=lambda one: times[names[one]])
                    answer = client.post(action, data=filled(shown[action]))
                    assert answer.status_code == 303, (person, action, answer.text)
                    sent.add((person, action))
                    times[names[action]] += 1

        assert len(times) >= 25, sorted(times)
        assert market.engine.verify().faults == ()

    def test_prices_are_the_servers(self, market: Market, client: TestClient) -> None:
        """
        Whatever a buyer adds to a form, he pays what it costs.
        """
        sign_in(client, "ana")
        order = newest(market, "in_progress")
        forged = {"price.amount": "0.01", "price.currency": "EUR", "title": "All of it"}

        answer = send(client, order.id, "buy_add_on", extra="3", **forged)

        (add_on,) = market.engine.order(order.id).add_ons
        assert answer.status_code == 303
        assert (add_on.title, str(add_on.price)) == (
            "A second language on the back",
            "10.00 EUR",
        )

    @pytest.mark.parametrize("amount", ["abc", "-5", "1.234", "9999999", "", "1e3"])
    def test_what_was_filled_in_wrongly(
        self, market: Market, client: TestClient, amount: str
    ) -> None:
        """
        It is said which field, nothing is written, and the words are not lost.
        """
        sign_in(client, "ana")
        order = newest(market, "in_progress")
        fields = {"amount": amount, "reason": "It is <half> done"}

        answer = send(client, order.id, "propose_partial_refund", **fields)

        assert answer.status_code in (409, 422)
        assert 'role="alert"' in answer.text
        assert "It is &lt;half&gt; done</textarea>" in answer.text
        assert market.engine.order(order.id) == order

    def test_a_key_that_was_used(self, market: Market, client: TestClient) -> None:
        """
        Whoever goes back and sends another text under the same key is told to look
        again, whatever else the browser sends along.
        """
        sign_in(client, "ana")
        order = newest(market, "in_progress")
        action = f"/orders/{order.id}/file_claim"
        form = Forms(client.get(f"/orders/{order.id}").text).hidden(action)
        client.post(action, data={**form, "reason": "Too late"})

        answer = client.post(action, data={**form, "reason": "Too slow"})
        assert answer.status_code == 409
        assert "has changed since you looked" in answer.text
        again = client.post(action, data={**form, "reason": "Too late"})
        assert again.status_code == 303
        odd = {**form, "key": "k2", "version": "²", "extra": "x", "reason": "?"}
        assert client.post(action, data=odd).status_code == 409

    def test_an_order_that_cannot_be_placed(self, client: TestClient) -> None:
        """
        The service is shown again, with what was written.
        """
        sign_in(client, "ana")
        form = Forms(client.get("/services/1").text).hidden("")
        brief = "a fox " * 4_000

        answer = client.post("/services/1", data={**form, "brief": brief})

        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert brief.strip() in answer.text

    def test_a_refusal_explains_itself(
        self, market: Market, client: TestClient
    ) -> None:
        """
        Whoever sends what is not possible is told why, where he stands.
        """
        sign_in(client, "ana")
        order = newest(market, "in_progress")
        page = Forms(client.get(f"/orders/{order.id}").text)
        form = page.hidden(f"/orders/{order.id}/file_claim")

        answer = client.post(f"/orders/{order.id}/cancel_order", data=form)

        assert answer.status_code == 409
        assert "takes the seller’s agreement" in answer.text


class TestTrust:
    """
    Who may read and send what.
    """

    def test_nobody(self, client: TestClient) -> None:
        """
        Pages for somebody lead to the sign-in.
        """
        for path in ("/orders", "/letters", "/desk", "/staff", "/orders/x"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")

    def test_somebody_else(self, market: Market, client: TestClient) -> None:
        """
        An order of other people is not there, nor is a desk of another role.
        """
        order = newest(market, "in_progress", by="noe")
        sign_in(client, "ana")
        form = Forms(client.get("/").text).hidden("/time")

        for path in (f"/orders/{order.id}", "/desk", "/staff", "/people/ana"):
            assert client.get(path).status_code == 404
        sent = client.post(f"/orders/{order.id}/file_claim", data=form)
        assert sent.status_code == 404
        assert client.get(f"/orders/{order.id}/case").status_code == 403
        assert market.engine.order(order.id) == order

    def test_a_form_of_somebody_else(self, client: TestClient) -> None:
        """
        A form without this session's token does nothing.
        """
        client.get("/sign-in")
        for forged in ({}, {"token": ""}, {"token": "guessed"}, {"token": "é"}):
            answer = client.post("/sign-in", data={"person": "ana", **forged})
            assert answer.status_code == 403
        assert client.get("/orders").status_code == 303

    def test_the_session(self, client: TestClient) -> None:
        """
        Its cookie stays with this site and out of reach of scripts, and whoever signs
        in gets another token.
        """
        first = client.get("/sign-in")
        cookie = first.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "script-src 'self'" in first.headers["content-security-policy"]
        before = Forms(first.text).hidden("/sign-in")["token"]
        sign_in(client, "ana")
        assert Forms(client.get("/").text).hidden("/time")["token"] != before

    @pytest.mark.parametrize(
        "back", ["https://else.where/", "//else.where", "/\\else.where", "else.where"]
    )
    def test_the_way_back(self, client: TestClient, back: str) -> None:
        """
        A form leads back to a page of the marketplace, and nowhere else.
        """
        form = Forms(client.get("/").text).hidden("/language")

        answer = client.post("/language", data={**form, "back": back})

        assert answer.headers["location"] == "/"


class TestByItself:
    """
    What happens without anybody's doing.
    """

    def test_mails(self, market: Market, client: TestClient) -> None:
        """
        A mail is in its reader's language, once, however often the worker comes by.
        """
        from examples.marketplace.tables import Letter

        sign_in(client, "luc")
        form = Forms(client.get("/").text).hidden("/language")
        client.post("/language", data={**form, "language": "fr"})
        order = newest(market, "in_progress")
        market.send(order.id, "file_claim", {"reason": "?"}, by=ANA, key="c")
        market.work()
        market.work()

        page = client.get("/letters").text

        with market.session() as rows:
            mine = rows.query(Letter).filter_by(order_id=order.id, recipient_id="luc")
            (letter,) = [one for one in mine if one.language == "fr"]
        assert letter.subject in page
        assert '<article class="letter" lang="fr">' in page

    def test_time_is_kept(self, market: Market) -> None:
        """
        Where the time machine has gone, it is found again; it never goes back.
        """
        from examples.marketplace.market import Market

        later = market.clock.now().add(days=3)
        market.jump(later)
        market.jump(later.subtract(days=2))
        assert market.clock.now() == later

        url = market.database.url.render_as_string()
        with closing(Market(url, FakeClock(T0))) as again:
            again.open()
            assert again.clock.now() == later

    def test_started_and_stopped(self, planted: Path, tmp_path: Path) -> None:
        """
        `make example` prints where it is, serves, and ends in peace with Ctrl-C.
        """
        path = shutil.copy(planted, tmp_path / "market.db")
        started = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "examples.marketplace"],
            env={**os.environ, "PORT": "0", "ESCROWFLOW_DB": f"sqlite:///{path}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert started.stdout is not None
        line = started.stdout.readline()
        address = re.match(r"http://127\.0\.0\.1:\d+", line)
        assert address, line

        with urlopen(address[0]) as answer:
            assert "The Workbench" in answer.read().decode()
        started.send_signal(signal.SIGINT)
        said, _ = started.communicate()

        assert (said, started.returncode) == ("", 0)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """
    Who cannot have his port is told how to name another, before anything is made up.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        for said in (port, "eight"):
            ended = subprocess.run(
                [sys.executable, "-m", "examples.marketplace"],
                env={
                    **os.environ,
                    "PORT": said,
                    "ESCROWFLOW_DB": f"sqlite:///{tmp_path}/market.db",
                },
                capture_output=True,
                text=True,
                check=False,
            )

            assert (ended.returncode, ended.stdout) == (1, "")
            assert ended.stderr.startswith(f"PORT={said}: ")
            assert ended.stderr.endswith("make example PORT=8001\n")
    assert not list(tmp_path.iterdir())


def _id_of(market: Market, key: str) -> str:
    """
    Return the id that an order with this key would have.
    """
    from escrowflow.storage import open_storage

    elsewhere = ef.Engine(
        market.engine.process, open_storage("memory://"), clock=market.clock
    )
    command = market.placing(logo(market), None)
    return elsewhere.place(command, by=ANA, key=key).order.id
