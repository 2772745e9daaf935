"""Older drafts: hybi-07 (version 7) and hybi-10 (version 8), whose frames are RFC 6455's."""

from __future__ import annotations

from collections.abc import Callable

from dualws_conformance import frames
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, add, equal

GROUP = "drafts"
_NAMES = {"7": "hybi-07", "8": "hybi-10"}


def _every_version(
    name: str, title: str, run: Callable[[Kit, str], None], section: str = "1.3"
) -> None:
    for version, draft in _NAMES.items():

        def one(kit: Kit, version: str = version) -> None:
            run(kit, version)

        add(GROUP, f"{name}-{version}", f"draft-ietf-hybi-thewebsocketprotocol-{draft[5:]} "
            f"{section}", f"version {version} ({draft}): {title}", one,
            styles=ACCEPTING)  # fmt: skip


def _accepted(kit: Kit, version: str) -> None:
    kit.open(version=version).echo("text", b"\x00\xffbinary")


def _told(kit: Kit, version: str) -> None:
    equal(kit.open("report", version=version).json()["version"], int(version), "ws.version")


def _origin(kit: Kit, version: str) -> None:
    own = kit.origin
    peer = kit.open("report", ("Sec-WebSocket-Origin", own), version=version)
    equal(peer.json()["origin"], own, "ws.origin")


def _bad_origin(kit: Kit, version: str) -> None:
    field = ("Sec-WebSocket-Origin", "http://evil.example")
    _, head = kit.upgrade(kit.path("echo"), field, version=version)
    equal(head.status, 403, "the status")


def _origin_13(kit: Kit, version: str) -> None:
    """Only drafts give Sec-WebSocket-Origin a meaning."""
    own = ("Origin", kit.origin)
    peer = kit.open("report", own, version=version)
    equal(peer.json()["origin"], own[1], "ws.origin")


def _subprotocol(kit: Kit, version: str) -> None:
    peer = kit.open("echo", ("Sec-WebSocket-Protocol", "x, kit.v1"), version=version)
    equal(peer.head.get("Sec-WebSocket-Protocol"), "kit.v1", "the subprotocol")


def _unmasked(kit: Kit, version: str) -> None:
    peer = kit.open(version=version)
    peer.send(frames.build(frames.TEXT, b"x", mask=None))
    peer.expect_failed(1002)


def _fragments(kit: Kit, version: str) -> None:
    peer = kit.open(version=version)
    peer.send(
        frames.build(frames.TEXT, b"one ", fin=False),
        frames.build(frames.PING, b"between"),
        frames.build(frames.CONTINUATION, b"two"),
    )
    peer.expect_pong(b"between")
    peer.expect("one two")


def _close(kit: Kit, version: str) -> None:
    kit.open(version=version).goodbye(1000, "bye")


_every_version("accepted", "is accepted and echoes", _accepted)
_every_version("told", "the handler is told the version", _told)
_every_version("origin", "the origin comes in Sec-WebSocket-Origin", _origin, "5.1")
_every_version("origin-refused", "another origin is refused", _bad_origin, "5.1")
_every_version("origin-new-name", "Origin counts where the old name is absent", _origin_13, "5.1")
_every_version("subprotocol", "a subprotocol is chosen", _subprotocol, "5.2.2")
_every_version("unmasked", "frames must be masked", _unmasked, "4.3")
_every_version("fragments", "fragments and control frames between them", _fragments, "4.4")
_every_version("close", "the close handshake", _close, "7.1.2")


def _old_name_ignored(kit: Kit) -> None:
    peer = kit.open("report", ("Sec-WebSocket-Origin", "http://evil.example"))
    equal(peer.json()["origin"], None, "ws.origin of version 13")


add(GROUP, "old-name-in-13", "RFC 6455 4.1/8", "version 13 takes no origin from "
    "Sec-WebSocket-Origin", _old_name_ignored, styles=ACCEPTING)  # fmt: skip
