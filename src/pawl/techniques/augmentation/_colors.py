"""What changes of colors share; they get pixels from 0 to 255, before any scaling.

Shape legend: `N` members, `B` images of a batch, `C` channels, `H` and `W` height and width.
"""

from __future__ import annotations

from torch import Tensor

MOST = 255.0
_LUMA = (0.299, 0.587, 0.114)
_COLORS = 3


def each(values: Tensor) -> Tensor:
    """Returns values of images, `[N, B]`, as they multiply pixels: `[N, B, 1, 1, 1]`."""
    return values[:, :, None, None, None]


def gray(x: Tensor) -> Tensor:
    """Returns how bright pixels look (luma of ITU-R BT.601), `[N, B, 1, H, W]`."""
    if x.shape[2] != _COLORS:
        return x.mean(2, keepdim=True)
    red, green, blue = x.unbind(2)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue).unsqueeze(2)


def blended(x: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """Returns `other + factor (x - other)`, as pixels: beyond 0 and 255 it is cut off.

    Args:
        x: `[N, B, C, H, W]`.
        other: What a factor of 0 gives.
        factor: Of each image, `[N, B]`; 1 leaves it as it is.
    """
    return (other + each(factor) * (x - other)).clamp(0.0, MOST)
