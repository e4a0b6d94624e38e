"""From an image to a mask: which pixels of a noisy digit are ink?

    pawl optimize examples/masks.py --budget 2m --out masks

The targets are a class at each pixel, `[rows, height, width]`.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor, nn

import pawl

INK, NOISE = 8, 6.0


class Mask(nn.Module):
    """Three convolutions; one logit at each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(),
            nn.Conv2d(12, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)


def task() -> pawl.Task:
    """Returns the task: scikit-learn's digits with noise, and where their ink is."""
    digits = load_digits().images.astype(np.float32)[:, None]
    noisy = digits + NOISE * np.random.default_rng(0).normal(size=digits.shape)
    return pawl.Task(
        data=(noisy.astype(np.float32), (digits >= INK).astype(np.int64)),
        model=Mask,
        name="ink of noisy digits",
    )
