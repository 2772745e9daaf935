"""The environ: every key that an application may look at (PEP 3333, RFC 3875)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dualws_conformance.kit import Kit
from dualws_conformance.model import STYLES, add, case, check, equal
from dualws_conformance.promises import ENVIRON

GROUP = "environ"
Field = tuple[str, str]


def seen(
    kit: Kit,
    target: str = "/wsgi/environ",
    *fields: Field,
    method: str = "GET",
    body: bytes = b"",
    version: str = "HTTP/1.1",
) -> dict[str, Any]:
    """The environ of one request, as the application echoes it."""
    client = kit.connect()
    client.request(method, target, ("Host", kit.host), *fields, body=body, version=version)
    answer = client.response()
    equal(answer.status, 200, "the status")
    found: dict[str, Any] = json.loads(answer.body)
    return found


def key_is(
    name: str,
    section: str,
    title: str,
    key: str,
    expected: object,
    target: str = "/wsgi/environ",
    *fields: Field,
    method: str = "GET",
    body: bytes = b"",
    version: str = "HTTP/1.1",
) -> None:
    """Register a case: *key* has the value *expected*, a value or a function of the kit."""

    def run(kit: Kit) -> None:
        plain = seen(kit, target, *fields, method=method, body=body, version=version)["plain"]
        value = expected(kit) if callable(expected) else expected
        equal(plain.get(key), value, f"environ[{key!r}]")

    add(GROUP, name, section, title, run)


RFC3875 = "RFC 3875 4.1."
for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY"):
    key_is(
        f"method-{method.lower()}",
        RFC3875 + "12",
        f"REQUEST_METHOD is {method} for {method}",
        "REQUEST_METHOD",
        method,
        "/wsgi/environ",
        ("Content-Length", "0"),
        method=method,
    )
key_is("script-name", RFC3875 + "13", "SCRIPT_NAME is empty at the root", "SCRIPT_NAME", "")
key_is("path-info", RFC3875 + "5", "PATH_INFO has the path", "PATH_INFO", "/wsgi/environ")
key_is(
    "path-decoded",
    RFC3875 + "5",
    "PATH_INFO is percent-decoded once",
    "PATH_INFO",
    "/wsgi/environ",
    "/wsgi/%65nviron",
)
key_is(
    "query", RFC3875 + "7", "QUERY_STRING comes as it was sent, not decoded",
    "QUERY_STRING", "a=%20b&&c?d", "/wsgi/environ?a=%20b&&c?d",
)  # fmt: skip
key_is("no-query", RFC3875 + "7", "QUERY_STRING is empty without a query", "QUERY_STRING", "")
for name in ("REQUEST_URI", "RAW_URI"):
    key_is(
        name.lower().replace("_", "-"), ENVIRON, f"{name} has the target as it was sent",
        name, "/wsgi/%65nviron?x=%2F", "/wsgi/%65nviron?x=%2F",
    )  # fmt: skip
key_is("protocol-1-1", RFC3875 + "16", "SERVER_PROTOCOL is HTTP/1.1",
       "SERVER_PROTOCOL", "HTTP/1.1")  # fmt: skip
key_is(
    "protocol-1-0", RFC3875 + "16", "SERVER_PROTOCOL is HTTP/1.0 for such a request",
    "SERVER_PROTOCOL", "HTTP/1.0", version="HTTP/1.0",
)  # fmt: skip
key_is("server-name", RFC3875 + "14", "SERVER_NAME is not empty", "SERVER_NAME",
       lambda kit: kit.server.address[0])  # fmt: skip
key_is("server-port", RFC3875 + "15", "SERVER_PORT is the port as a string", "SERVER_PORT",
       lambda kit: str(kit.server.address[1]))  # fmt: skip
key_is("gateway", RFC3875 + "4", "GATEWAY_INTERFACE is CGI/1.1", "GATEWAY_INTERFACE", "CGI/1.1")
key_is("remote-addr", RFC3875 + "8", "REMOTE_ADDR is the client's address",
       "REMOTE_ADDR", "127.0.0.1")  # fmt: skip
key_is(
    "content-type", RFC3875 + "3", "Content-Type becomes CONTENT_TYPE, without HTTP_",
    "CONTENT_TYPE", "text/x-kit; a=b", "/wsgi/environ", ("Content-Type", "text/x-kit; a=b"),
)  # fmt: skip
key_is(
    "content-length", RFC3875 + "2", "Content-Length becomes CONTENT_LENGTH",
    "CONTENT_LENGTH", "4", "/wsgi/environ", ("Content-Length", "4"), method="POST", body=b"body",
)  # fmt: skip
key_is(
    "chunked-length", "RFC 3875 4.1.2", "a chunked body is de-chunked and has its CONTENT_LENGTH",
    "CONTENT_LENGTH", "5", "/wsgi/environ", ("Transfer-Encoding", "chunked"),
    method="POST", body=b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
)  # fmt: skip
key_is(
    "no-transfer-encoding", "RFC 9112 6.1", "the application sees no Transfer-Encoding, which is "
    "the server's business", "HTTP_TRANSFER_ENCODING", None, "/wsgi/environ",
    ("Transfer-Encoding", "chunked"), method="POST", body=b"0\r\n\r\n",
)  # fmt: skip
key_is("field", RFC3875 + "18", "a field becomes HTTP_NAME", "HTTP_X_KIT_FIELD", "value",
       "/wsgi/environ", ("X-Kit-Field", "value"))  # fmt: skip
key_is("field-blanks", "RFC 9110 5.5", "blanks around a field's value are not part of it",
       "HTTP_X_KIT", "a  b", "/wsgi/environ", ("X-Kit", " \t a  b \t"))  # fmt: skip
key_is("field-empty", "RFC 9110 5.5", "an empty field is there and is empty", "HTTP_X_KIT", "",
       "/wsgi/environ", ("X-Kit", ""))  # fmt: skip
key_is("field-latin-1", "PEP 3333", "bytes of a value are decoded as latin-1", "HTTP_X_KIT",
       "größe", "/wsgi/environ", ("X-Kit", "größe"))  # fmt: skip
key_is("cookies-joined", "RFC 6265 5.4", "two Cookie fields are joined with a semicolon",
       "HTTP_COOKIE", "a=1; b=2", "/wsgi/environ", ("Cookie", "a=1"),
       ("Cookie", "b=2"))  # fmt: skip
key_is("underscore-dropped", "RFC 3875 4.1.18", "a field with an underscore in its name is dropped",
       "HTTP_X_FORWARDED_PROTO", None, "/wsgi/environ", ("X_Forwarded_Proto", "https"))  # fmt: skip
key_is("underscore-no-collision", "RFC 3875 4.1.18", "it does not collide with the one that has "
       "a hyphen", "HTTP_X_REAL", "true", "/wsgi/environ",
       ("X_Real", "false"), ("X-Real", "true"), ("X_Real", "false"))  # fmt: skip
key_is("host", RFC3875 + "18", "HTTP_HOST is the Host field", "HTTP_HOST", lambda kit: kit.host)
key_is("scheme", "PEP 3333", "wsgi.url_scheme is what the client speaks", "wsgi.url_scheme",
       lambda kit: kit.server.scheme)  # fmt: skip
key_is("version", "PEP 3333", "wsgi.version is (1, 0)", "wsgi.version", [1, 0])
key_is("run-once", "PEP 3333", "wsgi.run_once is false", "wsgi.run_once", False)
key_is("input-terminated", ENVIRON, "wsgi.input_terminated is true: the input ends by itself",
       "wsgi.input_terminated", True)  # fmt: skip


@case(GROUP, "RFC 9110 5.3", "repeated fields are joined with a comma, in their order")
def fields_joined(kit: Kit) -> None:
    plain = seen(kit, "/wsgi/environ", ("X-A", "1"), ("X-B", "x"), ("X-A", "2"))["plain"]
    equal(plain["HTTP_X_A"].replace(" ", ""), "1,2", "environ['HTTP_X_A']")


@case(GROUP, "RFC 9112 3.2.2", "the host of an absolute target replaces the Host field")
def absolute_target(kit: Kit) -> None:
    plain = seen(kit, "http://other.example:81/wsgi/environ?q")["plain"]
    got = [plain[key] for key in ("HTTP_HOST", "PATH_INFO", "QUERY_STRING")]
    equal(got, ["other.example:81", "/wsgi/environ", "q"], "HTTP_HOST, PATH_INFO and QUERY_STRING")


@case(GROUP, "RFC 3875 4.1.8", "REMOTE_PORT is the client's port")
def remote_port(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/wsgi/environ", ("Host", kit.host))
    plain = json.loads(client.response().body)["plain"]
    equal(plain["REMOTE_PORT"], str(client.sock.getsockname()[1]), "environ['REMOTE_PORT']")


def shape(name: str, title: str, ask: Callable[[dict[str, Any]], object], expected: object) -> None:
    """Register a case about the environ as a whole."""
    add(GROUP, name, "PEP 3333", title, lambda kit: equal(ask(seen(kit)), expected, title))


shape("is-dict", "the environ is a builtin dict", lambda e: e["type"], "dict")
shape("text", "strings are str of latin-1 characters", lambda e: e["text"], True)
shape("errors", "wsgi.errors has write, writelines and flush", lambda e: e["errors"], [True] * 3)
shape("input", "wsgi.input has all four ways to read", lambda e: e["input"], [True] * 4)
shape("input-empty", "wsgi.input of a request without a body is at its end",
      lambda e: e["at_end"], "")  # fmt: skip
shape("no-length", "CONTENT_LENGTH is absent or empty without a body",
      lambda e: e["plain"].get("CONTENT_LENGTH", "") or "", "")  # fmt: skip
shape("flags", "wsgi.multithread and wsgi.multiprocess are bools",
      lambda e: [type(e["plain"][f"wsgi.multi{k}"]).__name__ for k in ("thread", "process")],
      ["bool", "bool"])  # fmt: skip
shape("no-process-environment", "the process's own environment is not in it",
      lambda e: [key for key in ("PATH", "HOME", "PYTHONUNBUFFERED") if key in e["keys"]],
      [])  # fmt: skip
shape("no-websocket", "an ordinary request has no wsgi.websocket and no dualws.upgrade",
      lambda e: [k for k in ("wsgi.websocket", "dualws.upgrade") if k in e["keys"]],
      [])  # fmt: skip
shape("software", "SERVER_SOFTWARE names the server",
      lambda e: bool(e["plain"]["SERVER_SOFTWARE"]), True)  # fmt: skip


@case(GROUP, ENVIRON, "wsgi.server is the server, and knows its backend's name")
def server(kit: Kit) -> None:
    equal(seen(kit)["server"], kit.server.backend, "environ['wsgi.server'].backend.name")


@case(GROUP, ENVIRON, "a valid upgrade request has a wsgi.websocket, and reaches an ordinary view")
def websocket(kit: Kit) -> None:
    client, head = kit.upgrade("/echo/")
    equal(head.status, 200, "the status of an ordinary view's answer")
    answer = json.loads(client.read_body(head)[0])
    equal(answer["websocket"], True, "'wsgi.websocket' in environ")
    equal(answer["types"].get("wsgi.websocket"), "WebSocket", "the type of wsgi.websocket")


@case(GROUP, ENVIRON, "a bad handshake has its reason in dualws.handshake_error instead")
def handshake_error(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/echo/", ("Host", kit.host), ("Upgrade", "websocket"))
    answer = json.loads(client.response().body)
    check(not answer["websocket"], "a bad handshake has a wsgi.websocket in its environ")
    check(answer["error"], "environ['dualws.handshake_error'] gives no reason")


@case(GROUP, ENVIRON, "wsgi.websocket tells path, origin, version and subprotocol", styles=STYLES)
def websocket_attributes(kit: Kit) -> None:
    origin = ("Origin", kit.origin)
    peer = kit.open("report", origin, ("Sec-WebSocket-Protocol", "x, kit.v2"), query="a=1")
    told = peer.json()
    expected = {
        "path": kit.path("report"),
        "origin": kit.origin,
        "version": 13,
        "protocol": "kit.v2",
        "closed": False,
        "query": "a=1",
        "backend": kit.server.backend,
        "same": True,
    }
    equal({key: told[key] for key in expected}, expected, "what the handler saw")
