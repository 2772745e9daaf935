"""``manage.py superserver``: a reload that survives every error, and what ends it all the same."""

from __future__ import annotations

from pathlib import Path

from support.distributions import install_third
from support.superserver import MANAGE, VIEWS, Superserver, gone, read
from support.superserver import server as server
from support.superserver import site as site


def test_an_error_in_a_file_does_not_end_it(server: Superserver, site: Path, backend: str) -> None:
    server.started()
    for name, mistake, error in (
        ("settings", "def (\n", "SyntaxError"),
        ("models", "1 / 0\n", "ZeroDivisionError"),
        ("urls", "def (\n", "SyntaxError"),
        ("views", "1 / 0\n", "ZeroDivisionError"),
    ):
        file = site / "mysite" / f"{name}.py"
        right = file.read_text()
        start = server.stderr.position
        file.write_text(right + mistake)
        assert server.stderr.wait_for(rf"(?m)^{error}", start=start), server.text()
        file.write_text(right)
        assert read(server.started()) == backend
    assert server.interrupt() == 0


def test_an_error_in_manage_py_does_not_end_it(
    server: Superserver, site: Path, backend: str
) -> None:
    server.started()
    (site / "manage.py").write_text(MANAGE + "def (\n")
    (site / "mysite" / "views.py").write_text(VIEWS + "\n")
    assert server.stderr.wait_for(r"(?m)^SyntaxError"), server.text()
    (site / "manage.py").write_text(MANAGE)
    assert read(server.started()) == backend


def test_a_failed_check_does_not_end_it(server: Superserver, site: Path, backend: str) -> None:
    server.started()
    settings = site / "mysite" / "settings.py"
    right = settings.read_text()
    settings.write_text(right + "DUALWS_THREADS = 'many'\n")
    assert server.stderr.wait_for(r"dualws\.E002"), server.text()
    settings.write_text(right)
    assert read(server.started()) == backend


def test_a_signal_ends_it_while_it_waits_for_a_repair(server: Superserver, site: Path) -> None:
    server.started()
    (site / "mysite" / "settings.py").write_text("def (\n")
    assert server.stderr.wait_for(r"(?m)^SyntaxError"), server.text()
    child = server.child()
    assert server.interrupt() == 0
    assert gone(child)


def test_it_follows_the_backend_of_the_settings(site: Path, tmp_path: Path, backend: str) -> None:
    packages = tmp_path / "packages"
    install_third(packages)
    settings = site / "mysite" / "settings.py"
    right = settings.read_text()
    with Superserver(site, env={"PYTHONPATH": str(packages)}) as server:
        assert read(server.started()) == backend
        settings.write_text(right + "DUALWS_BACKEND = 'absent'\n")
        assert server.stderr.wait_for(r"(?m)^Error: There is no backend 'absent'"), server.text()
        assert "Traceback" not in server.text()
        settings.write_text(right + "DUALWS_BACKEND = 'third' # found\n")
        assert read(server.started()) == "third"
        settings.write_text(right)
        assert read(server.started()) == backend
