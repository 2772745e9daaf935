"""Fixtures of the tests with databases of their own."""

from __future__ import annotations

from support.database_fixtures import mariadb as mariadb
from support.database_fixtures import postgresql as postgresql
from support.database_fixtures import serve_with as serve_with
from support.database_fixtures import share_with as share_with
