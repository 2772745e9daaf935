"""Goes around the servers: all are started first, then each gets a short turn in every round.

Law: what disturbs the machine for a while disturbs all alike, and the median of the rounds
leaves it out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import signal
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
    :return: what was measured. A server that cannot be installed or started, or that fails
        under the load, is told among the failures, and the others go on without it
    """
    server_core, load_core = cpu.cores()
    cpu.more_files()
    failures: dict[str, str] = {}
    taking_part: list[tuple[ServerProcess, Entry]] = []
    with contextlib.ExitStack() as stack:
        # A run that is ended from outside (timeout(1), say) must not leave its servers behind.
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        stack.callback(signal.signal, signal.SIGTERM, before)
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description:32}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                transient=True,
            )
        )
        task = progress.add_task("", total=(rounds + 2) * len(contenders))
        for contender in contenders:
            progress.update(task, description=f"starting {contender.name}")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
            try:
                python = python_for(contender)
                server = ServerProcess(
                    contender, python, folder, server_core, signed_in=workload.signed_in
                )
                stack.callback(server.stop)
                found = versions(contender, python)
            except BenchmarkError as error:
                failures[contender.name] = str(error)
            else:
                entry = Entry(contender=contender, versions=found, turns=[])
                taking_part.append((server, entry))
            progress.advance(task)
        # The first round makes every server import, cache and allocate what it will need.
        for number in range(rounds + 1):
            for server, entry in tuple(taking_part):
                name = server.contender.name
                progress.update(
                    task, description=f"round {number} {name}" if number else f"warm-up {name}"
                )
                spec = Spec(
                    host=HOST,
                    port=server.port,
                    path=server.contender.path_of(workload),
                    raw=server.contender.raw,
                    pid=server.pid,
                    server_core=server_core,
                    core=load_core,
                    workload=workload if number else _warming(workload),
                    seconds=seconds if number else min(seconds, 0.5),
                    warm_up=warm_up,
                    engine=engine,
                )
                try:
                    turn = _turn(server, spec)
                except BenchmarkError as error:
                    failures[name] = str(error)
                    taking_part.remove((server, entry))
                    server.stop()
                else:
                    if number:
                        entry.turns.append(turn)
                    # Or the next one would have to share the core with its goodbyes. One that never
                    # rests is reported as any other process that disturbs.
                    cpu.come_to_rest(server.pid)
                progress.advance(task)
    return Run(
        workload=workload,
        entries=[entry for _, entry in taking_part],
        failures=failures,
        python=platform.python_version(),
        machine=_machine(),
        pinned=server_core is not None,
    )


def _warming(workload: Workload) -> Workload:
    """What the first round does: silent connections are few, so that their memory shows later."""
    if workload.kind != "idle":
        return workload
    return dataclasses.replace(workload, connections=min(workload.connections, 100))


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
    return Turn.from_json(json.loads(done.stdout))


def _machine() -> str:
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {platform.system()} {platform.release()}"
