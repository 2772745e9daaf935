"""The conformance kit itself: its cases, its command, its reports, and the project's backends."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from dualws.serving.cli import cli
from dualws_conformance import frames, model, promises
from dualws_conformance.console import progress
from dualws_conformance.reports.data import as_json
from dualws_conformance.reports.junit import as_junit
from dualws_conformance.reports.page import as_page
from dualws_conformance.runner import Result, run
from dualws_conformance.wire import Transcript
from support.timing import TIMEOUT

KIT = Path(model.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
#: Groups that are quick and go through every layer of a backend.
SAMPLE = ("environ", "early", "masking", "closing", "context", "limits")


def test_there_are_more_than_600_cases_each_with_what_it_proves() -> None:
    cases = model.select()
    assert len(cases) > 600
    assert {case.group for case in cases} == set(model.GROUPS)
    assert max(Counter(case.id for case in cases).values()) == 1
    for case in cases:
        assert case.title
        assert not case.title.endswith("."), case
        assert set(case.styles) <= {*model.STYLES, *model.PLAIN}, case


#: A section of an RFC or a draft, a PEP, or two of these.
_SPECIFICATION = re.compile(
    r"((RFC \d+|draft-ietf-hybi-thewebsocketprotocol-\d\d) \d+(\.\d+)*(/\d+)?|PEP \d+)(, (?=\w)|$)"
)


def test_each_case_proves_a_section_of_a_specification_or_a_heading_of_the_documentation() -> None:
    unknown = []
    for case in model.select():
        page, _, heading = case.section.partition(", ")
        if page.startswith("docs/"):
            written = (ROOT / page).read_text()
            if not re.search(rf"^#+ {re.escape(heading)}$", written, re.M):
                unknown.append((case.id, case.section))
        elif _SPECIFICATION.sub("", case.section):
            unknown.append((case.id, case.section))
    assert unknown == []


def test_every_promise_is_proved() -> None:
    promised = {value for name, value in vars(promises).items() if name.isupper()}
    assert promised
    assert promised - {case.section for case in model.select()} == set()


def test_the_clients_share_no_code_with_the_server() -> None:
    """The project runs in the server; the command line needs dualws's own errors."""
    for path in KIT.rglob("*.py"):
        if "project" in path.parts or path.name in ("command.py", "__main__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                assert name.split(".")[0] not in ("dualws", "websockets", "ws4py"), (path, name)


def test_a_backend_passes_a_sample(backend: str) -> None:
    results = run([backend], model.select(SAMPLE), quick=True)
    assert [f"{r.case.id} ({r.style}): {r.failure}" for r in results if not r.passed] == []


def test_a_case_cannot_be_registered_twice() -> None:
    model.select(["early"])
    with pytest.raises(ValueError, match="two cases are called early/message"):
        model.add("early", "message", "RFC 6455 4.1", "again", lambda kit: None)
    with pytest.raises(ValueError, match="GROUPS"):
        model.add("no-such-group", "x", "dualws", "x", lambda kit: None)
    with pytest.raises(ValueError, match="there is no group 'nothing'"):
        model.select(["nothing"])


def test_a_transcript_keeps_what_went_each_way() -> None:
    transcript = Transcript()
    transcript.add("sent", b"a" * 10)
    transcript.add("sent", b"b" * 1000)
    transcript.add("received", b"c")
    first, second = transcript.entries
    assert (first.direction, first.size, len(first.data)) == ("sent", 1010, 512)
    assert "1010 bytes in all" in str(first)
    assert str(second) == "received: b'c'"


def test_frames_are_built_as_the_rfc_shows() -> None:
    """RFC 6455 section 5.7 has these examples."""
    key = b"\x37\xfa\x21\x3d"
    hello = frames.build(frames.TEXT, b"Hello", mask=key)
    assert hello.hex() == "818537fa213d7f9f4d5158"
    assert frames.build(frames.TEXT, b"Hello", mask=None).hex() == "810548656c6c6f"
    assert frames.build(frames.PING, b"Hello", mask=None).hex() == "890548656c6c6f"
    assert frames.build(frames.BINARY, bytes(256), mask=None)[:4].hex() == "827e0100"
    assert frames.build(frames.BINARY, bytes(65536), mask=None)[:10].hex() == "827f0000000000010000"
    accept = frames.accept_key("dGhlIHNhbXBsZSBub25jZQ==")
    assert accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


# -- reports -----------------------------------------------------------------------


@pytest.fixture
def results() -> list[Result]:
    """One that passed, and one that failed with bytes that no format likes."""
    good, bad = model.select(["early"])[:2]
    return [
        Result(good, "gevent", "blocking", 0.25),
        Result(bad, "gevent", "inside", 1.5, "it said <b>\x00 & more", ("sent: b'\\x81\x00<'",)),
    ]


def test_the_json_report(results: list[Result]) -> None:
    document = json.loads(as_json(results, 2.0))
    assert (document["passed"], document["failed"], document["cases"]) == (1, 1, 2)
    assert document["results"][1]["failure"] == "it said <b>\x00 & more"
    assert document["results"][1]["transcript"] == ["sent: b'\\x81\x00<'"]
    assert document["results"][0]["section"] == "RFC 6455 4.1"


def test_the_junit_report(results: list[Result]) -> None:
    root = ElementTree.fromstring(as_junit(results, 2.0))
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    assert [suite.get("name") for suite in root] == ["gevent.blocking", "gevent.inside"]
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "it said <b>\ufffd & more"


def test_the_page_stands_alone(results: list[Result]) -> None:
    page = as_page(results, 2.0)
    found: list[tuple[str, str | None]] = []

    class Look(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend((name, value) for name, value in attrs if name in ("src", "href"))
            assert tag not in ("script", "link", "img", "iframe")

    Look().feed(page)
    assert all(value and value.startswith("#") for _, value in found)
    assert "1 of 2 runs failed" in page
    assert "it said &lt;b&gt;" in page
    assert "all 1 runs passed" in as_page(results[:1], 1.0)


# -- the commands ------------------------------------------------------------------


def test_the_command_prints_the_matrix_and_writes_the_reports(backend: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("out.json", "out.xml", "out.html")]
    words = ["conformance", "--backend", backend, "--group", "early"]
    for flag, path in zip(("--json", "--junit", "--html"), files, strict=True):
        words += [flag, str(path)]
    run_ = CliRunner().invoke(cli, words)
    assert run_.exit_code == 0, run_.output
    assert "early" in run_.output
    assert backend in run_.output
    assert "all 45 passed" in run_.output
    assert json.loads(files[0].read_text())["failed"] == 0
    assert all(path.stat().st_size > 500 for path in files)


def on_a_terminal(*words: str) -> str:
    """What the kit's command writes to a terminal."""
    screen, terminal = os.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "dualws_conformance", *words]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environ) as process:
        os.close(terminal)
        written = b""
        # Linux ends a terminal whose other end is closed with an error, others with nothing.
        with contextlib.suppress(OSError):
            while data := os.read(screen, 65536):
                written += data
        os.close(screen)
    assert process.returncode == 0, written
    return written.decode()


