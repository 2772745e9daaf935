"""The engine in C: compiles ``engine.c`` with the machine's compiler on first use and calls it.

Law: *no compiler is no error*: ``Native.library()`` is then ``None`` and the Python engine works.
The library is kept in the user's cache folder under a name made from its source, so another
version of the source is another file and two processes may compile at once.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from dualws.bench.errors import BenchmarkError
from dualws.bench.plan import Latencies, Plan

_SOURCE = Path(__file__).with_name("engine.c")
_PART = Path(__file__).with_name("opening.c")
_FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC")
#: Seconds for the compiler.
_PATIENCE = 60.0


class _Plan(ctypes.Structure):
    """``struct plan`` of engine.c."""

    _fields_ = [
        ("host", ctypes.c_char_p),
        ("opening", ctypes.c_char_p),
        ("opening_size", ctypes.c_size_t),
        ("opened", ctypes.c_char_p),
        ("opened_size", ctypes.c_size_t),
        ("greeting", ctypes.c_char_p),
        ("greeting_size", ctypes.c_size_t),
        ("joined", ctypes.c_char_p),
        ("ring_size", ctypes.c_size_t),
        ("frame_size", ctypes.c_size_t),
        ("answer", ctypes.c_char_p),
        ("answer_size", ctypes.c_size_t),
        ("mask", ctypes.c_char_p),
        ("goodbye", ctypes.c_char_p),
        ("goodbye_size", ctypes.c_size_t),
        ("port", ctypes.c_int32),
        ("connections", ctypes.c_int32),
        ("in_flight", ctypes.c_int32),
        ("at_once", ctypes.c_int32),
        ("framed", ctypes.c_int32),
        ("fan_out", ctypes.c_int32),
        ("people", ctypes.c_int32),
        ("number_at", ctypes.c_int32),
    ]


def cache_folder() -> Path:
    """Where compiled libraries are kept: ``$XDG_CACHE_HOME/dualws``, or ``~/.cache/dualws``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "dualws"


def _compiler() -> str | None:
    named = os.environ.get("CC")
    return shutil.which(named) if named else shutil.which("cc")


def build() -> Path | None:
    """The compiled library, made when it is not there yet; None where that cannot be done."""
    sources = _SOURCE.read_bytes() + _PART.read_bytes()
    digest = hashlib.sha256(sources + sysconfig.get_platform().encode() + repr(_FLAGS).encode())
    library = cache_folder() / f"engine-{digest.hexdigest()[:16]}.so"
    if library.exists():
        return library
    compiler = _compiler()
    if compiler is None or sys.platform != "linux":
        return None
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            subprocess.run(
                [compiler, *_FLAGS, "-o", str(made), str(_SOURCE)],
                check=True,
                capture_output=True,
                timeout=_PATIENCE,
            )
            made.replace(library)
    except (OSError, subprocess.SubprocessError):
        return None
    return library


@functools.cache
def _library() -> ctypes.CDLL | None:
    file = build()
    if file is None:
        return None
    library = ctypes.CDLL(str(file))
    pointer, integer, double = ctypes.c_void_p, ctypes.c_int, ctypes.c_double
    for name, result, arguments in (
        ("load_new", pointer, (ctypes.POINTER(_Plan),)),
        ("load_open", integer, (pointer,)),
        ("load_start", integer, (pointer,)),
        ("load_drive", integer, (pointer, double, ctypes.POINTER(double))),
        ("load_clear", None, (pointer,)),
        ("load_counts", None, (pointer, ctypes.POINTER(ctypes.c_uint64))),
        ("load_latency", double, (pointer, double)),
        ("load_slowest", double, (pointer,)),
        ("load_close", None, (pointer,)),
        ("load_free", None, (pointer,)),
        ("load_error", ctypes.c_char_p, (pointer,)),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def available() -> bool:
    """Whether the engine can be had on this machine; compiles it when it must be."""
    return _library() is not None


class Native:
    """Runs *plan* in C.

    :param plan: what to do
    :raises BenchmarkError: the engine cannot be compiled, or there is no memory
    """

    name = "C"

    def __init__(self, plan: Plan) -> None:
        library = _library()
        if library is None:
            raise BenchmarkError(
                "The load's engine in C needs Linux and a compiler that is found as 'cc' or "
                "named by CC. The one in Python (--engine python) needs neither."
            )
        self._library = library
        self._connections = plan.connections
        ring = b"".join(plan.ring)
        size = len(plan.ring[0])
        # From anywhere in the ring, in_flight messages lie one behind the other.
        joined = ring * (1 + -(-plan.in_flight * size // len(ring)))
        # The library reads these bytes as long as it lives.
        self._plan = _Plan(
            host=plan.host.encode(),
            opening=plan.opening,
            opening_size=len(plan.opening),
            opened=plan.opened,
            opened_size=len(plan.opened),
            greeting=plan.greeting,
            greeting_size=len(plan.greeting),
            joined=joined,
            ring_size=len(ring),
            frame_size=size,
            answer=plan.answer,
            answer_size=len(plan.answer),
            mask=plan.mask or None,
            goodbye=plan.goodbye,
            goodbye_size=len(plan.goodbye),
            port=plan.port,
            connections=plan.connections,
            in_flight=plan.in_flight,
            at_once=plan.at_once,
            framed=plan.framed,
            fan_out=plan.fan_out,
            people=plan.people,
            number_at=plan.number_at,
        )
        self._load: int | None = library.load_new(ctypes.byref(self._plan))
        if not self._load:
            raise BenchmarkError("There is no memory for the load: take fewer connections.")

    def _check(self, result: int) -> None:
        if result:
            raise BenchmarkError(self._library.load_error(self._load).decode(errors="replace"))

    def open(self) -> None:
        self._check(self._library.load_open(self._load))

    def start(self) -> None:
        self._check(self._library.load_start(self._load))

    def drive(self, seconds: float) -> float:
        took = ctypes.c_double()
        self._check(self._library.load_drive(self._load, seconds, ctypes.byref(took)))
        return took.value

    def clear(self) -> None:
        self._library.load_clear(self._load)

    def counts(self) -> list[int]:
        counts = (ctypes.c_uint64 * self._connections)()
        self._library.load_counts(self._load, counts)
        return list(counts)

    def latencies(self) -> Latencies:
        of = self._library.load_latency
        return Latencies(
            p50=of(self._load, 0.5),
            p99=of(self._load, 0.99),
            slowest=self._library.load_slowest(self._load),
        )

    def close(self) -> None:
        self._library.load_close(self._load)

    def discard(self) -> None:
        if self._load:
            self._library.load_free(self._load)
            self._load = None
