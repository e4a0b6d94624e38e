"""The bundle's card."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from problems import plain

from pawl.report import Report
from pawl.report.card import card


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            ["numeric [4] float32", "categorical [2] int64"],
            ("- `numeric [4] float32` a row: NaN where", "days since 1970-01-01", "0 where it is"),
        ),
        (["image [3, 4, 6] uint8"], ("- `image [3, 4, 6] uint8` a row: pixels from 0 to 255",)),
        (["x [5] float32"], ("- `x [5] float32` a row: as it was given",)),
    ],
)
def test_the_card_says_what_the_graph_takes(
    make: Callable[..., Report], inputs: list[str], words: tuple[str, ...]
) -> None:
    summary = make().summary
    task = summary.task.model_copy(update={"inputs": inputs})
    text = card(summary.model_copy(update={"task": task}), plain())
    assert "which takes raw rows" in text
    assert "takes raw values" not in text
    for word in words:
        assert word in text
