"""Draws docs/schedules.svg and docs/augmentations.png from the techniques' own functions.

python scripts/draw.py
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image
from torch import Tensor

from pawl.report.svg import standalone
from pawl.techniques import Batch, BatchTechnique, ScheduleTechnique, Targets, techniques

DOCS = Path(__file__).resolve().parent.parent / "docs"
STEPS = 240
EVALUATIONS = 24
COLUMNS, WIDE, HIGH, GAP = 4, 170, 64, 44
SIDE, DRAWS = 80, 5
LABEL = 150


def curve(schedule: ScheduleTechnique) -> Tensor:
    """Returns the multipliers of a training at the default settings, `[STEPS]`.

    One that watches scores is shown some that rise for a third of the training and then stay.
    """
    settings = schedule.settings()
    values = {k: torch.full((1,), float(v)) for k, v in settings.model_dump().items()}
    steps = torch.arange(float(STEPS)).unsqueeze(1)
    rates = schedule.apply(steps, torch.full((1,), float(STEPS)), SimpleNamespace(**values))[:, 0]
    if schedule.watched is not None:
        scores = [float(min(i, EVALUATIONS // 3)) for i in range(EVALUATIONS)]
        each = STEPS // EVALUATIONS
        paces = [schedule.watched(scores[:i], settings) for i in range(EVALUATIONS)]
        rates = rates * torch.tensor(paces).repeat_interleave(each)
    return rates


def schedules() -> str:
    """Returns a small chart for each schedule, as the text of an SVG file."""
    known = [t for t in techniques() if isinstance(t, ScheduleTechnique)]
    rows = -(-len(known) // COLUMNS)
    width, height = COLUMNS * (WIDE + GAP), rows * (HIGH + GAP)
    parts = []
    for place, schedule in enumerate(known):
        row, column = divmod(place, COLUMNS)
        left, top = column * (WIDE + GAP) + 8, row * (HIGH + GAP) + 26
        rates = curve(schedule)
        highest = max(1.0, float(rates.max()))
        points = " ".join(
            f"{left + WIDE * i / (STEPS - 1):.1f},{top + HIGH * (1 - float(rate) / highest):.1f}"
            for i, rate in enumerate(rates)
            if i % 2 == 0 or i == STEPS - 1
        )
        parts.append(
            f'<text x="{left}" y="{top - 8}" font-size="12" fill="var(--ink)">{schedule.name}</text>'
            f'<path d="M{left},{top + HIGH}H{left + WIDE}" stroke="var(--line)" fill="none"/>'
            f'<polyline points="{points}" fill="none" stroke="var(--accent)" stroke-width="1.8"/>'
        )
    label = "Learning rates over a training, relative to the optimizer's, by schedule"
    inside = "".join(parts)
    return standalone(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{inside}</svg>'
    )


def augmentations() -> Image.Image:
    """Returns a row for each augmentation of images: the image, and several draws."""
    photo = Image.fromarray(load_sample_image("flower.jpg")).crop((150, 0, 577, 427))
    small = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    other = np.asarray(
        Image.fromarray(load_sample_image("china.jpg"))
        .crop((120, 0, 547, 427))
        .resize((SIDE, SIDE))
    )
    pixels = torch.from_numpy(np.stack([small, other] * DRAWS)).permute(0, 3, 1, 2)[None].float()
    shown = [t for t in techniques() if isinstance(t, BatchTechnique) and of_images(t)]
    sheet = Image.new("RGB", (LABEL + (DRAWS + 1) * (SIDE + 4), len(shown) * (SIDE + 4)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, found in enumerate(shown):
        top = row * (SIDE + 4)
        draw.text((4, top + SIDE // 2 - 6), found.name, fill="black")
        for column, image in enumerate([pixels[0, 0], *changed(found, pixels)]):
            whole = image.clamp(0, 255).byte().permute(1, 2, 0).numpy()
            sheet.paste(Image.fromarray(whole), (LABEL + column * (SIDE + 4), top))
    return sheet.quantize(200)


def changed(found: BatchTechnique, pixels: Tensor) -> Tensor:
    """Returns draws of every other image at twice the default settings, by the first key that shows it.

    Args:
        found: The augmentation.
        pixels: `[1, B, C, H, W]`, from 0 to 255.
    """
    fields = found.settings.model_fields
    values: dict[str, Any] = {}
    for name, value in found.settings().model_dump().items():
        if name not in found.memberwise:
            values[name] = value
            continue
        most = next(each.le for each in fields[name].metadata if hasattr(each, "le"))
        values[name] = torch.full((1,), float(min(2 * value, most)))
    batch = Batch({"x": pixels}, Targets(torch.zeros(pixels.shape[:2], dtype=torch.int64)))
    after = pixels
    for seed in range(20):
        key = torch.tensor([seed + 3], dtype=torch.int32)
        after = found.apply(batch, SimpleNamespace(**values), key).inputs["x"]
        if int(((after - pixels).abs().mean((2, 3, 4)) > 1.0).sum()) >= pixels.shape[1] // 2:
            break
    return after[0, ::2]


def of_images(found: BatchTechnique) -> bool:
    """Tells whether a technique changes images, not their size, and nothing else."""
    if found.alone or found.name in ("masking", "mixup", "noise", "swap_noise"):  # of any numbers
        return False
    pixels = torch.rand(1, 16, 3, 8, 8) * 255
    return not torch.equal(changed(found, pixels), pixels[0, ::2])


if __name__ == "__main__":
    (DOCS / "schedules.svg").write_text(schedules(), encoding="utf-8")
    augmentations().save(DOCS / "augmentations.png", optimize=True)
