"""Views that tell what they saw, as JSON, and wait where a test tells them to."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model, login
from django.core.files.uploadedfile import UploadedFile
from django.core.signals import request_finished
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.views.decorators.csrf import csrf_exempt

from support.notes import identity, note, noted, wait_for_notes, wait_for_release
from support.notes import release as release_key
from support.project.settings import FOLDER
from support.timing import TIMEOUT

_seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")
_BLOCK = bytes(range(256)) * 256


@csrf_exempt
def echo(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Everything about the request that a view can see."""
    body = request.body
    answer = {
        "method": request.method,
        "path": request.path,
        "rest": rest,
        "query": request.META["QUERY_STRING"],
        "GET": {key: request.GET.getlist(key) for key in request.GET},
        "host": request.get_host(),
        "scheme": request.scheme,
        "cookies": request.COOKIES,
        "body": body.decode("latin-1") if len(body) < 65536 else "",
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "user": str(request.user),
        "meta": {k: v for k, v in request.META.items() if isinstance(v, str | int | bool)},
        "keys": sorted(request.META),
        "thread": identity(),
    }
    return JsonResponse(answer)


def notes(request: HttpRequest) -> HttpResponse:
    """Wait for ``count`` notes of ``key``."""
    found = wait_for_notes(request.GET["key"], int(request.GET.get("count", "1")))
    return JsonResponse(found, safe=False)


def release(request: HttpRequest) -> HttpResponse:
    """Let whoever waits for ``key`` go on."""
    release_key(request.GET["key"])
    return JsonResponse({})


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    """Read the body in pieces, as a view that takes large files does."""
    digest = hashlib.sha256()
    length = 0
    while block := request.read(65536):
        digest.update(block)
        length += len(block)
    answer = {"length": length, "sha256": digest.hexdigest()}
    return JsonResponse(answer | {"CONTENT_LENGTH": request.META.get("CONTENT_LENGTH")})


@csrf_exempt
def form(request: HttpRequest) -> HttpResponse:
    """Fields and files of a form."""
    files = {}
    for name in request.FILES:
        file = request.FILES[name]
        assert isinstance(file, UploadedFile)
        files[name] = [file.name, file.size, hashlib.sha256(file.read()).hexdigest()]
    return JsonResponse({"POST": request.POST.dict(), "FILES": files})


def status(request: HttpRequest, code: int) -> HttpResponse:
    """An empty response with a status, or one with ``body`` where none belongs."""
    return HttpResponse(request.GET.get("body", ""), status=code)


def cookies(request: HttpRequest) -> HttpResponse:
    """Two cookies, so two Set-Cookie headers."""
    response = HttpResponse("two")
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


def _blocks(size: int, key: str) -> Iterator[bytes]:
    sent = 0
    try:
        while sent < size:
            block = _BLOCK[: min(len(_BLOCK), size - sent)]
            sent += len(block)
            yield block
    finally:
        note(key, {"sent": sent})


def large(request: HttpRequest) -> HttpResponseBase:
    """``size`` bytes, streamed or (``whole``) in one piece; notes how far it came under ``key``."""
    size = int(request.GET["size"])
    blocks = _blocks(size, request.GET.get("key", ""))
    if "whole" in request.GET:
        return HttpResponse(b"".join(blocks), content_type="application/octet-stream")
    return StreamingHttpResponse(blocks, content_type="application/octet-stream")


class _Chunks:
    """Numbered chunks; each but the first waits to be released. Notes what happens to it."""

    def __init__(self, key: str, count: int) -> None:
        self.key = key
        self.count = count
        self.number = 0
        note(key, ["made", identity()])

    def __iter__(self) -> _Chunks:
        return self

    def __next__(self) -> bytes:
        if self.number == self.count:
            raise StopIteration
        if self.number:
            wait_for_release(self.key)
        note(self.key, ["next", identity()])
        self.number += 1
        return f"chunk {self.number}\n".encode()

    def close(self) -> None:
        note(self.key, ["close", identity()])


def stream(request: HttpRequest) -> HttpResponseBase:
    """``count`` chunks, each after a release of ``key``."""
    chunks = _Chunks(request.GET["key"], int(request.GET.get("count", "3")))
    return StreamingHttpResponse(chunks, content_type="text/plain")


def endless(request: HttpRequest) -> HttpResponseBase:
    """Never ends by itself: until the client has gone; notes how far it came under ``key``."""
    return StreamingHttpResponse(_blocks(1 << 40, request.GET["key"]))


def crash_in_stream(request: HttpRequest) -> HttpResponseBase:
    """Raises after the first chunk."""

    def chunks() -> Iterator[bytes]:
        yield b"first"
        raise RuntimeError(f"crash in the stream {request.GET['key']}")

    return StreamingHttpResponse(chunks())


def crash(request: HttpRequest) -> HttpResponse:
    """Raises."""
    raise RuntimeError("crash in the view")


def file(request: HttpRequest) -> HttpResponseBase:
    """A file of ``size`` bytes."""
    size = int(request.GET["size"])
    path = FOLDER / f"file-{size}"
    if not path.exists():
        with path.open("wb") as target:
            for block in _blocks(size, ""):
                target.write(block)
    return FileResponse(path.open("rb"), as_attachment=True, filename="größe.bin")


def context(request: HttpRequest) -> HttpResponse:
    """What the context variable held before this request set it."""
    before = _seen.get()
    _seen.set(request.GET["set"])
    return JsonResponse({"before": before, "now": _seen.get()})


def session(request: HttpRequest) -> HttpResponse:
    """Counts the visits of this session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"], "user": str(request.user)})


def sign_in(request: HttpRequest) -> HttpResponse:
    """Signs ``name`` in; the user is made if need be."""
    user, _ = get_user_model().objects.get_or_create(username=request.GET["name"])
    login(request, user, "django.contrib.auth.backends.ModelBackend")
    return JsonResponse({"user": str(user)})


def users(request: HttpRequest) -> HttpResponse:
    """A query, and how long it took in seconds."""
    begin = time.monotonic()
    count = get_user_model().objects.count()
    return JsonResponse({"count": count, "seconds": time.monotonic() - begin})


def finished(request: HttpRequest) -> HttpResponse:
    """Notes under ``key`` the threads of the view and of the signal ``request_finished``."""
    key = request.GET["key"]
    here = identity()
    note(key, ["view", here])

    def receiver(**kwargs: Any) -> None:
        if identity() == here or "anywhere" in request.GET:
            request_finished.disconnect(receiver)
            note(key, ["finished", identity()])

    request_finished.connect(receiver, weak=False)
    return HttpResponse("ok")


async def async_users(request: HttpRequest) -> HttpResponse:
    """Queries of an async view, both ways, around a wait."""
    manager = get_user_model().objects
    before = await manager.acount()
    await asyncio.sleep(0.05)
    after = await sync_to_async(manager.count)()
    return JsonResponse({"before": before, "after": after})


async def async_meet(request: HttpRequest) -> HttpResponse:
    """Goes on only once ``count`` of these views, with one ``key``, run at the same time."""
    key, count = request.GET["key"], int(request.GET["count"])
    note(key, identity())
    async with asyncio.timeout(TIMEOUT / 2):
        while len(noted(key)) < count:
            await asyncio.sleep(0.01)
    return JsonResponse({"met": len(noted(key))})


async def async_stream(request: HttpRequest) -> HttpResponseBase:
    """An async iterator, which Django hands to WSGI in one piece, with a warning."""

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            yield f"chunk {number}\n".encode()

    return StreamingHttpResponse([chunk async for chunk in chunks()])
