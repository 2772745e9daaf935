"""The settings: what may be set, what is valid, and the ``ServerConfig`` they make.

Law: *one list*. The fields of :class:`dualws.config.ServerConfig` are the settings
(``DUALWS_`` and the name in capitals) and the options of ``dualws serve`` (the name with
hyphens); their help is its docstring. An option counts before a setting, a setting
before the default. Django is imported only by what is handed its settings.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import re
import typing
from collections.abc import Mapping
from typing import Any

from dualws.contract import ServerConfig
from dualws.errors import ConfigurationError
from dualws.rules import RULES, contradictions

PREFIX = "DUALWS_"

#: fields that make no sense at zero
_POSITIVE = {
    "max_message_size",
    "max_queued_messages",
    "send_buffer_size",
    "send_timeout",
    "close_timeout",
    "threads",
    "max_header_size",
    "tls_timeout",
    "rate_patience",
}

#: fields that must lie between two bounds, both included
_RANGES = {"compression_window_bits": (8, 15), "workers": (0, 512)}


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of the configuration.

    :param name: its name in :class:`dualws.config.ServerConfig`
    :param type: ``bool``, ``int``, ``float``, ``str``, or ``tuple`` (of strings)
    :param default: its default
    :param help: what its docstring says of it, on one line
    """

    name: str
    type: type
    default: Any
    help: str

    @property
    def setting(self) -> str:
        """Name of the setting."""
        return PREFIX + self.name.upper()


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one setting.

    :param setting: its name
    :param kind: ``unknown``, ``type``, ``value``, or ``together``: wrong beside another one
    :param message: what is wrong
    :param cure: what to do
    """

    setting: str
    kind: str
    message: str
    cure: str


@functools.cache
def fields() -> tuple[Field, ...]:
    """All fields of the configuration, in their order."""
    hints = typing.get_type_hints(ServerConfig)
    texts = _parameter_texts(inspect.getdoc(ServerConfig) or "")
    return tuple(
        Field(
            field.name,
            typing.get_origin(hints[field.name]) or hints[field.name],
            field.default,
            texts.get(field.name, ""),
        )
        for field in dataclasses.fields(ServerConfig)
    )


def known_settings() -> set[str]:
    """Names of all settings of dualws."""
    return {"DUALWS_BACKEND", *(field.setting for field in fields())}


def given_settings(settings: object) -> dict[str, Any]:
    """The ``DUALWS_`` settings of the project.

    :param settings: ``django.conf.settings``
    """
    return {name: getattr(settings, name) for name in dir(settings) if name.startswith(PREFIX)}


def problems(given: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the settings *given*; empty when all is well.

    :param given: names with ``DUALWS_`` and their values
    """
    known = {field.setting: field for field in fields()}
    found = []
    for name, value in sorted(given.items()):
        if name == "DUALWS_BACKEND":
            if not isinstance(value, str) or not value:
                cure = 'Name a backend: DUALWS_BACKEND = "gevent"'
                found.append(Problem(name, "type", f"{name} is {value!r}, not a name.", cure))
        elif name not in known:
            near = difflib.get_close_matches(name, known_settings(), n=1)
            cure = f"Did you mean {near[0]}?" if near else "Remove it, or correct its name."
            found.append(Problem(name, "unknown", f"dualws has no setting {name}.", cure))
        else:
            problem = problem_of(known[name], value)
            if problem is not None:
                found.append(problem)
    if not found:
        values = {field.name: given[field.setting] for field in fields() if field.setting in given}
        for name, what, cure in contradictions(values):
            setting = PREFIX + name.upper()
            found.append(Problem(setting, "together", f"{setting} {what}.", cure))
    return found


