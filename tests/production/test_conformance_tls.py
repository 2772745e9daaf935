"""The whole conformance kit over TLS, with its leak checks in their short form."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from dualws.serving.cli import cli
from support.timing import SCALE


@pytest.mark.needs("openssl")
@pytest.mark.timeout(900 * SCALE)
def test_every_case_passes_over_tls(backend: str) -> None:
    run = CliRunner().invoke(cli, ["conformance", "--backend", backend, "--quick", "--tls"])
    assert run.exit_code == 0, run.output
