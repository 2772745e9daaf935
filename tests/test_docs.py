"""The documentation holds together: every link leads somewhere, and every page can be found.

Law: what is checked are links within the project; the web beyond it changes by itself.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = sorted((ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")))

_FENCE = re.compile(r"^(```+).*?^\1`*\s*$", re.M | re.S)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(\s*<?([^)>\s]+)>?[^)]*\)")
_HEADING = re.compile(r"^#{1,6} +(.*?)[ #]*$", re.M)


def text_of(page: Path) -> str:
    """The page without its blocks of code."""
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Fragments by which the page's headings are found, as forges make them."""
    found: set[str] = set()
    for heading in _HEADING.findall(text_of(page)):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = sum(1 for name in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", name))
        found.add(f"{slug}-{number}" if number else slug)
    return found


def links(page: Path) -> list[str]:
    """Targets of the page's links within the project."""
    targets = _LINK.findall(_CODE.sub("", text_of(page)))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for target in links(page):
        path, _, fragment = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (fragment and fragment not in anchors(place)):
            lost.append(target)
    assert lost == []


def test_every_proof_of_the_threat_model_is_a_test() -> None:
    page = DOCS / "deployment" / "security.md"
    proofs = re.findall(r"\[`(\w+)`\]\(([^)]+\.py)\)", page.read_text())
    assert len(proofs) > 30
    lost = [
        name
        for name, target in proofs
        if f"def {name}(" not in (page.parent / target).resolve().read_text()
    ]
    assert lost == []


def test_every_claim_of_the_threat_model_has_a_proof() -> None:
    tables = re.findall(
        r"^\| attack \|.*?\n\|[-|]+\n((?:\|.*\n)+)",
        (DOCS / "deployment" / "security.md").read_text(),
        re.M,
    )
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) > 20
    assert [row for row in rows if "](" not in row.split("|")[3]] == []


def test_the_index_lists_every_page() -> None:
    listed = {(DOCS / target.partition("#")[0]).resolve() for target in links(INDEX)}
    pages = {page for page in DOCS.rglob("*.md") if page != INDEX}
    assert pages - listed == set()


def test_the_readme_leads_to_the_index() -> None:
    assert "docs/README.md" in links(ROOT / "README.md")
