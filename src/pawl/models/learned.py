"""What learners that fit in one go leave: rows become numbers, and what was learned says the rest.

Shape legend: `B` rows, `D` numbers of a row, `R` rows that are remembered, `O` outputs, `K` columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pawl.data.types import Inputs, InputSpec
from pawl.models.bags import TokenBag
from pawl.models.layers import flat

Link = Literal["identity", "log", "logit"]
"""What makes raw outputs of what was learned: of probabilities, logarithms or logits."""
_LEAST = 1e-6
_PRIOR = 20.0  # rows that a category's mean is drawn to the mean of all by
_CLOSE = 1e-2
_AT_EDGE, _EDGE = 1e-2, 1e-3
"""The weight of what is just as far as the first that does not count, and how near is as far."""
_CATEGORICAL = "categorical"


class Encoder(nn.Module):
    """Makes one vector of a row: `Inputs` behind the front layers to `[B, D]`.

    Numbers stay as they are. A category becomes columns of 0 and 1, or one number by which categories
    are in the order of their mean target. A text becomes what its tokens count, or a few numbers of
    that. `fit` sets what these are.

    Args:
        inputs: The data's.
        one_hot: Whether categories become columns.
        latent: Whether texts become a few numbers, and not one for each token.
    """

    offsets: Tensor
    ranks: Tensor

    def __init__(self, inputs: Sequence[InputSpec], *, one_hot: bool, latent: bool = True) -> None:
        super().__init__()
        self.names = tuple(spec.name for spec in inputs)
        self.bags = nn.ModuleDict(
            {s.name: TokenBag(s.tokens, latent=latent) for s in inputs if s.tokens}
        )
        self.one_hot = one_hot
        self.cardinalities: tuple[int, ...] = ()
        for spec in inputs:
            if spec.name == _CATEGORICAL:
                self.cardinalities = spec.cardinalities
        sizes = torch.tensor(self.cardinalities, dtype=torch.int64)
        self.register_buffer("offsets", sizes.cumsum(0) - sizes)
        self.register_buffer("ranks", torch.zeros(int(sizes.sum())))

    def fit(self, inputs: Inputs, targets: Tensor) -> None:
        """Counts tokens; orders categories by the mean target of their rows, rare ones near its mean.

        Args:
            inputs: Training rows, as they get here.
            targets: `[R]`, numbers.
        """
        for name, bag in self.bags.items():
            assert isinstance(bag, TokenBag)
            bag.fit(inputs[name].cpu())
        if self.one_hot or not self.cardinalities:
            return
        targets = targets.double()
        placed = inputs[_CATEGORICAL].cpu() + self.offsets
        for column, size in enumerate(self.cardinalities):
            start = int(self.offsets[column])
            codes = placed[:, column] - start
            counts = codes.bincount(minlength=size).double()
            totals = codes.bincount(targets, minlength=size)
            means = (totals + _PRIOR * targets.mean()) / (counts + _PRIOR)
            self.ranks[start : start + size] = means.argsort(stable=True).argsort().float()

    def forward(self, inputs: Inputs) -> Tensor:
        """Encodes."""
        return torch.cat([part for name in self.names for part in self.parts(name, inputs)], dim=1)

    def parts(self, name: str, inputs: Inputs) -> list[Tensor]:
        """Returns what is made of one input, `[B, ...]` each."""
        x = inputs[name]
        if name in self.bags:
            return [self.bags[name](x)]
        if name != _CATEGORICAL or not self.cardinalities:
            return [flat(x).to(torch.float32)]
        if not self.one_hot:
            return [self.ranks[x + self.offsets]]
        return [
            (x[:, column, None] == torch.arange(size, device=x.device)).to(torch.float32)
            for column, size in enumerate(self.cardinalities)
        ]


class Neighbors(nn.Module):
    """The mean of what the nearest remembered rows have, near ones counting more: `[B, D]` to `[B, O]`.

    `y = sum_r w_r v_r / sum_r w_r` with `w = max(0, u - 1) + 0.01 min(1, max(0, 1000 (u - 1) + 2))` and
    `u = (e^2 + c) / (d^2 + c)`: `d` is the Euclidean distance, `e` that of the nearest row behind the
    `count` nearest, `c` small. The weight falls to nearly nothing at `e` (Dudani 1976), and rows as far
    as that count alike: whichever of them come first, which no two libraries agree on, is the same.

    Args:
        outputs: `O`.
        count: How many are looked at.

    Attributes:
        keys: `[R, D]`.
        values: `[R, O]`.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, outputs: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.register_buffer("keys", torch.zeros(1, 1))
        self.register_buffer("values", torch.zeros(1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Looks."""
        keys, x = self.keys.double(), x.double()  # squares of rows alike would be rounding alone
        squares = (x * x).sum(1, keepdim=True) - 2.0 * (x @ keys.T) + (keys * keys).sum(1)
        apart = squares.float().clamp_min(0.0) + _CLOSE
        near, _ = apart.topk(min(self.count + 1, keys.shape[0]), dim=1, largest=False)
        beyond = near[:, -1:] / apart - 1.0
        weights = beyond.clamp_min(0.0) + _AT_EDGE * (beyond / _EDGE + 2.0).clamp(0.0, 1.0)
        return weights @ self.values / weights.sum(1, keepdim=True)


class Affinity(nn.Module):
    """A linear map with a constant: `[B, D]` to `[B, O]`; its tensors are not trained."""

    slope: Tensor
    base: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.zeros(1, outputs))
        self.register_buffer("base", torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Multiplies."""
        return x @ self.slope + self.base


class Learned(nn.Module):
    """What a learner fits: an encoder, what was learned, and the link; `Inputs` to raw outputs `[B, O]`.

    Args:
        encoder: Makes vectors of rows.
        core: Maps them, `[B, D]`, to `[B, O]`.
        link: What makes raw outputs of that.
    """

    def __init__(self, encoder: Encoder, core: nn.Module, link: Link) -> None:
        super().__init__()
        self.encoder, self.core, self.link = encoder, core, link

    def forward(self, inputs: Inputs) -> Tensor:
        """Predicts."""
        found: Tensor = self.core(self.encoder(inputs))
        if self.link == "identity":
            return found
        likely = found.clamp(_LEAST, 1.0 - _LEAST)
        return likely.log() if self.link == "log" else (likely / (1.0 - likely)).log()
