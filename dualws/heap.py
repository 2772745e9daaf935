"""How the memory of this process is kept: by glibc, and by Python's collector.

Law: what a message has needed is there for the next one. By default glibc gives large pieces back
to the system as soon as they are free, and each message of 1 MiB has its pages made anew, which
took a quarter of its time. Threads get heaps of their own, up to eight for each core, so that
they need not wait for each other: under the interpreter's lock they do not anyway, and each
heap keeps for good what its threads once needed at the same time.

What a process has imported before it serves lives as long as it does: to look at all of that
again and again for something to collect took a tenth of the time of many handshakes at once. To
look at that of the websockets that are open took another tenth.
"""

from __future__ import annotations

import ctypes
import gc

#: Parameters of ``mallopt`` (malloc.h).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

#: Bytes that are kept when nothing uses them.
_KEPT = 8 * 1024 * 1024
#: Pieces of this size and more go back to the system at once.
_LARGE = 4 * 1024 * 1024

#: New objects after which the collector looks at those that it has looked at once, and how many
#: such looks make one at all. By itself Python looks at all after 70,000 new ones, here after
#: 252,000: nearly all are those of open websockets, which are freed without the collector. At the
#: newest it looks as often as ever: an ordinary request of Django's holds itself, with its body.
_MIDDLE, _FULL = 21_000, 12
#: Thresholds of a Python that nobody has told otherwise: up to 3.12, and later.
_PYTHONS_OWN = (700, 10, 10), (2000, 10, 10), (2000, 10, 0)


def keep_freed() -> None:
    """Keep up to 8 MiB that nothing uses; does nothing where the C library is not glibc."""
    _set(_M_TRIM_THRESHOLD, _KEPT)
    _set(_M_MMAP_THRESHOLD, _LARGE)


def share() -> None:
    """Make no further heaps for threads; does nothing where the C library is not glibc."""
    _set(_M_ARENA_MAX, 1)


def freeze(*, shared: bool = False) -> None:
    """Let the collector leave alone what is there now, and look at all the rest less often; for a
    process that is about to serve. How often is the project's own choice, if it made one.

    :param shared: it was there before a fork. What is not needed is not collected then: to look at
        it would make pages of this process's own of those that it has in common with others
    """
    if not shared:
        gc.collect()
    gc.freeze()
    if gc.get_threshold() in _PYTHONS_OWN:
        young = gc.get_threshold()[0]
        gc.set_threshold(young, _MIDDLE // young, _FULL)


def _set(parameter: int, value: int) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(parameter, value)
