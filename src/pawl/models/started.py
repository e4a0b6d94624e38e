"""Builds models that start from weights that were learned before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from pawl import rng
from pawl.models.build import Adapter, Builder
from pawl.models.order import HEADS, resized
from pawl.models.surgery import assign
from pawl.models.surgery import replace as replaced

_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(frozen=True)
class Started:
    """Builds what another builder does, the same at each seed but for what is new; see `Builder`.

    Attributes:
        inner: Builds an adapted module.
        order: Names of its layers in the order in which they run.
        head: Of these, the one that is made anew for so many `outputs`; `None` for none.
        outputs: See `head`.
        entry: The convolution whose kernels are made for so many `channels`; `None` for none.
        channels: See `entry`.
        tensors: Weights and buffers by name; those that the module came with where there are none.
    """

    inner: Builder
    order: tuple[str, ...] = ()
    head: str | None = None
    outputs: int = 0
    entry: str | None = None
    channels: int = 0
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def __call__(self, seed: int) -> nn.Module:
        """Returns a fresh module."""
        body = self.inner(seed)
        assert isinstance(body, Adapter)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.derive_seed("start", seed))
            replaced(body, self._fresh)
        assign(body, self.tensors)
        body.order = self.order
        return body

    @property
    def unlearned(self) -> Started:
        """What builds the same from the weights that the module has by itself."""
        return replace(self, tensors={})

    def _fresh(self, name: str, layer: nn.Module) -> nn.Module | None:
        if name == self.head and isinstance(layer, HEADS):
            return resized(layer, self.outputs)
        if name == self.entry and isinstance(layer, _CONVOLUTIONS):
            return widened(layer, self.channels)
        return None


def for_channels(kernels: Tensor, channels: int) -> Tensor:
    """Returns kernels `[O, C, ...]` for so many input channels, `[O, channels, ...]`.

    For one channel they are summed, as if each got the same; else repeated, and scaled so that equal
    channels give what they gave before.

    Example:
        >>> for_channels(torch.ones(1, 3, 1), 1), for_channels(torch.ones(1, 3, 1), 4)[0, :, 0]
        (tensor([[[3.]]]), tensor([0.7500, 0.7500, 0.7500, 0.7500]))
    """
    count = kernels.shape[1]
    if channels == 1:
        return kernels.sum(1, keepdim=True)
    places = torch.arange(channels) % count
    return kernels[:, places] * (count / channels)


def widened(layer: _CONVOLUTIONS, channels: int) -> nn.Module:
    """Returns a convolution like this one for so many input channels; see `for_channels`."""
    made = type(layer)(
        channels, layer.out_channels, layer.kernel_size, layer.stride,  # type: ignore[arg-type]
        layer.padding, layer.dilation, 1, layer.bias is not None, layer.padding_mode,  # type: ignore[arg-type]
    )  # fmt: skip
    with torch.no_grad():
        made.weight.copy_(for_channels(layer.weight, channels))
        if layer.bias is not None and made.bias is not None:
            made.bias.copy_(layer.bias)
    return made
