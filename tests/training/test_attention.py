"""Attention of all members in one call computes what it does for one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from pawl.training.attention import attention_at_once

MEMBERS, ROWS, HEADS, STEPS, SIZE = 3, 5, 2, 4, 6
ORIGINAL = F.scaled_dot_product_attention


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


MASKS = {
    "none": (None, None),
    "one for all": (drawn(STEPS, STEPS), None),
    "of rows": (drawn(MEMBERS, ROWS, 1, STEPS, STEPS) > 0.5, 0),
    "of rows, for all members": (drawn(ROWS, 1, STEPS, STEPS), None),
    "of a member": (drawn(MEMBERS, STEPS, STEPS), 0),
    "of heads": (drawn(1, HEADS, STEPS, STEPS), None),
    "of heads of a member": (drawn(1, HEADS, STEPS, STEPS, MEMBERS), 4),
}


@pytest.mark.parametrize("name", MASKS)
def test_it_is_what_members_compute_apart(name: str) -> None:
    mask, axis = MASKS[name]
    if mask is not None and mask.dtype == torch.bool:
        mask = mask | torch.eye(STEPS, dtype=torch.bool)  # each step sees one
    given = [drawn(MEMBERS, ROWS, HEADS, STEPS, SIZE).requires_grad_() for _ in range(2)]
    shared = drawn(ROWS, HEADS, STEPS, SIZE).requires_grad_()  # keys, the same for all members

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, mask, scale=0.4)

    with attention_at_once():
        out = vmap(attend, in_dims=(0, None, 0, axis))(given[0], shared, given[1], mask)
    own = [
        None if mask is None else mask if axis is None else mask.select(axis, i)
        for i in range(MEMBERS)
    ]
    apart = torch.stack(
        [ORIGINAL(given[0][i], shared, given[1][i], own[i], scale=0.4) for i in range(MEMBERS)]
    )
    torch.testing.assert_close(out, apart)
    leaves = [*given, shared]
    for mine, theirs in zip(
        torch.autograd.grad(out.square().sum(), leaves),
        torch.autograd.grad(apart.square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_nothing_ahead_is_seen_where_it_is_causal() -> None:
    rows = drawn(MEMBERS, ROWS, HEADS, STEPS, SIZE)
    with attention_at_once():
        out = vmap(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True))(rows)
    torch.testing.assert_close(out, ORIGINAL(rows, rows, rows, is_causal=True))


def test_calls_outside_are_the_function_itself_and_it_is_put_back() -> None:
    x = drawn(ROWS, HEADS, STEPS, SIZE).requires_grad_()
    with attention_at_once():
        out = F.scaled_dot_product_attention(x, x, x)
        assert "ScaledDotProduct" in type(out.grad_fn).__name__
    assert F.scaled_dot_product_attention is ORIGINAL
    with pytest.raises(RuntimeError), attention_at_once():
        F.scaled_dot_product_attention(x, x[..., :2], x)
    assert F.scaled_dot_product_attention is ORIGINAL
