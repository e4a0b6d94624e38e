"""The metric on spoiled rows, for models whose loss is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explained import probabilities, rows_of, schema_of, subject_of

from pawl.data.types import Examples, InputSpec, Schema, TargetColumn
from pawl.explaining.effort import Effort
from pawl.explaining.judged import Robustness
from pawl.explaining.robustness import NOISES, SHARES, robustness
from pawl.explaining.subject import Subject
from pawl.training.metrics import make_objective


def curves(subject: Subject, rows: Examples, metric: str, kind: str) -> dict[str, Robustness]:
    found = robustness(
        subject, rows, make_objective(metric, None, kind), seed=0, effort=Effort()
    )  # fmt: skip
    return {each.what: each for each in found}


def test_noise_adds_its_own_variance_and_gaps_what_is_filled_in() -> None:
    x = np.random.default_rng(0).normal(size=(1000, 2)) * np.array([3.0, 1.0])
    subject = subject_of("ab", lambda x: np.nan_to_num(x[:, 0]))
    found = curves(subject, rows_of(x, y=x[:, 0]), "rmse", "regression")
    noise, gaps = found["noise"], found["missing"]
    assert [p.level for p in noise.points] == [0.0, *NOISES]
    assert [p.level for p in gaps.points] == [0.0, *SHARES]
    deviation = x[:, 0].std()
    for point in noise.points:
        assert point.value == pytest.approx(point.level * deviation, rel=0.1, abs=1e-9)
    for point in gaps.points:
        expected = np.sqrt(point.level) * deviation
        assert point.value == pytest.approx(expected, rel=0.15, abs=1e-9)
        assert point.lost == pytest.approx(point.value, abs=1e-9)
    assert gaps.points[-1].lost_interval[0] > 0
    assert gaps.cells == "numbers"
    assert gaps.draws == 4


def test_a_model_that_looks_at_nothing_loses_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    subject = subject_of("ab", lambda x: np.ones(len(x)))
    for each in curves(subject, rows_of(x, y=x[:, 0]), "rmse", "regression").values():
        assert all(point.lost == 0 for point in each.points)
        assert all(point.lost_interval == (0.0, 0.0) for point in each.points)


def test_categories_become_unknown_and_get_no_noise() -> None:
    generator = np.random.default_rng(0)
    codes = generator.integers(1, 4, (600, 1))
    y = (codes[:, 0] == 2).astype(np.int64)

    def function(x: np.ndarray) -> np.ndarray:
        return probabilities(np.where(x[:, 1] == 0, 0.4, np.where(x[:, 1] == 2, 0.95, 0.05)))

    subject = subject_of("aB", function, "binary")
    rows = rows_of(generator.normal(size=(600, 1)), codes, y)
    found = curves(subject, rows, "accuracy", "binary")
    assert found["missing"].cells == "numbers and categories"
    share = float(y.mean())
    for point in found["missing"].points:
        assert point.value == pytest.approx(1 - point.level * share, abs=0.03)
        assert point.interval[0] <= point.value <= point.interval[1]
    assert all(point.value == 1.0 for point in found["noise"].points)


def test_intervals_hold_the_loss_on_all_rows_about_as_often_as_they_say() -> None:
    inside = []
    for seed in range(40):
        x = np.random.default_rng(seed).normal(size=(150, 1))
        subject = subject_of("a", lambda x: np.nan_to_num(x[:, 0]))
        objective = make_objective("rmse", None, "regression")
        found = robustness(subject, rows_of(x, y=x[:, 0]), objective, seed=seed, effort=Effort())
        point = found[0].points[-1]  # a share of 0.7 of cells, of deviation 1
        inside.append(point.lost_interval[0] <= np.sqrt(0.7) <= point.lost_interval[1])
    assert np.mean(inside) >= 0.85


def test_of_images_pixels_and_of_texts_tokens_go_missing() -> None:
    image = Schema(
        source="images", kind="binary", image_mode="L",
        targets=(TargetColumn(name="class", classes=("no", "yes")),),
        inputs=(InputSpec(name="image", shape=(1, 4, 4), dtype="uint8"),),
    )  # fmt: skip
    pixels = torch.randint(0, 256, (60, 1, 4, 4), dtype=torch.uint8)
    y = (pixels.float().mean((1, 2, 3)) > 127).long()

    def bright(rows: Examples) -> np.ndarray:
        mean = rows.inputs["image"].float().mean((1, 2, 3)).numpy()
        return probabilities(1 / (1 + np.exp(-(mean - 127) / 5))).astype(np.float32)

    rows = Examples({"image": pixels}, y)
    found = curves(Subject(image, bright), rows, "accuracy", "binary")
    assert "pixels" in found["missing"].cells
    assert found["missing"].points[0].value == 1.0
    assert found["noise"].points[-1].value < 1.0
    words = Schema(
        source="arrays", kind="regression", targets=(TargetColumn(name="y"),),
        inputs=(InputSpec(name="text", shape=(5,), dtype="int64", tokens=9),),
    )  # fmt: skip
    ids = torch.randint(1, 9, (80, 5))

    def count(rows: Examples) -> np.ndarray:
        return (rows.inputs["text"] > 0).float().mean(1).numpy()

    read = Examples({"text": ids}, torch.ones(80))
    (gaps,) = curves(Subject(words, count), read, "mae", "regression").values()
    assert gaps.cells == "words' tokens"
    assert gaps.points[-1].value == pytest.approx(0.7, abs=0.1)


def test_rows_themselves_are_left_as_they_are_and_a_seed_repeats() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    rows = rows_of(x, y=x[:, 0])
    before = rows.inputs["numeric"].clone()
    subject = subject_of("ab", lambda x: np.nan_to_num(x[:, 0]))
    one = curves(subject, rows, "rmse", "regression")
    assert torch.equal(rows.inputs["numeric"], before)
    assert curves(subject, rows, "rmse", "regression") == one
    assert schema_of("ab").columns[0].name == "a"


def test_a_metric_that_is_no_number_is_said() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    subject = subject_of("ab", lambda x: probabilities(np.full(len(x), 0.5)), "binary")
    rows = rows_of(x, y=np.zeros(50, dtype=np.int64))
    with pytest.raises(ValueError, match="roc_auc is not a number"):
        curves(subject, rows, "roc_auc", "binary")
