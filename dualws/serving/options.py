"""Options that commands share, made from the fields of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dualws import conf

_Command = TypeVar("_Command", bound=Callable[..., Any])

_METAVARS = {
    "allowed_origins": "ORIGIN",
    "bind": "ADDRESS",
    "ca_certs": "FILE",
    "certfile": "FILE",
    "keyfile": "FILE",
    "keyfile_password_file": "FILE",
    "metrics_bind": "ADDRESS",
    "metrics_folder": "FOLDER",
    "sni_certificates": "NAME=FILES",
    "trusted_headers": "HEADER",
    "trusted_proxies": "NETWORK",
    "unix_socket_mode": "OCTAL",
}


def backend_option(command: _Command) -> _Command:
    """Add ``--backend``."""
    return click.option(
        "--backend",
        metavar="NAME",
        help="Concurrency model: gevent, tornado or another installed backend. Default: the "
        "environment variable DUALWS_BACKEND, then the setting DUALWS_BACKEND, then gevent, or the "
        "only one that is installed.",
    )(command)


def config_options(command: _Command) -> _Command:
    """Add one option for each field of ``ServerConfig``; None when it is not given."""
    for field in reversed(conf.fields()):
        command = _option(field)(command)
    return command


def _option(field: conf.Field) -> Callable[[_Command], _Command]:
    flag = "--" + field.name.replace("_", "-")
    text = field.help[:1].upper() + field.help[1:]
    default = _shown(field)
    text = f"{text}. Default: {default}." if default else f"{text}."
    if field.type is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", field.name, default=None, help=text)
    if field.type is tuple:
        return click.option(
            flag,
            field.name,
            multiple=True,
            metavar=_METAVARS.get(field.name, "TEXT"),
            callback=lambda ctx, param, value: value or None,
            help=f"{text} May be repeated.",
        )
    metavar = _METAVARS.get(field.name)
    return click.option(flag, field.name, type=field.type, default=None, metavar=metavar, help=text)


def _shown(field: conf.Field) -> str:
    if field.type is tuple:
        return ", ".join(field.default)
    if field.type is bool:
        return "on" if field.default else "off"
    return f"{field.default:g}" if field.type is float else str(field.default)
