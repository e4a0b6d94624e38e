"""How much less is lost of the same rows by a change."""

from __future__ import annotations

import math

from torch import Tensor

from pawl.diagnosing.record import Gain


def gain_of(before: Tensor, after: Tensor | float = 0.0) -> Gain:
    """Returns how much less is lost of rows `[R]`, as pairs.

    Example:
        >>> import torch
        >>> found = gain_of(torch.tensor([3.0, 2.0, 4.0, 3.0]), torch.tensor([2.0, 1.0, 2.0, 1.0]))
        >>> found.mean, round(found.error, 4), found.rows
        (1.5, 0.2887, 4)
    """
    gaps = (before - after).double()
    count = len(gaps)
    error = float(gaps.std()) / math.sqrt(count) if count > 1 else math.nan
    return Gain(mean=float(gaps.mean()) if count else math.nan, error=error, rows=count)
