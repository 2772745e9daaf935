"""One answer for all that ask at the same moment.

Law: *nobody waits for somebody who has gone*. The first that asks leads: it gives way, so that
others of the same burst can queue up, and again for as long as that brings more, and asks for
all of them. Who comes meanwhile waits for the next leader, which is the first of those. Whoever
leads and fails, or is killed, leaves those that it was asking for without an answer, which they
then get by themselves.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from dualws.waiting import Runtime, Waiter

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Group = TypeVar("Group", bound=Hashable)

logger = logging.getLogger("dualws.handler")

#: Questions that are asked at once: databases have limits for the variables of a query.
MOST = 500
#: Seconds for which who leads gives way: once, and in a burst again. Greenlets need no more than
#: their turn, threads the time to get theirs.
PAUSES = (0.0, 0.001, 0.001, 0.001, 0.001)


@dataclasses.dataclass(slots=True, eq=False)
class _Seat(Generic[Question, Answer]):
    """Somebody who asks."""

    question: Question
    waiter: Waiter
    answer: Answer | None = None
    #: it is its turn to ask for those behind it
    leads: bool = False


class Combiner(Generic[Group, Question, Answer]):
    """Asks for many at once.

    :param runtime: of the server whose requests ask
    :param answer: answers the questions of one group, in their order; None for whoever is to see
        to it alone. Called where the first of them was asked
    """

    def __init__(
        self,
        runtime: Runtime,
        answer: Callable[[Group, list[Question]], Sequence[Answer | None]],
    ) -> None:
        self._runtime = runtime
        self._answer = answer
        self._lock = runtime.lock()
        #: group -> who waits there; no group without somebody who leads
        self._queues: dict[Group, list[_Seat[Question, Answer]]] = {}

    def ask(self, group: Group, question: Question) -> Answer | None:
        """The answer; None for whoever is to see to it alone.

        :param group: only questions of the same group are answered together
        """
        seat: _Seat[Question, Answer] = _Seat(question, self._runtime.waiter())
        with self._lock:
            queue = self._queues.get(group)
            if queue is None:
                queue = self._queues[group] = []
                seat.leads = True
            queue.append(seat)
        try:
            if not seat.leads:
                seat.waiter.wait()
        except BaseException:  # killed while it waited
            self._leave(group, queue, seat)
            raise
        if seat.leads:
            self._lead(group, queue, seat)
        return seat.answer

    def _lead(
        self, group: Group, queue: list[_Seat[Question, Answer]], seat: _Seat[Question, Answer]
    ) -> None:
        batch: list[_Seat[Question, Answer]] = []
        try:
            size = 0
            for pause in PAUSES:
                if not size < len(queue) < MOST:
                    break
                size = len(queue)
                time.sleep(pause)
            with self._lock:
                batch = queue[:MOST]
                del queue[:MOST]
            answers = self._answer(group, [one.question for one in batch])
            # All of them fit, or nobody gets one.
            for one, answer in list(zip(batch, answers, strict=True)):
                one.answer = answer
        except Exception as error:
            logger.warning("%d requests are answered one by one: %r", len(batch), error)
        finally:
            for one in batch:
                if one is not seat:
                    one.waiter.wake()
            self._leave(group, queue, seat)

    def _leave(
        self, group: Group, queue: list[_Seat[Question, Answer]], seat: _Seat[Question, Answer]
    ) -> None:
        """*seat* asks no more; somebody else leads, if it was to."""
        following = None
        with self._lock:
            if seat in queue:
                queue.remove(seat)
            if seat.leads and queue:
                following = queue[0]
                following.leads = True
            elif seat.leads:
                del self._queues[group]
        if following is not None:
            following.waiter.wake()
