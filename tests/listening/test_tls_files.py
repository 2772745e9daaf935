"""TLS that cannot start says why: certificates, keys and options that do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.backends import chosen
from support.certificates import PASSWORD, Authority
from support.program import python
from support.sites import words

pytestmark = pytest.mark.needs("openssl")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--certfile", "absent.pem"), "--certfile: absent.pem cannot be read: No such file"),
        (("--certfile", "server.pem"), "must hold the certificate and its key"),
        (
            ("--certfile", "server.pem", "--keyfile", "other.key"),
            "server.pem and other.key do not belong together",
        ),
        (("--certfile", "locked.pem", "--keyfile", "locked.key"), "locked.key is encrypted"),
        (
            (
                *("--certfile", "locked.pem", "--keyfile", "locked.key"),
                *("--keyfile-password-file", "other.key"),
            ),
            "does not fit the key in locked.pem and locked.key",
        ),
        (("--certfile", "whole.pem", "--ciphers", "NONESUCH"), "OpenSSL knows none of 'NONESUCH'"),
        (
            ("--certfile", "whole.pem", "--client-certificates", "required"),
            "Name the file with the authorities' certificates",
        ),
        (("--certfile", "whole.pem", "--client-certificates", "maybe"), 'Write "none"'),
        (("--certfile", "whole.pem", "--ca-certs", "other.key"), "has no certificates in PEM form"),
        (("--certfile", "whole.pem", "--sni-certificates", "x.pem"), "not NAME=CERTFILE"),
    ],
)
def test_files_that_cannot_be_used(
    site: Path, authority: Authority, options: tuple[str, ...], message: str
) -> None:
    certificate, key = authority.issue("server", "/CN=server", "IP:127.0.0.1")
    locked = authority.issue("locked", "/CN=locked", password=PASSWORD)
    _, other = authority.issue("other", "/CN=other")
    for file in (certificate, *locked, other):
        shutil.copy(file, site)
    (site / "whole.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
    done = python(site, *words(chosen()[0], "--bind", "127.0.0.1:0", *options))
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
