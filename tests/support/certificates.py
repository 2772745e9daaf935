"""Certificates for one run of the tests, made by ``openssl``.

Law: nothing is kept, nothing is valid outside of the test that asks for it.
"""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from support.machine import find
from support.timing import TIMEOUT

PASSWORD = "correct horse"
#: Words that ask for a key.
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def openssl(*words: str | Path) -> None:
    """Run ``openssl``."""
    program = find("openssl")
    assert program is not None
    subprocess.run([program, *words], capture_output=True, check=True, timeout=TIMEOUT)


class Authority:
    """An authority of its own, and what it issues, in a folder.

    :param folder: where the files are made
    :param name: its common name
    """

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        self.folder = folder
        #: its certificate
        self.certificate = folder / f"{name}.pem".replace(" ", "-").lower()
        self._key = self.certificate.with_suffix(".key")
        openssl(
            *("req", "-x509", *NEW_KEY, "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def issue(self, file: str, subject: str, *names: str, password: str = "") -> tuple[Path, Path]:
        """A certificate and its key.

        :param file: name of the files
        :param subject: ``/O=…/CN=…``
        :param names: alternative names, ``DNS:localhost`` or ``IP:127.0.0.1``
        :param password: encrypts the key
        """
        certificate, key = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        request = self.folder / f"{file}.csr"
        secret = ("-passout", f"pass:{password}") if password else ("-nodes",)
        openssl(
            *("req", "-new", *NEW_KEY, *secret, "-utf8", "-subj", subject),
            *("-keyout", key, "-out", request),
        )
        extensions = self.folder / f"{file}.ext"
        extensions.write_text(f"subjectAltName={','.join(names)}\n" if names else "\n")
        openssl(
            *("x509", "-req", "-in", request, "-days", "2", "-CA", self.certificate),
            *("-CAkey", self._key, "-CAcreateserial", "-extfile", extensions, "-out", certificate),
        )
        return certificate, key

    def client(self, *own: Path) -> ssl.SSLContext:
        """The side of a client that trusts this authority.

        :param own: its certificate and key
        """
        context = ssl.create_default_context(cafile=self.certificate)
        if own:
            context.load_cert_chain(*own)
        return context
