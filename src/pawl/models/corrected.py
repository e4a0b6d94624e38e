"""A weighted mean of predictors, corrected by trees that see what each of them says.

Shape legend: `M` predictors, `R` rows, `C` classes, `P` the shape of a row's prediction: `[C]` or `[]`.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from pawl.models.trees import Trees

LEAST = 1e-12
"""Probabilities below it count as it, where logarithms are taken."""


class Corrected(nn.Module):
    """What predictors say together, `[M, ..., R, *P]` to `[..., R, *P]`.

    Of values `sum_m w_m p_m + f(p)`; of probabilities `softmax(log sum_m w_m p_m + f(p))`. `f` are trees
    over all values, or over the probabilities of all classes but the first. A fresh one adds nothing.

    Args:
        shares: `w`, summing to one, `M`.
        classes: `C`; 0 for values.
    """

    shares: Tensor

    def __init__(self, shares: Sequence[float], classes: int) -> None:
        super().__init__()
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float32))
        self.trees = Trees(max(classes, 1))
        self.classes = classes

    def features(self, each: Tensor) -> Tensor:
        """Returns what trees see, `[M, R]` to `[R, M]` or `[M, R, C]` to `[R, M (C - 1)]`."""
        if not self.classes:
            return each.T.to(torch.float32)
        return each[..., 1:].transpose(0, 1).flatten(1).to(torch.float32)

    def forward(self, each: Tensor) -> Tensor:
        """Combines."""
        shape = each.shape[1:]
        rows = each.reshape(len(each), -1, self.classes) if self.classes else each.flatten(1)
        mean = torch.tensordot(self.shares.to(rows.dtype), rows, dims=1)
        added: Tensor = self.trees(self.features(rows))
        found: Tensor = mean + added.squeeze(1) if not self.classes else _probable(mean, added)
        return found.reshape(shape)

    def written(self) -> str:
        """Returns the trees as text: safetensors, packed, in base 64."""
        found = {name: tensor.contiguous() for name, tensor in self.trees.named_buffers()}
        return base64.b64encode(zlib.compress(save(found), 9)).decode()

    def read(self, text: str) -> None:
        """Takes the trees that `written` wrote.

        Raises:
            ValueError: It is something else.
        """
        try:
            found = load(zlib.decompress(base64.b64decode(text, validate=True)))
        except (binascii.Error, zlib.error, SafetensorError) as error:
            raise ValueError(f"got trees that cannot be read ({error})") from None
        names = {name for name, _ in self.trees.named_buffers()}
        if found.keys() != names:
            raise ValueError(
                f"got trees of {', '.join(sorted(found))}; they are {', '.join(names)}"
            )
        for name, tensor in found.items():
            setattr(self.trees, name, tensor)


def _probable(mean: Tensor, added: Tensor) -> Tensor:
    raw: Tensor = mean.clamp_min(LEAST).log() + added
    return raw.softmax(-1)
