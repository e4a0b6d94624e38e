"""Numbers and names as the report writes them."""

from __future__ import annotations

import pytest

from pawl.report import text


@pytest.mark.parametrize(
    ("value", "interval", "shown"),
    [
        (0.0264, (0.0152, 0.0371), "+0.026"),
        (0.0131, (0.0091, 0.0171), "+0.0131"),
        (430.0, (302.0, 561.0), "+430"),
        (-0.0021, (-0.0063, 0.0021), "\u22120.0021"),
        (-0.00001, (-0.2, 0.2), "0.00"),
        (1234567.0, (1.2e6, 1.3e6), "+1,234,567"),
    ],
)
def test_digits_follow_the_interval(
    value: float, interval: tuple[float, float], shown: str
) -> None:
    assert text.number(value, text.places(interval, value), signed=True) == shown


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_number_is_a_dash(value: float | None) -> None:
    assert text.number(value) == text.DASH
    assert text.p_text(value) == text.DASH
    assert text.duration(value) == text.DASH
    assert not text.finite(value)


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0, "< 0.0001"), (0.0004, "0.0004"), (0.0123, "0.012"), (0.314, "0.31"), (1.0, "1.00")],
)
def test_p_values_are_never_zero(p: float, shown: str) -> None:
    assert text.p_text(p) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0.0 s"),
        (9.94, "9.9 s"),
        (59.6, "1 min"),
        (583.2, "9 min 43 s"),
        (3725.0, "1 h 2 min"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_ratios_say_which_way() -> None:
    assert text.ratio(2.0, 1.0, "faster", "slower") == "2.0\u00d7 faster"
    assert text.ratio(1.0, 1.5, "faster", "slower") == "1.50\u00d7 slower"
    assert text.ratio(1.0, 1.01, "faster", "slower") == "the same"
    assert text.ratio(0.0, 1.0, "faster", "slower") == text.DASH


def test_names_and_settings() -> None:
    assert text.metric_name("roc_auc") == "ROC AUC"
    assert text.metric_name("my_own_score") == "my own score"
    assert text.humanize("") == "unnamed"
    assert text.clean("a\x00b\ud800c\n") == "abc\n"
    shown = text.settings_text({"rate": 0.12345678, "last": False, "sizes": [64, 32], "cap": None})
    assert shown == "rate 0.1235, last off, sizes [64, 32], cap \u2013"
