"""Front layers that add an input: numbers that are computed of a row's others.

Shape legend: `B` batch, `F` numbers of a row, `K` numbers that are added, `C` categorical columns, `O`
means of each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pawl.data.types import Inputs

PRODUCT, SUM, RATIO = 0, 1, 2
"""How `Pairs` joins two numbers."""


class Pairs(nn.Module):
    """Adds products, weighted sums and ratios of two numbers each.

    `(a - p)(b - q)`, `a + p b`, or `a / b`, where a divisor is held away from 0: nearer than `q` it
    counts as `q` with its sign.

    Args:
        name: Of the input that is added, `[B, K]`.
        source: The input whose numbers they are, `[B, F]`.
        first: Which of its numbers is `a`, `[K]` int64.
        second: Which is `b`, alike.
        way: `PRODUCT`, `SUM` or `RATIO`, `[K]` int64.
        p: See above, `[K]`.
        q: See above, `[K]`.
    """

    first: Tensor
    second: Tensor
    way: Tensor
    p: Tensor
    q: Tensor

    def __init__(
        self,
        name: str,
        source: str,
        first: Tensor,
        second: Tensor,
        way: Tensor,
        p: Tensor,
        q: Tensor,
    ) -> None:
        super().__init__()
        self.name, self.source = name, source
        tensors = {"first": first, "second": second, "way": way, "p": p, "q": q}
        for each, tensor in tensors.items():
            self.register_buffer(each, tensor)

    def forward(self, inputs: Inputs) -> Inputs:
        """Adds."""
        x = inputs[self.source]
        a, b = x.index_select(-1, self.first), x.index_select(-1, self.second)
        divisor = torch.where(b < 0, -1.0, 1.0) * torch.maximum(b.abs(), self.q)
        joined = torch.where(
            self.way == PRODUCT,
            (a - self.p) * (b - self.q),
            torch.where(self.way == SUM, a + self.p * b, a / divisor),
        )
        return {**inputs, self.name: joined}


class TargetMeans(nn.Module):
    """Adds the mean targets of a row's categories, where they are not there already.

    Args:
        name: Of the input that is added, `[B, C * O]`.
        cardinalities: Codes of each categorical column.
        means: Of each code of the first column, then of the second's, and so on, `[sum, O]`.
    """

    offsets: Tensor
    means: Tensor

    def __init__(self, name: str, cardinalities: tuple[int, ...], means: Tensor) -> None:
        super().__init__()
        self.name = name
        sizes = torch.tensor(cardinalities, dtype=torch.int64)
        self.register_buffer("offsets", sizes.cumsum(0) - sizes)
        self.register_buffer("means", means)

    def forward(self, inputs: Inputs) -> Inputs:
        """Adds."""
        if self.name in inputs:
            return inputs
        found = self.means[inputs["categorical"] + self.offsets]
        return {**inputs, self.name: found.flatten(-2)}
