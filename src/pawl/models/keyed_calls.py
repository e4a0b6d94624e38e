"""Layers in the place of functions that draw random numbers: they draw by a key.

PyTorch's own draw from one stream for all that is computed at once, so that a member would draw
otherwise in a population than alone, and nothing could be compiled.

Shape legend: `B` rows, `H` heads, `L` steps that look, `S` steps that are looked at, `E` numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pawl import rng
from pawl.models.member_layers import KeyedAttention, KeyedDropout, MemberLayer, member_layers


class KeyedScores(MemberLayer):
    """`F.scaled_dot_product_attention` whose weights are dropped by a key and at a rate.

    `softmax(q k' / sqrt(E) + mask) * m / (1 - rate)` times `v`, with `m` 0 at the given rate and else 1.

    Args:
        rate: Share of weights that is set to zero in training, in `[0, 1)`.
    """

    settings = ("rate",)
    draws = True

    rate: Tensor
    key: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.register_buffer("rate", torch.tensor(float(rate)))
        self.register_buffer("key", torch.zeros((), dtype=torch.int32))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Attends, `[B, H, L, E]`; the layer's own rate counts."""
        if not self.training:
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if enable_gqa:
            several = query.shape[-3] // key.shape[-3]
            key, value = (x.repeat_interleave(several, -3) for x in (key, value))
        factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = (query * factor) @ key.transpose(-2, -1)  # [B, H, L, S]
        if is_causal:
            ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(ahead, -torch.inf)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(attn_mask.logical_not(), -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = scores.softmax(-1)
        keep = rng.uniform(self.key, tuple(weights.shape)) >= self.rate
        return torch.where(keep, weights / (1.0 - self.rate), 0.0) @ value

    def extra_repr(self) -> str:
        """Shows the rate."""
        return f"rate={float(self.rate):g}" if self.rate.dim() == 0 else "rate=[N]"


def dropouts(module: nn.Module) -> list[KeyedDropout | KeyedAttention | KeyedScores]:
    """Returns the layers of a module that drop units, in a fixed order."""
    kinds = (KeyedDropout, KeyedAttention, KeyedScores)
    return [layer for _, layer in member_layers(module) if isinstance(layer, kinds)]


class KeyedDraw(MemberLayer):
    """A function of PyTorch's that draws, in training: `torch.rand`, `torch.bernoulli`, and more.

    Args:
        name: One of `DRAWING`.
    """

    draws = True

    key: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("key", torch.zeros((), dtype=torch.int32))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Draws what the function would; it takes the function's arguments."""
        return _DRAW[self.name](self.key, *args, **kwargs)

    def extra_repr(self) -> str:
        """Shows the function."""
        return self.name


def _sized(args: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    given = args if size is None else size
    return tuple(given[0]) if len(given) == 1 and not isinstance(given[0], int) else tuple(given)


def _as(drawn: Tensor, options: Mapping[str, Any]) -> Tensor:
    return drawn.to(options.get("device"), options.get("dtype") or torch.get_default_dtype())


def _rand(key: Tensor, *args: Any, size: Any = None, **options: Any) -> Tensor:
    return _as(rng.uniform(key, _sized(args, size)), options)


def _randn(key: Tensor, *args: Any, size: Any = None, **options: Any) -> Tensor:
    return _as(rng.normal(key, _sized(args, size)), options)


def _rand_like(key: Tensor, x: Tensor, **options: Any) -> Tensor:
    return _as(rng.uniform(key, tuple(x.shape)), {"dtype": x.dtype, **options})


def _randn_like(key: Tensor, x: Tensor, **options: Any) -> Tensor:
    return _as(rng.normal(key, tuple(x.shape)), {"dtype": x.dtype, **options})


def _bernoulli(key: Tensor, x: Tensor, p: float | None = None) -> Tensor:
    return (rng.uniform(key, tuple(x.shape)) < (x if p is None else p)).to(x.dtype)


def _bernoulli_(key: Tensor, x: Tensor, p: float | Tensor = 0.5) -> Tensor:
    return x.copy_(rng.uniform(key, tuple(x.shape)) < p)


_DRAW: Mapping[str, Callable[..., Tensor]] = {
    "rand": _rand,
    "randn": _randn,
    "rand_like": _rand_like,
    "randn_like": _randn_like,
    "bernoulli": _bernoulli,
    "bernoulli_": _bernoulli_,
}
_OPTIONS = frozenset({"size", "device", "dtype", "p"})
DRAWING: Mapping[Any, str] = {
    torch.rand: "rand",
    torch.randn: "randn",
    torch.rand_like: "rand_like",
    torch.randn_like: "randn_like",
    torch.bernoulli: "bernoulli",
    torch.Tensor.bernoulli: "bernoulli",
    torch.Tensor.bernoulli_: "bernoulli_",
}
"""Functions that draw, and their names."""


def keyed(function: Any, kwargs: Mapping[str, Any]) -> KeyedDraw | None:
    """Returns what draws as a function does; `None` if that is asked for more than numbers.

    >>> keyed(torch.rand, {"device": "cpu"})
    KeyedDraw(rand)
    """
    name = DRAWING.get(function)
    return KeyedDraw(name) if name is not None and kwargs.keys() <= _OPTIONS else None
