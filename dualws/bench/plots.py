"""Pictures of runs as SVG: bars for a workload, lines for a curve.

Law: *a picture is text that a browser shows*: no library draws it, and it is readable on a
light and on a dark page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from dualws.bench.result import Run

_STYLE = (
    "<style>text{font:12px sans-serif;fill:#444}.t{font-size:14px;font-weight:bold}"
    ".g{stroke:#8884;stroke-width:1}@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>"
)
_OURS, _OTHERS = "#2a7f62", "#8a94a6"
_COLOURS = (
    *("#2a7f62", "#c1572b", "#3b6fb5", "#9a5fb0", "#b08d1e", "#4a9aa8", "#b03a5b", "#6b7280"),
    *("#7aa33a", "#d08aa5", "#5a4fcf", "#a0703c"),
)
_ROW, _NAME, _BAR, _VALUE = 22, 190, 420, 110


def _picture(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">{_STYLE}{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(words)}</text>'


def bars(run: Run) -> str:
    """What each server did a second, the best one first; a line shows the spread."""
    entries = sorted(run.entries, key=lambda entry: entry.rate, reverse=True)
    most = max((entry.rate * (1 + entry.spread) for entry in entries), default=0.0) or 1.0
    work = run.workload
    parts = [_text(0, 16, f"{work.unit.capitalize()} a second: {work}", kind="t")]
    for index, entry in enumerate(entries):
        top = 28 + index * _ROW
        length = entry.rate / most * _BAR
        low, high = (entry.rate * (1 + sign * entry.spread) / most * _BAR for sign in (-1, 1))
        middle = top + _ROW / 2
        colour = _OURS if entry.contender.ours else _OTHERS
        parts += (
            _text(_NAME - 8, middle + 4, entry.contender.name, anchor="end"),
            f'<rect x="{_NAME}" y="{top + 3}" width="{length:.1f}" height="{_ROW - 6}" '
            f'fill="{colour}"/>',
            f'<line x1="{_NAME + max(0.0, low):.1f}" x2="{_NAME + high:.1f}" y1="{middle}" '
            f'y2="{middle}" stroke="#0008"/>',
            _text(_NAME + _BAR + 8, middle + 4, f"{entry.rate:,.0f}"),
        )
    return _picture(_NAME + _BAR + _VALUE, 36 + len(entries) * _ROW, parts)


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten around *low* to *high*."""
    return [10.0**power for power in range(math.floor(math.log10(low)),
                                           math.ceil(math.log10(high)) + 1)]  # fmt: skip


def lines(
    title: str, across: str, up: str, curves: Mapping[str, Sequence[tuple[float, float]]]
) -> str:
    """Curves over logarithmic axes.

    :param title: what is shown
    :param across: what the horizontal axis means
    :param up: what the vertical one means
    :param curves: name of each -> its points, positive numbers
    """
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return _picture(300, 40, [_text(0, 16, f"{title}: nothing was measured", kind="t")])
    width, height, left, top = 460.0, 300.0, 70.0, 40.0
    xs, ys = (_ticks(min(axis), max(axis)) for axis in zip(*points, strict=True))

    def place(value: float, ticks: Sequence[float], length: float) -> float:
        span = math.log10(ticks[-1]) - math.log10(ticks[0]) or 1.0
        return (math.log10(value) - math.log10(ticks[0])) / span * length

    parts = [_text(0, 16, title, kind="t"), _text(0, top - 8, up)]
    for tick in ys:
        y = top + height - place(tick, ys, height)
        parts.append(f'<line class="g" x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 6, y + 4, f"{tick:,g}", anchor="end"))
    for tick in xs:
        x = left + place(tick, xs, width)
        parts.append(f'<line class="g" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + height}"/>')
        parts.append(_text(x, top + height + 16, f"{tick:,g}", anchor="middle"))
    parts.append(_text(left + width / 2, top + height + 34, across, anchor="middle"))
    for index, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        path = " ".join(
            f"{left + place(x, xs, width):.1f},{top + height - place(y, ys, height):.1f}"
            for x, y in curve
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = top + 14 + index * 18
        parts.append(f'<rect x="{left + width + 14}" y="{y - 9}" width="12" height="8" '
                     f'fill="{colour}"/>')  # fmt: skip
        parts.append(_text(left + width + 32, y, name))
    return _picture(left + width + 230, max(top + height + 44, 60 + len(curves) * 18), parts)


def curve(title: str, across: str, runs: Mapping[float, Run]) -> str:
    """Processor time of a message against what differs between *runs*."""
    points: dict[str, list[tuple[float, float]]] = {}
    for value, run in runs.items():
        for entry in run.entries:
            cost = entry.median(lambda turn: turn.cpu_per_message)
            if cost:
                points.setdefault(entry.contender.name, []).append((value, cost * 1e6))
    return lines(title, across, "CPU µs a message", points)


def write(picture: str, file: Path) -> None:
    """Put *picture* into *file*, its folder made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(picture, encoding="utf-8")
