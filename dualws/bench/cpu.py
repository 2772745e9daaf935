"""Processor time, memory and cores, where the system tells (Linux); None and no effect elsewhere.

Law: a server is its process and all that it started: some serve from workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path

#: Seconds that a server is looked at.
_LOOK = 0.2
#: Share of a core up to which it is at rest.
_AT_REST = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Seconds of processor time.

    :param server: the server's; None where the system does not tell
    :param load: the load's
    :param beside_server: what other processes used of the server's core
    :param beside_load: what they used of the load's
    """

    server: float | None
    load: float
    beside_server: float | None
    beside_load: float | None


class Usage:
    """Notes what has been used until now, and says what has been since.

    :param pid: the server
    :param server_core: its core
    :param core: the load's
    """

    def __init__(self, pid: int, server_core: int | None, core: int | None) -> None:
        self._pids = family(pid)
        self._cores = (server_core, core)
        self._begin = self._now()

    def _now(self) -> tuple[float | None, float | None, float, float | None]:
        server, load = self._cores
        return (
            _total(map(of_process, self._pids)),
            of_core(server),
            time.process_time(),
            of_core(load),
        )

    def since(self) -> Used:
        """What has been used since the beginning."""
        end = self._now()
        server, core, own_core = (_since(self._begin[i], end[i]) for i in (0, 1, 3))
        load = end[2] - self._begin[2]
        return Used(
            server=server,
            load=load,
            beside_server=_beyond(core, server),
            beside_load=_beyond(own_core, load),
        )


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _since(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _beyond(core: float | None, ours: float | None) -> float | None:
    return None if core is None or ours is None else max(0.0, core - ours)


def family(pid: int) -> list[int]:
    """*pid* and the processes that it, and they, started and that still run."""
    found = [pid]
    for parent in found:
        for file in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found.extend(map(int, file.read_text().split()))
    return found


def come_to_rest(pid: int, patience: float = 30.0) -> bool:
    """Wait until the server *pid* has done what its last clients have left it to do.

    :param patience: seconds, at most
    :return: False when it was still at work then
    """
    end = time.monotonic() + patience
    while True:
        before = _total(map(of_process, family(pid)))
        time.sleep(_LOOK)
        used = _since(before, _total(map(of_process, family(pid))))
        if used is None or used <= _LOOK * _AT_REST:
            return True
        if time.monotonic() > end:
            return False


def memory(pid: int) -> int | None:
    """Bytes that the server *pid* occupies; what it shares with others counts in parts (PSS)."""
    sizes = []
    for member in family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    sizes.append(int(line.split()[1]) * 1024)
    return sum(sizes) if sizes else None


def more_files() -> None:
    """Let this process, and what it starts, open as many files as the system allows at all."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def pin(core: int | None) -> None:
    """Keep this process, and what it starts, on *core*; None leaves it free."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def cores() -> tuple[int | None, int | None]:
    """A core for the server and one for the load; None where they cannot be had apart."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def of_process(pid: int) -> float | None:
    """Seconds of processor time that *pid* has used, all its threads together."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name, in brackets, may hold blanks.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def of_core(core: int | None) -> float | None:
    """Seconds that *core* has been busy, with whatever process."""
    if core is None:
        return None
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, *words = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, words[:8])
            busy = user + nice + system + irq + softirq + steal
            return busy / os.sysconf("SC_CLK_TCK")
    return None
