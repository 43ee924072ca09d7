"""
Start the marketplace on this machine, for this machine: `make example`.

| variable | what it says |
|---|---|
| `PORT` | the port, 8000 if it is missing |
| `ESCROWFLOW_DB` | the database, `sqlite:///marketplace.db` if it is missing |
"""

from __future__ import annotations

import os
import secrets
from contextlib import closing, suppress

import uvicorn

from escrowflow import SystemClock

from .market import Market
from .pages import application
from .seeds import plant


def main() -> None:
    """
    Serve until somebody presses Ctrl-C.
    """
    url = os.environ.get("ESCROWFLOW_DB") or "sqlite:///marketplace.db"
    port = int(os.environ.get("PORT") or 8000)
    with closing(Market(url, SystemClock())) as market:
        if market.open():
            print("Making up two months of orders ...", flush=True)
            plant(market)
        # Nobody stays signed in when it starts again.  Yours would keep its secret.
        web = application(market, secrets.token_urlsafe(32))
        config = uvicorn.Config(web, host="127.0.0.1", port=port, log_level="warning")
        server = uvicorn.Server(config)
        with closing(config.bind_socket()) as listening:
            # From here on nobody is turned away.
            listening.listen()
            port = listening.getsockname()[1]
            print(f"http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listening])


if __name__ == "__main__":
    main()
