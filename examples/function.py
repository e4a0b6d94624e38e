"""A plain function, in NumPy alone: which settings of logistic regression by gradient descent help?

    pawl tune examples/function.py --budget 1m --out function

Pawl knows nothing of what the function does. It calls it with settings and a seed, looks for better
settings, and compares the best with the first ones on seeds that nothing was chosen by.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field
from sklearn.datasets import load_breast_cancer

import pawl


class Settings(BaseModel):
    """What may be changed; the defaults are what is to be beaten."""

    learning_rate: float = Field(0.01, ge=1e-4, le=10.0, json_schema_extra={"log": True})
    penalty: float = Field(1e-2, ge=1e-6, le=1.0, json_schema_extra={"log": True})
    steps: int = Field(50, ge=10, le=400)
    standardize: bool = False


def train(settings: Settings, seed: int) -> dict[str, float]:
    """Returns the loss and the accuracy on the half of the rows that a seed leaves out."""
    inputs, targets = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(targets))
    rows, others = np.split(order, [len(order) // 2])
    scale = inputs[rows].std(0) if settings.standardize else np.abs(inputs[rows]).max()
    shift = inputs[rows].mean(0) if settings.standardize else 0.0
    inputs = np.column_stack([(inputs - shift) / scale, np.ones(len(targets))])
    weights = np.zeros(inputs.shape[1])
    for _ in range(settings.steps):
        wrong = _sigmoid(inputs[rows] @ weights) - targets[rows]
        gradient = inputs[rows].T @ wrong / len(rows) + settings.penalty * weights
        weights -= settings.learning_rate * gradient
    p = np.clip(_sigmoid(inputs[others] @ weights), 1e-7, 1 - 1e-7)
    right = np.where(targets[others] == 1, p, 1 - p)
    return {"loss": float(-np.log(right).mean()), "accuracy": float((right > 0.5).mean())}


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))


task = pawl.FunctionTask(train=train, settings=Settings, metric="loss", direction="minimize")
