"""The settings of compression: their names, bounds and defaults."""

from __future__ import annotations

import pytest

from dualws.conf import make_config, problems
from dualws.errors import ConfigurationError


@pytest.mark.parametrize(
    ("setting", "value", "kind"),
    [
        ("DUALWS_COMPRESSION", 1, "type"),
        ("DUALWS_COMPRESSION", "off", "type"),
        ("DUALWS_COMPRESSION_THRESHOLD", -1, "value"),
        ("DUALWS_COMPRESSION_THRESHOLD", 1.5, "type"),
        ("DUALWS_COMPRESSION_WINDOW_BITS", 7, "value"),
        ("DUALWS_COMPRESSION_WINDOW_BITS", 16, "value"),
        ("DUALWS_COMPRESSION_WINDOW_BITS", "12", "type"),
        ("DUALWS_COMPRESSION_CONTEXT_TAKEOVER", None, "type"),
    ],
)
def test_a_wrong_setting_is_reported(setting: str, value: object, kind: str) -> None:
    (problem,) = problems({setting: value})
    assert (problem.setting, problem.kind) == (setting, kind)


@pytest.mark.parametrize("bits", [8, 9, 12, 15])
def test_every_window_of_the_rfc_may_be_chosen(bits: int) -> None:
    assert problems({"DUALWS_COMPRESSION_WINDOW_BITS": bits}) == []


def test_the_bounds_are_named_and_hold_for_the_option() -> None:
    with pytest.raises(ConfigurationError, match=r"--compression-window-bits is 16.* 8 to 15"):
        make_config({}, {"compression_window_bits": 16})


def test_options_count_before_settings_before_defaults() -> None:
    given = {"DUALWS_COMPRESSION": False, "DUALWS_COMPRESSION_THRESHOLD": 10}
    config = make_config(given, {"compression_threshold": 0, "compression": None})
    assert config.compression is False
    assert config.compression_threshold == 0
    assert config.compression_window_bits == 12
    assert config.compression_context_takeover is False
