"""A Flask site with websockets of every kind of end."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from compat.data import large
from support.notes import note, wait_for_notes

app = Flask(__name__)
# Seconds between pings of simple-websocket; none without.
if interval := os.environ.get("COMPAT_PING_INTERVAL"):
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": float(interval)}
sock = Sock(app)


@app.get("/")
def index() -> str:
    """Something for those who ask in between."""
    return "served"


@app.get("/outcome")
def outcome() -> str:
    """How the last websocket ended, once it has."""
    return str(wait_for_notes("outcome", 1)[0])


@sock.route("/echo")
def echo(ws: Any) -> None:
    """Sends back what comes."""
    while True:
        ws.send(ws.receive())


@sock.route("/closes")
def closes(ws: Any) -> None:
    """Closes with a code of its own."""
    ws.send("bye")
    ws.close(4000, "that was it")


@sock.route("/fails")
def fails(ws: Any) -> None:
    """Raises when the websocket is open."""
    ws.send("soon")
    raise RuntimeError("expected by the test")


@sock.route("/waits")
def waits(ws: Any) -> None:
    """Waits for a message; notes what it gets."""
    try:
        ws.receive()
        note("outcome", "message")
    except ConnectionClosed as error:
        note("outcome", type(error).__name__)


@sock.route("/large/<int:size>")
def sends_large(ws: Any, size: int) -> None:
    """Sends *size* bytes as one message, then waits."""
    try:
        ws.send(large(size))
    except OSError as error:
        note("outcome", type(error).__name__)
        return
    ws.receive()
