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
import socket
import sys
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
    listening = opened(os.environ.get("PORT") or "8000")
    with closing(listening), closing(Market(url, SystemClock())) as market:
        if market.open():
            print("Making up two months of orders ...", flush=True)
            plant(market)
        # Nobody stays signed in when it starts again.  Yours would keep its secret.
        web = application(market, secrets.token_urlsafe(32))
        server = uvicorn.Server(uvicorn.Config(web, log_level="warning"))
        # From here on nobody is turned away.
        listening.listen()
        port = listening.getsockname()[1]
        print(f"http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def opened(port: str) -> socket.socket:
    """
    Return a socket at a port of this machine, or end with what to do.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", int(port)))
    except (ValueError, OverflowError, OSError) as error:
        listening.close()
        sys.exit(f"PORT={port}: {error}; try another: make example PORT=8001")
    return listening


if __name__ == "__main__":
    main()
