"""Images as seen through a map of the plane, with one bilinear kernel for all members and images.

Shape legend: `N` members, `B` images of a batch, `C` channels, `H` and `W` height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def places(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns where pixels of images `[..., H, W]` lie, from the middle: `[1, W]` and `[H, 1]`."""
    height, width = x.shape[-2:]
    across = torch.arange(width, dtype=torch.float32, device=x.device) - (width - 1) / 2
    down = torch.arange(height, dtype=torch.float32, device=x.device) - (height - 1) / 2
    return across.unsqueeze(0), down.unsqueeze(1)


def sampled(x: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Returns images whose pixels are read elsewhere, between pixels linearly; outside is zero.

    Args:
        x: `[N, B, C, H, W]`, floating point.
        across: Where each pixel is read, `[N, B, H, W]`, in pixels to the right of the middle.
        down: The same, below the middle.
    """
    height, width = x.shape[-2:]
    grid = torch.stack([across * (2 / width), down * (2 / height)], dim=-1)
    found = F.grid_sample(x.flatten(0, 1), grid.flatten(0, 1), align_corners=False)
    return found.view_as(x)


def mapped(x: Tensor, matrix: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Returns images under a linear map about their middle.

    Pixel `(across, down)` is read at `(a across + b down, c across + d down)`.

    Args:
        x: `[N, B, C, H, W]`.
        matrix: `a, b, c, d`, each `[N, B]`.
    """
    across, down = places(x)
    a, b, c, d = (entry[:, :, None, None] for entry in matrix)
    return sampled(x, a * across + b * down, c * across + d * down)
