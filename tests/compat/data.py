"""Large data that both ends of a connection can make."""

from __future__ import annotations

import hashlib
import random


def large(size: int) -> bytes:
    """*size* bytes that compress badly, the same each time."""
    return random.Random(size).randbytes(size)


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
