"""A model of your own: a recurrent net over the rows of an image, and a summary of the whole image.

    pawl optimize examples/own_model.py --budget 3m --out own

The net takes a dict of inputs and computes what it likes in `forward`; pawl neither knows nor changes it
beyond what a technique asks for.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import pawl


class RowsAndSummary(nn.Module):
    """Reads an image row by row with a GRU, and looks at mean and deviation of its columns."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.GRU(8, 48, batch_first=True)
        self.summary = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(48 + 24, 10)

    def forward(self, pixels: Tensor, columns: Tensor) -> Tensor:
        _, last = self.rows(pixels)
        return self.head(torch.cat([last[0], self.summary(columns)], dim=1))


def load() -> pawl.Task:
    """Returns the task: digits as sequences of rows, with a loss and a metric of our own."""
    digits = load_digits()
    pixels = digits.images.astype(np.float32)
    columns = np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)], axis=1)
    return pawl.Task(
        data=({"pixels": pixels, "columns": columns}, digits.target),
        model=RowsAndSummary,
        loss=smoothed_cross_entropy,
        metric=worst_recall,
        direction="maximize",
        name="digits as rows",
    )


def smoothed_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, label_smoothing=0.02)


def worst_recall(targets: np.ndarray, predictions: np.ndarray) -> float:
    """The recall of the class that is recognized worst, half weighted with the mean recall."""
    guesses = predictions.argmax(axis=1)
    recalls = [(guesses[targets == c] == c).mean() for c in np.unique(targets)]
    return float(0.5 * np.min(recalls) + 0.5 * np.mean(recalls))


task = load
