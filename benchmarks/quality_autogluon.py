"""AutoGluon for `quality.py` and `tabular.py`, run by the Python of its own environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pandas as pd
from autogluon.common.utils.resource_utils import ResourceManager
from autogluon.tabular import TabularPredictor
from autogluon.tabular import __version__ as version


def main() -> None:
    """Fits a preset within the time limit and writes predictions for the test rows."""
    tool, folder, target, kind, metric, seconds, _ = sys.argv[1:]
    preset = "best_quality" if tool == "autogluon-best" else "medium_quality"
    here = Path(folder)
    train, test = pd.read_csv(here / "train.csv"), pd.read_csv(here / "test.csv")
    predictor = TabularPredictor(
        target,
        problem_type=kind,
        eval_metric="root_mean_squared_error" if metric == "rmse" else metric,
        path=str(here / "models"),
        verbosity=1,
    )
    cores = len(os.sched_getaffinity(0))
    predictor.fit(train, presets=preset, time_limit=float(seconds), num_cpus=cores, num_gpus=0)
    if kind == "regression":
        predicted = predictor.predict(test).to_frame("prediction")
    else:
        predicted = predictor.predict_proba(test)
    predicted.to_csv(here / "predictions.csv", index=False)
    notes = {"best": predictor.model_best, "models": len(predictor.model_names())}
    notes["memory_gib"] = round(ResourceManager.get_memory_size("GB"), 1)
    told = {"notes": notes, "versions": {"autogluon": version, "pandas": pd.__version__}}
    (here / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
