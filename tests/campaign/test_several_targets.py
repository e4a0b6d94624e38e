"""Campaigns with several targets: labels and quantities, by command and in Python, and their bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from problems import several
from sklearn.metrics import average_precision_score, f1_score, r2_score
from terminal import run_here
from torch import nn

import pawl
from pawl.data import ModelSpec

NAMES = ["near", "far", "odd"]
RECIPE = pawl.Recipe.of(standardize={}, batch_size={"size": 32}, adamw={"learning_rate": 0.02})


def files(folder: Path, *, labels: bool) -> tuple[Path, Path]:
    """Rows to train on and rows to test on, as CSV files."""
    rows, test = folder / "rows.csv", folder / "test.csv"
    everything = several(400, labels=labels)
    everything[:300].to_csv(rows, index=False)
    everything[300:].to_csv(test, index=False)
    return rows, test


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    code, said, errors = run_here(capfd, *arguments)
    assert code == 0, errors
    return said


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "quantities"])
def test_by_command(labels: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows, test = files(tmp_path, labels=labels)
    start = tmp_path / "start.toml"
    start.write_text(RECIPE.to_toml())
    out = tmp_path / "out"
    said = run(
        capfd, "optimize", rows, "--target", "near,far,odd", "--test", test, "--trials", 4,
        "--baseline", start,
        "--only", "adamw,dropout,mixup,tabm", "--out", out,
    )  # fmt: skip
    assert "near, far, odd" in said
    predicted = tmp_path / "predicted.csv"
    run(capfd, "predict", out, test, "--out", predicted)
    frame, truth = pd.read_csv(predicted), pd.read_csv(test)
    summary = pawl.load(out).summary
    assert (summary.task.kind, summary.task.target) == (
        ("multilabel" if labels else "multitarget"), "near, far, odd"
    )  # fmt: skip
    # The metric that the report claims is what its predictions score.
    if labels:
        p = frame[[f"p_{name}" for name in NAMES]].to_numpy()
        actual = (truth[NAMES] == "on").to_numpy()
        assert (frame[NAMES].to_numpy() == np.where(p > 0.5, "on", "off")).all()
        value = average_precision_score(actual, p, average="macro")
        assert f1_score(actual, frame[NAMES] == "on", average="macro") > 0.7
    else:
        assert list(frame.columns) == NAMES
        value = r2_score(truth[NAMES], frame[NAMES])
        assert (summary.metric, summary.direction) == ("r2", "maximize")
    assert value == pytest.approx(summary.final.value, abs=1e-4)
    assert value > 0.6
    repeated = summary.command
    assert "--target near,far,odd" in repeated or "--target near --target far" in repeated


def test_in_python_with_a_model_and_a_metric_of_their_own(tmp_path: Path) -> None:
    frame = several(240, labels=True)
    targets = (frame[NAMES] == "on").to_numpy(dtype=np.float32)
    inputs = frame[["size", "age", "noise"]].fillna(0.0).to_numpy(dtype=np.float32)
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()

    def build(spec: ModelSpec) -> nn.Module:
        assert (spec.num_outputs, spec.kind) == (3, "multilabel")
        return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, spec.num_outputs))

    def hamming(actual: np.ndarray, p: np.ndarray) -> float:
        seen.add((actual.shape[1:], p.shape[1:]))
        return float(((p > 0.5) != actual).mean())

    task = pawl.Task(
        data=(inputs, targets), model=build, loss=nn.BCEWithLogitsLoss(), metric=hamming,
        direction="minimize",
    )  # fmt: skip
    result = pawl.optimize(
        task, trials=3, epochs=4, baseline=RECIPE, only=["dropout"], out=tmp_path / "out"
    )
    assert seen == {((3,), (3,))}
    predicted = result.predict(inputs)
    assert list(predicted.columns) == [f"{p}target_{i}" for p in ("", "p_") for i in range(3)]
    assert set(predicted["target_0"]) <= {"0", "1"}
