"""Flame graphs are drawn from sampled stacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent.parent

SCRIPT = """
from benchmarks.stacks import draw, parse
tree = parse('main (m.py:1);view (dualws_site/urls.py:3);send <x> (dualws/faces.py:9) 3\\n'
             'main (m.py:1);view (dualws_site/urls.py:4);get (django/http.py:2) 1\\n')
print(draw("where & when", tree))
"""


def test_a_frame_is_as_wide_as_its_share() -> None:
    # The folder benchmarks/ is no part of the installed package: it is found from the root.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    picture = ElementTree.fromstring(done.stdout)
    space = "{http://www.w3.org/2000/svg}"
    frames = {
        frame.findtext(f"{space}title"): float(frame.find(f"{space}rect").get("width", ""))  # type: ignore[union-attr]
        for frame in picture.iter(f"{space}g")
    }
    # Two lines of one function are one frame, and what all have in common is left out.
    assert frames == {
        "send <x> (dualws/faces.py): 75.0%": 900.0,
        "get (django/http.py): 25.0%": 300.0,
    }
    assert "where & when" in "".join(picture.itertext())
