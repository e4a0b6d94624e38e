"""Why a graph does not predict what the module does that it was exported from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from pawl.data.types import Examples

Predict = Callable[[Examples], np.ndarray]


def cause(module: Predict, rows: Examples, alone: int, tolerance: float) -> str:
    """Says why, and what to do; the module is to blame for what it does not predict the same twice.

    Args:
        module: Returns the module's predictions.
        rows: On which they differ.
        alone: How many of the first are also tried one by one.
        tolerance: The largest difference that is none, relative to the largest prediction.
    """
    first, again = module(rows), module(rows)
    odd = ~np.isfinite(first).reshape(len(first), -1).all(1)
    if odd.any():
        gaps = int(_gaps(rows)[odd].sum())
        where = f" ({gaps} of them with gaps, NaN)" if gaps else ""
        return (
            f"the model's predictions are not finite for {int(odd.sum())} of {len(rows)} rows{where}; "
            "fill gaps in the data or in its forward (torch.nan_to_num), and let it give finite numbers"
        )

    def same(one: np.ndarray, other: np.ndarray) -> bool:
        scale = max(1.0, float(np.abs(first).max()))
        return one.shape == other.shape and float(np.abs(one - other).max()) <= tolerance * scale

    if not same(first, again):
        return (
            "the model predicts otherwise each time, also in evaluation mode; let it draw only in "
            "training (mostly it is F.dropout without training=self.training)"
        )
    try:
        each = [module(rows.take(torch.tensor([row]))) for row in range(min(alone, len(rows)))]
        single = np.concatenate(each)
    except Exception:  # whatever the user's forward raises
        single = first[:0]
    if not same(single, first[:alone]):
        return (
            "the model's prediction of a row depends on the other rows that it gets with it; let its "
            "forward compute each row by itself (a mean over rows belongs in a buffer that is set in "
            "training, as in BatchNorm)"
        )
    return (
        "the model itself predicts the same each time, so the exporter has changed it; write what is "
        "unusual in its forward by other operations"
    )


def _gaps(rows: Examples) -> np.ndarray:
    """Tells which rows have a number that is none."""
    found = torch.zeros(len(rows), dtype=torch.bool)
    for tensor in rows.inputs.values():
        found |= tensor.isnan().reshape(len(rows), -1).any(1)
    return found.numpy()
