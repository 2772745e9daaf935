"""The close handshake (RFC 6455 sections 5.5.1 and 7)."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.frames import CLOSE
from dualws_conformance.kit import Kit
from dualws_conformance.model import STYLES, add, case, check, equal
from dualws_conformance.promises import CLOSING

GROUP = "closing"


@case(GROUP, "RFC 6455 7.1.1", "a close is answered, then the server closes TCP first",
      styles=STYLES)  # fmt: skip
def simple(kit: Kit) -> None:
    peer = kit.open()
    peer.echo("x")
    peer.goodbye(1000, "bye")


@case(GROUP, "RFC 6455 5.5.1", "a close without a code is answered without one", styles=STYLES)
def without_code(kit: Kit) -> None:
    kit.open().goodbye(None)


@case(GROUP, "RFC 6455 7.1.5", "the handler learns code and reason of the client", styles=STYLES)
def told(kit: Kit) -> None:
    key = kit.key()
    peer = kit.open(query=f"key={key}")
    peer.goodbye(3456, "grüße")
    equal(kit.notes(key), [[3456, "grüße", None, True]], "what the handler saw of the end")


@case(GROUP, "RFC 6455 7.1.5", "a close without a code is 1005 to the handler", styles=STYLES)
def told_1005(kit: Kit) -> None:
    key = kit.key()
    kit.open(query=f"key={key}").goodbye(None)
    equal(kit.notes(key)[0][:2], [1005, ""], "the handler's close code and reason")


@case(GROUP, "RFC 6455 7.1.5", "a connection lost without a close is 1006 to the handler",
      styles=STYLES)  # fmt: skip
def told_1006(kit: Kit) -> None:
    for how in ("reset", "close", "finish"):
        key = kit.key()
        peer = kit.open(query=f"key={key}")
        peer.echo("x")
        getattr(peer.client, how)()
        equal(kit.notes(key)[0][0], 1006, f"the handler's close code after the client's {how}")


@case(GROUP, "RFC 6455 7.1.7", "a failed connection is its code to the handler", styles=STYLES)
def told_failure(kit: Kit) -> None:
    key = kit.key()
    peer = kit.open(query=f"key={key}")
    peer.send(frames.text(b"\xff"))
    peer.expect_failed(1007)
    equal(kit.notes(key)[0][0], 1007, "the handler's close code")


@case(GROUP, "RFC 6455 7.1.2", "the handler closes with a code and a reason", styles=STYLES)
def server_closes(kit: Kit) -> None:
    key = kit.key()
    peer = kit.open("closes", query=f"key={key}")
    peer.text("3001 the end ✓")
    peer.expect_close(3001, reason="the end ✓")
    peer.send(frames.closing(3001, "the end ✓"))
    peer.client.expect_end()
    closed, message, code, reason, send = kit.notes(key)[0]
    equal((closed, message), (True, None), "ws.closed and ws.receive() after the close")
    equal((code, reason), (3001, "the end ✓"), "the code and reason after the close")
    equal(send, "WebSocketClosed", "what send() raised after the close")


@case(GROUP, "RFC 6455 7.1.2", "what the client sends after the server's close is dropped",
      styles=STYLES)  # fmt: skip
def sent_after_server_close(kit: Kit) -> None:
    key = kit.key()
    peer = kit.open("closes", query=f"key={key}")
    peer.text("1000")
    peer.expect_close(1000)
    peer.send(frames.text("late"), frames.closing(1000))
    peer.client.expect_end()
    equal(kit.notes(key)[0][1], None, "what the handler received after its close")


@case(GROUP, "RFC 6455 7.1.1", "a client that does not answer the close is dropped in time",
      styles=STYLES)  # fmt: skip
def not_answered(kit: Kit) -> None:
    peer = kit.open("returns")
    peer.expect("first and last")
    peer.expect_failed(1000)


@case(GROUP, CLOSING, "a handler that returns closes with 1000", styles=STYLES)
def returns(kit: Kit) -> None:
    peer = kit.open("returns")
    peer.expect("first and last")
    peer.expect_close(1000)
    peer.send(frames.closing(1000))
    peer.client.expect_end()


@case(GROUP, "RFC 6455 7.4.1", "a handler that raises closes with 1011, without a traceback",
      styles=STYLES)  # fmt: skip
def crashes(kit: Kit) -> None:
    peer = kit.open("crashes")
    peer.text("go")
    frame = peer.expect_close(1011)
    check("bug" not in frame.reason, "the close reason shows the exception's text")
    peer.client.expect_end()


@case(GROUP, "RFC 6455 5.5.1", "a close of one byte fails the connection with 1002", styles=STYLES)
def one_byte(kit: Kit) -> None:
    peer = kit.open()
    peer.send(frames.build(CLOSE, b"\x03"))
    peer.expect_failed(1002)


@case(GROUP, "RFC 6455 5.5.1", "a reason that is not UTF-8 fails it with 1007", styles=STYLES)
def bad_reason(kit: Kit) -> None:
    peer = kit.open()
    peer.send(frames.closing(1000, b"\xff\xfe"))
    peer.expect_failed(1007, 1002)


@case(GROUP, "RFC 6455 5.5.1", "a reason of 123 bytes passes both ways", styles=STYLES)
def longest_reason(kit: Kit) -> None:
    key = kit.key()
    kit.open(query=f"key={key}").goodbye(1000, "é" * 61 + "x")
    equal(kit.notes(key)[0][1], "é" * 61 + "x", "the handler's close reason")


@case(GROUP, "RFC 6455 5.5.1", "messages before the close are answered before its answer",
      styles=STYLES)  # fmt: skip
def messages_first(kit: Kit) -> None:
    peer = kit.open()
    peer.send(*(frames.text(f"{n}") for n in range(30)), frames.closing(1000))
    peer.expect(*(f"{n}" for n in range(30)))
    peer.expect_close(1000)
    peer.client.expect_end()


@case(GROUP, "RFC 6455 5.5.1", "a second close frame changes nothing", styles=STYLES)
def two_closes(kit: Kit) -> None:
    peer = kit.open()
    peer.send(frames.closing(1000, "first"), frames.closing(1001, "second"))
    peer.expect_close(1000)
    peer.client.expect_end()


for _cut in (1, 2, 5, 7):

    def cut_close(kit: Kit, cut: int = _cut) -> None:
        key = kit.key()
        peer = kit.open(query=f"key={key}")
        peer.send(frames.closing(1000)[:cut])
        peer.client.finish()
        equal(kit.notes(key)[0][0], 1006, "the handler's close code")

    add(GROUP, f"cut-after-{_cut}", "RFC 6455 7.1.5", f"a close frame that breaks off after {_cut} "
        "bytes is none: 1006", cut_close, styles=STYLES)  # fmt: skip
