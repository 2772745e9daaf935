"""Flame graphs: where a server spends its time under a workload, as py-spy sees it.

Law: the same servers and the same load as in a measurement; only a sampler looks on.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers import python_for
from benchmarks.stacks import draw, parse
from dualws.bench import cpu, plots
from dualws.bench.contenders import HOST, Contender
from dualws.bench.errors import BenchmarkError
from dualws.bench.load import Spec
from dualws.bench.process import ServerProcess
from dualws.bench.workloads import Workload

#: Samples a second; not a divisor of anything that a server does regularly.
_RATE = 499


def record(work: Workload, contender: Contender, seconds: float, file: Path) -> None:
    """Write the flame graph of *contender* under *work* to *file*.

    :param seconds: how long it is looked at
    :raises BenchmarkError: py-spy is missing or may not look, or the server fails
    """
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        raise BenchmarkError("there is no py-spy: pip install py-spy")
    server_core, core = cpu.cores()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flame-")))
        server = ServerProcess(
            contender, python_for(contender), folder, server_core, signed_in=work.signed_in
        )
        stack.callback(server.stop)
        spec = Spec(
            host=HOST,
            port=server.port,
            path=contender.path_of(work),
            raw=contender.raw,
            pid=server.pid,
            server_core=server_core,
            core=core,
            workload=work,
            # The sampler starts and ends within the load.
            seconds=seconds + 2.0,
            warm_up=1.0,
        )
        load = subprocess.Popen(
            [sys.executable, "-m", "dualws.bench.load", json.dumps(asdict(spec))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        stacks = folder / "stacks"
        words = ["--rate", str(_RATE), "--duration", str(max(1, round(seconds)))]
        words += ["--format", "raw", "--output", str(stacks), "--pid", str(server.pid)]
        done = subprocess.run(
            [spy, "record", *words],
            capture_output=True,
            text=True,
        )
        _, complaint = load.communicate()
        if load.returncode or done.returncode or not stacks.exists():
            raise BenchmarkError(server.story(f"was not looked at: {complaint}{done.stderr}"))
        tree = parse(stacks.read_text(encoding="utf-8"))
    plots.write(draw(f"{contender.name}: {work}", tree), file)
