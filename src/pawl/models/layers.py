"""Small layers that several networks use."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree


def flat(x: Tensor) -> Tensor:
    """Returns rows of any shape, or single numbers `[B]`, as vectors `[B, F]`."""
    return x.unsqueeze(1) if x.dim() == 1 else x.flatten(1)


def changed(returned: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Returns what a part of a network returned, its first tensor changed.

    Parts return a tensor, or a tuple, a dict or the like of one and what else is of use.

    Example:
        >>> changed((torch.ones(2), None), lambda x: 2 * x)
        (tensor([2., 2.]), None)
    """
    leaves, structure = pytree.tree_flatten(returned)
    place = next(at for at, each in enumerate(leaves) if isinstance(each, Tensor))
    leaves[place] = change(leaves[place])
    return pytree.tree_unflatten(leaves, structure)


def first_of(returned: Any) -> Tensor:
    """Returns the first tensor of what a part of a network returned."""
    return next(x for x in pytree.tree_leaves(returned) if isinstance(x, Tensor))


class Around(nn.Module):
    """Base of what is put around a part, `inner`: what it has not itself is asked of the part.

    The network around it may look at the part's attributes (`block.attention_type`). What it has itself
    is set before the part is: it may have the name of something of the part's.
    """

    def __getattr__(self, name: str) -> Any:
        """Returns the part's attribute; those of PyTorch's and of pawl's own stay the part's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            inner = self.__dict__.get("_modules", {}).get("inner")
            if inner is None or name.startswith("_"):
                raise
            return getattr(inner, name)


class PiecewiseLinear(nn.Module):
    """Says how far each number reaches into each of its bins, from 0 (below) to 1 (above).

    Maps `[B, F]` to `[B, F * K]` for `K` bins.

    Args:
        low: Lower ends, `[F, K]`.
        width: Widths, `[F, K]`; a bin of no width is always 0.
    """

    low: Tensor
    scale: Tensor

    def __init__(self, low: Tensor, width: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("scale", torch.where(width > 0, 1.0 / width, 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Encodes."""
        return ((x.unsqueeze(-1) - self.low) * self.scale).clamp(0.0, 1.0).flatten(1)


class Periodic(nn.Module):
    """Embeds each number by learned mixtures of cosines of it.

    `e_f = W_f cos(2 pi (w_f x_f + b_f)) + c_f`, from `[B, F]` to `[B, F * D]`, with `K` learned
    frequencies for each number.

    Args:
        features: `F`.
        frequencies: `K`.
        outputs: `D`.
        deviation: Of the first frequencies, which are drawn from a normal distribution.
    """

    def __init__(self, features: int, frequencies: int, outputs: int, deviation: float) -> None:
        super().__init__()
        self.frequency = nn.Parameter(deviation * torch.randn(features, frequencies))
        self.phase = nn.Parameter(torch.rand(features, frequencies) - 0.5)
        bound = frequencies**-0.5
        self.weight = nn.Parameter((2 * torch.rand(features, frequencies, outputs) - 1) * bound)
        self.bias = nn.Parameter((2 * torch.rand(features, outputs) - 1) * bound)

    def forward(self, x: Tensor) -> Tensor:
        """Embeds."""
        waves = torch.cos(2 * math.pi * (x.unsqueeze(-1) * self.frequency + self.phase))
        return (torch.einsum("bfk,fkd->bfd", waves, self.weight) + self.bias).flatten(1)


class InputScale(nn.Module):
    """Scales each input by a learned factor, which starts at 1 and moves six times as fast as weights.

    Args:
        features: `F` of inputs `[B, F]`.
    """

    SPEED = 6.0

    def __init__(self, features: int) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """Scales."""
        return x * (1.0 + self.SPEED * self.change)


