"""A campaign over a table whose rows see those before them, from the command to new rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from terminal import run_here

import pawl
from pawl.data.windows import WINDOW
from pawl.errors import DataError
from pawl.modalities import modality_of
from pawl.models import SequenceNet
from pawl.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore::pawl.errors.DataWarning")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shops whose sales go on from the days before, as weather lets them; some are missing."""
    random = np.random.default_rng(0)
    parts = []
    for shop, level in (("north", 10.0), ("south", 30.0)):
        sales, sun = [level], random.normal(size=160)
        for day in range(1, 160):
            sales.append(level + 0.8 * (sales[-1] - level) + sun[day - 1] + 0.2 * random.normal())
        days = pd.date_range("2023-01-01", periods=160).strftime("%Y-%m-%d")
        parts.append(pd.DataFrame({"day": days, "shop": shop, "sun": sun, "sales": sales}))
    rows = pd.concat(parts).sort_values("day", kind="stable")
    rows.loc[rows.index[::17], "sales"] = np.nan
    path = tmp_path_factory.mktemp("data") / "shops.csv"
    rows.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def result(table: Path, tmp_path_factory: pytest.TempPathFactory) -> pawl.Result:
    return pawl.optimize(
        table, target="sales", time="day", group="shop", window=6, trials=2, epochs=5, average=1,
        families=["nets", "linear"], out=tmp_path_factory.mktemp("out") / "campaign",
    )  # fmt: skip


def test_a_series_is_learned_and_beats_its_last_value(result: pawl.Result) -> None:
    summary = result.summary
    part = summary.parts["last_value"]
    assert (part["steps"], part["ahead"]) == (6, 1)
    assert part["final"] == pytest.approx(summary.final.value, rel=1e-3)
    assert (part["gain_interval"][0] <= 0) == any(f.rule == "last_value" for f in summary.findings)
    assert part["final"] < part["naive"]
    assert "--window 6" in summary.command
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert "Against the last value" in page
    schema = result.bundle().schema
    assert modality_of(schema).name == "window"
    assert schema.window.series == "shop"


def test_new_rows_are_predicted_with_the_file_before_them(
    result: pawl.Result, table: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "predictions.csv"
    code, shown, _ = run_here(capfd, "predict", result.folder, table, "--out", out)
    assert code == 0
    assert "12 row(s) have fewer than 6 rows before them in time" in shown
    predicted = pd.read_csv(out)["prediction"].to_numpy()
    rows = pd.read_csv(table)
    assert len(predicted) == len(rows)
    # What a file holds after a row changes nothing for it, and what it holds before does.
    assert np.allclose(result.predict(rows[:200])["prediction"], predicted[:200], atol=1e-4)
    later = result.predict(rows[100:])["prediction"].to_numpy()
    assert np.allclose(later[12:], predicted[112:], atol=1e-4)
    assert not np.allclose(later[:12], predicted[100:112], atol=1e-3)
    with pytest.raises(DataError, match="looks at targets of earlier rows"):
        result.predict(rows.drop(columns="sales"))


def test_the_module_is_rebuilt_and_reads_windows(result: pawl.Result, table: Path) -> None:
    bundle = result.bundle()
    rows = bundle.read(table)
    assert rows.inputs[WINDOW].shape == (320, 6, 2)
    names = [spec.name for spec in bundle.schema.inputs]
    with torch.no_grad():
        found = bundle.module()(*(rows.inputs[name] for name in names)).numpy()
    assert np.allclose(found, bundle.predict_raw(rows), atol=1e-3)


def test_what_is_before_is_explained_by_column(result: pawl.Result, table: Path) -> None:
    found = pawl.explain(result.folder, table, rows=2).explanation
    names = [each.name for each in found.importance.features]
    assert {"earlier sales", "earlier sun", "sun", "day", "shop"} == set(names)
    assert names[0] in ("earlier sales", "shop")
    assert found.rows == pd.read_csv(table)["sales"].notna().sum()


def test_rows_ahead_are_predicted_by_what_is_known(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "campaign"
    pawl.train(
        table, Recipe.of(standardize={}, linear={}), target="sales", time="day", group="shop",
        window=6, horizon=7, out=folder,
    )  # fmt: skip
    ahead = pawl.Bundle.open(folder)
    schema = ahead.schema
    assert [column.name for column in schema.columns] == ["day", "shop"]
    assert (
        json.loads((folder / "bundle" / "task.json").read_text())["schema"]["window"]["ahead"] == 7
    )
    rows = pd.read_csv(table)
    known = ahead.predict(rows)["prediction"]
    rows.loc[rows.index[-14:], ["sales", "sun"]] = np.nan  # the week to come
    assert np.allclose(ahead.predict(rows)["prediction"], known, atol=1e-4)


def test_a_window_without_a_time_is_refused_in_a_line(
    table: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run_here(
        capfd, "optimize", table, "--target", "sales", "--window", 6, "--out", tmp_path / "o"
    )
    assert code == 2
    assert "--time" in error
    assert "Traceback" not in error


def test_a_network_of_windows_tells_the_last_step(result: pawl.Result) -> None:
    from pawl.data.types import ModelSpec

    schema = result.bundle().schema
    net = SequenceNet(ModelSpec(schema.inputs, 1, schema.kind))
    (reader,) = net.readers.values()
    steps = torch.randn(4, 6, reader.steps.width)
    assert torch.equal(reader(steps, None)[:, -reader.steps.width :], steps[:, -1])
