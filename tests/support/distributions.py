"""Distributions made up by a test, laid out as an installer would leave them.

A folder with them on PYTHONPATH is to the child process what site-packages is.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

THIRD = Path(__file__).resolve().parent.parent / "thirdparty" / "dualws-third"

#: a backend that may be imported; its contract version is filled in
BACKEND = """
from dualws.contract import Backend
class Backend(Backend):
    name = {name!r}
    summary = "made up"
    contract_version = {version}
    @classmethod
    def prepare(cls): pass
    def make_server(self, application, config, sockets): raise NotImplementedError
"""


def install(
    target: Path,
    name: str,
    *,
    backends: Mapping[str, str],
    modules: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
    version: str = "1.0",
) -> None:
    """Put a distribution into *target*.

    :param backends: name -> ``module:class``
    :param modules: name -> source
    :param requires: its requirements, with their markers
    """
    info = target / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    points = "".join(f"{key} = {value}\n" for key, value in backends.items())
    (info / "entry_points.txt").write_text(f"[dualws.backends]\n{points}")
    for module, source in (modules or {}).items():
        (target / f"{module}.py").write_text(source)


def install_third(target: Path) -> None:
    """Install the backend that lives in a distribution of its own, from its pyproject."""
    project = tomllib.loads((THIRD / "pyproject.toml").read_text())["project"]
    shutil.copytree(THIRD / "dualws_third", target / "dualws_third")
    install(
        target,
        project["name"],
        version=project["version"],
        requires=project["dependencies"],
        backends=project["entry-points"]["dualws.backends"],
    )
