"""Compiles the hot path (``dualws/hot/c``) into wheels and editable installs.

Law: *nobody needs a compiler*. Where there is none, or ``DUALWS_PURE_PYTHON=1`` is set, the wheel
is one for every platform, and does the same in Python.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, ExecError

NAME = "dualws.hot._compiled"


class CompiledHotPath(BuildHookInterface[Any]):
    """Adds the extension module to what is built."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile it; without success say so, and go on."""
        if self.target_name != "wheel":
            return
        if os.environ.get("DUALWS_PURE_PYTHON", "0") not in ("", "0"):
            return
        try:
            built = self._compile()
        except (BaseError, CCompilerError, ExecError, OSError) as error:
            self.app.display_warning(
                f"dualws is installed without its compiled hot path ({error}): install a C "
                "compiler and the headers of this Python, and install dualws again"
            )
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(f"/{built}")

    def _compile(self) -> str:
        """Compile beside the sources; the module's path in the project."""
        root = Path(self.root)
        sources = sorted(str(path.relative_to(root)) for path in root.glob("dualws/hot/c/*.c"))
        extension = Extension(
            NAME, sources, depends=["dualws/hot/c/hot.h"], extra_compile_args=["-O3"]
        )
        command = build_ext(Distribution({"name": "dualws", "ext_modules": [extension]}))
        command.build_lib = self.root
        command.build_temp = str(root / "build" / "compiled")
        before = Path.cwd()
        os.chdir(root)
        try:
            command.ensure_finalized()
            command.run()
        finally:
            os.chdir(before)
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        return NAME.replace(".", "/") + str(suffix)