class SqueezeExcite(nn.Module):
    """Scales each channel of a map by a gate, which starts at 1: `x * 2 sigmoid(W2 relu(W1 mean(x)))`.

    Args:
        channels: `C` of maps `[B, C, H, W]`, or of rows of steps `[B, C, L]`.
        reduction: `C` over the units between, of which there are at least four.
        last: Whether channels lie along the last axis, `[B, ..., C]`.
    """

    def __init__(self, channels: int, reduction: int, *, last: bool = False) -> None:
        super().__init__()
        self.last = last
        units = max(4, channels // reduction)
        self.first, self.second = nn.Linear(channels, units), nn.Linear(units, channels)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scales."""
        places = tuple(range(1, x.dim() - 1) if self.last else range(2, x.dim()))
        gates = 2 * torch.sigmoid(self.second(F.relu(self.first(x.mean(places)))))
        for place in places:
            gates = gates.unsqueeze(place)
        return x * gates


class Skip(Around):
    """Adds what a part gets to what it returns: `f(x) + g x`.

    Args:
        inner: `f`, which keeps the shape; of several tensors that it returns, the first is meant.
        gated: Whether `g` is learned, from 0 on, so that the function that was learned stays; else it
            is 1.
    """

    def __init__(self, inner: nn.Module, *, gated: bool) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(())) if gated else None
        self.inner = inner

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Adds."""
        returned = self.inner(x.clone(), *args, **kwargs)  # it may change its argument
        added = x if self.gate is None else self.gate * x
        return changed(returned, lambda y: y + added)


class Parametric(nn.Module):
    """An activation that each unit learns how much of to use: `x + a (f(x) - x)`, `a` from 1 on.

    Args:
        function: `f`.
        shape: Of `a`, against inputs without the batch axis; `(1,)` for one for all units.
    """

    SPEED = 0.1

    def __init__(self, function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.change = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Activates."""
        return x + (1.0 + self.SPEED * self.change) * (self.function(x) - x)


class OwnActivation(nn.Module):
    """An activation that a user wrote and PyTorch has not.

    Args:
        inner: It.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Activates."""
        y: Tensor = self.inner(x)
        return y


class ByMode(nn.Module):
    """What is another function when it trains.

    Args:
        trained: Without weights; it is not known as a submodule.
        evaluated: Alike.
    """

    def __init__(self, trained: nn.Module, evaluated: nn.Module) -> None:
        super().__init__()
        self.each = trained, evaluated

    def forward(self, x: Tensor) -> Tensor:
        """Does what the mode says."""
        trained, evaluated = self.each
        y: Tensor = (trained if self.training else evaluated)(x)
        return y


class LayerScale(Around):
    """Scales what each channel of a residual block adds: `x + s (f(x) - x)`.

    Args:
        inner: `f`, with its own addition: maps `[B, ...]` to `[B, ...]`; of several tensors that it
            returns, the first is meant.
        shape: Of `s`, against what it scales.
        start: Of `s`.
    """

    def __init__(self, inner: nn.Module, shape: tuple[int, ...], start: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full(shape, start))
        self.inner = inner

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Scales."""
        returned = self.inner(x.clone(), *args, **kwargs)  # it may change its argument
        return changed(returned, lambda y: x + self.scale * (y - x))


class Chain(nn.Module):
    """Parts one after the other; what the first gets beside its input all get.

    Args:
        parts: Each maps `[B, ...]` to `[B, ...]`, the first of the tensors that it returns.
    """

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Runs them; of none returns what it gets."""
        returned: Any = x
        for part in self.parts:
            returned = part(first_of(returned), *args, **kwargs)
        return returned


class Scaled(nn.Module):
    """A linear layer whose step by an optimizer moves what it says by as much, whatever it takes.

    `W x sqrt(128 / C) + b`: with 128 inputs a layer like any, so that rates are those of other layers.

    Args:
        inputs: `C` of rows `[B, C]`.
        outputs: `D` of `[B, D]`.
    """

    USUAL, POINTS = 128, 5

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.factor = math.sqrt(self.USUAL / inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps."""
        return F.linear(x, self.weight) * self.factor + self.bias

    @torch.no_grad()
    def start(self, x: Tensor, *, last: bool) -> None:
        """Scales weights so that what each unit says of rows `[B, C]` has a deviation of 1.

        Args:
            x: A sample.
            last: Whether biases stay 0; else a unit is 0 at a random mean of a few of the rows.
        """
        deviation = (F.linear(x, self.weight) * self.factor).std(0, correction=0)
        deviation = torch.where(deviation > 0, deviation, 1.0)
        self.weight.div_(deviation.unsqueeze(1))
        if last:
            return
        said = F.linear(x, self.weight) * self.factor
        chosen = torch.randint(len(x), (self.POINTS, len(self.weight)))
        shares = torch.rand(self.POINTS, len(self.weight)).log().neg()  # uniform on the simplex
        self.bias.copy_(-(said.gather(0, chosen) * shares / shares.sum(0)).sum(0))
