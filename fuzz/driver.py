"""Runs one target under libFuzzer.

Law: a target is a function of bytes that raises nothing, whatever they are; its seeds are in its
module, and the corpus lives in a folder of its own for as long as the run.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris


def run(check: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Fuzz *check*; the arguments of the process are libFuzzer's.

    :param check: takes one input
    :param seeds: inputs to begin with, where the arguments name no folder and no file
    """
    arguments = list(sys.argv)
    with tempfile.TemporaryDirectory() as folder:
        if all(word.startswith("-") for word in arguments[1:]):
            for number, seed in enumerate(seeds):
                (Path(folder) / str(number)).write_bytes(seed)
            arguments.append(folder)
        atheris.Setup(arguments, check)
        atheris.Fuzz()


def cut(data: bytes, *where: int) -> list[bytes]:
    """*data* in pieces.

    :param where: any numbers; each gives one place to cut at
    """
    places = sorted({0, len(data), *(number % (len(data) + 1) for number in where)})
    return [data[start:end] for start, end in itertools.pairwise(places)]
