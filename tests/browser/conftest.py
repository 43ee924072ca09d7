"""
The marketplace of `examples/`, served on this machine, and a browser to visit it with.

What is not installed is skipped, and says so: `make browser` brings the packages, and
`apt-get install chromium` the browser.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import pytest

from escrowflow.clock import FakeClock
from tests.given import T0

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from starlette.testclient import TestClient

    from examples.marketplace.market import Market
    from tests.browser.visitor import Visitor

CHROMIUM: Final = os.environ.get("CHROMIUM", "/usr/bin/chromium")

# A test machine has no user of its own and little shared memory.
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


def _needs(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(package, reason=f"no {package} here: `make browser` has it")


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The file of a marketplace as it is first seen.
    """
    _needs("fastapi", "itsdangerous", "jinja2", "python_multipart", "sqlalchemy")
    from examples.marketplace.market import Market
    from examples.marketplace.seeds import plant

    path = tmp_path_factory.mktemp("market") / "planted.db"
    with closing(Market(f"sqlite:///{path}", FakeClock(T0))) as market:
        assert market.open()
        plant(market)
    return path


@pytest.fixture
def market(planted: Path, tmp_path: Path) -> Iterator[Market]:
    """
    A marketplace of one's own, whose clock stands still until it is sent ahead.
    """
    from examples.marketplace.market import Market

    path = shutil.copy(planted, tmp_path / "market.db")
    with closing(Market(f"sqlite:///{path}", FakeClock(T0))) as market:
        assert not market.open()
        yield market


@pytest.fixture
def client(market: Market) -> TestClient:
    """
    A client of its pages, without a browser and without a server.
    """
    _needs("httpx2")
    from starlette.testclient import TestClient

    from examples.marketplace.pages import application

    return TestClient(
        application(market, "secret", works=False), follow_redirects=False
    )


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """
    Debian's Chromium.
    """
    _needs("playwright", "axe_playwright_python", "uvicorn")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def address(market: Market) -> Iterator[str]:
    """
    Where the marketplace is served: a free port of this machine.
    """
    import uvicorn

    from examples.marketplace.pages import application

    config = uvicorn.Config(
        application(market, "secret", works=False),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        lifespan="off",
    )
    server = uvicorn.Server(config)
    with closing(config.bind_socket()) as listening:
        listening.listen()
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def visit(chromium: Browser, address: str) -> Iterator[Callable[..., Visitor]]:
    """
    What opens a browser of somebody's own: `visit("Ana Morel", locale="fr-FR")`.
    """
    from tests.browser.visitor import Visitor

    with ExitStack() as stack:

        def opened(name: str = "", **settings: Any) -> Visitor:
            settings = {"locale": "en-GB", **settings}
            context = chromium.new_context(base_url=address, **settings)
            context.set_default_timeout(15_000)
            stack.callback(context.close)
            visitor = Visitor(context.new_page())
            if name:
                visitor.sign_in(name)
            return visitor

        yield opened
