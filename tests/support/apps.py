"""WSGI applications without Django: the corners of PEP 3333, chosen by path.

``/NAME?query`` calls ``NAME`` of this module's table; ``/validated/NAME`` calls it within
``wsgiref.validate``, which raises for every rule that the server (or the application) breaks.
"""

from __future__ import annotations

import gc
import hashlib
import io
import json
import sys
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias
from wsgiref.validate import validator

from support.notes import identity, note, release, wait_for_notes, wait_for_release

Environ: TypeAlias = dict[str, Any]
Application: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

TEXT = [("Content-Type", "text/plain")]


def _query(environ: Environ) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))


def _json(start_response: Any, answer: object) -> list[bytes]:
    body = json.dumps(answer).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


class Iterable3:
    """Chunks, one after the other; notes ``next`` and ``close`` with the thread they ran in."""

    def __init__(self, key: str, chunks: list[bytes], *, wait: bool = False) -> None:
        self.key = key
        self.chunks = iter(chunks)
        self.wait = wait

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        note(self.key, ["next", identity()])
        chunk = next(self.chunks)
        if self.wait:
            wait_for_release(self.key)
        return chunk

    def close(self) -> None:
        note(self.key, ["close", identity()])


def echo(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The environ's plain values and the body's digest."""
    body = environ["wsgi.input"].read()
    answer: dict[str, Any] = {k: v for k, v in environ.items() if isinstance(v, str | int | bool)}
    answer["wsgi.version"] = environ["wsgi.version"]
    answer["type"] = type(environ).__name__
    answer["body"] = [len(body), hashlib.sha256(body).hexdigest()]
    return _json(start_response, answer)


def reads(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """What each way to read ``wsgi.input`` gives, one after the other, and at the end."""
    stream = environ["wsgi.input"]
    lines = iter(stream)
    answer = [
        stream.read(2),
        stream.readline(),
        stream.readline(3),
        next(lines),
        stream.readlines(),
        stream.read(10),
        stream.readline(),
        stream.read(),
    ]
    return _json(start_response, [repr(item) for item in answer])


def spooled(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Whether the body waits on disk; None where it never would."""
    return _json(start_response, getattr(environ["wsgi.input"], "_rolled", None))


def ignores_body(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Answers without reading the body."""
    start_response("200 OK", [*TEXT, ("Content-Length", "7")])
    return [b"ignored"]


def notes(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Wait for ``count`` notes of ``key``."""
    query = _query(environ)
    return _json(start_response, wait_for_notes(query["key"], int(query.get("count", "1"))))


def releases(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Let whoever waits for ``key`` go on."""
    release(_query(environ)["key"])
    return _json(start_response, {})


def cycle(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Notes the thread of every step of the WSGI cycle under ``key``."""
    key = _query(environ)["key"]
    note(key, ["call", identity()])
    start_response("200 OK", TEXT)
    return Iterable3(key, [b"one ", b"two ", b"three"])


def waits(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Three chunks, each after a release of ``key``."""
    key = _query(environ)["key"]
    note(key, ["call", identity()])
    start_response("200 OK", TEXT)
    return Iterable3(key, [b"one ", b"two ", b"three"], wait=True)


def generator(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Starts the response when it is first iterated; has empty chunks."""
    start_response("200 OK", TEXT)
    yield b""
    yield b"after nothing"
    yield b""
    yield b", and more"


def changes_its_mind(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Fails after an empty chunk, when no header may have been sent yet (PEP 3333)."""
    start_response("200 OK", [*TEXT, ("X-First", "1")])
    yield b""
    try:
        raise ValueError("changed its mind")
    except ValueError:
        start_response("503 Changed", TEXT, sys.exc_info())
    yield b"second thoughts"


def too_late(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Asks for another status after the first chunk: the error must come back to it."""
    key = _query(environ)["key"]
    start_response("200 OK", TEXT)
    yield b"first"
    try:
        raise ValueError("too late")
    except ValueError as error:
        try:
            start_response("500 Late", TEXT, sys.exc_info())
        except ValueError as again:
            note(key, again is error)
            raise
    yield b"never"


def writes(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Uses the callable that start_response returns."""
    write = start_response("200 OK", TEXT)
    write(b"written, ")
    write(b"")
    write(b"written again, ")
    return [b"returned"]


def starts_twice(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Starts twice without exc_info: an error for the application."""
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"never"]


def never_starts(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Returns a body without having started the response."""
    return [b"never"]


def bad_head(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """A status or header that would split the response, or is none."""
    query = _query(environ)
    headers = [("Content-Type", "text/plain"), (query.get("name", "X-A"), query.get("value", "b"))]
    start_response(query.get("status", "200 OK"), headers)
    return [b"never"]


def raises(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Raises when called."""
    raise RuntimeError("raised when called")


def raises_first(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Raises before the first chunk, after start_response."""
    start_response("200 OK", TEXT)
    raise RuntimeError("raised before the first chunk")
    yield b"never"


def raises_later(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Raises after the first chunk."""
    headers = [*TEXT, ("Content-Length", "100")] if "length" in _query(environ) else TEXT
    start_response("200 OK", headers)
    yield b"first"
    raise RuntimeError("raised after the first chunk")


class _RaisingClose(Iterable3):
    def close(self) -> None:
        raise RuntimeError("raised in close")


def raises_in_close(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Raises in close()."""
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return _RaisingClose("", [b"whole"])


def not_bytes(environ: Environ, start_response: Any) -> Iterable[Any]:
    """Yields text, which PEP 3333 forbids."""
    start_response("200 OK", TEXT)
    return ["text"]


def wrong_length(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Announces ``length`` bytes and yields ten in two chunks."""
    start_response("200 OK", [*TEXT, ("Content-Length", _query(environ)["length"])])
    return Iterable3("", [b"12345", b"67890"])


def bodyless(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """A ``status`` that allows no body, with a body and its length all the same."""
    start_response(_query(environ)["status"], [*TEXT, ("Content-Length", "4")])
    return [b"body"]


def repeats(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Repeated response headers in an order of their own."""
    headers = [("Set-Cookie", "a=1"), ("X-Other", "x"), ("Set-Cookie", "b=2"), ("X-Other", "y")]
    start_response("200 OK", [*TEXT, *headers])
    return [b"ok"]


def wraps_file(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """A file in the server's file wrapper."""
    start_response("200 OK", TEXT)
    wrapper: Iterable[bytes] = environ["wsgi.file_wrapper"](io.FileIO(__file__), 1000)
    return wrapper


def logs(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Writes to ``wsgi.errors`` in every way."""
    errors = environ["wsgi.errors"]
    errors.write(f"written {_query(environ)['key']}\n")
    errors.writelines([f"lines {_query(environ)['key']}\n"])
    errors.flush()
    return _json(start_response, {})


def valid(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Behaves perfectly: reads its body, streams its answer."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", TEXT)
    return Iterable3("", [b"got ", str(len(body)).encode(), b" bytes"])


def collector(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """How many objects the collector looks at again and again, and how many never."""
    gc.collect()
    return _json(start_response, [len(gc.get_objects()), gc.get_freeze_count()])


def marks(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Says in the environ that this is no websocket, as servers for gevent-websocket do."""
    environ["wsgi.websocket"] = None
    return _json(start_response, None)


APPLICATIONS: dict[str, Application] = {
    function.__name__: function
    for function in (
        *(echo, reads, ignores_body, notes, releases, cycle, waits, generator, changes_its_mind),
        *(too_late, writes, starts_twice, never_starts, bad_head, raises, raises_first),
        *(raises_later, raises_in_close, not_bytes, wrong_length, bodyless, repeats),
        *(wraps_file, logs, valid, spooled, collector, marks),
    )
}


def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The application that the path names."""
    first, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    if first == "validated":
        chosen: Application = validator(APPLICATIONS[rest])
    else:
        chosen = APPLICATIONS.get(first, echo)
    return chosen(environ, start_response)
