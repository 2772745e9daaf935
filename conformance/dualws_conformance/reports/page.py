"""The HTML report: one page that needs nothing else, the failures first."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from dualws_conformance.reports.data import cell, columns, rows
from dualws_conformance.runner import Result

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: left; }
td.number { text-align: right; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.scroll { overflow-x: auto; }
details { border-bottom: 1px solid var(--line); padding: .4rem 0; }
summary { cursor: pointer; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: .75rem; }
small { opacity: .75; }
"""


def as_page(results: Sequence[Result], seconds: float) -> str:
    """The run as an HTML page.

    :param seconds: how long it took
    """
    failures = [result for result in results if not result.passed]
    cases = len({result.case.id for result in results})
    verdict = (
        f'<span class="bad">{len(failures)} of {len(results)} runs failed</span>'
        if failures
        else f'<span class="good">all {len(results)} runs passed</span>'
    )
    body = [
        "<h1>dualws conformance</h1>",
        f"<p>{verdict}: {cases} cases in {seconds:.1f} s.</p>",
        *_matrix(results),
    ]
    if failures:
        body.append("<h2>Failures</h2>")
        body += [_failure(result) for result in failures]
    body.append("<h2>Cases</h2>")
    for group in rows(results):
        body += _group(group, [result for result in results if result.case.group == group])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>dualws conformance</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _matrix(results: Sequence[Result]) -> Iterator[str]:
    wanted = columns(results)
    heads = "".join(f"<th>{_e(backend)}<br><small>{_e(style)}</small></th>"
                    for backend, style in wanted)  # fmt: skip
    yield f'<div class="scroll"><table><thead><tr><th>group</th>{heads}</tr></thead><tbody>'
    for group in rows(results):
        cells = []
        for column in wanted:
            own = cell(results, group, column)
            good = sum(result.passed for result in own)
            mark = "good" if good == len(own) else "bad"
            shown = f"{good}/{len(own)}" if own else ""
            cells.append(f'<td class="number {mark}">{shown}</td>')
        yield f'<tr><th><a href="#{group}">{group}</a></th>{"".join(cells)}</tr>'
    yield "</tbody></table></div>"


def _failure(result: Result) -> str:
    transcript = "\n".join(result.transcript) or "nothing was sent or received"
    return (
        f'<details open><summary><span class="bad">{_e(result.case.id)}</span> on '
        f"{_e(result.backend)}, {_e(result.style)} <small>{_e(result.case.section)}</small>"
        f"</summary><p>{_e(result.case.title)}.</p><p><b>{_e(result.failure)}</b></p>"
        f"<pre>{_e(transcript)}</pre></details>"
    )


def _group(group: str, results: Sequence[Result]) -> Iterator[str]:
    yield f'<h3 id="{group}">{group}</h3><div class="scroll"><table><tbody>'
    by_case: dict[str, list[Result]] = {}
    for result in results:
        by_case.setdefault(result.case.id, []).append(result)
    for own in by_case.values():
        one = own[0].case
        bad = [result for result in own if not result.passed]
        where = ", ".join(f"{result.backend} {result.style}" for result in bad)
        mark = f'<span class="bad">failed: {_e(where)}</span>' if bad else "passed"
        kind = "bad" if bad else "good"
        yield (
            f"<tr><td>{_e(one.name)}</td><td>{_e(one.title)}</td>"
            f'<td><small>{_e(one.section)}</small></td><td class="{kind}">{mark}</td></tr>'
        )
    yield "</tbody></table></div>"


def _e(text: str) -> str:
    return html.escape(text)
