"""Tests of what only one backend has; those of a backend that this run is not about stay out."""

from __future__ import annotations

from support.backends import LIBRARIES, chosen

collect_ignore_glob = [f"test_{name}_*.py" for name in LIBRARIES if name not in chosen()]
