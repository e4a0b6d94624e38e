from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """The path of a shared data set, or a skipped test."""

    def path(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"the shared data set {SHARED / name} is not there")
        return SHARED / name

    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes text to a file in a temporary folder."""

    def to_file(text: str, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


@pytest.fixture
def frame() -> pd.DataFrame:
    """Sixty rows with two useful columns and a binary target called `label`."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(size=60).round(3),
            "color": rng.choice(["red", "green", "blue"], 60),
            "label": ["no", "yes"] * 30,
        }
    )


def save_image(path: Path, *, size: tuple[int, int] = (6, 4), mode: str = "RGB", shade: int = 9):
    path.parent.mkdir(parents=True, exist_ok=True)
    color = shade if mode in ("L", "1", "P", "I;16") else (shade,) * len(mode)
    Image.new(mode, size, color).save(path)


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder of images by class: `{"cat": 12}` gives `cat/000.png` to `cat/011.png`."""

    def folder(counts: dict[str, int], *, root: str = "pictures", **style) -> Path:
        for place, (name, count) in enumerate(counts.items()):
            for number in range(count):
                shade = 20 * place + number
                save_image(tmp_path / root / name / f"{number:03}.png", shade=shade, **style)
        return tmp_path / root

    return folder
