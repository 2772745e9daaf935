"""Processor time of a server, and when it has come to rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from dualws.bench import cpu
from support.timing import TIMEOUT

#: Works for as many seconds of processor time as it is told, then does nothing.
_PROGRAM = """
import sys, time
print("begun", flush=True)
while time.process_time() < float(sys.argv[1]):
    pass
sys.stdin.read()
"""


@pytest.fixture
def busy() -> Iterator[Callable[[float], int]]:
    """``busy(seconds)``: the process id of a program at work."""
    started: list[subprocess.Popen[str]] = []

    def start(seconds: float) -> int:
        program = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        return program.pid

    yield start
    for program in started:
        program.kill()
        program.communicate(timeout=TIMEOUT)


def test_the_end_of_its_work_is_waited_for(busy: Callable[[float], int]) -> None:
    pid = busy(1.0)
    assert cpu.come_to_rest(pid, TIMEOUT)
    used = cpu.of_process(pid)
    assert used is not None
    assert used >= 1.0 - 0.02  # the system counts in hundredths


def test_but_not_for_ever(busy: Callable[[float], int]) -> None:
    assert not cpu.come_to_rest(busy(10 * TIMEOUT), 0.0)
