"""
`python -m benchmarks [checker] [decision] [durable] [server] [sweep]`: all unless named.
"""

from __future__ import annotations

import sys

from . import checker, decision, durable, server, sweep
from .rounds import where

MEASURES = {
    "checker": checker.measure,
    "decision": decision.measure,
    "durable": durable.measure,
    "server": server.measure,
    "sweep": sweep.measure,
}


def main() -> None:
    """
    Print what was asked for, as Markdown.
    """
    print(f"{where()}\n")
    for name in sys.argv[1:] or MEASURES:
        MEASURES[name]()


if __name__ == "__main__":
    main()
