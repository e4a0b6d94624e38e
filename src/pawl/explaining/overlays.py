"""Images with maps over them, as PNG in the page itself."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 144
_FOR, _AGAINST = (214, 92, 20), (42, 98, 190)
_STRONGEST, _PALE = 0.85, 110


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An image of the page: its data URI, what it shows, and what stands under it."""

    source: str
    alt: str
    caption: str


def plain(pixels: NDArray[np.uint8]) -> str:
    """Returns an image `[C, H, W]` as a data URI."""
    return _encoded(_enlarged(pixels))


def overlaid(pixels: NDArray[np.uint8], map_: NDArray[np.float64]) -> str:
    """Returns an image in gray with a map over it: orange speaks for, blue against the output."""
    gray = _enlarged(pixels).convert("L").convert("RGB")
    strongest = float(np.abs(map_).max())
    share = map_ / strongest if strongest > 0 else map_
    size = gray.size
    strength = _resized(_STRONGEST * np.power(np.abs(share), 0.7), size)
    sign = _resized((share > 0) * 1.0, size)[..., None]
    color = sign * np.array(_FOR) + (1 - sign) * np.array(_AGAINST)
    # Pale, so that colors show on what is dark.
    base = _PALE + (1 - _PALE / 255) * np.asarray(gray)
    mixed = (1 - strength[..., None]) * base + strength[..., None] * color
    return _encoded(Image.fromarray(mixed.clip(0, 255).astype(np.uint8)))


def _enlarged(pixels: NDArray[np.uint8]) -> Image.Image:
    values = pixels[:3].transpose(1, 2, 0) if len(pixels) >= 3 else pixels[0]
    image = Image.fromarray(np.ascontiguousarray(values))
    factor = _SIDE / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.NEAREST)


def _resized(values: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float64]:
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.NEAREST), dtype=np.float64)


def _encoded(image: Image.Image) -> str:
    kept = io.BytesIO()
    image.save(kept, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(kept.getvalue()).decode()}"
