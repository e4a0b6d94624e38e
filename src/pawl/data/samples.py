"""Small real data sets that need no file, from scikit-learn's own package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor


@dataclass(frozen=True)
class Pixels:
    """Images that are tensors already.

    Attributes:
        images: `[R, channels, height, width]` uint8.
        classes: `[R]` each image's class.
    """

    images: Tensor
    classes: list[str]


def _digits() -> Pixels:
    # Imported here because it is slow to import, and seldom needed.
    from sklearn.datasets import load_digits  # noqa: PLC0415

    digits = load_digits()
    scaled = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Pixels(torch.from_numpy(scaled)[:, None], [str(digit) for digit in digits.target])


def _breast_cancer() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415

    cancer = load_breast_cancer()
    frame = pd.DataFrame(cancer.data, columns=[str(name) for name in cancer.feature_names])
    frame["diagnosis"] = [str(cancer.target_names[label]) for label in cancer.target]
    return frame


SAMPLES: dict[str, Callable[[], Pixels | pd.DataFrame]] = {
    "digits": _digits,
    "breast-cancer": _breast_cancer,
}
