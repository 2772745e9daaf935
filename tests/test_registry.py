"""Finding backends: names without imports, five errors with their cures, a stranger's backend."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from dualws.contract import CONTRACT_VERSION
from support.backends import LIBRARIES, installed
from support.distributions import BACKEND, install, install_third
from support.program import Program, python

_LOAD = """
import json, sys
from dualws import registry
from dualws.errors import BackendError
try:
    registry.load(sys.argv[1])
except BackendError as error:
    print(json.dumps([type(error).__name__, str(error), repr(error.__cause__)]))
else:
    print(json.dumps(["loaded", "", ""]))
"""

_APPLICATION = """
def application(environ, start_response):
    body = environ["wsgi.server"].backend.name.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder that the child process sees as one more site-packages."""
    folder = tmp_path / "packages"
    folder.mkdir()
    return folder


def load(target: Path, name: str) -> tuple[str, str, str]:
    """Load a backend in a process of its own: the error's class, its text, its cause."""
    done = python(target.parent, "-c", _LOAD, name, env={"PYTHONPATH": str(target)})
    assert done.returncode == 0, done.stderr
    kind, text, cause = json.loads(done.stdout)
    return kind, text, cause


def listing(target: Path) -> Mapping[str, list[str]]:
    """What ``dualws backends`` prints, by name."""
    done = python(
        target.parent, "-m", "dualws.serving.cli", "backends", env={"PYTHONPATH": str(target)}
    )
    assert done.returncode == 0, done.stderr
    return {line.split("\t")[0]: line.split("\t")[1:] for line in done.stdout.splitlines()}


def test_unknown_backend_lists_the_installed_ones_and_the_nearest(target: Path) -> None:
    kind, text, _ = load(target, "gevnet")
    assert kind == "UnknownBackend"
    assert "'gevnet'" in text
    assert "Did you mean 'gevent'?" in text
    assert f"Installed backends: {', '.join(sorted(installed()))}." in text


def test_missing_library_names_the_extra_that_brings_it(target: Path) -> None:
    install(
        target,
        "dualws-made-up",
        backends={"made": "made_up:Backend"},
        modules={"made_up": "import absent_library.loop\n"},
        requires=["absent-library>=2; extra == 'made'"],
    )
    kind, text, _ = load(target, "made")
    assert kind == "MissingLibrary"
    assert "'absent_library'" in text
    assert 'pip install "dualws-made-up[made]"' in text
    assert listing(target)["made"][0] == "missing library"


def test_only_backends_whose_library_is_there_count_as_installed(target: Path) -> None:
    for name, requirement in (("absent", "absent>=2"), ("made", "made-up>=2")):
        install(
            target,
            f"dualws-{name}",
            backends={name: "made_up:Backend"},
            modules={"made_up": ""},
            requires=[f"{requirement}; extra == '{name}'"],
        )
    looked = """
import json, sys
from dualws import registry
lacking = {name: registry.missing(name) for name in ("absent", "made")}
print(json.dumps([lacking, registry.usable_names(), "made_up" in sys.modules]))
"""
    done = python(target.parent, "-c", looked, env={"PYTHONPATH": str(target)})
    assert done.returncode == 0, done.stderr
    lacking, usable, imported = json.loads(done.stdout)
    assert lacking == {"absent": 'pip install "dualws-absent[absent]"', "made": None}
    assert usable == sorted([*installed(), "made"])
    assert not imported
    listed = ", ".join(sorted([*installed(), "made"]))
    assert f"Installed backends: {listed}." in load(target, "absnt")[1]


def test_missing_library_without_an_extra_is_installed_by_its_name(target: Path) -> None:
    install(
        target,
        "dualws-made-up",
        backends={"made": "made_up:Backend"},
        modules={"made_up": "import absent_library\n"},
        requires=["absent-library>=2"],
    )
    assert 'pip install "absent-library>=2"' in load(target, "made")[1]


@pytest.mark.parametrize(
    "source",
    [
        "import absnet_library\n",  # a slip of the plugin's author
        "from made_up_helpers import anything\n",  # a module of its own that it lacks
        "1 / 0\n",
        "def (\n",
        "raise SystemExit(3)\n",
        "assert False, 'no'\n",
        "Backend = print\n",
        BACKEND.format(name="made", version=CONTRACT_VERSION).replace("make_server", "other"),
    ],
)
def test_a_plugin_that_fails_keeps_its_cause(target: Path, source: str) -> None:
    install(
        target,
        "dualws-made-up",
        backends={"made": "made_up:Backend"},
        modules={"made_up": source},
        requires=["absent-library; extra == 'made'"],
    )
    kind, text, cause = load(target, "made")
    assert kind == "BrokenBackend"
    assert "dualws-made-up 1.0" in text
    raised = "Backend" not in source
    assert (cause == "None") is not raised
    assert listing(target)["made"][0] == "broken"


