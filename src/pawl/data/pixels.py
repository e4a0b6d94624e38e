"""Decoding: one size and one mode for all images.

Shape legend: `R` rows, `C` channels, `H` height, `W` width.
"""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pawl.data.archives import ImageFile
from pawl.errors import DataError

MAX_SIDE = 128
_GRAY = ("L", "1")
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, struct.error,
    OverflowError,
)  # fmt: skip

Mode = Literal["L", "RGB"]


def choose_format(files: Sequence[ImageFile]) -> tuple[Mode, tuple[int, int], list[str]]:
    """Chooses the mode and the size that all images are to have.

    The mode is `L` if every image is gray or black and white, else `RGB`. The size is the most
    common one, shrunk in proportion if its longer side is above `MAX_SIDE`.

    Returns:
        The mode, `(height, width)`, and notes.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    gray = True
    with _quiet():
        for file in files:
            with _opened(file) as image:
                sizes[image.size] += 1
                gray = gray and image.mode in _GRAY
    # Ties go to the larger image, so that the order of the files does not matter.
    (width, height), count = max(sizes.items(), key=lambda item: (item[1], item[0]))
    notes = []
    if len(sizes) > 1:
        notes.append(
            f"images have {len(sizes)} sizes: {sizes.total() - count} of {sizes.total()} were "
            f"resized to the most common, {width}x{height}"
        )
    longer = max(width, height)
    if longer > MAX_SIDE:
        small = [max(1, round(side * MAX_SIDE / longer)) for side in (width, height)]
        notes.append(f"images were shrunk from {width}x{height} to {small[0]}x{small[1]}")
        width, height = small
    return "L" if gray else "RGB", (height, width), notes


def decode(files: Sequence[ImageFile], mode: Mode, size: tuple[int, int]) -> Tensor:
    """Decodes images to `[R, C, H, W]` uint8, resized (bilinear) and converted where needed.

    Raises:
        DataError: If an image is broken or has too many pixels, naming it.
    """
    height, width = size
    channels = 1 if mode == "L" else 3
    pixels = np.empty((len(files), channels, height, width), dtype=np.uint8)
    with _quiet():
        for row, file in enumerate(files):
            with _opened(file) as opened:
                opened.draft(mode, (width, height))
                image = _converted(opened, mode)
                if image.size != (width, height):
                    image = image.resize((width, height), Image.Resampling.BILINEAR)
                values = np.asarray(image)
                pixels[row] = values if mode == "L" else values.transpose(2, 0, 1)
    return torch.from_numpy(pixels)


def _converted(image: Image.Image, mode: Mode) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # PIL clips deep images to 255; keep their high byte, as for any 16-bit image.
        deep = np.asarray(image, dtype=np.float64)
        scale = 256.0 if deep.max(initial=0) > 255 else 1.0
        image = Image.fromarray(np.clip(deep / scale, 0, 255).astype(np.uint8))
    return image if image.mode == mode else image.convert(mode)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _opened(file: ImageFile) -> Iterator[Image.Image]:
    try:
        with Image.open(file.open()) as image:
            yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(
            f"image {file.name!r} has too many pixels (allowed are {Image.MAX_IMAGE_PIXELS:,}); "
            f"shrink or remove it"
        ) from error
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        if isinstance(error, UnidentifiedImageError):
            reason = "no known image format"
        raise DataError(
            f"image {file.name!r} cannot be read ({reason}); replace or remove it"
        ) from error
