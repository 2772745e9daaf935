"""The programs of the guide's pages on `ws`, addresses, the database, sessions and security.

The README's first one, too.

Law: what a page shows is what is served here, to the letter: its blocks begin with a comment
that names their file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support import frames
from support.crowd import answer, ask, open_socket
from support.frames import TEXT, build, read_frame
from support.member import Member
from support.server import LiveServer
from support.timing import eventually

Serve = Callable[..., LiveServer]
ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide"
BLOCK = re.compile(r"^```python\n# (?P<name>\w+\.py)\n(?P<code>.*?)^```$", re.M | re.S)

#: Puts the programs beside the test project's own addresses.
SITE = """
from django.urls import include, path
from support.project.urls import urlpatterns as own
{imports}
urlpatterns = [*own, {paths}]
"""


@pytest.fixture
def serve_page(serve_app: Serve, tmp_path: Path) -> Callable[..., LiveServer]:
    """``serve_page("page", imports, paths)``: the test project with the programs of a page."""

    def start(page: str, imports: str, paths: str) -> LiveServer:
        blocks = list(BLOCK.finditer((GUIDE / f"{page}.md").read_text()))
        assert blocks
        for block in blocks:
            (tmp_path / block["name"]).write_text(block["code"])
        (tmp_path / "guide_site.py").write_text(SITE.format(imports=imports, paths=paths))
        settings = {"ROOT_URLCONF": "guide_site", "LOGIN_URL": "/members/enter/"}
        return serve_app("support.project.wsgi", env={"DUALWS_TEST_SETTINGS": json.dumps(settings)})

    return start


def test_urls(serve_page: Callable[..., LiveServer]) -> None:
    server = serve_page(
        "urls",
        "import guide_members as members",
        'path("", include("guide_urls")), path("m/f/", members.members), '
        'path("m/c/", members.Members.as_view())',
    )
    for path in ("rooms/blue/", "rooms/blue/lounge/", "rooms/blue/lobby/", "halls/blue/"):
        with open_socket(server, f"/{path}") as client:
            assert answer(client) == "welcome to blue"
            assert ask(client, b"hello") == "hello"
    with open_socket(server, "/offices/blue/") as client:
        assert answer(client) == "welcome to blue"
    assert server.get("/halls/blue/").body == b"the hall blue"
    assert server.get("/offices/blue/").body == b"the office blue"
    for path in ("/m/f/", "/m/c/"):
        with Member(server, "ada").open(path) as client:
            assert answer(client) == "hello ada"
        with server.connect() as client:
            assert frames.handshake(client, path, server.netloc).status == 302


def test_database(serve_page: Callable[..., LiveServer]) -> None:
    server = serve_page(
        "database",
        "import guide_database as views",
        'path("sell/", views.sell), path("count/", views.count)',
    )
    with open_socket(server, "/sell/") as seller, open_socket(server, "/count/") as counter:
        assert [ask(seller, name) for name in (b"tea", b"tea", b"milk")] == ["1", "1", "2"]
        assert [ask(counter, name) for name in (b"tea", b"wine")] == ["1", "0"]


@pytest.mark.parametrize("name", ["shop", "shop_async"])
def test_sessions(serve_page: Callable[..., LiveServer], name: str) -> None:
    server = serve_page(
        "sessions", "import guide_sessions as views", f'path("shop/", views.{name})'
    )
    member = Member(server)
    member.session(cart=["tea"])
    with member.open("/shop/") as client:
        member.session(cart=["tea", "milk"])
        client.send(build(TEXT, b"thanks"))
        if name == "shop":
            assert ask(client, b"cart") == "2 in the cart"
        client.send(build(frames.CLOSE))
        assert read_frame(client).opcode == frames.CLOSE
    assert member.session() == {"cart": ["tea", "milk"], "last_word": "thanks"}


def test_reconnect_storms(share_app: Serve, key: str) -> None:
    (block,) = (
        block
        for block in BLOCK.finditer((GUIDE / "sessions.md").read_text())
        if block["name"] == "guide_settings.py"
    )
    settings: dict[str, object] = {}
    exec(block["code"], settings)  # the page's own
    env = {"DUALWS_TEST_SETTINGS": json.dumps({"MIDDLEWARE": settings["MIDDLEWARE"]})}
    server = share_app("support.project.wsgi", env=env)
    member = Member(server, key)
    server.get("/together/watch/", key=key)
    with member.open("/together/who/") as client:
        assert json.loads(answer(client))["name"] == key
    assert server.get_json("/notes/", key=key, count=2) == [
        ["django_session", 1],
        ["auth_user", 1],
    ]


def test_security(serve_page: Callable[..., LiveServer]) -> None:
    server = serve_page(
        "security",
        "import guide_security as views",
        'path("staff/", views.staff), path("members-only/", views.members)',
    )
    with server.connect() as client:
        assert frames.handshake(client, "/staff/", server.netloc).status == 403
    server.expect_traceback("PermissionDenied")
    with open_socket(server, "/members-only/") as client:
        assert read_frame(client).close_code == 4401
    with Member(server, "ada").open("/members-only/") as client:
        assert answer(client) == "hello ada"


def test_websocket(serve_page: Callable[..., LiveServer]) -> None:
    server = serve_page(
        "websocket", "import guide_websocket", 'path("g/", include(guide_websocket))'
    )
    with server.connect() as client:
        assert frames.handshake(client, "/g/chat/blue/", server.netloc).status == 302
    with Member(server, "ada").open("/g/chat/blue/") as client:
        assert ask(client, b"hello") == "ada in blue: hello"
    with open_socket(server, "/g/clock/") as client:
        told = json.loads(ask(client, b'"Europe/Madrid"'))
        assert told == {"zone": "Europe/Madrid", "day": "2026-11-22"}
        assert "error" in json.loads(ask(client, b"{"))
    with open_socket(server, "/g/report/") as client:
        lines = [read_frame(client) for _ in range(3)]
        assert [line.payload for line in lines] == [b"line 0\n", b"line 1\n", b"line 2\n"]
        assert [line.fin for line in lines] == [False, False, True]
    with open_socket(server, "/g/until-gone/") as client:
        assert answer(client) == "tick"
        assert ask(client) == "tick"
        client.send(build(frames.CLOSE, frames.close_payload(4000)))
        assert read_frame(client).close_code == 4000


def test_topics(serve_page: Callable[..., LiveServer]) -> None:
    server = serve_page("topics", "import guide_topics", 'path("g/", include(guide_topics))')
    with open_socket(server, "/g/room/blue/") as ada:
        # Who hears itself is subscribed.
        assert ask(ada, b"here") == "here"
        with open_socket(server, "/g/room/blue/") as grace:
            assert ask(grace, b"here, too") == answer(ada) == "here, too"
            with open_socket(server, "/g/room/red/") as other:
                assert ask(other, b"alone") == "alone"
            assert ask(ada, b"hello") == answer(grace) == "hello"
    with open_socket(server, "/g/prices/") as buyer:
        buyer.send(build(TEXT, b"tea"))
        eventually(
            lambda: server.get("/g/set-price/tea/3/").body == b"1 were told",
            what="not subscribed",
        )
        assert answer(buyer) == "tea 3"
        buyer.send(build(TEXT, b"-tea"))
        eventually(
            lambda: server.get("/g/set-price/tea/4/").body == b"0 were told",
            what="still subscribed",
        )


def test_the_first_program_of_the_readme(serve_app: Serve, tmp_path: Path, key: str) -> None:
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"^# mysite/settings\.py\n.*?^```$", readme, re.M | re.S)
    assert block is not None
    parts = re.split(r"^# mysite/(\w+)\.py\n", block[0].removesuffix("```"), flags=re.M)
    files = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert list(files) == ["settings", "views", "urls"]
    package = tmp_path / "mysite"
    package.mkdir()
    for name in ("views", "urls"):
        (package / f"{name}.py").write_text(files[name])
    paths = 'path("", include("mysite.urls"))'
    (tmp_path / "guide_site.py").write_text(SITE.format(imports="", paths=paths))
    settings = {"ROOT_URLCONF": "guide_site", "LOGIN_URL": "/members/enter/"}
    server = serve_app("support.project.wsgi", env={"DUALWS_TEST_SETTINGS": json.dumps(settings)})
    with open_socket(server, f"/rooms/{key}/") as somebody:
        # Who hears itself is subscribed.
        assert ask(somebody, b"here") == "AnonymousUser: here"
        with Member(server, "ada").open(f"/rooms/{key}/") as ada:
            assert ask(ada, b"hello") == "ada: hello"
            assert answer(somebody) == "ada: hello"
