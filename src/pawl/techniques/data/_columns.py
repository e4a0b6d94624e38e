"""Columns of numbers over the training rows, as techniques that bend each by itself need them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pawl.techniques.data._affine import scaled_names
from pawl.techniques.values import Split

_MOST_VALUES = 50_000


def columns(split: Split) -> dict[str, NDArray[np.float64]]:
    """Returns the inputs that are vectors of numbers, `[R, F]`, as the layers so far leave them.

    Of many training rows some, evenly spread.
    """
    seen: dict[str, list[NDArray[np.float64]]] = {}
    step = max(1, len(split.rows) // _MOST_VALUES)
    for chunk in split.chunks():
        for name in scaled_names(chunk):
            if chunk[name].dim() <= 2:
                flat = chunk[name].reshape(len(chunk[name]), -1)[::step]
                seen.setdefault(name, []).append(flat.cpu().double().numpy())
    return {name: np.concatenate(parts) for name, parts in seen.items()}
