"""What a project may give its loggers, and which fails."""

from __future__ import annotations

import logging


class Broken(logging.Filter):
    """Raises for every line."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise ValueError("a filter of the project fails")
