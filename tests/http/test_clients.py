"""Clients that people use: curl, http.client, aiohttp."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from support.machine import needs
from support.server import LiveServer
from support.timing import TIMEOUT

MIB = 1024 * 1024


def curl(*words: str) -> bytes:
    """What curl prints."""
    run = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--max-time", f"{TIMEOUT:g}", *words],
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file of 2 MiB and its digest."""
    path = tmp_path_factory.mktemp("upload") / "upload.bin"
    path.write_bytes(bytes(range(256)) * (2 * MIB // 256))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@needs("curl")
def test_curl_uploads_with_expect(live: LiveServer, upload: tuple[Path, str]) -> None:
    """curl waits for the 100 and says in its trace that it came."""
    path, digest = upload
    trace = path.with_name("trace")
    output = curl(
        *("--trace-ascii", str(trace), "-H", "Expect: 100-continue", "--expect100-timeout", "60"),
        *("--data-binary", f"@{path}", live.url("/upload/")),
    )
    assert json.loads(output)["sha256"] == digest
    assert "HTTP/1.1 100 " in trace.read_text()


@needs("curl")
def test_curl_uploads_in_chunks(live: LiveServer, upload: tuple[Path, str]) -> None:
    path, digest = upload
    words = ("-H", "Transfer-Encoding: chunked", "--data-binary", f"@{path}")
    output = curl(*words, live.url("/upload/"))
    assert json.loads(output) == {
        "sha256": digest,
        "length": 2 * MIB,
        "CONTENT_LENGTH": str(2 * MIB),
    }


@needs("curl")
def test_curl_sends_a_form_with_a_file(live: LiveServer, upload: tuple[Path, str]) -> None:
    path, digest = upload
    output = curl("-F", "field=välue", "-F", f"upload=@{path}", live.url("/form/"))
    answer = json.loads(output)
    assert answer["POST"] == {"field": "välue"}
    assert answer["FILES"]["upload"] == ["upload.bin", 2 * MIB, digest]


@needs("curl")
def test_curl_keeps_the_connection(live: LiveServer) -> None:
    urls = [live.url(f"/echo/?n={number}") for number in range(5)]
    output = curl("--write-out", "\n%{num_connects}\n", *urls)
    lines = output.decode().splitlines()
    assert lines[1::2] == ["1", "0", "0", "0", "0"]


@needs("curl")
def test_curl_head_and_http_1_0(live: LiveServer) -> None:
    assert curl("--head", live.url("/echo/")).startswith(b"HTTP/1.1 200 OK\r\n")
    answer = json.loads(curl("--http1.0", live.url("/echo/")))
    assert answer["meta"]["SERVER_PROTOCOL"] == "HTTP/1.0"


@needs("curl")
def test_curl_asks_for_http_2_and_stays_on_1_1(live: LiveServer) -> None:
    """``Upgrade: h2c`` is an ordinary request to a server that does not speak it."""
    answer = json.loads(curl("--http2", live.url("/echo/")))
    assert answer["method"] == "GET"


def test_http_client_sends_an_iterable_in_chunks(live: LiveServer) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(100):
            yield str(number).encode()

    connection = http.client.HTTPConnection(*live.address, timeout=TIMEOUT)
    try:
        for _ in range(3):
            connection.request("POST", "/echo/", pieces(), encode_chunked=True, headers=CHUNKED)
            answer = json.loads(connection.getresponse().read())
            assert answer["body"] == "".join(map(str, range(100)))
    finally:
        connection.close()


CHUNKED = {"Transfer-Encoding": "chunked"}


def test_aiohttp_uses_few_connections_for_many_requests(live: LiveServer) -> None:
    async def run() -> None:
        connector = aiohttp.TCPConnector(limit=4)
        timeout = aiohttp.ClientTimeout(TIMEOUT)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

            async def get(number: int) -> str:
                async with session.get(live.url(f"/echo/?n={number}")) as answer:
                    assert answer.status == 200
                    seen = await answer.json()
                    assert seen["query"] == f"n={number}"
                    return str(seen["meta"]["REMOTE_PORT"])

            ports = await asyncio.gather(*map(get, range(60)))
            assert len(set(ports)) <= 4

    asyncio.run(run())


def test_aiohttp_reads_a_stream_as_it_comes(live: LiveServer) -> None:
    async def run() -> None:
        timeout = aiohttp.ClientTimeout(TIMEOUT)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(live.url("/stream/?key=aiohttp&count=3")) as answer,
        ):
            for number in (1, 2, 3):
                assert await answer.content.readline() == f"chunk {number}\n".encode()
                async with session.get(live.url("/release/?key=aiohttp")):
                    pass
            assert await answer.content.read() == b""

    asyncio.run(run())


def test_aiohttp_uploads_a_stream(live: LiveServer) -> None:
    async def run() -> None:
        async def pieces() -> object:
            for _ in range(64):
                yield b"x" * 32768

        timeout = aiohttp.ClientTimeout(TIMEOUT)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(live.url("/upload/"), data=pieces(), expect100=True) as answer,
        ):
            assert (await answer.json())["length"] == 2 * MIB

    asyncio.run(run())
