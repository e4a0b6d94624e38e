"""The largest curvature of a loss, by power iterations on differences of gradients.

Shape legend: `P` weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

POWER_STEPS = 3
_REACH = 3e-3
"""How far gradients are apart that are subtracted, over the norm of the weights: rounding is then a
thousandth of the difference, and the third derivative counts for little."""


def sharpest(
    gradient: Callable[[Tensor], Tensor],
    weights: Tensor,
    start: Tensor | None = None,
    steps: int = POWER_STEPS,
) -> tuple[float, Tensor]:
    """Returns the eigenvalue of the Hessian that is largest in size, and its vector, `[P]`.

    `H v` is `(g(w + r v) - g(w - r v)) / 2 r`, which needs no second derivative, and so is there for any
    model that trains. Each step is two gradients. With the vector of an earlier reading a few steps are
    enough; without, the value is a lower bound in size.

    Args:
        gradient: Of the loss at weights `[P]`.
        weights: Where.
        start: Where the iterations begin; by default a direction that is the same each time.
        steps: Iterations.

    Example:
        >>> curved = torch.tensor([1.0, 5.0, 2.0])
        >>> value, _ = sharpest(lambda w: curved * w, torch.ones(3), steps=20)
        >>> round(value, 3)
        5.0

    Source: Cohen et al., "Gradient Descent on Neural Networks Typically Occurs at the Edge of
    Stability", 2021, for what sharpness says of a learning rate.
    """
    if start is None:
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(len(weights), generator=generator).to(weights)
    vector = start / start.norm().clamp_min(1e-12)
    reach = _REACH * max(float(weights.norm()), 1e-3)
    value = math.nan
    for _ in range(steps):
        ahead, behind = gradient(weights + reach * vector), gradient(weights - reach * vector)
        product = (ahead - behind) / (2 * reach)
        value = float(product @ vector)
        size = float(product.norm())
        if not math.isfinite(size) or size <= 0:
            return (value if math.isfinite(value) else math.nan), vector
        vector = product / size
    return value, vector
