"""The programs of ``docs/guide/compatibility.md``, as files that a test serves.

Law: what the guide shows is what is tested, to the letter: its blocks begin with a comment that
names their file.
"""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "compatibility.md"

_BLOCK = re.compile(r"^```python\n# (?P<name>[\w/]+\.py)\n(?P<code>.*?)^```$", re.M | re.S)


def programs() -> dict[str, str]:
    """File name -> text, for each program of the guide."""
    found = {match["name"]: match["code"] for match in _BLOCK.finditer(GUIDE.read_text())}
    assert found, f"no programs in {GUIDE}"
    return found


def write(folder: Path, *names: str, **replaced: str) -> None:
    """Write programs of the guide into *folder*.

    :param names: their files
    :param replaced: ``word="other"`` puts another word in the place of one that the guide names
        as a choice
    """
    texts = programs()
    for name in names:
        text = texts[name]
        for word, other in replaced.items():
            assert word in text, f"{name} has no {word!r}"
            text = text.replace(word, other)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