def test_a_bar_shows_how_far_the_command_is(backend: str) -> None:
    cases = model.select(["early"])
    runs = sum(len(case.styles) for case in cases)
    written = on_a_terminal("--backend", backend, "--group", "early")
    shown = [int(done) for done in re.findall(rf"(\d+)/{runs}\b", written)]
    assert f"{len(cases)} cases" in written
    assert shown == sorted(shown)
    assert shown[0] < runs == shown[-1]
    assert len(set(shown)) > 2


def test_the_bar_counts_what_failed_and_leaves_nothing_where_there_is_no_terminal() -> None:
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
        with progress(console) as bar:
            task = bar.add_task("5 cases", total=5, failed="")
            bar.update(task, advance=2, failed="1 failed")
            bar.refresh()
        assert isinstance(console.file, io.StringIO)
        written = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", console.file.getvalue())
        assert ("2/5" in written, "1 failed" in written) == (terminal, terminal)


@pytest.mark.needs("openssl")
def test_the_command_speaks_tls(backend: str) -> None:
    words = ["conformance", "--backend", backend, "--group", "early", "--group", "environ", "--tls"]
    run_ = CliRunner().invoke(cli, words)
    assert run_.exit_code == 0, run_.output


def test_the_command_without_a_backend_of_that_name() -> None:
    words = [sys.executable, "-m", "dualws_conformance", "--backend", "nonesuch"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT * 4, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: There is no backend 'nonesuch'")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_the_command_lists_its_cases() -> None:
    run_ = CliRunner().invoke(cli, ["conformance", "--backend", "x", "--list"])
    assert run_.exit_code == 0
    assert "utf8/valid-ascii  [RFC 6455 8.1]  " in run_.output
    assert len(run_.output.splitlines()) == len(model.select())


def pytest_of_the_kit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "dualws_conformance.plugin"]
    command += ["-p", "no:cacheprovider", "--pyargs", "dualws_conformance", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT * 8, check=False
    )


def test_the_kit_under_pytest(backend: str, tmp_path: Path) -> None:
    done = pytest_of_the_kit(tmp_path, "--backend", backend, "--conformance-group", "early")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "45 passed" in done.stdout


def test_the_kit_under_pytest_asks_for_a_backend(tmp_path: Path) -> None:
    done = pytest_of_the_kit(tmp_path)
    assert done.returncode == 2  # an error while collecting
    assert "--backend NAME" in done.stdout + done.stderr
