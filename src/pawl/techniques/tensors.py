"""What techniques that go by weight tensors share: which are matrices, and how large they are.

Shape legend: `N` members, `P` weights of a model, `T` weight tensors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pawl.models.layout import Layout


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Tells whether a tensor is one of weights, not of biases or scales; see `Layout.mask`."""
    return len(shape) > 1


def of_matrices(layout: Layout, values: Tensor, other: float) -> Tensor:
    """Returns one value for each tensor, `[N, T]`: the given ones for matrices, else `other`."""
    chosen = [is_matrix(n, s) for n, s in zip(layout.names, layout.shapes, strict=True)]
    return torch.where(torch.tensor(chosen, device=values.device), values, other)


def norms(layout: Layout, flat: Tensor) -> Tensor:
    """Returns the Euclidean norm of each weight tensor, `[N, T]`, of `[N, P]`."""
    pieces = torch.split(flat, list(layout.sizes), dim=-1)
    return torch.stack([torch.linalg.vector_norm(x, dim=1) for x in pieces], dim=1)


def root_mean_squares(layout: Layout, flat: Tensor) -> Tensor:
    """Returns the root of each weight tensor's mean square, `[N, T]`, of `[N, P]`."""
    sizes = torch.tensor(layout.sizes, dtype=flat.dtype, device=flat.device)
    return norms(layout, flat) * sizes.rsqrt()


def as_matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns rows (units) and columns (inputs, of convolutions their kernels' as well) of a tensor."""
    return shape[0], math.prod(shape[1:])


def unit_norms(layout: Layout, flat: Tensor) -> Tensor:
    """Returns for each weight the Euclidean norm of its unit's, `[N, P]`, of `[N, P]`.

    The weights of a unit are a row of its matrix; those of a vector are taken together.
    """
    members, found = len(flat), {}
    for name, x in layout.views(flat).items():
        rows = x.shape[1] if x.dim() > 2 else 1
        norm = torch.linalg.vector_norm(x.reshape(members, rows, -1), dim=2, keepdim=True)
        found[name] = norm.expand(members, rows, x[0].numel() // rows)
    return layout.flat(found, members)
