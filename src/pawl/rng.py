"""Counter-based random numbers: a pure function of a key, so that a trial draws the same numbers
alone, in a population, on any device, and after a resume.

A key is an int32 tensor (one per member). Noise is a hash of key and position; nothing is stored
and nothing advances, which is also what lets it run under `vmap` and `torch.compile`. The mixer is
the 32-bit "lowbias32" finalizer (C. Wellons, "Prospecting for Hash Functions", 2018). It is meant
for dropout and augmentation, not for cryptography.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

_GOLDEN = -1640531527  # 2**32 / golden ratio, as int32
_MULTIPLY_1 = 0x7FEB352D
_MULTIPLY_2 = -2073254261  # 0x846CA68B as int32


def _mix(x: Tensor) -> Tensor:
    # int32 shifts are arithmetic in torch; the masks make them logical.
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * _MULTIPLY_1
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * _MULTIPLY_2
    return x ^ ((x >> 16) & 0xFFFF)


def derive_seed(*parts: int | str) -> int:
    """Returns a seed in `[0, 2**31)` that depends on every part, the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def fold(key: Tensor, data: Tensor | int) -> Tensor:
    """Returns a new key for each pair of `key` and `data` (broadcast, both int32)."""
    return _mix(_mix(key) + data * _GOLDEN)


def uniform(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draws from [0, 1): float32 of shape `key.shape + shape`, in steps of 2**-24."""
    count = math.prod(shape)
    position = torch.arange(count, dtype=torch.int32, device=key.device).view(shape)
    bits = _mix((position * _GOLDEN) ^ key.view(key.shape + (1,) * len(shape)))
    return (bits & 0xFFFFFF).to(torch.float32) * 2.0**-24


def normal(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draws standard normal numbers (Box and Muller): float32 of shape `key.shape + shape`."""
    radius = torch.sqrt(-2.0 * torch.log1p(-uniform(fold(key, 1), shape)))
    return radius * torch.cos(2.0 * math.pi * uniform(fold(key, 2), shape))


def gamma(key: Tensor, concentration: Tensor) -> Tensor:
    """Draws one Gamma(concentration, 1) number per key; both are `[N]`.

    Marsaglia and Tsang (2000), with the first accepted of eight candidates, in place of a loop that
    `vmap` could not take (all eight are rejected with probability below 1e-9), and their boost for
    concentrations below one.
    """
    boosted = concentration + 1.0
    d = (boosted - 1.0 / 3.0).unsqueeze(-1)
    x = normal(fold(key, 3), (8,))
    v = (1.0 + x / torch.sqrt(9.0 * d)).clamp_min(1e-6) ** 3
    u = uniform(fold(key, 4), (8,)).clamp_min(1e-12)
    accepted = torch.log(u) < 0.5 * x**2 + d - d * v + d * torch.log(v)
    first = accepted.to(torch.int32).argmax(-1, keepdim=True)
    drawn = (d * v).gather(-1, first).squeeze(-1)
    return drawn * uniform(fold(key, 5), ()).clamp_min(1e-12) ** (1.0 / concentration)


def beta(key: Tensor, alpha: Tensor) -> Tensor:
    """Draws one symmetric Beta(alpha, alpha) number per key; both are `[N]`."""
    first, second = gamma(fold(key, 6), alpha), gamma(fold(key, 7), alpha)
    total = first + second
    return torch.where(total > 0, first / total.clamp_min(1e-30), 0.5)


def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """Returns the order in which a member sees its `count` training rows in an epoch (int64)."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(count)


def seed_stock(seed: int, device: torch.device) -> None:
    """Seeds PyTorch's own generators, which layers and losses that know no keys draw from.

    Only those a member on `device` can reach: `torch.manual_seed` takes over a millisecond where
    other backends are not there, and keeps a note of each call for when they are.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
