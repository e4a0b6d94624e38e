"""What only Python can give: arrays and targets apart, and a metric that is a function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from problems import frame
from sklearn.metrics import f1_score

import pawl
from pawl import Recipe
from pawl.errors import LedgerError, TaskError

RECIPE = Recipe.of(standardize={}, batch_size={"size": 32}, sgd={"learning_rate": 0.05})


def test_arrays_with_a_metric_function(tmp_path: Path) -> None:
    table = frame(240)
    inputs = table[["size", "age", "noise"]].fillna(0.0).to_numpy()
    targets = (table["target"] == "yes").to_numpy().astype(int)
    out = tmp_path / "out"
    result = pawl.optimize(
        inputs,
        targets,
        metric=f1_score,
        direction="maximize",
        trials=1,
        epochs=2,
        average=1,
        out=out,
    )
    summary = result.summary
    assert (summary.metric, summary.direction) == ("f1_score", "maximize")
    assert summary.command.startswith(
        "pawl.optimize(source, targets, metric=metric, direction='maximize', "
    )
    assert "the metric f1_score is given class numbers" in summary.task.notes
    assert len(result.predict(inputs)) == 240
    with pytest.raises(LedgerError, match="started with the direction 'maximize', and got 'minimi"):
        pawl.optimize(inputs, targets, metric=f1_score, direction="minimize", resume=out)
    (out / "summary.json").unlink()
    with pytest.raises(LedgerError, match="metric=metric"):
        pawl.optimize(inputs, targets, resume=out)
    again = pawl.optimize(inputs, targets, metric=f1_score, resume=out)
    assert again.summary.gain == summary.gain
    assert again.summary.direction == "maximize"


def test_data_and_test_rows_may_each_be_a_pair_of_arrays(tmp_path: Path) -> None:
    table = frame(300)
    inputs = table[["size", "age", "noise"]].fillna(0.0).to_numpy()
    targets = (table["target"] == "yes").to_numpy().astype(int)
    data, test = (inputs[:200], targets[:200]), (inputs[200:], targets[200:])
    out = tmp_path / "out"
    summary = pawl.optimize(data, test=test, trials=1, epochs=1, average=1, out=out).summary
    assert summary.command.startswith("pawl.optimize(source, test=test, ")
    (out / "summary.json").unlink()
    with pytest.raises(LedgerError, match="with the same ones"):
        pawl.optimize(data, resume=out)
    assert pawl.optimize(data, test=test, resume=out).summary.gain == summary.gain


def mean_gap(targets: np.ndarray, predictions: np.ndarray) -> float:
    return float(np.abs(targets - predictions).mean())


def test_train_and_compare_take_a_metric_function(tmp_path: Path) -> None:
    table = frame(150, regression=True)
    trained = pawl.train(
        table, RECIPE, metric=mean_gap, direction="minimize", out=tmp_path / "trained"
    )
    assert trained.metric == "mean_gap"
    other = RECIPE.with_("sgd", learning_rate=0.01)
    compared = pawl.compare(
        table, RECIPE, other, metric=mean_gap, direction="minimize", epochs=1, pairs=5,
        out=tmp_path / "compared",
    )  # fmt: skip
    assert compared.metric == "mean_gap"
    assert (compared.comparison.effect > 0) == (compared.means[1] < compared.means[0])


@pytest.mark.parametrize(
    ("source", "targets", "message"),
    [
        ("adult.csv", "income", "got targets beside 'adult.csv'; .* by target='income'"),
        (pawl.Task(data="digits"), [0], "got targets beside a Task; they go with arrays"),
        (None, [0], "got targets without inputs; give both"),
    ],
)
def test_targets_go_with_arrays(source: object, targets: object, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        pawl.optimize(source, targets, trials=1)
    with pytest.raises(TaskError, match="needs direction='maximize' or 'minimize'"):
        pawl.optimize("digits", metric=mean_gap, trials=1)
