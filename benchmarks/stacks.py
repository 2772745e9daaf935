"""Sampled stacks as a picture: a flame graph without a script in it, the outermost frame on top.

Law: width is share of samples and nothing else; a frame shows its whole name when pointed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

_WIDTH, _ROW, _LETTER = 1200.0, 17, 6.3
#: Narrower frames, in pixels, are not drawn.
_NARROWEST = 1.0
_OURS, _DJANGO, _LIBRARY = ("#5fb38d", "#d9a13b", "#b9c0cc")


@dataclass(slots=True)
class Frame:
    """A function in one place of the stacks."""

    samples: int = 0
    below: dict[str, Frame] = field(default_factory=dict)


def parse(text: str) -> Frame:
    """The tree of *text*: lines of ``outer;inner;innermost COUNT``."""
    root = Frame()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if not stack:
            continue
        frame = root
        frame.samples += int(count)
        for name in stack.split(";"):
            # The line in a function says less than the function, and would split it.
            name = re.sub(r":\d+\)$", ")", name)
            frame = frame.below.setdefault(name, Frame())
            frame.samples += int(count)
    return root


def _colour(name: str) -> str:
    if "dualws" in name:
        return _OURS
    return _DJANGO if "(django/" in name or "(asgiref/" in name else _LIBRARY


def draw(title: str, root: Frame) -> str:
    """*root* as SVG. Green is dualws and the project, yellow Django, grey everything else."""
    parts: list[str] = []
    deepest = 0
    total = root.samples or 1
    # A common outer part of all stacks (the command line, say) says nothing.
    while len(root.below) == 1:
        (root,) = root.below.values()

    def place(frame: Frame, left: float, depth: int) -> None:
        nonlocal deepest
        for name, inner in sorted(frame.below.items()):
            width = inner.samples / root.samples * _WIDTH
            if width >= _NARROWEST:
                deepest = max(deepest, depth)
                top = 30 + depth * _ROW
                share = f"{inner.samples / total:.1%}"
                letters = int(width / _LETTER) - 1
                words = name.partition(" (")[0]
                shown = words if len(words) <= letters else words[: max(0, letters - 1)] + "…"
                label = f'<text x="{left + 3:.1f}" y="{top + 12}">{escape(shown)}</text>'
                parts.append(
                    f"<g><title>{escape(name)}: {share}</title>"
                    f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 1}" '
                    f'fill="{_colour(name)}"/>{label if letters > 2 else ""}</g>'
                )
                place(inner, left, depth + 1)
            left += width

    place(root, 0.0, 0)
    height = 40 + (deepest + 1) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height}">'
        "<style>text{font:11px monospace;fill:#111}.t{font:14px sans-serif;fill:#777}</style>"
        f'<text class="t" x="3" y="18">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )
