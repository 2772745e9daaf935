"""The answer that ends a connection which is not served: a whole response in one piece.

Law: it says that the connection ends, and how long it is.
"""

from __future__ import annotations

from collections.abc import Iterable


def last_answer(status: str, text: str = "", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """The response.

    :param status: code and phrase
    :param text: what the body says; default: the phrase
    :param headers: further ones
    """
    body = f"{text or status[4:]}\n".encode()
    lines = (
        f"HTTP/1.1 {status}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body
