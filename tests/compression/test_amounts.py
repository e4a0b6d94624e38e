"""Amounts as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from pawl.errors import TaskError
from pawl.options.amounts import MaxLoss, max_loss, milliseconds, size_bytes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0.5%", MaxLoss(0.005, relative=True)),
        (" 2 % ", MaxLoss(0.02, relative=True)),
        (0.01, MaxLoss(0.01, relative=False)),
        ("1e-3", MaxLoss(0.001, relative=False)),
    ],
)
def test_losses(given: Any, expected: MaxLoss) -> None:
    assert max_loss("max_loss", given) == expected


def test_a_share_is_of_the_absolute_value() -> None:
    assert MaxLoss(0.1, relative=True).margin(-2.0) == pytest.approx(0.2)
    assert MaxLoss(0.1, relative=False).margin(-2.0) == 0.1


@pytest.mark.parametrize(
    ("given", "expected"), [("2ms", 2.0), ("500us", 0.5), ("0.1s", 100.0), (3, 3.0), ("1.5", 1.5)]
)
def test_times(given: Any, expected: float) -> None:
    assert milliseconds("max_latency", given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("1MB", 1_000_000), ("1.5 kB", 1500), ("2MiB", 2_097_152), (700, 700), ("10b", 10)],
)
def test_sizes(given: Any, expected: int) -> None:
    assert size_bytes("max_size", given) == expected


@pytest.mark.parametrize("given", [0, "0%", -1, "-0.5%", "100%", "half", "1ms", True, None, "nan"])
def test_wrong_losses_are_one_line(given: Any) -> None:
    with pytest.raises(TaskError, match=r"got max_loss=.*such as 0\.5%") as caught:
        max_loss("max_loss", given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [0, "-1ms", "2MB", "fast", False])
def test_wrong_times_are_one_line(given: Any) -> None:
    with pytest.raises(TaskError, match=r"got max_latency=.*2ms or 500us"):
        milliseconds("max_latency", given)


@pytest.mark.parametrize("given", [0, "-1MB", "2ms", "0.2b", "small"])
def test_wrong_sizes_are_one_line(given: Any) -> None:
    with pytest.raises(TaskError, match=r"got max_size=.*1MB or 500kB"):
        size_bytes("max_size", given)
