"""What can go wrong in a benchmark and is not the benchmark's own fault."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A run cannot go on; the text says which server, what happened, and what to do."""
