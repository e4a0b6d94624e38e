"""Five tasks with a fault each, on real data, as a user's modules: `stories.py` runs them.

Each is `stories_tasks.py:NAME`; its recipe to start from is `RECIPES[NAME]`. Data and networks are of
the set that rules were calibrated on (`diagnosis_settings.py`): what is shown is whether a fault that is
found comes to be mended, not how often one is found.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import torch
from diagnosis_settings import RECIPE, Mlp
from running import FILES
from torch import nn
from torch.nn import functional as F

import pawl

ROWS, RARE = 3000, 60
Tables = dict[str, dict[str, Any]]


def _drawn(name: str, target: str, rows: int = ROWS) -> pd.DataFrame:
    every = pd.read_csv(FILES / name).dropna()
    return every[every[target].notna()].sample(rows, random_state=7).reset_index(drop=True)


def _air() -> pd.DataFrame:
    rows = _drawn("beijing-pm25.csv", "pm2.5").drop(columns="No")
    rows["air"] = np.where(rows.pop("pm2.5") > 75, "bad", "good")
    return rows


def _census() -> pd.DataFrame:
    return _drawn("adult-train.csv", "income")


def _dead(spec: Any) -> nn.Module:
    """Returns a perceptron whose first layers begin far below where ReLU lets anything through."""
    net = Mlp(spec, act=F.relu)
    with torch.no_grad():
        for layer in list(net.layers)[:2]:
            layer.bias.fill_(-10.0)
    return net


def unscaled() -> pawl.Task:
    """Pressure in pascal beside wind in meters a second, and nothing that scales them."""
    rows = _air()
    rows["PRES"] = 100.0 * rows["PRES"]
    relu = functools.partial(Mlp, depth=2, act=F.relu)
    return pawl.Task(data=rows, target="air", model=relu, metric="log_loss", name="unscaled inputs")


def too_low() -> pawl.Task:
    """A rate at which nothing happens in the time that there is."""
    return pawl.Task(
        data=_census(), target="income", model=Mlp, metric="log_loss", name="rate too low"
    )


def too_high() -> pawl.Task:
    """A rate at which nothing stays learned."""
    return pawl.Task(
        data=_census(), target="income", model=Mlp, metric="log_loss", name="rate too high"
    )


def dead() -> pawl.Task:
    """Units that return zero for every row from the first step on."""
    return pawl.Task(data=_air(), target="air", model=_dead, metric="log_loss", name="dead units")


def imbalanced() -> pawl.Task:
    """A class of one row in a hundred, judged as the frequent one is."""
    every = pd.read_csv(FILES / "adult-train.csv").dropna()
    rich = every["income"] == every["income"].value_counts().index[-1]
    rows = pd.concat([every[~rich].sample(110 * RARE, random_state=7),
                      every[rich].sample(RARE, random_state=7)])  # fmt: skip
    rows = rows.sample(frac=1.0, random_state=8).reset_index(drop=True)
    return pawl.Task(
        data=rows, target="income", model=Mlp, metric="balanced_accuracy", name="class imbalance"
    )


RECIPES: dict[str, Tables] = {
    "unscaled": {name: table for name, table in RECIPE.items() if name != "standardize"},
    "too_low": {**RECIPE, "adamw": {"learning_rate": 1e-5}},
    "too_high": {
        **{n: t for n, t in RECIPE.items() if n != "adamw"},
        "rmsprop": {"learning_rate": 0.05},
    },
    "dead": RECIPE,
    "imbalanced": RECIPE,
}
RULES: dict[str, tuple[str, ...]] = {
    "unscaled": ("unscaled_inputs",),
    "too_low": ("learning_rate_too_low",),
    "too_high": ("learning_rate_too_high", "non_finite"),
    "dead": ("dead_units",),
    "imbalanced": ("class_imbalance",),
}
"""Which rules may tell of the fault."""
