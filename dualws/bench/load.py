"""The load: one turn of messages to one server, in a process of its own.

Law: it must not be what is measured. It parses nothing: a server's answers are one periodic
sequence of bytes, known beforehand (``plan``). An engine in C does the work where there is a
compiler, one in Python elsewhere. Whether it kept up is part of what it reports.
``python -m dualws.bench.load SPEC``: SPEC and what it prints are JSON.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import select
import sys
import time
from typing import Any

import click

from dualws.bench import cpu, native, probe, wire
from dualws.bench.errors import BenchmarkError
from dualws.bench.plan import Engine, Plan
from dualws.bench.result import Turn
from dualws.bench.workloads import Workload

#: Different masking keys that go around, and the most memory that they may take.
_KEYS = 64
_KEYS_SIZE = 1 << 20
#: Handshakes that are under way at a time.
_AT_ONCE = 64
#: Seconds after the last handshake until memory is looked at.
_SETTLED = 0.5
#: What a server's fan-out sends to a connection that is subscribed.
READY = b"ready"
#: Cookies of the users that ``site_prepare`` makes, and how many they are.
COOKIE = "sessionid=benchmarkbenchmarkbenchmark{:05}"
PEOPLE = 5000
#: Names that ``--engine`` takes.
ENGINES = ("auto", "c", "python")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One turn of the load.

    :param host: address of the server
    :param port: its port
    :param path: what is asked for
    :param raw: bytes are echoed, there is no websocket
    :param pid: the server's process; those that it started count as well
    :param server_core: the core it is pinned to
    :param core: core for the load
    :param workload: what is sent
    :param seconds: length of the measured time
    :param warm_up: seconds before it
    :param engine: one of ``ENGINES``; auto: C where there is a compiler
    """

    host: str
    port: int
    path: str
    raw: bool
    pid: int
    server_core: int | None
    core: int | None
    workload: Workload
    seconds: float
    warm_up: float
    engine: str = "auto"


def prepare(spec: Spec) -> Plan:
    """What *spec* means in bytes; asks the server where that depends on it.

    :raises BenchmarkError: the server cannot do what the workload needs
    """
    work, at = spec.workload, (spec.host, spec.port)
    opening, goodbye, mask = b"", b"", b""
    ring: tuple[bytes, ...]
    if work.kind == "http":
        ring = (wire.request(*at, spec.path),)
        answer, mask = probe.http_answer(*at, ring[0])
    elif spec.raw:
        answer = wire.payload(work.size)
        ring = (answer,)
    else:
        cookie = COOKIE.format(0) if work.signed_in else ""
        opening = wire.handshake(*at, spec.path, deflate=work.deflate, cookie=cookie)
        goodbye = wire.CLOSE
        data = (wire.json_payload if work.deflate else wire.payload)(work.size)
        answer = wire.echoed(data, work.text)
        kinds = max(1, min(_KEYS, _KEYS_SIZE // len(answer)))
        if work.deflate:
            ring = probe.compressed_ring(*at, opening, data, kinds)
        else:
            ring = tuple(wire.masked(data, work.text) for _ in range(kinds))
    fan_out = work.kind == "fan-out"
    return Plan(
        host=spec.host,
        port=spec.port,
        connections=work.connections,
        in_flight=work.in_flight,
        at_once=_AT_ONCE,
        ring=ring,
        answer=answer,
        mask=mask,
        framed=work.deflate,
        fan_out=fan_out,
        opening=opening,
        opened=b"HTTP/1.1 101 ",
        greeting=wire.echoed(READY, True) if fan_out else b"",
        goodbye=goodbye,
        people=PEOPLE if work.signed_in else 0,
        number_at=opening.find(b"\r\n", opening.find(b"Cookie: ")) - 5,
    )


def engine_for(name: str, plan: Plan) -> Engine:
    """The engine that is called *name*, with *plan*.

    :raises BenchmarkError: it was named, and cannot be had here
    """
    if name == "c" or (name == "auto" and native.available()):
        return native.Native(plan)
    from dualws.bench.plain import Plain

    return Plain(plan)


def run(spec: Spec) -> Turn:
    """Warm up, measure, say goodbye.

    :raises BenchmarkError: the server did not keep to what it must answer
    """
    engine = engine_for(spec.engine, prepare(spec))
    try:
        return _measure(spec, engine)
    finally:
        engine.discard()


def _measure(spec: Spec, engine: Engine) -> Turn:
    if spec.workload.kind == "idle":
        return _idle(spec, engine)
    engine.open()
    engine.start()
    engine.drive(spec.warm_up)
    engine.clear()
    usage = cpu.Usage(spec.pid, spec.server_core, spec.core)
    seconds = engine.drive(spec.seconds)
    used = usage.since()
    counts, latencies = engine.counts(), engine.latencies()
    messages = sum(counts)
    engine.close()
    return Turn(
        messages=messages,
        seconds=seconds,
        used=used,
        worst_share=min(counts) * len(counts) / messages if messages else 0.0,
        latencies=latencies,
        engine=engine.name,
    )


def _idle(spec: Spec, engine: Engine) -> Turn:
    """Open connections, look at the server's memory, leave."""
    before = cpu.memory(spec.pid)
    usage = cpu.Usage(spec.pid, spec.server_core, spec.core)
    begin = time.perf_counter()
    engine.open()
    seconds = time.perf_counter() - begin
    used = usage.since()
    latencies = engine.latencies()
    time.sleep(_SETTLED)
    during = cpu.memory(spec.pid)
    engine.close()
    return Turn(
        messages=spec.workload.connections,
        seconds=seconds,
        used=used,
        worst_share=1.0,
        latencies=latencies,
        engine=engine.name,
        memory_before=before,
        memory_during=during,
    )


def main(arguments: list[str]) -> int:
    """Run the turn that the first argument describes and print what it showed."""
    if not hasattr(select, "epoll"):
        click.echo("the load needs epoll: run it on Linux", err=True)
        return 2
    fields: dict[str, Any] = json.loads(arguments[0])
    spec = Spec(**{**fields, "workload": Workload(**fields["workload"])})
    cpu.pin(spec.core)
    cpu.more_files()
    gc.disable()
    try:
        turn = run(spec)
    except (BenchmarkError, OSError) as error:
        click.echo(str(error), err=True)
        return 1
    click.echo(json.dumps(dataclasses.asdict(turn)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
