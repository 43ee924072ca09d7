"""
Settings; what concerns orders is `INSTALLED_APPS`, `DATABASES` and `ESCROWFLOW`.

`SHOP_DB=postgresql://me@host/shop` takes PostgreSQL instead of a file, and
`SHOP_DB=sqlite:////tmp/shop.db` another file.
"""

import os
import secrets
from pathlib import Path

HERE = Path(__file__).parent.parent

DEBUG = True
# Whoever restarts this shop signs in again.
SECRET_KEY = os.environ.get("SHOP_SECRET") or secrets.token_urlsafe()
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "escrowflow.contrib.django",
    "shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "shop.urls"
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


def _database(url: str) -> dict[str, object]:
    if not url or url.startswith("sqlite:///"):
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": url.removeprefix("sqlite:///") or HERE / "shop.db",
            # Whoever may write takes the lock first, and waits for it.
            "OPTIONS": {"transaction_mode": "IMMEDIATE"},
        }
    from psycopg.conninfo import conninfo_to_dict

    there = conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": there.get("dbname", "shop"),
        **{
            name.upper(): there[name]
            for name in ("user", "password", "host", "port")
            if name in there
        },
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": _database(os.environ.get("SHOP_DB", ""))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

ESCROWFLOW = {"PROCESS": "shop.rules.PROCESS", "HANDLERS": "shop.work.HANDLERS"}

USE_TZ = True
TIME_ZONE = "Europe/Paris"
LANGUAGE_CODE = "en"
STATIC_URL = "static/"
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
