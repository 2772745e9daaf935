"""One run of the Autobahn test suite against one server, and the verdict on every case.

Law: it counts. ``wstest`` exits with 0 whatever happens, skips cases silently when the server
dies, and never gives up waiting; so the cases are named beforehand, a limit is set, and each
one's verdict is looked at.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Cases that only tell how a server behaves where the RFC leaves it free.
INFORMATIONAL = frozenset({"7.1.6", "7.13.1", "7.13.2"})
_BEGINS = re.compile(rb"Running test case ID (\S+)")


def cases(binaries: Path, smaller_than: int | None) -> list[str]:
    """Ids of the suite's cases.

    :param binaries: the environment's ``bin``
    :param smaller_than: without those whose compressed messages have this many bytes or more
    """
    script = Path(__file__).with_name("autobahn_cases.py")
    done = subprocess.run(
        [binaries / "python", script], capture_output=True, check=True, timeout=120
    )
    return [
        name
        for name, size in json.loads(done.stdout)
        if smaller_than is None or size < smaller_than
    ]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is wrong with a case: what the suite says of it, or that it says nothing."""

    case: str
    problem: str


class Run:
    """The suite against one server; begins at once.

    :param binaries: the environment's ``bin``
    :param agent: name of the server in the reports
    :param url: address of its echo
    :param names: cases to run
    :param folder: for the suite's reports
    :param seconds: the whole run's time limit
    """

    def __init__(
        self,
        binaries: Path,
        agent: str,
        url: str,
        names: Sequence[str],
        folder: Path,
        seconds: float,
    ) -> None:
        self.agent = agent
        self._names = tuple(names)
        self._folder = folder
        self._deadline = time.monotonic() + seconds
        #: cases that have begun
        self.begun = 0
        self.last = "none"
        folder.mkdir(parents=True, exist_ok=True)
        spec = {
            "outdir": str(folder),
            "servers": [{"agent": agent, "url": url}],
            "cases": list(names),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        path = folder / "spec.json"
        path.write_text(json.dumps(spec))
        self._index = folder / "index.json"
        self._index.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [binaries / "python", "-u", binaries / "wstest", "-m", "fuzzingclient", "-s", path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output, (self._folder / "wstest.log").open("wb") as log:
            for line in output:
                log.write(line)
                match = _BEGINS.search(line)
                if match:
                    self.begun += 1
                    self.last = match[1].decode()

    @property
    def running(self) -> bool:
        """Whether the suite still runs, within its limit."""
        return self._process.poll() is None and time.monotonic() < self._deadline

    def stop(self) -> None:
        """End the suite if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def verdicts(self) -> list[Verdict]:
        """What is wrong, empty when every case is as it must be; ends the run."""
        if self._process.poll() is None:
            self.stop()
            limit = f"the time limit came during case {self.last}, number {self.begun}"
            return [Verdict("all", limit)]
        self._reader.join()
        if not self._index.exists():
            return [Verdict("all", f"the suite wrote no report; see {self._folder / 'wstest.log'}")]
        report = self._report()
        found = []
        for name in self._names:
            if name not in report:
                found.append(Verdict(name, "was skipped"))
                continue
            allowed = ("OK", "INFORMATIONAL") if name in INFORMATIONAL else ("OK",)
            for what in ("behavior", "behaviorClose"):
                if report[name][what] not in allowed:
                    found.append(Verdict(name, f"{what}: {report[name][what]}"))
        return found

    def seconds(self) -> dict[str, float]:
        """What each case took, as the suite tells; after :meth:`verdicts` found nothing."""
        report = self._report()
        return {name: report[name]["duration"] / 1000 for name in self._names}

    def _report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self._index.read_text()).get(self.agent, {})
        return report
