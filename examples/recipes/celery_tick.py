"""
Celery: its beat ticks, and a tick does what there is to do.

    celery --app examples.recipes.celery_tick worker --beat
"""

from __future__ import annotations

from typing import Final

from celery import Celery

from examples.recipes.shop import work

SECONDS: Final = 5

app = Celery("shop")  # its broker: CELERY_BROKER_URL, such as redis://localhost
app.conf.beat_schedule = {
    "escrowflow": {
        "task": "escrowflow.tick",
        "schedule": SECONDS,
        # A tick that nobody took in time is of no use: the next one does its work.
        "options": {"expires": SECONDS},
    }
}


@app.task(name="escrowflow.tick", ignore_result=True)
def tick() -> None:
    """
    Settle what is due, and carry effects out.  Two at once do no harm.
    """
    work()
