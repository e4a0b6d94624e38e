"""Weights that stay, and a trained product of two thin matrices that is added to them."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

M = TypeVar("M", bound=nn.Module)
_FIRST, _DOWN, _UP = "original", "down", "up"
_LIST = "parametrizations"


class LowRank(nn.Module):
    """`W + up down`, with `W` taken as a matrix `[O, I]`; of convolutions `I` has the kernel as well.

    `up` is zero at first, so the function is kept. It is a parametrization, not a layer beside the
    layer: so it also acts where a weight is used without its layer being called (attention, tied
    weights), and leaves nothing behind once it is merged.

    Reference: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.

    Args:
        shape: Of `W`, `[O, ...]`.
        rank: Of the product.

    Example:
        >>> LowRank((4, 6), 2)(torch.ones(4, 6)).sum()
        tensor(24., grad_fn=<SumBackward0>)
    """

    def __init__(self, shape: torch.Size | tuple[int, ...], rank: int) -> None:
        super().__init__()
        inputs = int(torch.tensor(shape[1:]).prod())
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Adds the product."""
        return weight + (self.up @ self.down).view(weight.shape)


def adapt(layer: nn.Module, name: str, rank: int) -> None:
    """Freezes a layer's weight and adds a product of this rank to it, in place.

    Args:
        layer: Has the weight; nothing of it is parametrized otherwise.
        name: Of the weight.
        rank: Of the product, at most that of the weight.
    """
    weight = getattr(layer, name)
    weight.requires_grad_(False)
    added = LowRank(weight.shape, min(rank, weight.shape[0], weight[0].numel()))
    parametrize.register_parametrization(layer, name, added, unsafe=True)


def merged(module: M) -> M:
    """Returns the module with its products added for good; itself if it has none."""
    if not any(isinstance(each, LowRank) for each in module.modules()):
        return module
    module = copy.deepcopy(module)
    for owner in list(module.modules()):
        lists = owner._modules.get(_LIST)
        if not isinstance(lists, nn.ModuleDict):
            continue
        first = [next(iter(each.children())) for each in lists.values()]
        if not all(isinstance(each, LowRank) for each in first):  # a user's own
            continue
        with torch.no_grad():
            whole = {name: getattr(owner, name).clone() for name in lists}
        # By hand: PyTorch's removal wants a parameter, and a frozen weight is a buffer.
        delattr(owner, _LIST)
        owner.__class__ = type(owner).__bases__[0]
        for name, weight in whole.items():
            setattr(owner, name, nn.Parameter(weight, requires_grad=False))
    return module


def merged_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights and buffers by name with the products among them added for good.

    Example:
        >>> one = {"fc.parametrizations.weight.original": torch.ones(1, 1),
        ...        "fc.parametrizations.weight.0.down": torch.ones(1, 1),
        ...        "fc.parametrizations.weight.0.up": torch.ones(1, 1)}
        >>> merged_tensors(one)
        {'fc.weight': tensor([[2.]])}
    """
    found = {name: x for name, x in tensors.items() if f".{_LIST}." not in f".{name}"}
    for name, first in tensors.items():
        lead, _, last = name.rpartition(".")
        if last != _FIRST or f".{_LIST}." not in f".{name}":
            continue
        owner, _, own = lead.rpartition(".")
        owner = owner.removesuffix(_LIST).removesuffix(".")
        up, down = (tensors.get(f"{lead}.0.{part}") for part in (_UP, _DOWN))
        whole = first if up is None or down is None else first + (up @ down).view(first.shape)
        found[f"{owner}.{own}" if owner else own] = whole
    return found
