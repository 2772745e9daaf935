"""Settings of the kit's project: sessions in signed cookies, no database, no files."""

from __future__ import annotations

SECRET_KEY = "only for conformance tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "dualws_conformance.project.urls"
USE_TZ = True
INSTALLED_APPS = ["dualws"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "dualws_conformance.project.views.count_unwinding",
]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
DATABASES: dict[str, object] = {}
DATA_UPLOAD_MAX_MEMORY_SIZE = None
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"django": {"handlers": [], "propagate": True}},
}
