"""Settings of the guide's Django projects, whose URLconf is ``urls.py`` in the working folder."""

from __future__ import annotations

from support.project import settings as _base

globals().update({name: value for name, value in vars(_base).items() if name.isupper()})

ROOT_URLCONF = "urls"
