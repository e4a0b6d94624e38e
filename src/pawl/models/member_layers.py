"""Layers of which something differs between the members of a population, and weights that do not.

Shape legend: `N` members, `B` rows of a batch.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pawl import rng
from pawl.models.layers import Around, changed

_FROZEN = "_frozen_by_pawl"


class MemberLayer(nn.Module):
    """Base of layers that know that they may train inside a population.

    What differs between members is a buffer, which has the member axis in front inside a population:
    rates, masks, gates.

    Attributes:
        settings: Names of buffers that follow from a member's recipe. A member whose weights are
            overwritten by another's keeps its own.
        draws: Whether it draws random numbers. It then has a buffer `key`, an int32 number that the
            training loop writes before each step, and draws by it alone (`pawl.rng`): so a member
            draws the same whether it trains alone or with others.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    draws: ClassVar[bool] = False


class KeyedDropout(MemberLayer):
    """Dropout whose mask is a pure function of a key, and whose rate is a buffer.

    Computes `x * m / (1 - rate)` with `m` 0 at the given rate and else 1.
    Reference: Srivastava et al., "Dropout", JMLR 2014.

    Args:
        rate: Share of units that is set to zero in training, in `[0, 1)`.
        channels: Drop whole channels (axis 1), as in `nn.Dropout2d`.

    Attributes:
        p: The rate that it was made with; networks read it of `nn.Dropout`, to pass it on.
        inplace: Alike.
    """

    inplace = False

    settings = ("rate",)
    draws = True

    rate: Tensor
    key: Tensor

    def __init__(self, rate: float, *, channels: bool = False) -> None:
        super().__init__()
        self.p, self.channels = float(rate), channels
        self.register_buffer("rate", torch.tensor(float(rate)))
        self.register_buffer("key", torch.zeros((), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """Drops in training, `[B, ...]` to `[B, ...]`."""
        if not self.training:
            return x
        shape = tuple(x.shape[:2]) + (1,) * (x.dim() - 2) if self.channels else tuple(x.shape)
        keep = rng.uniform(self.key, shape) >= self.rate
        return torch.where(keep, x / (1.0 - self.rate), torch.zeros_like(x))

    def extra_repr(self) -> str:
        """Shows the rate."""
        return f"rate={float(self.rate):g}" if self.rate.dim() == 0 else "rate=[N]"


class StochasticDepth(MemberLayer, Around):
    """Leaves a residual block out for some rows in training.

    `x + k (f(x) - x)` with `k` 0 at the given rate and else 1; in evaluation `k` is its mean. What was
    learned before keeps its function: there `k` is 0 or `1 / (1 - rate)`, and 1 in evaluation.
    Reference: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016.

    Args:
        inner: `f`, with its own addition: maps `[B, ...]` to `[B, ...]`; of several tensors that it
            returns, the first is meant.
        share: Of the rate that the recipe names.
        scaled: Whether what is kept is scaled.
    """

    settings = ("rate",)
    draws = True

    rate: Tensor
    key: Tensor

    def __init__(self, inner: nn.Module, share: float, *, scaled: bool) -> None:
        super().__init__()
        self.share, self.scaled = share, scaled
        self.register_buffer("rate", torch.tensor(0.0))
        self.register_buffer("key", torch.zeros((), dtype=torch.int32))
        self.inner = inner

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Leaves out in training."""
        returned = self.inner(x.clone(), *args, **kwargs)  # it may change its argument
        return changed(returned, lambda y: self._left(x, y))

    def _left(self, x: Tensor, y: Tensor) -> Tensor:
        kept = 1.0 - self.rate
        if not self.training:
            return y if self.scaled else x + kept * (y - x)
        shape = (x.shape[0],) + (1,) * (x.dim() - 1)
        keep = rng.uniform(self.key, shape) >= self.rate
        return torch.where(keep, x + (y - x) / kept if self.scaled else y, x)


class KeyedDropConnect(MemberLayer, nn.Linear):
    """A linear layer that leaves out weights in training, by a key and at a rate like `KeyedDropout`.

    Computes `(w * m / (1 - rate)) x + b` with one `m` for all rows, 0 at the given rate and else 1.
    Reference: Wan et al., "Regularization of Neural Networks using DropConnect", ICML 2013.
    """

    settings = ("rate",)
    draws = True

    rate: Tensor
    key: Tensor

    @classmethod
    def of(cls, layer: nn.Module, rate: float) -> KeyedDropConnect:
        """Returns one with a linear layer's weights."""
        assert isinstance(layer, nn.Linear)
        new = cls(layer.in_features, layer.out_features, bias=layer.bias is not None)
        new.weight, new.bias = layer.weight, layer.bias
        new.register_buffer("rate", torch.tensor(float(rate)))
        new.register_buffer("key", torch.zeros((), dtype=torch.int32))
        return new

    def forward(self, x: Tensor) -> Tensor:
        """Computes the layer, `[B, ..., F]` to `[B, ..., O]`."""
        if not self.training:
            return super().forward(x)
        keep = rng.uniform(self.key, tuple(self.weight.shape)) >= self.rate
        return F.linear(x, torch.where(keep, self.weight / (1.0 - self.rate), 0.0), self.bias)

    def extra_repr(self) -> str:
        """Shows sizes and the rate."""
        rate = f"{float(self.rate):g}" if self.rate.dim() == 0 else "[N]"
        return f"{super().extra_repr()}, rate={rate}"


class KeyedAttention(MemberLayer, nn.MultiheadAttention):
    """PyTorch's attention, whose weights are dropped by a key and at a rate like `KeyedDropout`.

    PyTorch's own draws from one stream for all that is computed at once, so that a member would draw
    otherwise in a population than alone. What attends to what is computed by PyTorch's.
    """

    settings = ("rate",)
    draws = True

    rate: Tensor
    key: Tensor

    @classmethod
    def of(cls, layer: nn.MultiheadAttention) -> KeyedAttention:
        """Returns one with an attention layer's weights and its rate."""
        new = cls(
            layer.embed_dim, layer.num_heads, bias=layer.in_proj_bias is not None,
            add_bias_kv=layer.bias_k is not None, add_zero_attn=layer.add_zero_attn,
            kdim=layer.kdim, vdim=layer.vdim, batch_first=layer.batch_first,
        )  # fmt: skip
        for name, weight in layer.named_parameters(recurse=False):
            new.register_parameter(name, weight)
        new.out_proj = layer.out_proj
        new.register_buffer("rate", torch.tensor(float(layer.dropout)))
        new.register_buffer("key", torch.zeros((), dtype=torch.int32))
        return new.train(layer.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attends; see `nn.MultiheadAttention`."""
        if not self.training:
            return super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights,
                is_causal,
            )  # fmt: skip
        _, weights = super().forward(
            query, key, value, key_padding_mask, True, attn_mask, False, is_causal
        )
        assert weights is not None
        keep = rng.uniform(self.key, tuple(weights.shape)) >= self.rate
        weights = torch.where(keep, weights / (1.0 - self.rate), 0.0)  # [B, H, L, S]
        seen = (weights @ self._values(value)).transpose(-2, -3).flatten(-2)  # [B, L, E]
        out = F.linear(seen, self.out_proj.weight, self.out_proj.bias)
        if not self.batch_first and query.dim() > 2:
            out = out.transpose(0, 1)
        if not need_weights:
            return out, None
        return out, weights.mean(-3) if average_attn_weights else weights

    def _values(self, value: Tensor) -> Tensor:
        """Returns what is attended to, `[B, H, S, E / H]`, of `[B, S, V]`; rows may be missing."""
        whole, biases = self.in_proj_weight, self.in_proj_bias  # of queries, keys and values
        own = self.v_proj_weight if whole is None else whole[-self.embed_dim :]
        bias = None if biases is None else biases[-self.embed_dim :]
        if not self.batch_first and value.dim() > 2:
            value = value.transpose(0, 1)
        projected = F.linear(value, own, bias)
        more = projected[..., :1, :]
        if self.bias_v is not None:
            projected = torch.cat([projected, self.bias_v.flatten().expand_as(more)], dim=-2)
        if self.add_zero_attn:
            projected = torch.cat([projected, torch.zeros_like(more)], dim=-2)
        heads = projected.view(*projected.shape[:-1], self.num_heads, self.head_dim)
        return heads.transpose(-2, -3)


def member_layers(module: nn.Module) -> list[tuple[str, MemberLayer]]:
    """Returns the member layers of a module with their names, in a fixed order."""
    return [(name, m) for name, m in module.named_modules() if isinstance(m, MemberLayer)]


def freeze(module: nn.Module) -> nn.Module:
    """Makes buffers of parameters that are not to be trained, so that nothing updates them."""
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(owner, name)
                owner.register_buffer(name, parameter.detach())
                setattr(owner, _FROZEN, (*getattr(owner, _FROZEN, ()), name))
    return module


def frozen(module: nn.Module) -> dict[str, Tensor]:
    """Returns the weights that `freeze` made buffers, by name."""
    return {
        f"{name}.{own}" if name else own: getattr(owner, own)
        for name, owner in module.named_modules()
        for own in getattr(owner, _FROZEN, ())
    }
