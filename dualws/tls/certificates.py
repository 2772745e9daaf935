"""The server's certificates: from the configuration to ``ssl.SSLContext``, and again on reload.

Law: *new certificates are complete before the old ones go.* A reload that fails leaves
everything as it was and says why; connections that are open keep what they began with.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from typing import cast

from dualws.contract import ServerConfig
from dualws.errors import ConfigurationError
from dualws.tls.engine import Engine, NamedObject

_logger = logging.getLogger("dualws.server")

#: what every SSLContext, patched or not, is built on
_BARE = ssl.SSLContext.__mro__[-2]

_MODES = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


class Certificates:
    """What new connections are served with.

    :param config: names the files
    :raises ConfigurationError: one of them is missing or wrong
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._context = _load(config)

    def engine(self) -> Engine:
        """The TLS of a new connection."""
        return Engine(self._context)

    def reload(self) -> bool:
        """Read the files again; False, logged, when they cannot be used and the old ones stay."""
        try:
            self._context = _load(self._config)
        except ConfigurationError as error:
            _logger.error("The certificates were not reloaded, the old ones stay: %s", error)
            return False
        _logger.info("The certificates were reloaded")
        return True


def _load(config: ServerConfig) -> ssl.SSLContext:
    """The context of all connections, which knows those of other names."""
    context = _make(config, config.certfile, config.keyfile)
    others = {}
    for entry in config.sni_certificates:
        name, _, files = entry.partition("=")
        certfile, _, keyfile = files.partition(",")
        others[_canonical(name)] = _make(config, certfile, keyfile)

    def choose(tls: NamedObject, name: str | None, _: ssl.SSLContext) -> None:
        tls.sni = name
        other = _find(others, name)
        if other is not None:
            tls.context = other

    # The attribute as OpenSSL's wrapper has it: a patched ssl module knows it for sockets alone.
    vars(_BARE)["sni_callback"].__set__(context, choose)
    return context


def _canonical(name: str) -> str:
    return name.strip().rstrip(".").lower()


def _find(others: Mapping[str, ssl.SSLContext], name: str | None) -> ssl.SSLContext | None:
    """What is listed for the host *name*, or for all hosts of its domain."""
    if not name or not others:
        return None
    name = _canonical(name)
    return others.get(name) or others.get("*." + name.partition(".")[2])


def _make(config: ServerConfig, certfile: str, keyfile: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = NamedObject
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= (
        ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    # Websockets need HTTP/1.1, and it is all that is spoken here (RFC 7301).
    context.set_alpn_protocols(["http/1.1"])
    for path, option in ((certfile, "certfile"), (keyfile, "keyfile")):
        _check_readable(path, option)
    asked = []

    def password() -> bytes:
        asked.append(True)
        return _password(config, keyfile or certfile)

    try:
        context.load_cert_chain(certfile, keyfile or None, password)
    except ssl.SSLError as error:
        raise ConfigurationError(_explain(certfile, keyfile, error, bool(asked))) from error
    _load_authorities(context, config)
    if config.ciphers:
        try:
            context.set_ciphers(config.ciphers)
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"--ciphers: OpenSSL knows none of {config.ciphers!r}. "
                f"See openssl ciphers; TLS 1.3 has its own, which need no list"
            ) from error
    return context


def _load_authorities(context: ssl.SSLContext, config: ServerConfig) -> None:
    context.verify_mode = _MODES[config.client_certificates]
    if config.ca_certs:
        _check_readable(config.ca_certs, "ca-certs")
        try:
            context.load_verify_locations(config.ca_certs)
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"--ca-certs: {config.ca_certs} has no certificates in PEM form ({error.reason})"
            ) from error
    elif context.verify_mode is not ssl.CERT_NONE:
        raise ConfigurationError(
            f"--client-certificates {config.client_certificates}: say who may issue them with "
            f"--ca-certs FILE, the certificates of those authorities"
        )


def _check_readable(path: str, option: str) -> None:
    if not path:
        return
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"--{option}: {path} cannot be read: {error.strerror}") from error


def _password(config: ServerConfig, keyfile: str) -> bytes:
    """The password of an encrypted key: without it OpenSSL would ask the terminal."""
    path = config.keyfile_password_file
    if not path:
        raise ConfigurationError(
            f"The key in {keyfile} is encrypted. Name a file that holds its "
            f"password: --keyfile-password-file FILE"
        )
    _check_readable(path, "keyfile-password-file")
    with open(path, "rb") as file:
        return file.readline().rstrip(b"\r\n")


def _explain(certfile: str, keyfile: str, error: ssl.SSLError, asked: bool) -> str:
    files = f"{certfile} and {keyfile}" if keyfile else certfile
    reason = cast("str | None", error.reason) or str(error)
    if "KEY_VALUES_MISMATCH" in reason:
        return f"The key and the certificate in {files} do not belong together"
    if asked:
        return f"The password in --keyfile-password-file does not fit the key in {files}"
    if keyfile:
        cure = "Both must be in PEM form"
    else:
        cure = "It must hold the certificate and its key in PEM form, or name the key: --keyfile"
    return f"{files} cannot be used ({reason}). {cure}"
