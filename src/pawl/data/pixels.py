"""Decoding: one size and one mode for all images.

Shape legend: `R` rows, `C` channels, `H` height, `W` width.
"""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pawl.data.archives import ImageFile
from pawl.errors import DataError

MAX_SIDE = 128
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What images may be, whatever their name; other formats of PIL's start programs, or are drawings."""

_GRAY = ("L", "1")
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, struct.error,
    OverflowError,
)  # fmt: skip

Mode = Literal["L", "RGB"]


@dataclass(frozen=True)
class Look:
    """What an image's head says.

    Attributes:
        size: `(width, height)`.
        gray: Whether it is gray, or black and white.
    """

    size: tuple[int, int]
    gray: bool


def look(file: ImageFile) -> Look:
    """Reads an image's head.

    Raises:
        DataError: If the image is broken or has too many pixels, naming it.
    """
    with _opened(file) as image:
        return Look(image.size, image.mode in _GRAY)


def choose_format(looks: Sequence[Look]) -> tuple[Mode, tuple[int, int], list[str]]:
    """Chooses the mode and the size that all images are to have.

    The mode is `L` if every image is gray or black and white, else `RGB`. The size is the most
    common one, shrunk in proportion if its longer side is above `MAX_SIDE`.

    Returns:
        The mode, `(height, width)`, and notes.
    """
    sizes = Counter(each.size for each in looks)
    gray = all(each.gray for each in looks)
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


def decode(file: ImageFile, mode: Mode, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decodes an image to `[C, H, W]`, resized (bilinear) and converted where needed.

    Raises:
        DataError: If the image is broken or has too many pixels, naming it.
    """
    height, width = size
    with _opened(file) as opened:
        opened.draft(mode, (width, height))
        image = _converted(opened, mode)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        values = np.asarray(image)
        return values[None] if mode == "L" else values.transpose(2, 0, 1)


def _converted(image: Image.Image, mode: Mode) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # PIL clips deep images to 255; keep their high byte, as for any 16-bit image.
        deep = np.asarray(image, dtype=np.float64)
        scale = 256.0 if deep.max(initial=0) > 255 else 1.0
        image = Image.fromarray(np.clip(deep / scale, 0, 255).astype(np.uint8))
    return image if image.mode == mode else image.convert(mode)


@contextmanager
def _opened(file: ImageFile) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file.open(), formats=FORMATS) as image:
                yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(
            f"image {file.name!r} has too many pixels (allowed are {Image.MAX_IMAGE_PIXELS:,}); "
            f"shrink or remove it"
        ) from error
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(FORMATS)}"
        raise DataError(
            f"image {file.name!r} cannot be read ({reason}); replace or remove it"
        ) from error
