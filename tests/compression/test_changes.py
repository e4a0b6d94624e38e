"""What a compressed model does otherwise: rows that flipped, classes and slices, calibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pawl.compression.changes import changes
from pawl.data.types import Column, Examples, InputSpec, Schema, TargetColumn

ROWS = 400
SCHEMA = Schema(
    source="table", kind="binary", targets=(TargetColumn(name="y", classes=("no", "yes")),),
    columns=(Column(name="size", kind="numeric"),
             Column(name="color", kind="categorical", categories=("red", "blue"))),
    inputs=(InputSpec(name="numeric", shape=(1,), dtype="float32", features=("size",)),
            InputSpec(name="categorical", shape=(1,), dtype="int64", features=("color",),
                      cardinalities=(3,))),
)  # fmt: skip


def table() -> Examples:
    """Half of the rows are red; sizes go up; every second one is `yes`."""
    numbers = torch.arange(ROWS, dtype=torch.float32)[:, None]
    colors = torch.arange(ROWS)[:, None] // (ROWS // 2) + 1
    return Examples({"numeric": numbers, "categorical": colors}, torch.arange(ROWS) % 2)


def sure(labels: np.ndarray, by: float = 0.9) -> np.ndarray:
    yes = np.where(labels == 1, by, 1 - by)
    return np.stack([1 - yes, yes], axis=1).astype(np.float32)


def test_what_was_lost_is_counted_by_class_and_slice() -> None:
    rows = table()
    truth = rows.known_targets.numpy()
    worse = truth.copy()
    worse[1 : ROWS // 2 : 6] = 0  # 34 rows of red that are `yes`
    first = truth.copy()
    first[-4:] = 1 - first[-4:]  # 4 of blue were wrong, and are right now
    found = changes(SCHEMA, rows, sure(first), sure(worse), seed=0)
    assert (found.flipped, found.whole.lost, found.whole.gained) == (38, 34, 4)
    assert (found.whole.before, found.whole.after) == (396 / 400, 366 / 400)
    low, high = found.whole.interval
    assert low < -30 / 400 < high < 0
    no, yes = found.classes
    assert (yes.name, yes.rows, yes.lost, yes.gained) == ("y is yes", 200, 34, 2)
    assert (no.lost, no.gained, no.moved) == (0, 2, False)
    assert yes.moved
    by_name = {part.name: part for part in found.slices}
    red = by_name["color is red"]
    assert (red.rows, red.lost, red.gained, red.moved) == (200, 34, 0, True)
    assert (by_name["color is blue"].lost, by_name["color is blue"].gained) == (0, 4)
    assert not by_name["color is blue"].moved
    assert "size 0 to 99.75" in by_name
    assert found.slices[0].p_value <= found.slices[-1].p_value
    assert found.parts == 8
    assert found.statement.startswith("38 of 400 rows have another class: 34 were right before, 4")
    assert "color is red" in found.statement


def test_p_values_are_exact_and_corrected() -> None:
    rows = table()
    truth = rows.known_targets.numpy()
    other = truth.copy()
    other[:5] = 1 - other[:5]
    found = changes(SCHEMA, rows, sure(truth), sure(other), seed=0)
    assert found.whole.p_value == pytest.approx(2 * 0.5**5)
    # Eight parts were looked at: what has 5 rows lost and none gained is no evidence.
    assert min(part.p_value for part in found.slices) == pytest.approx(8 * 2 * 0.5**5)
    assert "none of 8 classes and slices" in found.statement


def test_nothing_moves_where_nothing_changed() -> None:
    rows = table()
    same = sure(rows.known_targets.numpy())
    found = changes(SCHEMA, rows, same, same, seed=0)
    assert found.flipped == 0
    assert all(part.p_value == 1.0 for part in (*found.classes, *found.slices))
    assert found.calibration is not None
    assert found.calibration.interval == (0.0, 0.0)


def test_calibration_is_told_before_and_after() -> None:
    rows = table()
    truth = rows.known_targets.numpy()
    flipped = truth.copy()
    wrong = np.r_[0:ROWS:20, 5:ROWS:20]  # one of ten, of either class: 0.9 is right
    flipped[wrong] = 1 - flipped[wrong]
    found = changes(SCHEMA, rows, sure(flipped, 0.9), sure(flipped, 0.99), seed=0)
    assert found.flipped == 0
    assert found.calibration is not None
    assert found.calibration.before < 0.02
    assert found.calibration.after - found.calibration.before == pytest.approx(0.09, abs=0.05)
    assert found.calibration.interval[0] > 0


def test_values_are_compared_by_their_errors() -> None:
    schema = SCHEMA.model_copy(update={"kind": "regression", "targets": (TargetColumn(name="y"),)})
    made = table()
    targets = torch.linspace(0, 1, ROWS)
    rows = Examples(made.inputs, targets)
    off = targets.numpy() + 0.1 * np.where(np.arange(ROWS) % 2, 1, -1).astype(np.float32)
    worse = off.copy()
    worse[: ROWS // 2] += 0.3
    found = changes(schema, rows, off, worse, seed=0)
    assert found.measure == "mean absolute error"
    assert found.flipped is None
    assert found.classes == ()
    assert found.whole.before == pytest.approx(0.1, abs=1e-4)
    red = next(part for part in found.slices if part.name == "color is red")
    assert red.after == pytest.approx(0.3, abs=1e-4)
    assert red.moved
    assert red.lost is None
    assert "mean absolute error" in found.statement


def test_places_and_labels_have_shares_of_a_row() -> None:
    target = TargetColumn(name="t", count=3, shape=(4,))
    steps = Schema(source="arrays", kind="sequence", targets=(target,),
                   inputs=(InputSpec(name="x", shape=(4,), dtype="float32"),))  # fmt: skip
    targets = torch.zeros(30, 4, dtype=torch.int64)
    targets[:, 3] = -100  # padding
    rows = Examples({"x": torch.zeros(30, 4)}, targets)
    right = np.zeros((30, 4, 3), dtype=np.float32)
    right[..., 0] = 1
    wrong = right.copy()
    wrong[:10, 0] = [0, 1, 0]
    found = changes(steps, rows, right, wrong, seed=0)
    assert found.flipped == 10
    assert (found.whole.before, found.whole.lost) == (1.0, None)
    assert found.whole.after == pytest.approx(1 - 10 / 90)
    assert (found.parts, found.calibration) == (0, None)
    assert found.statement == "10 of 30 rows have another class"
    labels = Schema(source="arrays", kind="multilabel",
                    targets=(TargetColumn(name="a"), TargetColumn(name="b")),
                    inputs=(InputSpec(name="x", shape=(4,), dtype="float32"),))  # fmt: skip
    rows = Examples({"x": torch.zeros(60, 4)}, torch.ones(60, 2))
    said = np.full((60, 2), 0.9, dtype=np.float32)
    other = said.copy()
    other[:3, 1] = 0.2
    found = changes(labels, rows, said, other, seed=0)
    assert found.flipped == 3
    assert found.whole.after == pytest.approx(1 - 1.5 / 60)
    assert found.calibration is not None
