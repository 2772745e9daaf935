"""JSON messages: ``ws.send_json`` and ``ws.receive_json``, the same for every face.

Law: what is sent is JSON (RFC 8259) and nothing else is accepted; what a peer sends can
make no other error than :class:`~dualws.errors.InvalidMessage`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from dualws.errors import InvalidMessage

#: Characters of a message that an error shows.
_SHOWN = 60


def encode(value: object, encoder: type[json.JSONEncoder] | None) -> str:
    """The JSON text of *value*.

    :param encoder: default: Django's ``DjangoJSONEncoder`` (dates, decimals, UUIDs, lazy
        strings) in a process with a Django project, else the standard one
    :raises TypeError: *value* holds something that the encoder does not know
    :raises ValueError: *value* holds NaN or an infinity, which JSON does not have, or itself
    """
    return json.dumps(
        value, cls=encoder or _default_encoder(), allow_nan=False, separators=(",", ":")
    )


def decode(data: str | bytes) -> Any:
    """The value of a JSON message.

    :raises InvalidMessage: it is not JSON
    """
    try:
        return json.loads(data, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidMessage(f"not JSON: {error.msg} at {where} of {_shown(data)}", data) from None
    except UnicodeDecodeError:
        raise InvalidMessage(f"not JSON: no UTF-8 in {_shown(data)}", data) from None
    except ValueError as error:  # a number of thousands of digits, NaN
        raise InvalidMessage(f"not JSON: {error}, in {_shown(data)}", data) from None
    except RecursionError:
        raise InvalidMessage(f"JSON that is nested too deeply: {_shown(data)}", data) from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _shown(data: str | bytes) -> str:
    shown = repr(data[:_SHOWN])
    return shown if len(data) <= _SHOWN else f"{shown}… ({len(data)} in all)"


def _default_encoder() -> type[json.JSONEncoder]:
    # Outside a Django project Django is not imported just for this.
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return json.JSONEncoder
    from django.core.serializers.json import DjangoJSONEncoder

    return DjangoJSONEncoder
