"""
A site with orders, an admin, and two databases of one kind.

`SITE_DB` is how PostgreSQL is reached; without, both are SQLite files in `SITE_FOLDER`.
"""

import os
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from escrowflow.clock import FakeClock
from escrowflow.processes import recommended

FOLDER = os.environ.get("SITE_FOLDER", ".")


def _database(name: str) -> dict[str, Any]:
    if "SITE_DB" not in os.environ:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{FOLDER}/{name}.db",
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                # Who reads does not wait for who writes.
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
            },
            "TEST": {"NAME": f"{FOLDER}/test_{name}.db"},
        }
    there = conninfo_to_dict(os.environ["SITE_DB"])
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": there["dbname"],
        **{
            option.upper(): there[option]
            for option in ("user", "password", "host", "port")
            if option in there
        },
        "TEST": {"NAME": f"site_{name}_{os.getpid()}"},
    }


DATABASES = {"default": _database("default"), "other": _database("other")}
SECRET_KEY = "only for tests"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "escrowflow.contrib.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
ROOT_URLCONF = "tests.django_site.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "Europe/Paris"

CLOCK = FakeClock("2026-05-05T08:00:00+00:00")
OLD = recommended().with_policies(lifetime={"order_cap": "P80D"})
ESCROWFLOW = {
    "PROCESS": ["escrowflow.processes.recommended", "tests.django_site.settings.OLD"],
    "HANDLERS": "tests.django_site.work.HANDLERS",
    "CLOCK": "tests.django_site.settings.CLOCK",
}