def test_a_plugin_whose_module_is_absent_is_broken(target: Path) -> None:
    install(target, "dualws-made-up", backends={"made": "made_up.backend:Backend"})
    kind, text, cause = load(target, "made")
    assert kind == "BrokenBackend"
    assert "No module named 'made_up'" in text
    assert "ModuleNotFoundError" in cause


@pytest.mark.parametrize(
    ("version", "cure"),
    [
        (CONTRACT_VERSION - 1, "Upgrade dualws-made-up"),
        (CONTRACT_VERSION + 1, "Upgrade dualws: pip install --upgrade dualws"),
        (None, "Upgrade dualws-made-up"),
    ],
)
def test_another_contract_names_both_versions_and_who_must_move(
    target: Path, version: int | None, cure: str
) -> None:
    source = BACKEND.format(name="made", version=version)
    install(
        target,
        "dualws-made-up",
        backends={"made": "made_up:Backend"},
        modules={"made_up": source},
    )
    kind, text, _ = load(target, "made")
    assert kind == "IncompatibleBackend"
    assert f"version {version} of the contract" in text
    assert f"has version {CONTRACT_VERSION}" in text
    assert text.endswith(cure)
    assert listing(target)["made"][0] == "incompatible"


def test_two_plugins_of_one_name_name_both_distributions(target: Path) -> None:
    source = BACKEND.format(name="made", version=CONTRACT_VERSION)
    install(target, "dualws-one", backends={"made": "one:Backend"}, modules={"one": source})
    install(target, "dualws-two", backends={"made": "two:Backend"}, modules={"two": source})
    kind, text, _ = load(target, "made")
    assert kind == "AmbiguousBackend"
    assert "dualws-one 1.0" in text
    assert "dualws-two 1.0" in text
    assert "pip uninstall" in text
    assert listing(target)["made"][0] == "ambiguous"


@pytest.mark.parametrize("name", LIBRARIES)
def test_our_own_backends_without_their_library(tmp_path: Path, name: str) -> None:
    hide = (
        "import sys\n"
        f"sys.modules[{LIBRARIES[name]!r}] = None\n"
        "from dualws import bootstrap\n"
        "from dualws.errors import MissingLibrary\n"
        "try:\n"
        f"    bootstrap.prepare({name!r})\n"
        "except MissingLibrary as error:\n"
        "    print(error)\n"
    )
    done = python(tmp_path, "-c", hide)
    assert f'pip install "dualws[{name}]"' in done.stdout, done.stderr


def test_listing_shows_every_state_of_ours(target: Path) -> None:
    found = listing(target)
    for name in LIBRARIES:
        state = "installed" if name in installed() else "missing library"
        assert found[name][0] == state
        assert (f'pip install "dualws[{name}]"' in found[name][2]) is (state != "installed")


def test_names_import_no_plugin(target: Path) -> None:
    install(
        target,
        "dualws-made-up",
        backends={"made": "made_up:Backend"},
        modules={"made_up": "raise RuntimeError('imported')\n"},
    )
    source = (
        "import sys\n"
        "from dualws import registry\n"
        "assert registry.names() == ['gevent', 'made', 'tornado'], registry.names()\n"
        "ours = {'dualws_gevent', 'dualws_tornado', 'made_up'}\n"
        "early = {'gevent', 'tornado', 'django', *ours} & set(sys.modules)\n"
        "assert not early, early\n"
    )
    done = python(target.parent, "-c", source, env={"PYTHONPATH": str(target)})
    assert done.returncode == 0, done.stderr


def test_a_third_partys_backend_is_found_and_used_by_name(target: Path, tmp_path: Path) -> None:
    install_third(target)
    assert listing(target)["third"][0] == "installed"
    (tmp_path / "hello.py").write_text(_APPLICATION)
    command = ["-m", "dualws.serving.cli", "serve", "hello", "--backend", "third"]
    with Program(
        tmp_path, [*command, "--bind", "127.0.0.1:0"], env={"PYTHONPATH": str(target)}
    ) as program:
        with urllib.request.urlopen(program.url()) as answer:
            assert answer.read() == b"third"
        assert program.stop(signal.SIGINT) == 0
        assert program.stderr.text() == ""
