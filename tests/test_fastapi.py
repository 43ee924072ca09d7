"""
The awaited engine in a web application: many requests at once, and requests that
nobody waits for any more.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import attrs
import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse
from psycopg.conninfo import conninfo_to_dict

import escrowflow as ef
from escrowflow.clock import FakeClock
from escrowflow.events import MessageSent
from escrowflow.storage import open_async_storage
from escrowflow.storage.memory import MemoryStorage
from tests.given import ANA, COMEUP, PEOPLE, T0, an_engine, an_order, brought_to
from tests.test_async import numbered, run

if TYPE_CHECKING:
    from pathlib import Path

# --- the application ----------------------------------------------------------------

COMMANDS: Final[dict[str, Callable[..., ef.Command]]] = {
    "accept_order": ef.AcceptOrder,
    "approve_delivery": ef.ApproveDelivery,
    "cancel_order": ef.CancelOrder,
    "deliver_order": ef.DeliverOrder,
    "send_message": ef.SendMessage,
}
ACTORS: Final = {person.id: person for person in PEOPLE}


async def _engine(request: Request) -> ef.AsyncEngine:
    engine: ef.AsyncEngine = request.app.state.engine
    return engine


Engine = Annotated[ef.AsyncEngine, Depends(_engine)]
Person = Annotated[str, Header()]
Key = Annotated[str | None, Header(alias="Idempotency-Key")]
routes = APIRouter()


def shown(order: ef.Order) -> dict[str, Any]:
    """
    Return an order as a page shows it.
    """
    books = ("paid_in", "held", "refunded", "released", "kept")
    sums = {name: str(getattr(order.ledger, name)) for name in books}
    return {"state": order.state, "version": order.version, **sums}


@routes.post("/orders/{order_id}/place_order")
async def place(order_id: str, engine: Engine, key: Key = None) -> dict[str, Any]:
    """
    Place an order of Ana's, paid.
    """
    placed = await engine.place(an_order(), by=ANA, key=key, order_id=order_id)
    return shown(placed.order)


@routes.post("/orders/{order_id}/{name}")
async def execute(
    order_id: str,
    name: str,
    fields: dict[str, str],
    engine: Engine,
    person: Person,
    key: Key = None,
) -> dict[str, Any]:
    """
    Send a command.
    """
    by, command = ACTORS[person], COMMANDS[name](**fields)
    done = await engine.execute(order_id, command, by=by, key=key)
    return shown(done.order)


@routes.get("/orders/{order_id}")
async def read(order_id: str, engine: Engine, person: Person) -> dict[str, Any]:
    """
    Read an order.
    """
    return shown(await engine.order(order_id, by=ACTORS[person]))


async def refuse(_: Request, error: Any) -> JSONResponse:
    """
    Say no, and what is in the way.
    """
    status = {ef.OrderNotFoundError: 404, ef.InvalidInputError: 422}
    codes = [blocker.code for blocker in getattr(error, "blockers", ())]
    return JSONResponse(codes or type(error).__name__, status.get(type(error), 409))


# --- the shop -----------------------------------------------------------------------


@attrs.frozen
class Shop:
    """
    The application's engine, and who calls the application.
    """

    engine: ef.AsyncEngine
    client: httpx.AsyncClient

    async def send(
        self, path: str, person: str = "ana", key: str | None = None, **fields: Any
    ) -> httpx.Response:
        """
        Send a command: `o1/accept_order`.
        """
        headers = {"person": person, **({"idempotency-key": key} if key else {})}
        return await self.client.post(f"/orders/{path}", json=fields, headers=headers)

    async def seen(self, order_id: str = "o1") -> Any:
        """
        Return what Ana sees of an order; `None` if there is none.
        """
        answer = await self.client.get(f"/orders/{order_id}", headers={"person": "ana"})
        return None if answer.status_code == 404 else answer.json()

    async def check(self) -> None:
        """
        Prove all that is stored.
        """
        assert (await self.engine.verify()).faults == ()


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncIterator[None]:
    """
    Open the engine with the application, and close it.
    """
    storage, clock = open_async_storage(web.state.url), FakeClock(T0)
    async with ef.AsyncEngine(COMEUP, storage, clock=clock, salt=numbered()) as engine:
        web.state.engine = engine
        yield


Work: TypeAlias = Callable[[Shop], Coroutine[Any, Any, None]]
Serve: TypeAlias = Callable[[Work], None]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Serve:
    """
    What opens the shop, as a server would, for some work; on each kind of storage.

    PostgreSQL gets a single connection: whoever kept it would leave none.
    """
    url = f"{request.param}://"
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/orders.db"
    if request.param == "postgresql":
        name = conninfo_to_dict(request.getfixturevalue("dsn"))["dbname"]
        url = request.getfixturevalue("postgres").url_of(name, "connections=1")
    web = FastAPI(lifespan=lifespan, exception_handlers={ef.EscrowflowError: refuse})
    web.include_router(routes)
    web.state.url = url

    async def served(work: Work) -> None:
        transport = httpx.ASGITransport(web)
        async with (
            web.router.lifespan_context(web),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            shop = Shop(web.state.engine, client)
            await work(shop)
            await shop.check()

    return lambda work: run(served(work))


class TestServed:
    """
    What clients are told.
    """

    def test_a_whole_life(self, serve: Serve) -> None:
        """
        Paid, accepted, delivered and approved by HTTP, an order has the books and the
        history that the engine that blocks would have written.
        """
        with an_engine(MemoryStorage(), salt=numbered()) as engine:
            brought_to(engine, "completed")
            whole, lines = shown(engine.order("o1")), [*engine.export()]
        assert (whole["state"], whole["held"]) == ("completed", "0.00 EUR")

        async def work(shop: Shop) -> None:
            await shop.send("o1/place_order")
            await shop.send("o1/accept_order", "luc")
            await shop.send("o1/deliver_order", "luc", note="here it is")
            assert (await shop.send("o1/approve_delivery")).json() == whole
            assert await shop.seen() == whole
            assert [line async for line in shop.engine.export()] == lines

        serve(work)

    def test_what_is_refused(self, serve: Serve) -> None:
        """
        Each kind of no has its own answer, and changes nothing.
        """

        async def work(shop: Shop) -> None:
            await shop.send("o1/place_order")
            accepted = await shop.send("o1/accept_order", "luc", key="k")
            for path, person, key, status, said in (
                ("o1/cancel_order", "ana", "", 409, ["consent_needed"]),
                ("o1/cancel_order", "luc", "k", 409, "KeyReusedError"),
                ("o1/place_order", "ana", "", 409, "OrderExistsError"),
                ("o1/cancel_order", "mia", "", 404, "OrderNotFoundError"),
                ("o1/deliver_order", "luc", "", 422, "InvalidInputError"),
            ):
                answer = await shop.send(path, person, key=key)
                assert (answer.status_code, answer.json()) == (status, said)
            assert await shop.seen() == accepted.json()

        serve(work)


class TestAtOnce:
    """
    Thirty requests at once for one order.
    """

    def test_one_wins(self, serve: Serve) -> None:
        """
        Of the same command without a key one is executed; the others are told what is
        in the way now.
        """

        async def work(shop: Shop) -> None:
            await shop.send("o1/place_order")
            sent = [shop.send("o1/accept_order", "luc") for _ in range(30)]
            answers = await asyncio.gather(*sent)
            (won,) = [one for one in answers if one.status_code == 200]
            lost = {(one.status_code, one.text) for one in answers if one is not won}
            assert won.json() == await shop.seen()
            assert lost == {(409, '["not_in_this_state"]')}

        serve(work)

    def test_one_key(self, serve: Serve) -> None:
        """
        The same command with the same key is executed once, and all get its answer.
        """

        async def work(shop: Shop) -> None:
            for path, person in (("o1/place_order", "ana"), ("o1/accept_order", "luc")):
                sent = [shop.send(path, person, key="k") for _ in range(30)]
                answers = await asyncio.gather(*sent)
                assert len({(one.status_code, one.text) for one in answers}) == 1
                assert answers[0].json() == await shop.seen()

        serve(work)


# --- who leaves ---------------------------------------------------------------------

# How a request ends before its time: it is cancelled while it waits, or just when it
# got what it waited for; or time is up.
HOWS: Final = ("waiting", "answered", "timeout")


@types.coroutine
def interrupted(
    work: Coroutine[Any, Any, Any], step: int, interrupt: Callable[[Any], None]
) -> Generator[Any, Any, None]:
    """
    Do some work; when it waits for the so-many-th time, interrupt it.
    """
    go_on, value = work.send, None
    for waits in count(1):
        try:
            awaited = go_on(value)
        except StopIteration:
            return
        if waits == step:
            interrupt(awaited)
        try:
            go_on, value = work.send, (yield awaited)
        except BaseException as error:
            go_on, value = work.throw, error


async def left(request: Coroutine[Any, Any, Any], how: str, step: int) -> bool:
    """
    Send a request, and end it when it waits for the so-many-th time; return whether
    it waited so often.

    Needs a task of its own: the application runs in it, too.
    """
    task, patience, reached = asyncio.current_task(), asyncio.timeout(None), False
    assert task is not None

    def interrupt(awaited: asyncio.Future[Any] | None) -> None:
        nonlocal reached
        reached = True
        if how == "timeout":
            patience.reschedule(0)
        elif how == "answered" and awaited is not None:
            # Before the task hears of it.
            awaited.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()

    with suppress(asyncio.CancelledError, TimeoutError):
        async with patience:
            await interrupted(request, step, interrupt)
    return reached


class TestGone:
    """
    Requests that nobody waits for any more.
    """

    @pytest.mark.parametrize("how", HOWS)
    @pytest.mark.parametrize("name", ["place_order", "deliver_order"])
    def test_whole_or_not_at_all(self, serve: Serve, name: str, how: str) -> None:
        """
        Ended wherever it waits, a request leaves the order as it was, or as the whole
        command left it; sent again, it gets its answer.
        """

        async def begun(shop: Shop, order_id: str) -> Callable[[], Any]:
            path = f"{order_id}/{name}"
            if name == "place_order":
                return lambda: shop.send(path, key="k")
            await shop.send(f"{order_id}/place_order")
            await shop.send(f"{order_id}/accept_order", "luc")
            return lambda: shop.send(path, "luc", key="k", note="here")

        async def work(shop: Shop) -> None:
            send = await begun(shop, "whole")
            before, after = await shop.seen("whole"), (await send()).json()
            to_see = [before, after] if how == "answered" else [before]
            found: list[Any] = []
            for number in count():
                order_id = f"o{number}"
                send = await begun(shop, order_id)
                # How often it waits is up to the driver.
                leaving = left(send(), how, number % 8 + 1)
                if await asyncio.create_task(leaving):
                    found.append(await shop.seen(order_id))
                    assert found[-1] in (before, after)
                    await shop.check()
                elif all(one in found for one in to_see):
                    break
                assert (await send()).json() == after == await shop.seen(order_id)

        serve(work)

    def test_a_crowd(self, serve: Serve) -> None:
        """
        Thirty that leave at once, each elsewhere, have each written their own or
        nothing; sent again, each is there once.
        """

        async def work(shop: Shop) -> None:
            def send(number: int) -> Any:
                key = f"k{number}"
                return shop.send("o1/send_message", key=key, reference=key)

            await shop.send("o1/place_order")
            leaving = [left(send(n), HOWS[n % 3], n // 3 + 1) for n in range(30)]
            # Everybody waits twice, at least: to read, and to write.
            assert sum(await asyncio.gather(*leaving)) >= 6
            await shop.check()
            answers = await asyncio.gather(*map(send, range(30)))
            assert {one.json()["version"] for one in answers} == {*range(4, 34)}
            events = [one.event for one in await shop.engine.history("o1")]
            sent = [one.reference for one in events if isinstance(one, MessageSent)]
            assert len(set(sent)) == len(sent) == 30

        serve(work)
