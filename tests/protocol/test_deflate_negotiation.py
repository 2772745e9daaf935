"""Agreeing on permessage-deflate: RFC 6455 section 9.1, RFC 7692 sections 5 and 7.1."""

from __future__ import annotations

import pytest

from dualws.errors import HandshakeError
from dualws.protocol.deflate import Agreement, negotiate
from dualws.protocol.extensions import Extension, parse


@pytest.mark.parametrize(
    ("header", "extensions"),
    [
        ("", []),
        (" \t", []),
        ("foo", [("foo", ())]),
        ("foo, bar", [("foo", ()), ("bar", ())]),
        (",foo ,, bar,", [("foo", ()), ("bar", ())]),
        ("foo;a;b=1", [("foo", (("a", None), ("b", "1")))]),
        (" foo ; a = 1 ;\tb ", [("foo", (("a", "1"), ("b", None)))]),
        ('foo; a="1"', [("foo", (("a", "1"),))]),
        ('foo; a="\\1\\2"', [("foo", (("a", "12"),))]),
        ("foo; a; a=1", [("foo", (("a", None), ("a", "1")))]),
        ("foo, foo; a", [("foo", ()), ("foo", (("a", None),))]),
    ],
)
def test_the_header_is_parsed(
    header: str, extensions: list[tuple[str, tuple[tuple[str, str | None], ...]]]
) -> None:
    assert parse(header) == tuple(Extension(*extension) for extension in extensions)


@pytest.mark.parametrize(
    "header",
    [
        "foo bar",
        "foo;",
        "foo;;a",
        "foo; a=",
        "foo; =1",
        "foo=1",
        ";a",
        "foo; a=1 2",
        'foo; a="',
        'foo; a="1',
        'foo; a="1"2',
        'foo; a=""',
        'foo; a="1 2"',
        'foo; a="1,2"',
        'foo; a="1;2"',
        'foo; a="1\\"',
        'foo; a="\\""',
        '"foo"',
        "foo; (a)",
        "föo",
        "foo/bar",
        "foo,\x01",
    ],
)
def test_what_does_not_fit_the_grammar_fails_the_handshake(header: str) -> None:
    with pytest.raises(HandshakeError, match="Sec-WebSocket-Extensions") as caught:
        parse(header)
    assert caught.value.status == 400


def test_a_long_header_of_nonsense_is_refused_in_linear_time() -> None:
    for header in (
        "foo" + ";a=" * 20_000,
        'foo;a="' + "\\" * 60_000,
        "foo " * 15_000,
        '"' * 60_000,
    ):
        with pytest.raises(HandshakeError):
            parse(header)


def answer(header: str, window_bits: int = 12, context_takeover: bool = False) -> str | None:
    agreement = negotiate(parse(header), window_bits=window_bits, context_takeover=context_takeover)
    return None if agreement is None else str(agreement)


DEFAULT = (
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
    "server_max_window_bits=12"
)


@pytest.mark.parametrize(
    ("offer", "response"),
    [
        ("permessage-deflate", DEFAULT),
        ("permessage-deflate; client_max_window_bits", DEFAULT + "; client_max_window_bits=12"),
        ("permessage-deflate; client_max_window_bits=15", DEFAULT + "; client_max_window_bits=12"),
        ("permessage-deflate; client_max_window_bits=9", DEFAULT + "; client_max_window_bits=9"),
        ('permessage-deflate; client_max_window_bits="8"', DEFAULT + "; client_max_window_bits=8"),
        ("permessage-deflate; server_max_window_bits=15", DEFAULT),
        (
            "permessage-deflate; server_max_window_bits=8",
            DEFAULT.replace("bits=12", "bits=8"),
        ),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", DEFAULT),
        # several offers: the first that can be accepted
        ("permessage-deflate; nonsense, permessage-deflate", DEFAULT),
        ("x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=16, bar", None),
        (
            "bar; a=1, permessage-deflate; server_max_window_bits=10, permessage-deflate",
            DEFAULT.replace("bits=12", "bits=10"),
        ),
    ],
)
def test_offers_and_answers(offer: str, response: str | None) -> None:
    assert answer(offer) == response


@pytest.mark.parametrize(
    ("offer", "response"),
    [
        ("permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
        ),
        (
            "permessage-deflate; client_max_window_bits; server_max_window_bits=11",
            "permessage-deflate; server_max_window_bits=11; client_max_window_bits=15",
        ),
    ],
)
def test_with_context_takeover_only_what_the_client_asks_for_is_given_up(
    offer: str, response: str
) -> None:
    assert answer(offer, window_bits=15, context_takeover=True) == response


@pytest.mark.parametrize(
    "parameters",
    [
        "unknown",
        "unknown=1",
        "Server_No_Context_Takeover",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=09",
        "server_max_window_bits=+9",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=010",
        "client_max_window_bits=1e1",
    ],
)
def test_an_offer_with_a_wrong_parameter_is_declined(parameters: str) -> None:
    assert answer(f"permessage-deflate; {parameters}") is None
    assert answer(f"permessage-deflate; {parameters}, permessage-deflate") == DEFAULT


def test_no_offer_no_agreement() -> None:
    assert answer("") is None
    assert answer("permessage-bzip2, permessage-deflate-frame") is None


def test_the_response_is_what_was_agreed() -> None:
    agreement = negotiate(parse("permessage-deflate; client_max_window_bits=10"))
    assert agreement == Agreement(
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        server_max_window_bits=12,
        client_max_window_bits=10,
    )
