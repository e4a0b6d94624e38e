"""Durations: what is read, what is refused, and that every spelling of a duration is the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl import budget
from pawl.errors import TaskError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("180", 180),
        ("2d", 172_800),
        (" 1H 30M ", 5400),
        ("10 m", 600),
        ("1.5m", 90),
        ("1h 5s", 3605),
        (45, 45),
        (0.5, 0.5),
    ],
)
def test_durations_are_read_as_people_write_them(text: str | float, seconds: float) -> None:
    assert budget.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "5x",
        "x",
        "10 10",
        "1h30",
        "1.m",
        "m",
        "-5s",
        "1h-30m",
        "10 minutes",
        "1e3",
        "0",
        "0s",
        "0h0m",
        "nan",
        "inf",
    ],
)
def test_what_is_no_duration_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(TaskError, match="budget") as caught:
        budget.parse(text)
    message = str(caught.value)
    assert repr(text) in message
    assert "90s" in message
    assert "\n" not in message


@pytest.mark.parametrize("number", [0, -1, math.nan, math.inf, -math.inf])
def test_numbers_must_be_finite_and_above_zero(number: float) -> None:
    with pytest.raises(TaskError, match="above zero"):
        budget.parse(number)


@given(
    st.integers(0, 9), st.integers(0, 99), st.integers(0, 999), st.integers(1, 9999),
    st.sampled_from(["", " "]), st.booleans(),
)  # fmt: skip
def test_parts_add_up_however_they_are_spaced_and_cased(
    days: int, hours: int, minutes: int, seconds: int, gap: str, upper: bool
) -> None:
    text = gap.join((f"{days}d", f"{hours}h", f"{minutes}m", f"{seconds}s"))
    total = 86_400 * days + 3600 * hours + 60 * minutes + seconds
    assert budget.parse(text.upper() if upper else text) == total
    assert budget.parse(str(total)) == budget.parse(total) == total


@given(st.text(max_size=12))
def test_any_text_gives_a_finite_positive_number_or_one_line(text: str) -> None:
    try:
        seconds = budget.parse(text)
    except TaskError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert 0 < seconds < math.inf
