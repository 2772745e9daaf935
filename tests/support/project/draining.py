"""Handlers that tell a file what they learn of their server's end.

Law: what happens while a process ends is written with one ``write`` to a file, so that it is known
afterwards, and whichever process it was.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from ws4py.websocket import WebSocket as Ws4pyWebSocket

from dualws import WebSocketView, websocket

FOLDER = Path(os.environ["DUALWS_TEST_FOLDER"])
#: a JSON list a line: process id, then what happened
DIARY = FOLDER / "diary"


def tell(*what: object) -> None:
    line = json.dumps([os.getpid(), *what]) + "\n"
    descriptor = os.open(DIARY, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def _wait_for(name: str) -> None:
    """Wait until a test makes the file *name*."""
    while not (FOLDER / name).exists():
        time.sleep(0.01)


@websocket
def blocking(request: HttpRequest, ws: Any) -> None:
    key = request.GET.get("key", "")
    try:
        for message in ws:
            ws.send(f"{os.getpid()} {ws.draining}" if message == "who" else message)
    finally:
        tell("closed", key, ws.close_code, ws.draining)


class Events(WebSocketView):
    @property
    def key(self) -> str:
        return self.request.GET.get("key", "")

    def received_message(self, message: str | bytes) -> None:
        self.ws.send(f"{os.getpid()} {self.ws.draining}" if message == "who" else message)

    def draining(self) -> None:
        tell("draining", self.key)
        self.ws.send("draining")

    def closed(self, code: int, reason: str) -> None:
        tell("closed", self.key, code, self.ws.draining)


class Ws4py(Ws4pyWebSocket):
    def received_message(self, message: Any) -> None:
        self.send(message.data, message.is_binary)

    def draining(self) -> None:
        tell("draining", self.environ["QUERY_STRING"].partition("=")[2])
        self.send("draining")

    def closed(self, code: int, reason: str | None = None) -> None:
        tell("closed", self.environ["QUERY_STRING"].partition("=")[2], code, True)


@websocket
async def coroutine(request: HttpRequest, ws: Any) -> None:
    key = request.GET.get("key", "")
    try:
        async for message in ws:
            await ws.send(f"{os.getpid()} {ws.draining}" if message == "who" else message)
    finally:
        tell("closed", key, ws.close_code, ws.draining)


def inside(request: HttpRequest) -> HttpResponse:
    ws: Any = request.META["wsgi.websocket"]
    for message in ws:
        ws.send(message)
    tell("closed", request.GET.get("key", ""), ws.close_code, ws.draining)
    return HttpResponse()


@websocket
def slow(request: HttpRequest, ws: Any) -> None:
    """Answers once the test has made a file, and remembers when it was interrupted."""
    for message in ws:
        tell("asked")
        _wait_for(message)
        ws.send("answer")


@websocket
def untidy(request: HttpRequest, ws: Any) -> None:
    """Has much to do after its websocket has ended."""
    for message in ws:
        ws.send(message)
    time.sleep(0.5)
    tell("tidied")


@websocket
def stubborn(request: HttpRequest, ws: Any) -> None:
    """Does not come to its end."""
    ws.send("begun")
    while True:
        time.sleep(0.05)


@websocket
def flood(request: HttpRequest, ws: Any) -> None:
    """Sends more than the sockets' buffers hold, then waits."""
    ws.receive()
    for number in range(40):
        ws.send(f"{number:08d}" * 8192)
    tell("flooded")
    ws.receive()


def hang(request: HttpRequest) -> HttpResponse:
    """Blocks the thread that everything else of this process needs."""
    tell("hangs")
    while True:
        pass


@websocket
async def hang_async(request: HttpRequest, ws: Any) -> None:
    """The same on an event loop."""
    tell("hangs")
    time.sleep(3600)


def crash(request: HttpRequest) -> HttpResponse:
    """Leaves a traceback in the log."""
    raise RuntimeError(request.GET["key"])


def ping(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{os.getpid()}")


def page(request: HttpRequest) -> HttpResponse:
    """Answers once the test has made a file, if it names one."""
    tell("page")
    name = request.GET.get("after")
    if name:
        _wait_for(name)
    return HttpResponse(f"{os.getpid()}")


_STYLES: dict[str, Callable[..., Any]] = {
    "blocking": blocking,
    "events": websocket(Events),
    "ws4py": websocket(Ws4py),
    "async": coroutine,
    "inside": inside,
    "slow": slow,
    "untidy": untidy,
    "stubborn": stubborn,
    "flood": flood,
}

urlpatterns = [
    path("page/", page),
    path("ping/", ping),
    path("hang/", hang),
    path("hang-async/", hang_async),
    path("crash/", crash),
    *(path(f"{name}/", view) for name, view in _STYLES.items()),
]
