"""Images seen at an angle."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.augmentation._geometry import places, sampled
from pawl.techniques.augmentation._images import needs_images, on_images
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch

_CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class PerspectiveSettings(Settings):
    """Settings of `perspective`."""

    amount: float = number(0.3, 0.05, 0.6, "how far corners move, relative to half of the side")


def perspective(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Moves each image's corners at random, inward or outward; what comes in from outside is zero.

    Each coordinate moves by up to `amount / 2` of half the side. `amount` and `key` are `[N]`.
    """

    def change(x: Tensor) -> Tensor:
        moved = 2.0 * rng.uniform(key, (x.shape[1], 4, 2)) - 1.0
        moved = moved * (settings.amount / 4)[:, None, None, None]
        return through(x, torch.tensor(_CORNERS, device=x.device) + moved)

    return on_images(batch, change)


def through(x: Tensor, corners: Tensor) -> Tensor:
    """Returns images whose corners are read elsewhere, straight lines staying straight.

    With `u` and `v` from 0 to 1 over the image, `(u, v)` is read at
    `((a u + b v + c) / w, (d u + e v + f) / w)`, `w = g u + h v + 1` (Heckbert, Fundamentals of
    Texture Mapping and Image Warping, 1989, section 2.2.3).

    Args:
        x: `[N, B, C, H, W]`.
        corners: Where the corners at (0, 0), (1, 0), (1, 1), (0, 1) are read, `[N, B, 4, 2]`.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (
        corner.unbind(-1) for corner in corners[..., None, None, :, :].unbind(-2)
    )
    ax, ay, bx, by = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    size = ax * by - bx * ay
    g, h = (sx * by - bx * sy) / size, (ax * sy - sx * ay) / size
    across, down = places(x)
    height, width = x.shape[-2:]
    u, v = across / width + 0.5, down / height + 0.5
    w = g * u + h * v + 1.0
    read_u = ((x1 - x0 + g * x1) * u + (x3 - x0 + h * x3) * v + x0) / w
    read_v = ((y1 - y0 + g * y1) * u + (y3 - y0 + h * y3) * v + y0) / w
    return sampled(x, (read_u - 0.5) * width, (read_v - 0.5) * height)


TECHNIQUE = BatchTechnique(
    name="perspective",
    summary="Show images as if seen at random angles.",
    reference="Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3",
    apply=perspective,
    phase=Phase.GEOMETRY,
    settings=PerspectiveSettings,
    memberwise=frozenset({"amount"}),
    fits=needs_images,
)
