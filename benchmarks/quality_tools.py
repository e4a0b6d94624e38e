"""The tools of `quality.py` and `tabular.py` that share one environment.

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
from collections.abc import Callable
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
    time: str = ""
    tool: str = ""

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
         job.kind, "--metric", job.metric, "--budget", f"{job.seconds:g}s", "--out", str(campaign),
         *(["--time", job.time] if job.time else []), *PARTS.get(job.tool, ())],
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

    x, y, test = _with_categories(job)
    cores = len(os.sched_getaffinity(0))
    kind = LGBMRegressor if job.kind == "regression" else LGBMClassifier
    model = kind(n_jobs=cores, random_state=0, verbosity=-1).fit(x, y)
    return _predicted(job, model, test), {}


def tuned(job: Job) -> TrialResult:
    """LightGBM tuned by TPE on a fifth held out, over TabArena's space; then fitted on all rows."""
    import optuna as tuner
    from lightgbm import LGBMClassifier, LGBMRegressor, early_stopping
    from sklearn.model_selection import train_test_split

    x, y, test = _with_categories(job)
    regression = job.kind == "regression"
    kind = LGBMRegressor if regression else LGBMClassifier
    fixed = {"n_jobs": len(os.sched_getaffinity(0)), "random_state": 0, "verbosity": -1}
    stratify = None if regression else y
    x_fit, x_valid, y_fit, y_valid = train_test_split(
        x, y, test_size=0.2, random_state=0, stratify=stratify
    )
    metric = {"roc_auc": "auc", "log_loss": "multi_logloss", "rmse": "rmse"}[job.metric]
    best: dict[str, Any] = {"value": -float("inf")}
    longest = 0.0

    def objective(trial: Any) -> float:
        nonlocal longest
        began = time.monotonic()
        given = {
            "learning_rate": trial.suggest_float("learning_rate", 0.005, 0.1, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.7, 1.0),
            "bagging_freq": 1,
            "num_leaves": trial.suggest_int("num_leaves", 2, 200, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 1, 64, log=True),
            "extra_trees": trial.suggest_categorical("extra_trees", [False, True]),
            "lambda_l1": trial.suggest_float("lambda_l1", 0.0, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 0.0, 2.0),
        }
        model = kind(n_estimators=10_000, **given, **fixed)
        late = STARTED + job.seconds

        def in_time(_: Any) -> None:
            if time.monotonic() > late:
                raise tuner.TrialPruned

        model.fit(
            x_fit, y_fit, eval_set=[(x_valid, y_valid)], eval_metric=metric,
            callbacks=[early_stopping(100, verbose=False), in_time],
        )  # fmt: skip
        value = model.best_score_["valid_0"][metric]
        value = value if metric == "auc" else -value
        if value > best["value"]:
            best.update(value=value, given={**given, "n_estimators": max(1, model.best_iteration_)})
        longest = max(longest, time.monotonic() - began)
        return float(value)

    tuner.logging.set_verbosity(tuner.logging.WARNING)
    study = tuner.create_study(direction="maximize", sampler=tuner.samplers.TPESampler(seed=0))
    while time.monotonic() + 2 * longest < STARTED + job.seconds - END_SECONDS:
        study.optimize(objective, n_trials=1)
    model = kind(**best.get("given", {}), **fixed).fit(x, y)
    notes = {"trials": len(study.trials), "best": best.get("given")}
    return _predicted(job, model, test), notes


def catboost(job: Job) -> TrialResult:
    """CatBoost with its defaults; text columns as categories."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    x, y, test = job.read()
    text = [name for name in x if not pd.api.types.is_numeric_dtype(x[name])]
    for frame in (x, test):
        frame[text] = frame[text].fillna("missing").astype(str)
    kind = CatBoostRegressor if job.kind == "regression" else CatBoostClassifier
    model = kind(
        thread_count=len(os.sched_getaffinity(0)), random_seed=0, verbose=False,
        allow_writing_files=False,
    )  # fmt: skip
    model.fit(x, y, cat_features=text)
    return _predicted(job, model, test), {}


def realmlp(job: Job) -> TrialResult:
    """RealMLP with the tuned defaults of pytabkit, which knows no time limit; medians fill gaps."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    x, y, test = job.read()
    medians = x.median(numeric_only=True)
    x, test = x.fillna(medians), test.fillna(medians)
    kind = RealMLP_TD_Regressor if job.kind == "regression" else RealMLP_TD_Classifier
    options: dict[str, Any] = {"device": "cpu", "random_state": 0}
    if job.metric in ("roc_auc", "log_loss"):  # as its authors advise for metrics of probabilities
        options |= {"use_ls": False, "val_metric_name": "cross_entropy"}
    model = kind(**options, n_threads=len(os.sched_getaffinity(0))).fit(x, y)
    return _predicted(job, model, test), {}


def _with_categories(job: Job) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    x, y, test = job.read()
    for name in x.columns[[not pd.api.types.is_numeric_dtype(t) for t in x.dtypes]]:
        categories = pd.CategoricalDtype(x[name].dropna().unique())
        x[name], test[name] = x[name].astype(categories), test[name].astype(categories)
    return x, y, test


def _predicted(job: Job, model: Any, test: pd.DataFrame) -> pd.DataFrame:
    if job.kind == "regression":
        return pd.DataFrame({"prediction": np.ravel(model.predict(test))})
    return pd.DataFrame(model.predict_proba(test), columns=[str(each) for each in model.classes_])


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


PARTS = {
    "pawl-no-trees": ("--families", "nets,neighbors,linear"),
    "pawl-no-blend": ("--ensemble", "none"),
    "pawl-no-nets": ("--families", "trees,neighbors,linear"),
}
"""Pawl without a part of it."""
TOOLS: dict[str, Callable[[Job], TrialResult]] = {
    "pawl": pawl,
    **dict.fromkeys(PARTS, pawl),
    "optuna": optuna,
    "lightgbm": lightgbm,
    "lightgbm-tuned": tuned,
    "catboost": catboost,
    "realmlp": realmlp,
}
PACKAGES = {
    "pawl": ("pawl", "torch"),
    "optuna": ("optuna", "torch", "scikit-learn"),
    "lightgbm": ("lightgbm",),
    "lightgbm-tuned": ("lightgbm", "optuna"),
    "catboost": ("catboost",),
    "realmlp": ("pytabkit", "torch"),
}


def main() -> None:
    """Runs one tool."""
    name, folder, target, kind, metric, seconds, column = sys.argv[1:]
    job = Job(Path(folder), target, kind, metric, float(seconds), column, name)
    predicted, notes = TOOLS[name](job)
    predicted.to_csv(job.folder / "predictions.csv", index=False)
    versions = {
        package: importlib.metadata.version(package)
        for package in PACKAGES.get(name, PACKAGES["pawl"])
    }
    (job.folder / "told.json").write_text(json.dumps({"notes": notes, "versions": versions}))


if __name__ == "__main__":
    main()
