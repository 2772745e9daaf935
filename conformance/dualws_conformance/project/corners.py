"""WSGI applications without Django, chosen by path: the corners of PEP 3333.

``/wsgi/NAME`` calls ``NAME``, ``/wsgi/validated/NAME`` calls it within
``wsgiref.validate``, which raises for every rule that is broken.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias
from wsgiref.validate import validator

from dualws_conformance.project.notes import note, wait_for_release

Environ: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

_TEXT = [("Content-Type", "text/plain")]


def _query(environ: Environ) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))


def _json(start_response: Any, answer: object) -> list[bytes]:
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), *_TEXT])
    return [body]


class Chunks:
    """Chunks that note their life under *key*; *wait* makes each but the first wait."""

    def __init__(self, key: str, chunks: list[bytes], *, wait: bool = False) -> None:
        self._key = key
        self._chunks = iter(chunks)
        self._wait = wait
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        if self._wait and self._begun:
            wait_for_release(self._key)
        self._begun = True
        self._note("next")
        return chunk

    def close(self) -> None:
        self._note("close")

    def _note(self, what: str) -> None:
        if self._key:
            note(self._key, [what, threading.get_ident()])


def environ(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The environ's plain values, and how its objects behave."""
    plain = {k: v for k, v in environ.items() if isinstance(v, str | int | bool | tuple)}
    answer = {
        "plain": plain,
        "type": type(environ).__name__,
        "keys": sorted(environ),
        "text": all(
            type(v) is str and all(ord(c) < 256 for c in v)
            for k, v in environ.items()
            if k.startswith("HTTP_") or k in ("PATH_INFO", "QUERY_STRING", "REQUEST_METHOD")
        ),
        "errors": [hasattr(environ["wsgi.errors"], m) for m in ("write", "writelines", "flush")],
        "input": [
            hasattr(environ["wsgi.input"], m) for m in ("read", "readline", "readlines", "__iter__")
        ],
        "server": type(environ["wsgi.server"].backend).name,
        "at_end": environ["wsgi.input"].read(10).decode("latin-1"),
    }
    return _json(start_response, answer)


def reads(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Every way to read ``wsgi.input``, one after the other, and what is left at the end."""
    stream = environ["wsgi.input"]
    lines = iter(stream)
    parts = [
        *(stream.read(2), stream.readline(), stream.readline(3), next(lines)),
        *(b"|".join(stream.readlines()), stream.read(10), stream.readline(), stream.read()),
    ]
    return _json(start_response, [part.decode("latin-1") for part in parts])


def unread(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Answers without having read the body."""
    start_response("200 OK", [*_TEXT, ("Content-Length", "7")])
    return [b"ignored"]


def cycle(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Notes the thread of every step under ``key``."""
    key = _query(environ)["key"]
    note(key, ["call", threading.get_ident()])
    start_response("200 OK", _TEXT)
    return Chunks(key, [b"one ", b"two ", b"three"])


def waits(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Three chunks, each but the first after a release of ``key``."""
    start_response("200 OK", _TEXT)
    return Chunks(_query(environ)["key"], [b"one ", b"two ", b"three"], wait=True)


def generator(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Starts its response when it is first iterated, with empty chunks."""
    start_response("200 OK", _TEXT)
    yield b""
    yield b"after nothing"
    yield b""
    yield b", more"


def changes(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Another status after an empty chunk, while no header may be out."""
    start_response("200 OK", [*_TEXT, ("X-First", "1")])
    yield b""
    try:
        raise ValueError("changed its mind")
    except ValueError:
        start_response("503 Changed", _TEXT, sys.exc_info())
    yield b"second thoughts"


def late(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Another status after the first chunk: its own exception must come back."""
    key = _query(environ)["key"]
    start_response("200 OK", _TEXT)
    yield b"first"
    try:
        raise ValueError("too late")
    except ValueError as error:
        try:
            start_response("500 Late", _TEXT, sys.exc_info())
            note(key, "accepted")
        except ValueError as again:
            note(key, "same" if again is error else "another")
            raise
    yield b"never"


def writes(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Uses ``write``."""
    write = start_response("200 OK", _TEXT)
    write(b"written, ")
    write(b"")
    return [b"returned"]


def twice(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Starts twice without exc_info: an error."""
    start_response("200 OK", _TEXT)
    start_response("200 OK", _TEXT)
    return [b"never"]


def never(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Returns a body without having started."""
    return [b"never"]


def split(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """A header with a line break, which would split the response."""
    start_response("200 OK", [*_TEXT, ("X-A", "b\r\nX-Injected: yes")])
    return [b"never"]


def raises(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Raises when called."""
    raise RuntimeError("a crash that the kit asked for")


def raises_first(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Raises before the first chunk."""
    start_response("200 OK", _TEXT)
    raise RuntimeError("a crash that the kit asked for")
    yield b"never"


def raises_later(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Raises after the first chunk; with ``length`` in the query after a Content-Length."""
    start_response("200 OK", [*_TEXT, ("Content-Length", "100")] if _query(environ) else _TEXT)
    yield b"first"
    raise RuntimeError("a crash that the kit asked for")


def text(environ: Environ, start_response: Any) -> Iterable[Any]:
    """Returns text, which PEP 3333 forbids."""
    start_response("200 OK", _TEXT)
    return ["text"]


def length(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Announces ``is`` bytes and yields ten."""
    start_response("200 OK", [*_TEXT, ("Content-Length", _query(environ)["is"])])
    return Chunks("", [b"12345", b"67890"])


def bodyless(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """A ``status`` without a body, with a body and its length all the same."""
    start_response(_query(environ)["status"], [*_TEXT, ("Content-Length", "4")])
    return [b"body"]


def repeats(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Repeated fields."""
    fields = [("Set-Cookie", "a=1"), ("X-Other", "x"), ("Set-Cookie", "b=2")]
    start_response("200 OK", [*_TEXT, *fields])
    return [b"ok"]


def wraps(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """A file in the server's file wrapper."""
    start_response("200 OK", _TEXT)
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"file " * 20000), 1000)
    return wrapped


def logs(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Writes to ``wsgi.errors`` in every way."""
    environ["wsgi.errors"].write("a line that the kit asked for\n")
    environ["wsgi.errors"].writelines(["and one more\n"])
    environ["wsgi.errors"].flush()
    return _json(start_response, "logged")


def valid(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Reads its body and streams its answer."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", _TEXT)
    return Chunks("", [b"got ", str(len(body)).encode(), b" bytes"])


APPLICATIONS: dict[str, Application] = {
    function.__name__: function
    for function in (
        *(environ, reads, unread, cycle, waits, generator, changes, late, writes, twice, never),
        *(split, raises, raises_first, raises_later, text, length, bodyless, repeats, wraps),
        *(logs, valid),
    )
}


def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The application that the path names, 404 without one."""
    name = environ["PATH_INFO"].removeprefix("/wsgi/")
    chosen = APPLICATIONS.get(name.removeprefix("validated/"))
    if chosen is None:
        start_response("404 Not Found", [*_TEXT, ("Content-Length", "0")])
        return []
    if name.startswith("validated/"):
        validated: Application = validator(chosen)
        return validated(environ, start_response)
    return chosen(environ, start_response)
