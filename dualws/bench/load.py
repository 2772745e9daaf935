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

from dualws.bench import cpu, native, wire
from dualws.bench.errors import BenchmarkError
from dualws.bench.plan import Engine, Plan
from dualws.bench.result import Turn

#: Different masking keys that go around, and the most memory that they may take.
_KEYS = 64
_KEYS_SIZE = 1 << 20
#: Handshakes that are under way at a time.
_AT_ONCE = 64
#: Names that ``--engine`` takes.
ENGINES = ("auto", "c", "python")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One turn of the load.

    :param host: address of the server
    :param port: its port
    :param path: path of the websocket
    :param raw: bytes are echoed, there is no websocket
    :param pid: the server's process
    :param server_core: the core it is pinned to
    :param core: core for the load
    :param connections: see ``Workload``
    :param size: see ``Workload``
    :param in_flight: see ``Workload``
    :param text: see ``Workload``
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
    connections: int
    size: int
    in_flight: int
    text: bool
    seconds: float
    warm_up: float
    engine: str = "auto"


def prepare(spec: Spec) -> Plan:
    """What *spec* means in bytes."""
    data = wire.payload(spec.size)
    echo = data if spec.raw else wire.echoed(data, spec.text)
    kinds = max(1, min(_KEYS, _KEYS_SIZE // len(echo)))
    ring = [echo if spec.raw else wire.masked(data, spec.text) for _ in range(kinds)]
    return Plan(
        host=spec.host,
        port=spec.port,
        connections=spec.connections,
        in_flight=spec.in_flight,
        at_once=_AT_ONCE,
        ring=tuple(ring),
        answer=echo,
        opening=b"" if spec.raw else wire.handshake(spec.host, spec.port, spec.path),
        opened=b"HTTP/1.1 101 ",
        goodbye=b"" if spec.raw else wire.CLOSE,
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
    engine.open()
    engine.start()
    engine.drive(spec.warm_up)
    engine.clear()
    server, core = cpu.of_process(spec.pid), cpu.of_core(spec.server_core)
    own, own_core = time.process_time(), cpu.of_core(spec.core)
    seconds = engine.drive(spec.seconds)
    server = _since(server, cpu.of_process(spec.pid))
    core = _since(core, cpu.of_core(spec.server_core))
    own = time.process_time() - own
    own_core = _since(own_core, cpu.of_core(spec.core))
    counts, latencies = engine.counts(), engine.latencies()
    messages = sum(counts)
    engine.close()
    return Turn(
        messages=messages,
        seconds=seconds,
        server_cpu=server,
        load_cpu=own,
        beside_server=_beyond(core, server),
        beside_load=_beyond(own_core, own),
        worst_share=min(counts) * len(counts) / messages if messages else 0.0,
        p50=latencies.p50,
        p99=latencies.p99,
        slowest=latencies.slowest,
        engine=engine.name,
    )


def _beyond(core: float | None, ours: float | None) -> float | None:
    return None if core is None or ours is None else max(0.0, core - ours)


def _since(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def main(arguments: list[str]) -> int:
    """Run the turn that the first argument describes and print what it showed."""
    if not hasattr(select, "epoll"):
        click.echo("the load needs epoll: run it on Linux", err=True)
        return 2
    fields: dict[str, Any] = json.loads(arguments[0])
    spec = Spec(**fields)
    cpu.pin(spec.core)
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
