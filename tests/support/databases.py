"""Database servers of the tests' own: started on a socket in a fresh folder, and stopped by pid.

Law: nothing that the machine runs is touched, and nothing stays behind, also when the tests are
killed: a shell holds each server, and ends it when the tests' end of a pipe is closed. Both
servers refuse to be root, so root lends them a user of the system.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.machine import find
from support.timing import TIMEOUT, eventually

#: Runs FOLDER SIGNAL COMMAND… until its standard input ends; then stops it and empties the folder.
KEEPER = """
folder=$1; stop=$2; shift 2
"$@" </dev/null & server=$!
cat >/dev/null
kill -s "$stop" "$server"
wait "$server"
rm -rf "$folder"/*
"""
#: Connections that the servers admit.
MAX_CONNECTIONS = 20
NAME = "dualws"


@contextlib.contextmanager
def folder_for(user: str) -> Iterator[tuple[Path, str | None]]:
    """A new folder and who owns it: *user* where this is root, else None for ourselves.

    Not pytest's: its parents are closed to other users, and its path is too long for a socket.
    """
    folder = Path(tempfile.mkdtemp(prefix="dualws-"))
    owner = user if os.geteuid() == 0 else None
    try:
        if owner is not None:
            shutil.chown(folder, owner)
        yield folder, owner
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(*command: str, owner: str | None, folder: Path) -> None:
    """Run a program to its end as *owner*."""
    done = subprocess.run(
        command, user=owner, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT * 4
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@contextlib.contextmanager
def started(*command: str, owner: str | None, folder: Path, stop: signal.Signals) -> Iterator[None]:
    """A server; *stop* is the signal that ends it at once and in order."""
    log = (folder / "log").open("wb")
    with log:
        process = subprocess.Popen(
            ["sh", "-c", KEEPER, "sh", str(folder), stop.name.removeprefix("SIG"), *command],
            user=owner,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(TIMEOUT)


class PostgreSQL:
    """A PostgreSQL server with :data:`MAX_CONNECTIONS`.

    :param folder: where its socket is
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[PostgreSQL]:
        """Make a cluster and serve it."""
        initdb = find("initdb")
        assert initdb is not None
        postgres = str(Path(initdb).resolve().with_name("postgres"))
        with folder_for("postgres") as (folder, owner):
            data = str(folder / "data")
            run(
                *(initdb, "-D", data, "-U", NAME, "-A", "trust", "-N", "-E", "UTF8"),
                *("--no-locale",),
                owner=owner,
                folder=folder,
            )
            options = {
                "listen_addresses": "",
                "unix_socket_directories": str(folder),
                "max_connections": str(MAX_CONNECTIONS),
                "fsync": "off",
            }
            words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
            with started(
                *(postgres, "-D", data, *words), owner=owner, folder=folder, stop=signal.SIGINT
            ):
                server = cls(folder)
                server._wait()
                yield server

    def connect(self, name: str = "postgres") -> Any:
        """A connection of the test's own, in autocommit; counts as one of the server's."""
        import psycopg

        return psycopg.connect(
            host=str(self.folder), user=NAME, dbname=name, autocommit=True, connect_timeout=5
        )

    def _wait(self) -> None:
        try:
            eventually(self._is_up, what="PostgreSQL did not start")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(self.folder / 'log').read_text()}") from None

    def _is_up(self) -> bool:
        import psycopg

        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def settings(self, name: str, **more: Any) -> dict[str, Any]:
        """``DATABASES["default"]`` for a database *name*, made anew."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": NAME,
            "HOST": str(self.folder),
            **more,
        }

    def connections(self, name: str) -> int:
        """How many connections the server has to the database *name*."""
        with self.connect() as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name]
            ).fetchone()
        return int(row[0])


class MariaDB:
    """A MariaDB server with :data:`MAX_CONNECTIONS`.

    :param folder: where its socket is
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[MariaDB]:
        """Make a data folder and serve it."""
        install, server = find("mariadb-install-db"), find("mariadbd")
        assert install is not None
        assert server is not None
        with folder_for("mysql") as (folder, owner):
            data = f"--datadir={folder / 'data'}"
            common = ("--no-defaults",)
            run(
                *(install, *common, data, "--auth-root-authentication-method=normal"),
                "--skip-test-db",
                owner=owner,
                folder=folder,
            )
            with started(
                *(server, *common, data, "--skip-networking"),
                f"--socket={folder / 'socket'}",
                f"--pid-file={folder / 'pid'}",
                f"--max-connections={MAX_CONNECTIONS}",
                "--innodb-flush-log-at-trx-commit=0",
                owner=owner,
                folder=folder,
                stop=signal.SIGTERM,
            ):
                database = cls(folder)
                database._wait()
                yield database

    def connect(self) -> Any:
        """A connection of the test's own."""
        import pymysql

        return pymysql.connect(unix_socket=str(self.folder / "socket"), user="root")

    def _wait(self) -> None:
        try:
            eventually(self._is_up, what="MariaDB did not start")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(self.folder / 'log').read_text()}") from None

    def _is_up(self) -> bool:
        import pymysql

        if not (self.folder / "socket").exists():
            return False
        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def settings(self, name: str, **more: Any) -> dict[str, Any]:
        """``DATABASES["default"]`` for a database *name*, made anew."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": name,
            "USER": "root",
            "OPTIONS": {"unix_socket": str(self.folder / "socket")},
            **more,
        }

    def connections(self, name: str) -> int:
        """How many connections the server has to the database *name*."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM information_schema.processlist WHERE db = %s", [name]
            )
            return int(cursor.fetchone()[0])
