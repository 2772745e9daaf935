"""Dockerfile, compose file, Kubernetes manifest and kernel settings, as far as they can be tested
where no container and no cluster runs: linters, schemas, and what they say of dualws."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualws.contract import ServerConfig
from support.machine import find, needs
from support.proxies import DEPLOY, Nginx, replaced
from support.timing import TIMEOUT

SCRIPTS = Path(sysconfig.get_path("scripts"))
DOCKER = DEPLOY / "docker"
DRAIN = ServerConfig().drain_window


def accepts(*words: str | Path) -> None:
    """Run a checker that must have nothing to say."""
    run = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, check=False, timeout=TIMEOUT * 2
    )
    assert run.returncode == 0, run.stdout + run.stderr


@needs("hadolint")
def test_the_dockerfile() -> None:
    program = find("hadolint")
    assert program is not None
    accepts(program, DOCKER / "Dockerfile")


def manifest(kind: str) -> Any:
    """The object of *kind* in the manifest."""
    text = (DEPLOY / "kubernetes" / "dualws.yaml").read_text()
    return next(found for found in yaml.safe_load_all(text) if found["kind"] == kind)


def commands() -> list[list[str]]:
    """Command lines of dualws in the Dockerfile, the manifest and the units."""
    dockerfile = (DOCKER / "Dockerfile").read_text()
    in_image = re.findall(r"^CMD (\[.*\])$", dockerfile, re.M)
    units = "".join(path.read_text() for path in (DEPLOY / "systemd").glob("*.service"))
    in_units = re.findall(r"^ExecStart=\S+/dualws (.*)$", units, re.M)
    pod = manifest("Deployment")["spec"]["template"]["spec"]["containers"][0]
    web = yaml.safe_load((DOCKER / "compose.yml").read_text())["services"]["web"]
    in_containers = [yaml.safe_load(in_image[0])[1:], web["command"][1:], pod["args"][1:]]
    found = [*in_containers, *map(shlex.split, in_units)]
    return [[word.replace("%i", "8001") for word in words] for words in found]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_dualws_knows_the_options_that_are_given(words: list[str]) -> None:
    """Up to the import of the project, which there is none of."""
    run = subprocess.run(
        [sys.executable, "-m", "dualws.serving.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT * 2,
    )
    assert run.returncode == 2
    assert "mysite" in run.stderr, run.stderr


def test_the_compose_file() -> None:
    path = DOCKER / "compose.yml"
    accepts(SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)
    web = yaml.safe_load(path.read_text())["services"]["web"]
    assert int(web["stop_grace_period"].removesuffix("s")) > DRAIN + 10
    assert (path.parent / web["build"]["context"] / web["build"]["dockerfile"]).exists()


@needs("nginx", "openssl")
def test_the_nginx_of_the_compose_file(tmp_path: Path) -> None:
    """nginx accepts it, and what it says of the way to dualws is what the tested file says."""
    text = (DOCKER / "nginx.conf").read_text()
    site = replaced(text, {"web:8000": "127.0.0.1:8000", "listen 80": "listen 127.0.0.1:0"})
    (tmp_path / "dualws.conf").write_text(site.replace("127.0.0.1:0;", "127.0.0.1:8099;"))
    (tmp_path / "nginx.conf").write_text(Nginx.MAIN.format(folder=tmp_path))
    program = find("nginx")
    assert program is not None
    accepts(program, "-t", "-q", "-e", "stderr", "-c", tmp_path / "nginx.conf")

    def directives(text: str) -> set[str]:
        return set(re.findall(r"^ +((?:proxy|keepalive|least|client)\w*[^#\n]*;)", text, re.M))

    assert directives(text) == directives((DEPLOY / "nginx" / "dualws.conf").read_text())


def test_the_kubernetes_manifest() -> None:
    file = DEPLOY / "kubernetes" / "dualws.yaml"
    accepts(SCRIPTS / "kubernetes-validate", "--strict", file)
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    (web,) = pod["containers"]
    before = web["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > before + DRAIN + 10
    ports = {port["name"]: port["containerPort"] for port in web["ports"]}
    assert web["args"][3:5] == [
        f"--bind=0.0.0.0:{ports['http']}",
        f"--metrics-bind=0.0.0.0:{ports['metrics']}",
    ]
    config = ServerConfig()
    for probe, path in (
        ("startupProbe", config.ready_path),
        ("readinessProbe", config.ready_path),
        ("livenessProbe", config.live_path),
    ):
        assert web[probe]["httpGet"] == {"path": path, "port": "metrics"}


if sys.platform == "linux":

    def test_the_kernel_knows_its_settings() -> None:
        """But those marked "-", which are there only while a firewall is."""
        text = (DEPLOY / "sysctl" / "90-dualws.conf").read_text()
        names = re.findall(r"^([\w.-]+) = ", text, re.M)
        assert len(names) > 10
        for name in names:
            if not name.startswith("-"):
                assert Path("/proc/sys", *name.split(".")).exists(), name
