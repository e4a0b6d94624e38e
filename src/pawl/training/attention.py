"""Attention of all members in one call; `vmap` has no rule for it and calls it one by one.

Shape legend: `N` members, `B` rows, `H` heads, `L` steps that look, `S` steps looked at, `E` numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_FREE = 4
"""Axes of a mask of `[B, H, L, S]`; one of fewer is the same for all rows."""


@contextlib.contextmanager
def attention_at_once() -> Iterator[None]:
    """Lets `F.scaled_dot_product_attention` take all members' rows as rows of one batch, meanwhile.

    What it computes is the same. Calls outside of a `vmap`, and those that drop weights, stay what they
    are; PyTorch's own layers call the function by its name, too.
    """
    original = F.scaled_dot_product_attention

    def attend(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **options: Any,
    ) -> Tensor:
        given = (query, key, value, attn_mask)
        batched = any(x is not None and torch._C._functorch.is_batchedtensor(x) for x in given)
        if not batched or dropout_p or query.dim() != _FREE:
            return original(query, key, value, attn_mask, dropout_p, is_causal, **options)
        out: Tensor = _AtOnce.apply(original, *given, is_causal, options)  # type: ignore[no-untyped-call]
        return out

    F.scaled_dot_product_attention = attend  # type: ignore[assignment]
    try:
        yield
    finally:
        F.scaled_dot_product_attention = original


class _AtOnce(torch.autograd.Function):
    """Has the rule: `[N, B, ...]` of each argument becomes `[N * B, ...]`, and back."""

    @staticmethod
    def forward(attend: Any, *given: Any) -> Tensor:
        """Attends; only reached where nothing is batched."""
        *tensors, causal, options = given
        out: Tensor = attend(*tensors, 0.0, causal, **options)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keeps nothing: gradients are those of the function that the rule calls."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, attend: Any, *given: Any) -> tuple[Tensor, int]:
        """Attends for all members."""
        members, (*tensors, causal, options) = info.batch_size, given
        rows = tensors[0].shape[0 if in_dims[1] is None else int(in_dims[1] == 0)]
        joined = [
            None if x is None else _joined(x, axis, members, rows)
            for x, axis in zip(tensors, in_dims[1:5], strict=True)
        ]
        out = attend(*joined, 0.0, causal, **options)
        return out.unflatten(0, (members, rows)), 0


def _joined(x: Tensor, axis: int | None, members: int, rows: int) -> Tensor:
    """Returns an argument whose first axis is that of all members' rows."""
    if axis is None and x.dim() < _FREE:
        return x  # a mask that is the same for all rows
    x = x.expand(members, *x.shape) if axis is None else x.movedim(axis, 0)
    x = x.reshape(members, *[1] * (_FREE + 1 - x.dim()), *x.shape[1:])
    return x.expand(members, rows, *x.shape[2:]).flatten(0, 1)
