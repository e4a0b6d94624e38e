"""The tools of `quality.py` that share one environment: pawl, Optuna with PyTorch, LightGBM.

Each is run as a process of its own: it reads `train.csv` and `test.csv` (which has no target) in a
folder, and writes `predictions.csv` (a column per class, or `prediction`) and `told.json`.
"""

from __future__ import annotations

import copy
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STARTED = time.monotonic()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import running  # noqa: E402

END_SECONDS = 1.0  # of the Optuna loop: predicting the test rows
MAX_EPOCHS, PATIENCE = 100, 10
TrialResult = tuple[pd.DataFrame, dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """What a tool is given."""

    folder: Path
    target: str
    kind: str
    metric: str
    seconds: float

    def read(self) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
        """Returns training inputs, targets (text for classes) and test inputs."""
        train, test = (pd.read_csv(self.folder / f"{name}.csv") for name in ("train", "test"))
        y = train.pop(self.target)
        return train, y if self.kind == "regression" else y.astype(str), test


def pawl(job: Job) -> TrialResult:
    """Runs `pawl optimize` and `pawl predict` as from a shell.

    Pawl alone is given the test rows' targets, as its `--test`: it trains on all training rows then,
    as the others do, and looks at those targets once, behind all its choices. That it was once is
    checked.
    """
    campaign, out = job.folder / "campaign", job.folder / "pawl.csv"
    command = [sys.executable, "-m", "pawl.cli"]
    for arguments in (
        ["optimize", "train.csv", "--test", "labeled.csv", "--target", job.target, "--kind",
         job.kind, "--metric", job.metric, "--budget", f"{job.seconds:g}s", "--out", str(campaign)],
        ["predict", str(campaign / "bundle"), "test.csv", "--out", str(out)],
    ):  # fmt: skip
        done = subprocess.run(
            [*command, *arguments], cwd=job.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit((done.stderr or done.stdout).strip())
    summary = json.loads((campaign / "summary.json").read_text())
    if summary["test_touches"] != 1:
        sys.exit(f"the test rows were touched {summary['test_touches']} times, not once")
    predicted = pd.read_csv(out)
    if job.kind == "regression":
        predicted = predicted[["prediction"]]
    else:
        chosen = [name for name in predicted.columns if name.startswith("p_")]
        predicted = predicted[chosen].rename(columns=lambda name: name.removeprefix("p_"))
    notes = running.outcome(campaign)
    keep = os.environ.get("QUALITY_KEEP")  # a folder to keep campaigns in, to look at
    if keep:
        name = f"{job.target}-{time.time():.0f}"
        subprocess.run(["cp", "-r", str(campaign), str(Path(keep) / name)], check=True)
    return predicted, notes


def lightgbm(job: Job) -> TrialResult:
    """LightGBM with its defaults; text columns as categories, missing values left to it."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    x, y, test = job.read()
    for name in x.columns[[not pd.api.types.is_numeric_dtype(t) for t in x.dtypes]]:
        categories = pd.CategoricalDtype(x[name].dropna().unique())
        x[name], test[name] = x[name].astype(categories), test[name].astype(categories)
    cores = len(os.sched_getaffinity(0))
    options: dict[str, Any] = {"n_jobs": cores, "random_state": 0, "verbosity": -1}
    if job.kind == "regression":
        model = LGBMRegressor(**options).fit(x, y)
        return pd.DataFrame({"prediction": model.predict(test)}), {}
    model = LGBMClassifier(**options).fit(x, y)
    return pd.DataFrame(model.predict_proba(test), columns=model.classes_), {}


def optuna(job: Job) -> TrialResult:
    """The usual loop: TPE over a plain perceptron, median pruning, the best trial's model is used."""
    import optuna as tuner
    import torch
    from sklearn.model_selection import train_test_split

    x_frame, y_series, test_frame = job.read()
    fitted = _preprocessing(x_frame)
    rows = np.arange(len(x_frame))
    stratify = None if job.kind == "regression" else y_series
    fit_rows, valid_rows = train_test_split(rows, test_size=0.2, random_state=0, stratify=stratify)
    fitted.fit(x_frame.iloc[fit_rows])
    x, test = (
        torch.from_numpy(np.asarray(fitted.transform(frame), dtype=np.float32))
        for frame in (x_frame, test_frame)
    )
    classes = sorted(y_series.unique()) if job.kind != "regression" else []
    mean, std = 0.0, 1.0
    if job.kind == "regression":
        mean, std = y_series.iloc[fit_rows].mean(), y_series.iloc[fit_rows].std()
        y = torch.tensor(((y_series - mean) / std).to_numpy(), dtype=torch.float32)
    else:
        y = torch.tensor([classes.index(label) for label in y_series])
    setting = _Setting(job, x, y, torch.from_numpy(fit_rows), torch.from_numpy(valid_rows),
                       max(1, len(classes)), STARTED + job.seconds - END_SECONDS)  # fmt: skip
    tuner.logging.set_verbosity(tuner.logging.WARNING)
    best: dict[str, Any] = {"value": -float("inf"), "model": None}
    study = tuner.create_study(
        direction="maximize",
        sampler=tuner.samplers.TPESampler(seed=0),
        pruner=tuner.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5),
    )
    study.optimize(
        lambda trial: _trial(trial, setting, best),
        timeout=max(0.1, setting.deadline - time.monotonic()),
    )
    model = best["model"]
    if model is None:
        sys.exit("no trial came to an end")
    model.eval()
    with torch.no_grad():
        raw = model(test)
    notes = {"trials": len(study.trials), "best": best["params"], "valid": best["value"]}
    if job.kind == "regression":
        return pd.DataFrame({"prediction": raw.squeeze(1).numpy() * std + mean}), notes
    return pd.DataFrame(raw.softmax(1).numpy(), columns=classes), notes


def _preprocessing(frame: pd.DataFrame) -> Any:
    """Returns the usual pipeline: medians and standardization, one-hot for text."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]
    text = [name for name in frame if name not in numeric]
    return ColumnTransformer(
        [
            ("numeric", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), text),
        ]
    )


@dataclass(frozen=True, eq=False)
class _Setting:
    """What all trials of the Optuna loop share; `y` are classes, or standardized values."""

    job: Job
    x: Any
    y: Any
    train: Any
    valid: Any
    outputs: int
    deadline: float


def _trial(trial: Any, setting: _Setting, best: dict[str, Any]) -> float:
    """Trains one configuration; returns its best validation score, larger is better."""
    import optuna as tuner
    import torch
    from torch import nn
    from torch.nn import functional as F

    depth, width = trial.suggest_int("layers", 1, 4), trial.suggest_int("width", 32, 512, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    decay = trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
    size = trial.suggest_categorical("batch_size", [32, 64, 128, 256])
    torch.manual_seed(trial.number)
    layers: list[nn.Module] = []
    features = setting.x.shape[1]
    for _ in range(depth):
        layers += [nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout)]
        features = width
    model = nn.Sequential(*layers, nn.Linear(features, setting.outputs))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    regression = setting.job.kind == "regression"
    mine, stale = -float("inf"), 0
    for epoch in range(MAX_EPOCHS):
        model.train()
        for rows in setting.train[torch.randperm(len(setting.train))].split(size):
            raw, y = model(setting.x[rows]), setting.y[rows]
            loss = F.mse_loss(raw.squeeze(1), y) if regression else F.cross_entropy(raw, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if time.monotonic() > setting.deadline:
                break
        model.eval()
        with torch.no_grad():
            value = _validation(setting, model(setting.x[setting.valid]))
        stale += 1
        if value > mine:
            mine, stale = value, 0
            if value > best["value"]:
                best.update(value=value, model=copy.deepcopy(model), params=trial.params)
        trial.report(value, epoch)
        if stale >= PATIENCE:
            break
        if time.monotonic() > setting.deadline or trial.should_prune():
            raise tuner.TrialPruned
    return mine


def _validation(setting: _Setting, raw: Any) -> float:
    from sklearn.metrics import roc_auc_score
    from torch.nn import functional as F

    y = setting.y[setting.valid]
    if setting.job.kind == "regression":
        return -float(F.mse_loss(raw.squeeze(1), y).sqrt())
    if setting.job.metric == "roc_auc":
        return float(roc_auc_score(y, raw.softmax(1)[:, 1]))
    return -float(F.cross_entropy(raw, y))


TOOLS = {"pawl": pawl, "optuna": optuna, "lightgbm": lightgbm}
PACKAGES = {
    "pawl": ("pawl", "torch"),
    "optuna": ("optuna", "torch", "scikit-learn"),
    "lightgbm": ("lightgbm",),
}


def main() -> None:
    """Runs one tool."""
    name, folder, target, kind, metric, seconds = sys.argv[1:]
    job = Job(Path(folder), target, kind, metric, float(seconds))
    predicted, notes = TOOLS[name](job)
    predicted.to_csv(job.folder / "predictions.csv", index=False)
    versions = {package: importlib.metadata.version(package) for package in PACKAGES[name]}
    (job.folder / "told.json").write_text(json.dumps({"notes": notes, "versions": versions}))


if __name__ == "__main__":
    main()
