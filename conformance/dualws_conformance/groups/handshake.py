"""The opening handshake, RFC 6455 section 4.2 sentence by sentence."""

from __future__ import annotations

import base64

from dualws_conformance import frames
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, STYLES, add, case, check, equal, fail

GROUP = "handshake"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
VALID = {
    "Host": "a",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def attempt(
    kit: Kit,
    *more: tuple[str, str],
    method: str = "GET",
    version: str = "HTTP/1.1",
    target: str | None = None,
    **changes: str | None,
) -> int:
    """The status of a handshake with *changes* (None leaves a field out); 101 is tried out."""
    renamed = {name.replace("_", "-"): value for name, value in changes.items()}
    fields = {**VALID, **renamed}
    client = kit.connect()
    kept = [(name, value) for name, value in fields.items() if value is not None]
    client.request(method, target or kit.path("echo"), *kept, *more, version=version)
    head = client.read_head()
    if head.status == 101:
        client.send(frames.text("works"))
        if client.read(7, "an echo") != b"\x81\x05works":
            fail("after the 101 the websocket does not echo")
    else:
        client.read_body(head, method)
    return head.status


def status_is(
    name: str,
    section: str,
    title: str,
    expected: tuple[int, ...],
    *more: tuple[str, str],
    method: str = "GET",
    version: str = "HTTP/1.1",
    **changes: str | None,
) -> None:
    """Register a case: a handshake with *changes* is answered with one of *expected*."""

    def run(kit: Kit) -> None:
        found = attempt(kit, *more, method=method, version=version, **changes)
        if found not in expected:
            wanted = " or ".join(map(str, expected))
            fail(f"the handshake was answered with {found}, expected {wanted}")

    add(GROUP, name, section, title, run, styles=ACCEPTING)


_REQUIRED = "RFC 6455 4.2.1/"
status_is("valid", "RFC 6455 4.2.2", "a valid handshake is answered with 101", (101,))
status_is("method-post", _REQUIRED + "1", "a POST is no handshake", (400, 405), method="POST")
status_is("method-put", _REQUIRED + "1", "a PUT is no handshake", (400, 405), method="PUT")
status_is("http-1-0", _REQUIRED + "1", "HTTP/1.0 cannot upgrade", (400, 426), version="HTTP/1.0")
status_is("host-missing", _REQUIRED + "2", "a handshake without Host is refused", (400,), Host=None)
status_is("upgrade-missing", _REQUIRED + "3", "without Upgrade it is refused", (400, 426),
          Upgrade=None)  # fmt: skip
status_is("upgrade-case", _REQUIRED + "3", "'WebSocket' is matched without regard to case", (101,),
          Upgrade="WebSocket")  # fmt: skip
status_is("upgrade-substring", _REQUIRED + "3", "'websockets' is not 'websocket'", (400, 426),
          Upgrade="websockets")  # fmt: skip
status_is("upgrade-list", "RFC 9110 7.8", "Upgrade may list other protocols too", (101,),
          Upgrade="h2c, websocket")  # fmt: skip
status_is("connection-missing", _REQUIRED + "4", "without Connection it is refused", (400, 426),
          Connection=None)  # fmt: skip
status_is("connection-other", _REQUIRED + "4", "Connection: keep-alive is refused", (400, 426),
          Connection="keep-alive")  # fmt: skip
status_is("connection-case", _REQUIRED + "4", "'upgrade' is matched without regard to case", (101,),
          Connection="uPGRADE")  # fmt: skip
status_is("connection-list", _REQUIRED + "4", "Connection may list other options too", (101,),
          Connection="keep-alive, Upgrade")  # fmt: skip
status_is("connection-substring", _REQUIRED + "4", "'Upgraded' is not 'Upgrade'", (400, 426),
          Connection="Upgraded")  # fmt: skip
status_is("connection-two-fields", "RFC 9110 5.3", "Connection may come in two fields", (101,),
          ("Connection", "keep-alive"))  # fmt: skip
status_is("key-missing", _REQUIRED + "5", "without a key it is refused", (400,),
          Sec_WebSocket_Key=None)  # fmt: skip
status_is("key-empty", _REQUIRED + "5", "an empty key is refused", (400,), Sec_WebSocket_Key="")
status_is("key-short", _REQUIRED + "5", "a key of 15 bytes is refused", (400,),
          Sec_WebSocket_Key=base64.b64encode(bytes(15)).decode())  # fmt: skip
status_is("key-long", _REQUIRED + "5", "a key of 17 bytes is refused", (400,),
          Sec_WebSocket_Key=base64.b64encode(bytes(17)).decode())  # fmt: skip
status_is("key-not-base64", _REQUIRED + "5", "a key that is not base64 is refused", (400,),
          Sec_WebSocket_Key="!" * 22 + "==")  # fmt: skip
status_is("key-twice", "RFC 6455 11.3.1", "two keys are refused", (400,),
          ("Sec-WebSocket-Key", KEY))  # fmt: skip
status_is("version-missing", _REQUIRED + "6", "without a version it is refused", (400, 426),
          Sec_WebSocket_Version=None)  # fmt: skip
for _version in ("0", "12", "14", "99", "13x", "+13", "-13", "013", "1_3", "13, 8"):
    status_is(f"version-{_version.replace(', ', '-').replace('+', 'plus-').replace('_', '-')}",
              "RFC 6455 4.4", f"version {_version!r} is answered with 426", (426,),
              Sec_WebSocket_Version=_version)  # fmt: skip
status_is("extensions-unknown", _REQUIRED + "9", "an unknown extension is ignored", (101,),
          Sec_WebSocket_Extensions="x-unknown; a=1, y")  # fmt: skip
status_is("protocol-not-token", _REQUIRED + "8", "a subprotocol that is no token is refused",
          (400,), Sec_WebSocket_Protocol="a b")  # fmt: skip
status_is("protocol-twice", "RFC 6455 4.1/10", "a subprotocol given twice is refused", (400,),
          Sec_WebSocket_Protocol="a, a")  # fmt: skip
status_is("protocol-unknown", "RFC 6455 4.2.2/5", "unknown subprotocols do not prevent a 101",
          (101,), Sec_WebSocket_Protocol="other, more")  # fmt: skip
status_is("origin-absent", _REQUIRED + "7", "a client that is no browser sends no Origin", (101,))
status_is("other-fields", _REQUIRED + "10", "cookies and other fields do no harm", (101,),
          ("Cookie", "a=1"), ("X-Other", "x"), ("Authorization", "Basic eDp5"))  # fmt: skip


@case(GROUP, "RFC 6455 4.2.2/5", "the 101 has Upgrade, Connection and the accept key, no length",
      styles=ACCEPTING)  # fmt: skip
def response(kit: Kit) -> None:
    _, head = kit.upgrade(kit.path("echo"))
    equal(head.status, 101, "the status")
    equal(head.version, "HTTP/1.1", "the version")
    equal((head.get("Upgrade") or "").lower(), "websocket", "the Upgrade field")
    equal((head.get("Connection") or "").lower(), "upgrade", "the Connection field")
    check(head.get("Content-Type") is None, "the 101 has a Content-Type")


@case(GROUP, "RFC 6455 1.3", "the accept key of the RFC's example is the RFC's", styles=ACCEPTING)
def example_key(kit: Kit) -> None:
    _, head = kit.upgrade(kit.path("echo"), key=KEY)
    equal(head.get("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the accept key")


@case(GROUP, "RFC 6455 4.4", "a refused version is told which ones are spoken", styles=ACCEPTING)
def version_advertised(kit: Kit) -> None:
    client = kit.connect()
    fields = {**VALID, "Sec-WebSocket-Version": "12"}
    client.request("GET", kit.path("echo"), *fields.items())
    answer = client.response()
    equal(answer.status, 426, "the status")
    spoken = [v.strip() for v in (answer.get("Sec-WebSocket-Version") or "").split(",")]
    check("13" in spoken, f"the answer offers the versions {spoken}, without 13")


for _slug, _offers, _chosen in (
    ("first-of-the-client", ["kit.v2, kit.v1"], "kit.v2"),
    ("known-among-unknown", ["x, kit.v1, y"], "kit.v1"),
    ("two-fields", ["x", "kit.v2"], "kit.v2"),
    ("none-known", ["x, y"], None),
    ("none-offered", [], None),
    ("case-matters", ["KIT.V1"], None),
):

    def subprotocol(kit: Kit, offers: list[str] = _offers, chosen: str | None = _chosen) -> None:
        fields = [("Sec-WebSocket-Protocol", offer) for offer in offers]
        peer = kit.open("echo", *fields)
        equal(peer.head.get("Sec-WebSocket-Protocol"), chosen, "the subprotocol")
        peer.echo("x")

    add(GROUP, f"subprotocol-{_slug}", "RFC 6455 4.2.2/5",
        f"the subprotocol is the client's first that is known ({_slug.replace('-', ' ')})",
        subprotocol, styles=STYLES)  # fmt: skip


@case(GROUP, "RFC 9112 9.3.2", "a handshake may follow an ordinary request", styles=ACCEPTING)
def after_request(kit: Kit) -> None:
    client = kit.connect()
    client.request("POST", "/echo/", ("Host", kit.host), ("Content-Length", "4"), body=b"body")
    client.response()
    kit.open("echo", client=client).echo("after a request")


@case(GROUP, "RFC 9112 2.2", "a handshake that comes byte by byte is one", styles=ACCEPTING)
def byte_by_byte(kit: Kit) -> None:
    client = kit.connect()
    lines = [f"GET {kit.path('echo')} HTTP/1.1", *(f"{k}: {v}" for k, v in VALID.items()), "", ""]
    for byte in "\r\n".join(lines).encode():
        client.send(bytes((byte,)))
    equal(client.read_head().status, 101, "the status")


@case(GROUP, "RFC 6455 10.2", "a page of the same origin is accepted, of another refused with 403",
      styles=ACCEPTING)  # fmt: skip
def origin(kit: Kit) -> None:
    path = kit.path("echo")
    other = "http" if kit.server.scheme == "https" else "https"
    for value, status in (
        (kit.origin, 101),
        ("http://evil.example", 403),
        (f"{other}://{kit.host}", 403),
        (f"{kit.origin}.evil.example", 403),
        ("null", 403),
    ):
        _, head = kit.upgrade(path, ("Origin", value))
        equal(head.status, status, f"the status for Origin: {value}")
