"""Fixtures of the tests that take long, or need workers, proxies or real signals."""

from __future__ import annotations

from support.database_fixtures import mariadb as mariadb
from support.database_fixtures import postgresql as postgresql
from support.database_fixtures import serve_with as serve_with
