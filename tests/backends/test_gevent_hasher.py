"""The program of the page on observability: a password hasher that does not hold the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.server import LiveServer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "observability.md"
BLOCK = re.compile(r"^```python\n# guide_hashers\.py\n(.*?)^```$", re.M | re.S)
SITE = """
import time
from threading import Thread
from django.contrib.auth.hashers import PBKDF2PasswordHasher, check_password
from django.http import JsonResponse
from django.urls import path

# As strong as is needed to be seen, and no stronger.
PBKDF2PasswordHasher.iterations = 700_000
OLD = PBKDF2PasswordHasher().encode("secret", "salt")

def sign_in(request):
    beats, going = [0.0], True
    def beat():
        while going:
            time.sleep(0.01)
            beats.append(time.monotonic())
    other = Thread(target=beat)
    beats[0] = time.monotonic()
    other.start()
    valid = [check_password(word, OLD) for word in ("secret", "wrong")]
    going = False
    other.join()
    gap = max(later - earlier for earlier, later in zip(beats, beats[1:]))
    return JsonResponse({"valid": valid, "waited": gap / (beats[-1] - beats[0])})

urlpatterns = [path("sign-in/", sign_in)]
"""


@pytest.mark.parametrize("backend", ["gevent"], indirect=True)
@pytest.mark.parametrize("threaded", [True, False])
def test_the_hub_goes_on_while_a_thread_computes(
    serve_app: Callable[..., LiveServer], tmp_path: Path, threaded: bool
) -> None:
    block = BLOCK.search(PAGE.read_text())
    assert block is not None
    (tmp_path / "guide_hashers.py").write_text(block[1])
    (tmp_path / "guide_site.py").write_text(SITE)
    mine = "guide_hashers.ThreadedHasher"
    theirs = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    settings = {"ROOT_URLCONF": "guide_site", "PASSWORD_HASHERS": [mine if threaded else theirs]}
    server = serve_app("support.project.wsgi", env={"DUALWS_TEST_SETTINGS": json.dumps(settings)})
    told = server.get_json("/sign-in/")
    assert told["valid"] == [True, False]
    assert (told["waited"] < 0.3) == threaded
