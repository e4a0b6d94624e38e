"""Campaigns over rows that come in groups, or in order of time: held apart from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from terminal import run_here as run

import pawl
from pawl.data import load, resolve_task
from pawl.ledger import Ledger


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of forty plots, some days apart: each plot has a level of its own."""
    random = np.random.default_rng(0)
    plot = random.integers(0, 40, 320)
    rows = pd.DataFrame(random.normal(size=(320, 3)), columns=list("abc"))
    rows["plot"] = [f"plot {number}" for number in plot]
    days = pd.to_timedelta(np.sort(random.integers(0, 120, 320)), unit="D")
    rows["day"] = (pd.to_datetime("2022-03-01") + days).strftime("%Y-%m-%d")
    rows["yield"] = 2 * rows["a"] + random.normal(size=40)[plot] + 0.3 * random.normal(size=320)
    path = tmp_path_factory.mktemp("data") / "plots.csv"
    rows.to_csv(path, index=False)
    return path


def optimize(table: Path, out: Path, **options: str) -> pawl.Result:
    return pawl.optimize(
        table, target="yield", trials=16, epochs=4, families=["nets", "linear"], out=out, **options
    )


def test_models_of_groups_are_judged_on_other_groups(table: Path, tmp_path: Path) -> None:
    result = optimize(table, tmp_path / "out", group="plot")
    data = load(resolve_task(table, target="yield", group="plot"))
    assert data.development.blocks is not None
    assert result.summary.task.test_rows == len(data.test)
    assert any("'plot' stay together" in note for note in result.summary.task.notes)
    assert "--group plot" in result.summary.command
    assert "plot" not in [column.name for column in data.schema.columns]
    again = result.predict(pd.read_csv(table).drop(columns=["yield", "plot"]))
    assert np.isfinite(again["prediction"]).all()
    assert optimize(table, tmp_path / "again", group="plot").summary.ledger_digest == (
        result.summary.ledger_digest
    )


def test_models_of_a_series_are_trained_anew_on_its_latest_rows(
    table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = optimize(table, out, time="day")
    with Ledger.open(out) as ledger:
        keys = [unit.key for unit in ledger.units()]
        tested = [
            trial for trial in ledger.trials("test") if trial.status in ("completed", "stopped")
        ]
    assert "test/pairs" not in keys
    assert len(tested) >= 3
    assert result.summary.gain.n >= 3
    data = load(resolve_task(table, target="yield", time="day"))
    development, test = data.development.blocks, data.test.blocks
    assert development is not None
    assert test is not None
    assert int(development.keys.max()) < int(test.keys.min())
    assert torch.equal(development.keys.sort().values, development.keys)
    assert np.isfinite(result.predict(pd.read_csv(table))["prediction"]).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--group", "field"), "no group column 'field'"),
        (("--time", "plot"), "neither numbers nor dates"),
        (("--group", "plot", "--time", "day"), "give one of them"),
        (("--group", "yield"), "is the target"),
    ],
)
def test_what_is_wrong_is_said_before_a_folder_is_made(
    table: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    out = tmp_path / "out"
    given = ("--target", "yield", *arguments, "--trials", 4, "--out", out)
    code, _, said = run(capfd, "optimize", table, *given)
    assert code == 2
    assert sum(line.startswith("pawl: ") for line in said.splitlines()) == 1
    assert words in said
    assert not out.exists()
