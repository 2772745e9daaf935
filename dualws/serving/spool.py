"""Request bodies that wait on disk, when the disk will not take them.

Law: *a body that cannot be kept is refused, and says so once*: the client gets 507, the log the
cause, and the server goes on. A file whose last bytes cannot be written fails again when it is
closed; that is not said a second time.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

_logger = logging.getLogger("dualws.server")

#: Status line, without the version, of the answer (RFC 4918 section 11.5).
NO_ROOM = "507 Insufficient Storage"


def complain(error: OSError) -> None:
    """Log that a body cannot be kept.

    :param error: what the system said
    """
    _logger.error(
        "A request body cannot be kept on disk: %s; make room in the folder for temporary files, "
        "or set TMPDIR, or raise spool_size",
        error.strerror or error,
    )


def discard(body: Any) -> None:
    """Close the file of a body that nobody will read.

    :param body: the file
    """
    with contextlib.suppress(OSError):
        body.close()
