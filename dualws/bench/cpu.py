"""Processor time and cores, where the system tells (Linux); None and no effect elsewhere."""

from __future__ import annotations

import os
from pathlib import Path


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
