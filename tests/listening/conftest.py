"""The application that the servers of these tests serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.sites import make_site


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the application ``site_app``."""
    return make_site(tmp_path)
