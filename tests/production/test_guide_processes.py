"""The programs of the guide's page on processes, run as the page says."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from support.crowd import answer, ask, open_socket
from support.frames import CLOSE, read_frame
from support.timing import eventually
from support.workers import Fleet

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "processes.md"
BLOCK = re.compile(r"^```python\n# (?P<name>[\w.]+\.py)\n(?P<code>.*?)^```$", re.M | re.S)
SITE = """
from django.urls import path
import guide_draining
from dualws import websocket

urlpatterns = [
    path("game/", websocket(guide_draining.Game)),
    path("clock/", guide_draining.clock),
    path("questions/", guide_draining.questions),
]
"""


def test_the_page(backend: str, tmp_path: Path) -> None:
    blocks = {block["name"]: block["code"] for block in BLOCK.finditer(PAGE.read_text())}
    assert set(blocks) == {"gunicorn.conf.py", "guide_draining.py"}
    (tmp_path / "guide_draining.py").write_text(blocks["guide_draining.py"])
    (tmp_path / "guide_site.py").write_text(SITE)
    with Fleet(
        tmp_path,
        backend,
        config=blocks["gunicorn.conf.py"],
        log=tmp_path / "error.log",
        options=("--drain-window", "4"),
        env={"DUALWS_TEST_SETTINGS": json.dumps({"ROOT_URLCONF": "guide_site"})},
    ) as fleet:
        assert int((tmp_path / "mysite.pid").read_text()) == fleet.pid
        with (
            open_socket(fleet, "/game/") as game,
            open_socket(fleet, "/clock/") as clock,
            open_socket(fleet, "/questions/") as questions,
        ):
            assert ask(game, b"e4") == "move 1"
            assert answer(clock) == "tick"
            assert ask(questions, b"why") == "you asked why"
            fleet.signal(signal.SIGTERM)
            assert json.loads(answer(game)) == {"keep": ["e4"]}
            for client in (game, clock, questions):
                while (frame := read_frame(client)).opcode != CLOSE:
                    pass
                assert frame.close_code in (1000, 1012)
                client.close()
        assert fleet.wait() == 0
    eventually(lambda: not (tmp_path / "mysite.pid").exists(), what="the pidfile stays")
