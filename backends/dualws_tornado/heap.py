"""Where the memory of many threads comes from.

Law: threads share one heap. glibc gives threads heaps of their own, up to eight for each core,
so that they need not wait for each other; under the interpreter's lock they do not anyway, and
each heap keeps for good what its threads once needed at the same time.
"""

from __future__ import annotations

import ctypes

#: A parameter of ``mallopt`` (malloc.h).
_M_ARENA_MAX = -8


def share_heap() -> None:
    """Make no further heaps for threads; does nothing where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_ARENA_MAX, 1)
