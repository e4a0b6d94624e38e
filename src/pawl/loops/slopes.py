"""Gradients of the tensors that an optimizer updates: whether they came, and what is in them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Noted = list[tuple[Tensor, Tensor | None, int]]
"""Tensors, their gradients, and how often those were written to."""


def updated(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Returns the tensors that an optimizer updates and that are a model's; all of its, if none are."""
    every = [p for group in optimizer.param_groups for p in group["params"]]
    own = {id(p) for p in model.parameters()}
    return [p for p in every if id(p) in own] or every


def noted(tensors: Sequence[Tensor]) -> Noted:
    """Notes which gradients there are, without a look at their values: that would wait for a GPU."""
    return [(p, p.grad, -1 if p.grad is None else p.grad._version) for p in tensors]


def came(before: Noted) -> bool:
    """Tells whether gradients have come since they were noted."""
    return any(
        p.grad is not slope or (slope is not None and slope._version != written)
        for p, slope, written in before
    )


def values(slope: Tensor) -> Tensor:
    """Returns the real numbers that a gradient holds: of a sparse one those of the rows that it has."""
    found = slope.detach().coalesce().values() if slope.is_sparse else slope.detach()
    return torch.view_as_real(found.resolve_conj()) if found.is_complex() else found


def pulls(tensors: Sequence[Tensor]) -> bool:
    """Tells whether any gradient is other than 0."""
    return any(p.grad is not None and bool(values(p.grad).any()) for p in tensors)
