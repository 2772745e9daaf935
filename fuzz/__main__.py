"""Runs every target for a while, two at a time: ``python -m fuzz [--seconds 10] [TARGET …]``.

Law: a finding of one target does not stop the others; the exit code tells of any.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import subprocess
import sys

TARGETS = ("stream", "deflate", "handshake", "http")
#: Seconds that a target may take beyond its time: its import, its last input.
_SPARE = 60


def run(target: str, seconds: int, artifacts: str) -> tuple[int, str]:
    """One target's exit code and what it printed; one that does not end in time has failed."""
    command = [sys.executable, "-m", f"fuzz.{target}", f"-max_total_time={seconds}"]
    command += [f"-artifact_prefix={artifacts}/{target}-", "-timeout=10", "-rss_limit_mb=1024"]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            timeout=seconds + _SPARE,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        if isinstance(said, bytes):  # whatever was asked for
            said = said.decode(errors="backslashreplace")
        return 1, f"{said}\nit did not end within {error.timeout:g} s"
    return done.returncode, done.stdout


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="for each target")
    parser.add_argument("--artifacts", default=".", help="folder for inputs that fail")
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], default=[])
    chosen = parser.parse_args()
    targets = chosen.targets or TARGETS
    worst = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(run, name, chosen.seconds, chosen.artifacts) for name in targets}
        for name, job in jobs.items():
            code, text = job.result()
            lines = text.strip().splitlines()
            # What it ended with is the summary where all went well.
            shown = lines[-60:] if code else lines[-1:]
            sys.stdout.write(f"{name}: {'FAILED' if code else 'ok'}\n")
            sys.stdout.writelines(f"    {line}\n" for line in shown)
            worst = max(worst, abs(code))
    return min(worst, 1)


if __name__ == "__main__":
    sys.exit(main())