def problem_of(field: Field, value: object) -> Problem | None:
    """What is wrong with *value* for *field*, None when it is fine."""
    said = f"{field.setting} is {value!r}"
    if field.type is tuple:
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            cure = f"Write a list of strings, for example {field.setting} = {_example(field)!r}."
            return Problem(field.setting, "type", f"{said}, not a list of strings.", cure)
        rule = RULES.get(field.name)
        bad = [text for text in value if not rule.accepts(text)] if rule else ()
        if rule and bad:
            message = f"{said}: {bad[0]!r} is {rule.noun}."
            return Problem(field.setting, "value", message, rule.cure)
        return None
    if field.type is str:
        rule = RULES.get(field.name)
        if not isinstance(value, str):
            cure = rule.cure if rule else "Write a string."
            return Problem(field.setting, "type", f"{said}, not a string.", cure)
        if rule and not rule.accepts(value):
            return Problem(field.setting, "value", f"{said}, {rule.noun}.", rule.cure)
        return None
    if field.type is bool:
        if isinstance(value, bool):
            return None
        return Problem(field.setting, "type", f"{said}, not a bool.", "Write True or False.")
    number = not isinstance(value, bool) and isinstance(
        value, int if field.type is int else (int, float)
    )
    what = "a whole number" if field.type is int else "a number of seconds"
    if not number:
        cure = f"Write {what}; the default is {field.default!r}."
        return Problem(field.setting, "type", f"{said}, not {what}.", cure)
    assert isinstance(value, (int, float))
    low, high = _RANGES.get(field.name, (value, value))
    if not low <= value <= high:
        cure = f"It must be {low} to {high}; the default is {field.default!r}."
        return Problem(field.setting, "value", f"{said}, out of range.", cure)
    if not math.isfinite(value) or value < 0 or (value == 0 and field.name in _POSITIVE):
        least = "more than 0" if field.name in _POSITIVE else "0 or more"
        cure = f"It must be {least}; the default is {field.default!r}."
        return Problem(field.setting, "value", f"{said}, out of range.", cure)
    return None


def make_config(given: Mapping[str, Any], options: Mapping[str, Any]) -> ServerConfig:
    """The configuration: options before settings before defaults.

    :param given: the project's ``DUALWS_`` settings; may also hold CSRF_TRUSTED_ORIGINS,
        which stands in for DUALWS_ALLOWED_ORIGINS
    :param options: values by field name; None means not given
    :raises ConfigurationError: a setting or an option is wrong; the message lists all
    """
    own = {name: value for name, value in given.items() if name.startswith(PREFIX)}
    # What contradicts what is seen at the end, when the options have had their say.
    wrong = [problem for problem in problems(own) if problem.kind != "together"]
    values: dict[str, Any] = {}
    trusted = given.get("CSRF_TRUSTED_ORIGINS")
    if trusted:
        values["allowed_origins"] = tuple(trusted)
    for field in fields():
        value = options.get(field.name)
        if value is not None:
            problem = problem_of(field, value)
            if problem is not None:
                name = "--" + field.name.replace("_", "-")
                message = problem.message.replace(field.setting, name)
                wrong.append(dataclasses.replace(problem, message=message))
        elif field.setting in own:
            value = own[field.setting]
        else:
            continue
        if field.type is tuple and isinstance(value, list):
            value = tuple(value)
        values[field.name] = value
    if not wrong:
        for name, what, cure in contradictions(values):
            option = "--" + name.replace("_", "-")
            wrong.append(Problem(PREFIX + name.upper(), "together", f"{option} {what}.", cure))
    if wrong:
        raise ConfigurationError("\n".join(f"{p.message} {p.cure}" for p in wrong))
    return ServerConfig(**values)


def config_from_django(options: Mapping[str, Any]) -> ServerConfig:
    """:func:`make_config` with the settings of the Django project in this process.

    Without a configured Django only *options* count.

    :param options: values by field name; None means not given
    :raises ConfigurationError: a setting or an option is wrong
    """
    return make_config(django_settings(), options)


def django_settings() -> dict[str, Any]:
    """The settings that :func:`make_config` reads, empty when Django is not configured."""
    import sys

    if "django.conf" not in sys.modules:
        return {}
    from django.conf import settings

    if not settings.configured:
        return {}
    return {
        **given_settings(settings),
        "CSRF_TRUSTED_ORIGINS": settings.CSRF_TRUSTED_ORIGINS,
    }


def _example(field: Field) -> list[str]:
    rule = RULES.get(field.name)
    return [rule.example] if rule else list(field.default)


def _parameter_texts(doc: str) -> dict[str, str]:
    """The ``:param name: text`` entries of a docstring, each joined to one line."""
    entries = re.findall(r"^:param (\w+): (.*?)(?=^:|\Z)", doc, re.MULTILINE | re.DOTALL)
    return {name: re.sub(r"\s+", " ", text).replace("``", "").strip() for name, text in entries}
