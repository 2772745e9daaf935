"""The threads of blocking handlers on Tornado, which ``threading`` does not know."""

from __future__ import annotations

import multiprocessing
import threading
from types import FrameType

import pytest

from dualws_tornado.threads import start_bare
from support.timing import TIMEOUT, eventually


def test_it_is_traced_and_profiled_like_others() -> None:
    noted: set[str] = set()
    done = threading.Event()

    def note(what: str, frame: FrameType) -> None:
        if frame.f_code.co_name == "handler":
            noted.add(what)

    def handler() -> None:
        done.set()

    before = threading.gettrace(), threading.getprofile()
    # As tools that measure coverage, profile or debug do.
    threading.settrace(lambda frame, event, argument: note("trace", frame))
    threading.setprofile(lambda frame, event, argument: note("profile", frame))
    try:
        start_bare(handler)
        assert done.wait(TIMEOUT)
    finally:
        threading.settrace(before[0])  # type: ignore[arg-type]  # None is what it was
        threading.setprofile(before[1])
    assert noted == {"trace", "profile"}


class Handler:
    """Asks which thread it is in, also when it dies, as whatever logs does."""

    def __init__(self, seen: list[threading.Thread]) -> None:
        self.seen = seen

    def __call__(self) -> None:
        self.seen.append(threading.current_thread())

    def __del__(self) -> None:
        self.seen.append(threading.current_thread())


def test_it_is_forgotten_in_the_end() -> None:
    seen: list[threading.Thread] = []
    start_bare(Handler(seen))
    eventually(lambda: len(seen) == 2, what="the handler has not ended")
    assert seen[0] is seen[1] is not threading.current_thread()
    eventually(lambda: seen[0] not in threading.enumerate(), what="the thread is listed yet")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_it_may_fork() -> None:
    codes: list[int | None] = []

    def handler() -> None:
        threading.current_thread()
        child = multiprocessing.get_context("fork").Process(target=int)
        child.start()
        child.join(TIMEOUT)
        codes.append(child.exitcode)

    start_bare(handler)
    eventually(lambda: codes, what="the child has not ended")
    assert codes == [0]
