"""What the benchmark makes of its measurements, and what it says when something is amiss."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from bench.peer import head_of, serving
from dualws.bench import plots, probe, report, wire
from dualws.bench.command import make
from dualws.bench.contenders import PORT, PYTHON, Contender
from dualws.bench.cpu import Usage, Used, family, memory
from dualws.bench.errors import BenchmarkError
from dualws.bench.plan import Latencies
from dualws.bench.result import Entry, Run, Turn
from dualws.bench.workloads import CURVES, WORKLOADS

linux = pytest.mark.skipif(sys.platform != "linux", reason="the load needs epoll: Linux")


def turn(messages: int, *, cpu: float = 0.5, **more: int) -> Turn:
    """One second in which *messages* came back."""
    return Turn(
        messages=messages,
        seconds=1.0,
        used=Used(server=cpu, load=0.2, beside_server=0.0, beside_load=0.0),
        worst_share=0.9,
        latencies=Latencies(p50=0.001, p99=0.002, slowest=0.004),
        engine="C",
        **more,
    )


def entry(name: str, *turns: Turn) -> Entry:
    contender = Contender(name=name, title=name, ours=name.startswith("dualws"), command=())
    return Entry(contender=contender, versions={}, turns=list(turns))


def run_of(*entries: Entry, workload: str = "small") -> Run:
    return Run(
        workload=WORKLOADS[workload],
        entries=list(entries),
        failures={"apache": "it is not here"},
        python="3",
        machine="a machine",
        pinned=True,
    )


def test_ratios_are_taken_within_rounds() -> None:
    ours, other = entry("dualws-a", turn(100), turn(10), turn(300)), entry("x", turn(50), turn(5),
                                                                           turn(300))  # fmt: skip
    assert ours.times(other) == 2
    assert ours.frugal(other) == 2
    assert ours.rate == 100
    assert ours.spread == 2


def test_memory_is_counted_from_before_the_first_connection() -> None:
    first = turn(10, memory_before=1000, memory_during=21_000)
    later = turn(10, memory_before=9000, memory_during=23_000)
    assert entry("x", first, later).memory == (2000 + 2200) / 2
    assert entry("x", turn(10)).memory is None


def test_a_report_says_who_was_the_limit_and_who_is_missing() -> None:
    busy = dataclasses.replace(
        turn(10), used=Used(server=0.5, load=0.95, beside_server=0.0, beside_load=0.3)
    )
    notes = " ".join(report.notes(run_of(entry("x", busy))))
    assert "x: the load was the limit in 1 of 1 rounds" in notes
    assert "apache did not take part: it is not here" in notes
    assert "Other processes took over a tenth of a core in 1 of 1 turns" in notes


def test_a_report_is_written_by_workload(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    report.write([run_of(entry("dualws-a", turn(100)), entry("x", turn(50)))], file)
    (server, _) = json.loads(file.read_text())["small"]["servers"].values()
    assert server["ratios"]["x"] == {"rate": 2, "cpu": 2}
    assert Turn.from_json(server["turns"][0]) == turn(100)


@pytest.mark.parametrize("workload", ["small", "idle", "http"])
def test_a_table_is_printed(workload: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = turn(100, memory_before=0, memory_during=102_400) if workload == "idle" else turn(100)
    report.show(run_of(entry("dualws-a", shown), entry("x", shown), workload=workload))
    printed = capsys.readouterr().out
    assert {"small": "messages/s", "idle": "KiB each", "http": "requests/s"}[workload] in printed
    assert "1.00 (1.00)" in printed


def test_pictures_are_svg_with_every_name() -> None:
    bars = plots.bars(run_of(entry("dualws-a", turn(100)), entry("<x>", turn(50), turn(90))))
    words = list(ElementTree.fromstring(bars).itertext())
    assert "dualws-a" in words
    assert "<x>" in words
    runs = {10.0: run_of(entry("dualws-a", turn(100))), 1000.0: run_of(entry("dualws-a", turn(9)))}
    curve = ElementTree.fromstring(plots.curve("Cost", "connections", runs))
    assert {"Cost", "connections", "dualws-a", "10", "1,000"} <= set(curve.itertext())
    assert "nothing was measured" in plots.curve("Cost", "connections", {})


def test_every_point_of_a_curve_has_a_name_of_its_own() -> None:
    for works in CURVES.values():
        assert len({work.name for work in works}) == len(works)


@pytest.mark.parametrize("size", [1, 5, 200, 1024])
def test_payloads_have_their_size(size: int) -> None:
    assert len(wire.payload(size)) == len(wire.json_payload(size)) == size


@linux
def test_a_server_is_its_process_and_what_it_started() -> None:
    usage = Usage(os.getpid(), None, None)
    assert os.getpid() in family(os.getpid())
    assert (memory(os.getpid()) or 0) > 0
    used = usage.since()
    assert used.server is not None
    assert used.beside_server is None


def test_an_answer_with_another_date_is_the_same_answer() -> None:
    def dated(sock: socket.socket, members: list[socket.socket]) -> None:
        number = 0
        while head_of(sock):
            number += 1
            head = b"HTTP/1.1 200 OK\r\ndate: %d\r\nContent-Length: 2\r\n\r\nhi" % number
            sock.sendall(head)

    with serving(dated) as port:
        answer, mask = probe.http_answer("127.0.0.1", port, b"GET / HTTP/1.1\r\n\r\n")
    # The head's own blanks belong to the value that may differ.
    assert answer.count(b"hi") == 1
    assert mask == b"\xff" * 22 + b"\x00\x00" + b"\xff" * (len(answer) - 24)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([b"HTTP/1.1 404 No\r\n\r\n"], "refused"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
          b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n"],
         "different answers"),
        ([b"HTTP/1.1 200 OK\r\n"], "closed in the middle"),
    ],
)  # fmt: skip
def test_answers_that_cannot_be_compared_are_refused(answers: list[bytes], said: str) -> None:
    def answering(sock: socket.socket, members: list[socket.socket]) -> None:
        for answer in answers:
            head_of(sock)
            sock.sendall(answer)

    with serving(answering) as port, pytest.raises(BenchmarkError, match=said):
        probe.http_answer("127.0.0.1", port, b"GET / HTTP/1.1\r\n\r\n")


def test_a_server_that_does_not_compress_is_told() -> None:
    def plain(sock: socket.socket, members: list[socket.socket]) -> None:
        head_of(sock)
        sock.sendall(b"HTTP/1.1 101 Yes\r\n\r\n")

    with serving(plain) as port, pytest.raises(BenchmarkError, match="does not compress"):
        probe.compressed_ring("127.0.0.1", port, b"GET / HTTP/1.1\r\n\r\n", b"data", 1)


def servers() -> dict[str, Contender]:
    broken = Contender(
        name="broken", title="ends at once", command=(PYTHON, "-c", "exit('no luck')", PORT)
    )
    return {"broken": broken}


@linux
def test_a_server_that_does_not_start_is_told_and_the_others_go_on() -> None:
    done = CliRunner().invoke(make(servers), ["run", "--rounds", "1"])
    assert done.exit_code == 1
    assert "broken did not take part: broken ended before it listened" in done.output
    assert "no luck" in done.output
    assert "a workload had no server that could take part" in done.output


def test_an_unknown_server_is_named_beside_the_known_ones() -> None:
    done = CliRunner().invoke(make(servers), ["run", "--servers", "broken,apache"])
    assert done.exit_code == 2
    assert "no server is called apache; there are broken" in done.output


def test_servers_and_workloads_are_listed() -> None:
    assert "broken" in CliRunner().invoke(make(servers), ["servers"]).output
    listed = CliRunner().invoke(make(servers), ["workloads"]).output
    assert all(name in listed for name in WORKLOADS)
