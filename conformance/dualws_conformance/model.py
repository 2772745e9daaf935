"""What a case is, and where cases are registered.

Law: *a case is a plain function that returns or raises* :class:`Failed`. It states what
it proves (group, section of a specification, title) in its decorator, and for which styles
of handler it runs; everything it needs it asks of the :class:`~dualws_conformance.kit.Kit`.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NoReturn, TypeAlias

if TYPE_CHECKING:
    from dualws_conformance.kit import Kit

#: Styles of websocket handlers: a ``@websocket`` view, a loop inside the view itself, a
#: ``WebSocketView``, a ``ws4py.websocket.WebSocket``, a coroutine. For cases in which the handler
#: has a part: it is called, held up, told of the end.
STYLES = ("blocking", "inside", "event", "ws4py", "async")
#: Styles whose code waits, in ``receive()`` and for a slow client.
WAITING = ("blocking", "inside", "async")
#: Styles that meet the wire in two ways: the 101 goes out after the view, or in its midst. For
#: cases that are decided before a handler is called, of whatever style it is.
ACCEPTING = ("blocking", "inside")
#: The style of cases that no websocket handler has a part in.
PLAIN = ("plain",)

#: Groups of behaviour in the order of the report, each a module of ``groups``.
GROUPS = (
    "environ",
    "wsgi",
    "http",
    "bodies",
    "responses",
    "smuggling",
    "requests",
    "handshake",
    "refusals",
    "drafts",
    "framing",
    "masking",
    "fragmentation",
    "utf8",
    "control",
    "closing",
    "closecodes",
    "compression",
    "limits",
    "flow",
    "early",
    "ends",
    "keepalive",
    "context",
    "shutdown",
    "leaks",
    "server",
)

Run: TypeAlias = "Callable[[Kit], None]"


class Failed(AssertionError):
    """The backend does not do what the case asks; the text is one whole sentence."""


def fail(sentence: str) -> NoReturn:
    """End the case as failed.

    :param sentence: what was expected and what happened instead
    """
    raise Failed(sentence)


def check(condition: object, sentence: str) -> None:
    """End the case as failed unless *condition* holds.

    :param sentence: what was expected and what happened instead
    """
    if not condition:
        raise Failed(sentence)


def equal(found: object, expected: object, what: str) -> None:
    """End the case as failed unless *found* is *expected*.

    :param what: the subject of the sentence: "the close code"
    """
    if found != expected:
        raise Failed(f"{what} was {_shown(found)}, expected {_shown(expected)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]} … {text[-60:]} ({len(text)} characters)"


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing that a backend must do.

    :param group: one of :data:`GROUPS`
    :param name: unique in its group
    :param section: what it proves: ``RFC 6455 5.1``, or one of :mod:`dualws_conformance.promises`
    :param title: the behaviour, as a sentence about a conforming server
    :param run: does it
    :param styles: styles of handler that it runs for
    :param exclusive: it measures the whole server, so nothing else may run beside it
    :param slow: leave it out of a quick run
    """

    group: str
    name: str
    section: str
    title: str
    run: Run
    styles: tuple[str, ...]
    exclusive: bool = False
    slow: bool = False

    @property
    def id(self) -> str:
        """``group/name``."""
        return f"{self.group}/{self.name}"


_cases: dict[str, Case] = {}


def add(
    group: str,
    name: str,
    section: str,
    title: str,
    run: Run,
    *,
    styles: tuple[str, ...] = PLAIN,
    exclusive: bool = False,
    slow: bool = False,
) -> None:
    """Register a case; parameters as in :class:`Case`.

    :raises ValueError: another case has this name, or the group is unknown
    """
    case = Case(group, name, section, title, run, styles, exclusive, slow)
    if group not in GROUPS:
        raise ValueError(f"case {case.id}: {group!r} is not in dualws_conformance.model.GROUPS")
    if case.id in _cases:
        raise ValueError(f"two cases are called {case.id}: rename one")
    _cases[case.id] = case


def case(
    group: str,
    section: str,
    title: str,
    *,
    styles: tuple[str, ...] = PLAIN,
    exclusive: bool = False,
    slow: bool = False,
) -> Callable[[Run], Run]:
    """Register a function as a case, named as the function is; parameters as in :class:`Case`."""

    def register(run: Run) -> Run:
        name = run.__name__.replace("_", "-")
        add(group, name, section, title, run, styles=styles, exclusive=exclusive, slow=slow)
        return run

    return register


def select(groups: Iterable[str] = (), *, quick: bool = False) -> list[Case]:
    """The cases, in the order of the report.

    :param groups: only these; all when empty
    :param quick: without the slow ones
    :raises ValueError: there is no such group
    """
    chosen = tuple(groups) or GROUPS
    for group in chosen:
        if group not in GROUPS:
            raise ValueError(f"there is no group {group!r}; groups: {', '.join(GROUPS)}")
        importlib.import_module(f"dualws_conformance.groups.{group}")
    found = [one for one in _cases.values() if one.group in chosen and not (quick and one.slow)]
    return sorted(found, key=lambda one: GROUPS.index(one.group))
