"""Soaks servers of both backends, side by side: ``python -m soak [--seconds 1200]``.

Law: *the second half is compared with the first.* While traffic goes on nothing is judged but what
the well-behaved see; four times in each half it pauses, and what the server then holds of memory,
descriptors, threads and greenlets is noted. The worst of the second half may be no more than
the worst of the first, but for what allocators breathe. No traceback is allowed.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from soak import clients
from support.server import LiveServer
from support.timing import TIMEOUT, eventually

#: How much more the second half may hold. Idle threads of Tornado's stay for 10 s.
ALLOWED = {"descriptors": 3, "threads": 12, "greenlets": 5, "memory": 8 << 20}
#: Pauses in each half.
_LOOKS = 4
#: How many good and bad clients there are at a time.
_GOOD, _BAD = 3, 4
#: Seconds after which the server gives up somebody slow, so that a pause need not be long.
_OPTIONS = (
    *("--send-timeout", "2", "--close-timeout", "1", "--header-timeout", "2"),
    *("--body-timeout", "2", "--response-timeout", "2", "--http-idle-timeout", "2"),
    *("--ping-interval", "1", "--ping-timeout", "2", "--threads", "8"),
    *("--max-blocking-handlers", "50", "--spool-size", "50000"),
)


class Soak:
    """One server and its clients.

    :param backend: its name
    :param folder: where it runs
    """

    def __init__(self, backend: str, folder: Path) -> None:
        self.backend = backend
        self.server = LiveServer("soak.site", backend=backend, folder=folder, options=_OPTIONS)
        #: what went wrong
        self.failures: list[str] = []
        #: how often each kind of client came
        self.done: Counter[str] = Counter()
        self._tallies: list[dict[str, int]] = []

    def run(self, seconds: float) -> None:
        """All of it; what went wrong is in :attr:`failures` afterwards."""
        try:
            # What is made once, at the first of each kind, is no leak.
            self._traffic(seconds / 10)
            for _ in range(2 * _LOOKS):
                self._traffic(seconds * 0.9 / (2 * _LOOKS))
                self._tallies.append(self._settled())
            self._judge()
        except Exception as error:
            self.failures.append(f"the soak itself failed: {error!r}")
        finally:
            self._end()

    def _end(self) -> None:
        """Look into the log and stop the server; a look that fails is a failure as well."""
        try:
            self._check_log()
        except Exception as error:
            self.failures.append(f"the log could not be checked: {error!r}")
        if self.server.stop() != 0:
            self.failures.append("the server did not end with 0")

    def _traffic(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._come_and_go, args=(number < _GOOD, end))
            for number in range(_GOOD + _BAD)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _come_and_go(self, good: bool, end: float) -> None:
        while time.monotonic() < end and len(self.failures) < 20:
            act = random.choice(clients.GOOD if good else clients.BAD)
            try:
                act(self.server)
            except Exception as error:
                # Also of the bad ones nobody is sent what HTTP or the protocol does not allow.
                if good or not isinstance(error, clients.ENDS):
                    self.failures.append(f"{act.__name__}: {error!r}")
            self.done[act.__name__] += 1

    def _settled(self) -> dict[str, int]:
        """What the server holds when nobody is connected."""
        held: dict[str, int] = {}

        def idle() -> bool:
            held.clear()
            held.update(self.server.get_json("/state/"))
            return held["connections"] == 0

        eventually(idle, what="websockets are left", timeout=2 * TIMEOUT)
        # Greenlets and descriptors of HTTP connections go once their time is over.
        lowest = dict(held)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            idle()
            for name, value in held.items():
                if value is not None:
                    lowest[name] = min(lowest[name], value)
            time.sleep(0.25)
        return lowest

    def _judge(self) -> None:
        first, second = self._tallies[:_LOOKS], self._tallies[_LOOKS:]
        for name, allowed in ALLOWED.items():
            before = [tally[name] for tally in first if tally[name] is not None]
            after = [tally[name] for tally in second if tally[name] is not None]
            if before and after and max(after) > max(before) + allowed:
                self.failures.append(f"{name} grew: {before}, then {after}")

    def _check_log(self) -> None:
        if not self.server.running:
            self.failures.append("the server has ended")
        text = self.server.stderr.text()
        # Nothing that clients do is worth a traceback, or an error.
        for pattern in (
            r"Traceback \(most recent call last\):\n(?:.*\n){1,25}",
            r".*Warning: .*\n",
        ):
            self.failures += [f"in the log: {found}" for found in re.findall(pattern, text)[:3]]

    def report(self) -> str:
        """What it came to."""
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.done.items()))
        lines = [f"{self.backend}: {'FAILED' if self.failures else 'ok'}", f"    {kinds}"]
        for name in ALLOWED:
            values = [tally[name] for tally in self._tallies if tally[name] is not None]
            if values:
                unit = 1 << 20 if name == "memory" else 1
                lines.append(f"    {name}: {' '.join(f'{v / unit:.4g}' for v in values)}")
        lines += [f"    {failure}" for failure in self.failures]
        return "\n".join(lines) + "\n"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200, help="of traffic; default 1200")
    parser.add_argument("--backend", action="append", help="default: gevent and tornado")
    parser.add_argument("--seed", type=int, default=None, help="of what clients choose")
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        soaks = []
        for backend in chosen.backend or ("gevent", "tornado"):
            place = Path(folder) / backend
            place.mkdir()
            soaks.append(Soak(backend, place))
        threads = [threading.Thread(target=soak.run, args=(chosen.seconds,)) for soak in soaks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for soak in soaks:
        sys.stdout.write(soak.report())
    return int(any(soak.failures for soak in soaks))


if __name__ == "__main__":
    sys.exit(main())
