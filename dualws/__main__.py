"""``python -m dualws``: the command ``dualws``, where no script of that name is on the path."""

from __future__ import annotations

from dualws.serving.cli import main

if __name__ == "__main__":
    main()
