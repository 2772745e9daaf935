"""Goes around the servers: all are started first, then each gets a short turn in every round.

Law: what disturbs the machine for a while disturbs all alike, and the median of the rounds
leaves it out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dualws.bench import cpu
from dualws.bench.contenders import HOST, Contender
from dualws.bench.errors import BenchmarkError
from dualws.bench.load import Spec
from dualws.bench.process import ServerProcess, versions
from dualws.bench.result import Entry, Run, Turn
from dualws.bench.workloads import Workload

#: Seconds that a turn may take beyond its own length.
_PATIENCE = 60.0


def run(
    workload: Workload,
    contenders: Sequence[Contender],
    *,
    rounds: int,
    seconds: float,
    warm_up: float,
    engine: str = "auto",
    python_for: Callable[[Contender], str] = lambda contender: sys.executable,
) -> Run:
    """Measure *contenders* under *workload*.

    :param rounds: turns of each server
    :param seconds: length of a turn
    :param warm_up: seconds of load before each turn
    :param engine: the load's, see ``load.ENGINES``
    :param python_for: the interpreter that runs a server
    :raises BenchmarkError: a server cannot be installed or started, or fails under the load
    """
    server_core, load_core = cpu.cores()
    entries = []
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description:32}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                transient=True,
            )
        )
        task = progress.add_task("", total=(rounds + 1) * len(contenders))
        servers = []
        for contender in contenders:
            progress.update(task, description=f"starting {contender.name}")
            python = python_for(contender)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
            server = ServerProcess(contender, python, folder, server_core)
            stack.callback(server.stop)
            servers.append(server)
            found = versions(contender, python)
            entries.append(Entry(contender=contender, versions=found, turns=[]))
        # The first round makes every server import, cache and allocate what it will need.
        for number in range(rounds + 1):
            for server, entry in zip(servers, entries, strict=True):
                name = server.contender.name
                progress.update(
                    task, description=f"round {number} {name}" if number else f"warm-up {name}"
                )
                spec = Spec(
                    host=HOST,
                    port=server.port,
                    path=server.contender.path,
                    raw=server.contender.raw,
                    pid=server.pid,
                    server_core=server_core,
                    core=load_core,
                    connections=workload.connections,
                    size=workload.size,
                    in_flight=workload.in_flight,
                    text=workload.text,
                    seconds=seconds if number else min(seconds, 0.5),
                    warm_up=warm_up,
                    engine=engine,
                )
                turn = _turn(server, spec)
                if number:
                    entry.turns.append(turn)
                progress.advance(task)
    return Run(
        workload=workload,
        entries=entries,
        python=platform.python_version(),
        machine=_machine(),
        pinned=server_core is not None,
    )


def _turn(server: ServerProcess, spec: Spec) -> Turn:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dualws.bench.load", json.dumps(dataclasses.asdict(spec))],
            capture_output=True,
            text=True,
            timeout=spec.seconds + spec.warm_up + _PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(server.story("did not let the load come to its end")) from None
    if done.returncode:
        raise BenchmarkError(server.story(f"failed under the load: {done.stderr.strip()}"))
    return Turn(**json.loads(done.stdout))


def _machine() -> str:
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {platform.system()} {platform.release()}"
