"""The guide's table and the dashboard name the figures that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dualws import conf
from dualws.observing.catalog import HISTOGRAM, METRICS

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide" / "observability.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "dualws.json"


def test_the_table_is_the_catalog() -> None:
    rows = re.findall(r"^\| `(dualws_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", GUIDE.read_text(), re.M)
    labels = {name: re.findall(r"`(\w+)`", text) for name, _, text, _ in rows}
    assert [(name, kind, says) for name, kind, _, says in rows[:-1]] == [
        (metric.name, metric.kind, metric.help) for metric in METRICS
    ]
    assert rows[-1][0] == "dualws_backend_info"
    for metric in METRICS:
        assert labels[metric.name] == list(metric.labels)


def test_every_setting_that_the_guide_names_is_there() -> None:
    text = GUIDE.read_text()
    names = set(re.findall(r"DUALWS_[A-Z_]+", text))
    flags = set(re.findall(r"--(?:no-)?([a-z]+(?:-[a-z]+)*)", text)) - {"bind", "workers"}
    assert names <= conf.known_settings()
    assert flags <= {field.name.replace("_", "-") for field in conf.fields()}


def test_the_dashboard_asks_for_figures_that_are_there() -> None:
    board = json.loads(DASHBOARD.read_text())
    known = {}
    for metric in METRICS:
        if metric.kind == HISTOGRAM:
            for part in ("_bucket", "_sum", "_count"):
                known[metric.name + part] = ("le",)
        else:
            known[metric.name] = metric.labels
    asked = set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            (name,) = set(re.findall(r"dualws_\w+", target["expr"]))
            asked.add(name)
            by = re.search(r"by \((\w+)\)", target["expr"])
            assert by is None or by[1] in known[name]
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert label in known[name]
    assert asked <= set(known)
    # Each figure that there is is on it.
    names = {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
    assert names == {metric.name for metric in METRICS}


@pytest.mark.parametrize("kind", ["ids", "places"])
def test_the_dashboard_has_no_two_panels_in_one_place(kind: str) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = {
        "ids": [panel["id"] for panel in panels],
        "places": [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels],
    }
    assert len(set(places[kind])) == len(panels)
