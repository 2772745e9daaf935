"""Starts another Python like this one.

Law: *the child is this interpreter with these flags*; only what runs in it differs.
"""

from __future__ import annotations

import sys


def interpreter() -> list[str]:
    """Command line of this interpreter: the executable with its ``-W`` and ``-X`` options."""
    command = [sys.executable, *(f"-W{option}" for option in sys.warnoptions)]
    for key, value in sys._xoptions.items():
        command.append(f"-X{key}" if value is True else f"-X{key}={value}")
    return command
