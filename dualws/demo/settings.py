"""Settings of the demo: what ``startproject`` writes, less what a chat does not need.

The command gives two things through the environment: the folder that holds the database,
and the host names under which the demo may be opened.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

FOLDER = Path(os.environ.get("DUALWS_DEMO_FOLDER", "."))

#: A new key each run, as the database is new each run. A project that keeps its data keeps its key.
SECRET_KEY = secrets.token_urlsafe(50)
DEBUG = False
ALLOWED_HOSTS = os.environ.get("DUALWS_DEMO_HOSTS", "localhost 127.0.0.1 [::1]").split()

INSTALLED_APPS = [
    "dualws",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "dualws.demo.chat",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "dualws.demo.urls"
WSGI_APPLICATION = "dualws.demo.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "dualws.demo.chat.context.backend",
            ],
        },
    },
]

# WAL lets people read while a message is being written; IMMEDIATE makes a writer wait for its
# turn when its transaction begins, where waiting is possible, not halfway, where it is an error.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / "chat.sqlite3",
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
# Cookies know no ports: with the usual name the demo would sign you out of your own project.
SESSION_COOKIE_NAME = "dualws_demo_session"

# Hashing a password takes this long on purpose; a real project is right to be told of it.
DUALWS_BLOCKED_WARNING = 5.0

USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
