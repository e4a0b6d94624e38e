"""Images per second: a population's batch at once, beside the same operators on one image at a time.

    python benchmarks/augment.py --out benchmarks/results/augment.json

Operators are those of the techniques, alone and as a chain. Beside them: the same done to one image
after the other by Pillow (as a loader's workers do it; what Pillow has no operator for is left out),
and by the very functions of the techniques, called with one image. All take turns; of the rounds the
median counts, with the least and the most. Last: what the chain costs a training step of the network
for small images.

Seconds are those of a core's work (the process's time, with one thread), so that neighbors on the
machine count for little; `--threads 2` times by the clock on the wall, with as many threads.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from pawl.data import load
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import Batch, BatchTechnique, Targets, technique
from pawl.training.fused import FusedStepper
from pawl.training.population import Member, Population, Stepper
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper

MEMBERS, ROWS, SIDE = 8, 64, 32
SECONDS = 0.2
CHAIN = ("brightness", "contrast", "flip", "random_crop", "rotation", "random_erasing")
Generator = np.random.Generator
now = time.process_time


def _flip(image: Image.Image, draw: Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else image


def _crop(image: Image.Image, draw: Generator) -> Image.Image:
    left, top = draw.integers(-4, 5, 2)
    return image.transform(image.size, Image.Transform.AFFINE, (1, 0, left, 0, 1, top))


def _rotate(image: Image.Image, draw: Generator) -> Image.Image:
    return image.rotate(draw.uniform(-15, 15), Image.Resampling.BILINEAR)


def _shear(image: Image.Image, draw: Generator) -> Image.Image:
    by = draw.uniform(-0.2, 0.2)
    matrix = (1, by, -by * SIDE / 2, 0, 1, 0)
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _brightness(image: Image.Image, draw: Generator) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(draw.uniform(0.7, 1.3))


def _contrast(image: Image.Image, draw: Generator) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(draw.uniform(0.7, 1.3))


def _saturation(image: Image.Image, draw: Generator) -> Image.Image:
    return ImageEnhance.Color(image).enhance(draw.uniform(0.7, 1.3))


def _erase(image: Image.Image, draw: Generator) -> Image.Image:
    if draw.random() < 0.5:
        area, stretch = draw.uniform(0.02, 0.2), math.exp(draw.uniform(-0.6, 0.6))
        width, height = (round(SIDE * math.sqrt(area) * s) for s in (1 / stretch, stretch))
        left, top = draw.integers(0, SIDE, 2)
        box = (left - width // 2, top - height // 2, left + width // 2, top + height // 2)
        image = image.copy()
        image.paste((0, 0, 0), tuple(int(x) for x in box))
    return image


PILLOW: dict[str, Callable[[Image.Image, Generator], Image.Image]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "flip": _flip,
    "random_crop": _crop,
    "random_erasing": _erase,
    "rotation": _rotate,
    "saturation": _saturation,
    "shear": _shear,
}
"""Each with the technique's default range."""


def by_pillow(names: tuple[str, ...], pixels: np.ndarray) -> Callable[[], int]:
    """Returns what changes one image after the other, from pixels to a float tensor each."""
    draw = np.random.default_rng(0)
    images = [Image.fromarray(each) for each in pixels]

    def run() -> int:
        for image in images:
            changed = image
            for name in names:
                changed = PILLOW[name](changed, draw)
            torch.from_numpy(np.array(changed)).permute(2, 0, 1).float()
        return len(images)

    return run


def by_functions(names: tuple[str, ...], x: Tensor) -> Callable[[], int]:
    """Returns what changes a population's batch `[N, B, C, H, W]` by the techniques' functions."""
    calls: list[tuple[BatchTechnique, SimpleNamespace]] = []
    for name in names:
        found = technique(name)
        assert isinstance(found, BatchTechnique)
        values = found.settings().model_dump()
        calls.append(
            (found, SimpleNamespace(**{k: torch.full((len(x),), v) for k, v in values.items()}))
        )
    targets = Targets(torch.zeros(x.shape[:2], dtype=torch.int64))
    keys = torch.arange(len(x), dtype=torch.int32)
    step = [0]

    def run() -> int:
        step[0] += 1
        batch = Batch({"x": x}, targets)
        with torch.no_grad():
            for number, (found, settings) in enumerate(calls):
                batch = found.apply(batch, settings, keys + 1000 * step[0] + number)
        return x.shape[0] * x.shape[1]

    return run


