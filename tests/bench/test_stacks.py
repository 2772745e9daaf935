"""What benchmarks/ of a checkout adds: peers that can be started, and flame graphs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from support.backends import LIBRARIES, chosen

ROOT = Path(__file__).resolve().parent.parent.parent

#: The peers that are known, and those of them that run an own app without the port in front.
PEERS = """
import json
from benchmarks.contenders import DEFAULT, contenders
known = contenders()
(folder,) = known["tornado"].apps
scripts = [one for one in known.values() if (folder / f"{one.command[2]}.py").exists()]
print(json.dumps({
    "missing": sorted(set(DEFAULT) - set(known)),
    "scripts": len(scripts),
    "wrong": [one.name for one in scripts if one.command[3:4] != ("{port}",)],
}))
"""

STACKS = """
from benchmarks.stacks import draw, parse
tree = parse('main (m.py:1);view (dualws_site/urls.py:3);send <x> (dualws/faces.py:9) 3\\n'
             'main (m.py:1);view (dualws_site/urls.py:4);get (django/http.py:2) 1\\n')
print(draw("where & when", tree))
"""


def run(script: str) -> str:
    """What a script prints that imports benchmarks/, which is no part of the installed package."""
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_every_peer_can_be_started() -> None:
    told = json.loads(run(PEERS))
    assert told["scripts"] > 10
    assert told["wrong"] == []
    absent = tuple(f"dualws-{name}" for name in LIBRARIES if name not in chosen())
    assert [name for name in told["missing"] if not name.startswith(absent)] == []


def test_a_frame_is_as_wide_as_its_share() -> None:
    picture = ElementTree.fromstring(run(STACKS))
    space = "{http://www.w3.org/2000/svg}"
    frames = {
        frame.findtext(f"{space}title"): [
            float(box.get("width", "")) for box in frame.iter(f"{space}rect")
        ]
        for frame in picture.iter(f"{space}g")
    }
    # Two lines of one function are one frame, and what all have in common is left out.
    assert frames == {
        "send <x> (dualws/faces.py): 75.0%": [900.0],
        "get (django/http.py): 25.0%": [300.0],
    }
    assert "where & when" in "".join(picture.itertext())
