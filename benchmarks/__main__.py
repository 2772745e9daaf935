"""The command line: ``python -m benchmarks``, from the root of a checkout."""

from __future__ import annotations

from benchmarks.contenders import DEFAULT, contenders
from benchmarks.peers import python_for
from dualws.bench.command import make

cli = make(contenders, DEFAULT, python_for)

if __name__ == "__main__":
    cli(prog_name="python -m benchmarks")