def one_by_one(names: tuple[str, ...], x: Tensor) -> Callable[[], int]:
    """Returns what calls the same functions with one image after the other."""
    each = [by_functions(names, image[None, None]) for image in x.flatten(0, 1)[:ROWS]]
    return lambda: sum(run() for run in each)


def in_turns(runs: dict[str, Callable[[], int]], rounds: int) -> dict[str, dict[str, float]]:
    """Returns images per second by name: median, least and most over rounds in which all take turns."""
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            done, started = 0, now()
            while (taken := now() - started) < SECONDS or not done:
                done += run()
            rates[name].append(done / taken)
    return {
        name: {"median": statistics.median(found), "least": min(found), "most": max(found)}
        for name, found in rates.items()
    }


def steps(pixels: np.ndarray, rounds: int) -> dict[str, Any]:
    """Returns milliseconds of a step of a member with and without the chain, by each stepper."""
    targets = np.arange(len(pixels)) % 10
    task = Task(data=(pixels.transpose(0, 3, 1, 2).copy(), targets))
    problem = Problem.of(task, load(task))
    plain = Recipe.of(standardize={}, batch_size={"size": ROWS}, adamw={})
    full = plain
    for name in CHAIN:
        full = full.with_(name)
    train = torch.arange(2 * ROWS)
    found: dict[str, Any] = {}
    for name, stepper, members in (("serial", SerialStepper, 1), ("fused", FusedStepper, MEMBERS)):
        both: dict[str, Population] = {}
        for what, recipe in (("plain", plain), ("augmented", full)):
            chosen: Stepper = stepper()
            each = [Member(recipe, seed, train, train[:0], 1000) for seed in range(members)]
            both[what] = Population(problem, each, chosen)
            both[what].advance(1)
        taken: dict[str, list[float]] = {what: [] for what in both}
        for _ in range(rounds):
            for what, population in both.items():
                started = now()
                population.advance(3)
                taken[what].append(1e3 * (now() - started) / (3 * members))
        ms = {what: statistics.median(times) for what, times in taken.items()}
        found[name] = {"ms": ms, "cost": ms["augmented"] / ms["plain"] - 1.0}
    return found


def main() -> None:
    """Measures, prints a table, and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.threads > 1:
        globals()["now"] = time.perf_counter
    draw = np.random.default_rng(0)
    small = draw.integers(0, 256, (MEMBERS * ROWS, SIDE // 4, SIDE // 4, 3), dtype=np.uint8)
    pixels = small.repeat(4, axis=1).repeat(4, axis=2)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).reshape(MEMBERS, ROWS, 3, SIDE, SIDE)
    x = x.float().contiguous()
    record: dict[str, Any] = {
        "threads": options.threads, "clock": now.__name__, "members": MEMBERS, "rows": ROWS,
        "side": SIDE, "rounds": options.rounds,
        "images_per_second": {},
    }  # fmt: skip
    for names in (CHAIN, *((name,) for name in PILLOW)):
        label = " + ".join(names)
        found = in_turns(
            {
                "population": by_functions(names, x),
                "pillow": by_pillow(names, pixels[:ROWS]),
                "one by one": one_by_one(names, x),
            },
            options.rounds,
        )
        record["images_per_second"][label] = found
        rates = {name: each["median"] for name, each in found.items()}
        times = [f"{rates['population'] / rates[o]:.1f}x" for o in ("pillow", "one by one")]
        print(
            f"{label:<75} {rates['population']:>9,.0f} images/s, {times[0]} Pillow, {times[1]} one by "
            "one", flush=True,
        )  # fmt: skip
    record["step"] = steps(pixels, options.rounds)
    for name, each in record["step"].items():
        ms = each["ms"]
        print(f"{name}: a step {ms['plain']:.2f} ms, {ms['augmented']:.2f} with the chain")
    if options.out:
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
