"""How a model's metric falls where cells are missing, and where numbers are noisy.

Shape legend: `R` rows, `K` draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from pawl.data.types import Examples, Inputs
from pawl.data.windows import WINDOW
from pawl.evidence import holdout_score
from pawl.explaining.effort import Effort
from pawl.explaining.judged import Robustness, RobustnessPoint
from pawl.explaining.pictures import image_input
from pawl.explaining.subject import Subject, count_of
from pawl.rng import derive_seed
from pawl.task import Objective

SHARES = (0.05, 0.1, 0.2, 0.4, 0.7)
"""Of cells that are made missing."""
NOISES = (0.1, 0.25, 0.5, 1.0, 2.0)
"""In deviations of a number over rows."""
FEWEST = 20
_ROWS, _IMAGES, _DRAWS = 1000, 300, 4
_TABLE = ("numeric", "categorical")
Spoil = Callable[[Inputs, float, torch.Generator], Inputs]


def robustness(
    subject: Subject, rows: Examples, objective: Objective, *, seed: int, effort: Effort
) -> list[Robustness]:
    """Returns the metric on rows that are spoiled more and more.

    Cells become missing at random, one without the other; numbers get normal noise in their deviation
    over rows. Intervals are of 95%, over rows as independent draws: of the metric, and of what it loses
    against the rows as they are, in which what both have in common falls out. A row's part is its mean
    over draws, so that noise, which every row gets for itself, is in the interval.

    Args:
        subject: What is explained.
        rows: With targets; of many, some.
        objective: The metric.
        seed: Of rows and noise.
        effort: Fewer draws where it ends before.

    Raises:
        ValueError: The metric is not a number.
    """
    most = _IMAGES if image_input(subject) is not None else _ROWS
    generator = np.random.default_rng(derive_seed(seed, "rows to spoil"))
    chosen = np.sort(generator.permutation(len(rows))[:most])
    used = rows.take(torch.from_numpy(chosen))
    found = []
    plans: list[tuple[Literal["missing", "noise"], Sequence[float], Spoil | None]] = [
        ("missing", SHARES, _gaps(subject, used.inputs)),
        ("noise", NOISES, _noise(subject, used.inputs)),
    ]
    for what, levels, spoil in plans:
        if spoil is not None:
            found.append(_curve(subject, used, objective, what, levels, spoil, seed, effort))
    return found


def _curve(
    subject: Subject,
    used: Examples,
    objective: Objective,
    what: Literal["missing", "noise"],
    levels: Sequence[float],
    spoil: Spoil,
    seed: int,
    effort: Effort,
) -> Robustness:
    every, targets = torch.arange(len(used)), used.known_targets

    def scored(inputs: Inputs) -> tuple[float, NDArray[np.float64]]:
        raw = torch.from_numpy(subject.predict(Examples(inputs, None)))
        found = holdout_score(objective, raw, targets, every)
        if found is None:
            raise ValueError(f"{objective.metric} is not a number on these rows")
        return found.value, found.influence.numpy()

    whole, parts = scored(used.inputs)
    points = [_point(0.0, whole, parts, 0.0, np.zeros_like(parts))]
    draws = 0
    for level in levels:
        each: list[tuple[float, NDArray[np.float64]]] = []
        for draw in range(_DRAWS):
            if effort.over and each:
                break
            own = torch.Generator().manual_seed(derive_seed(seed, what, f"{level:g}", draw))
            each.append(scored(spoil(used.inputs, level, own)))
        draws = max(draws, len(each))
        value, influence = float(np.mean([v for v, _ in each])), np.mean([i for _, i in each], 0)
        lost = objective.sign * (whole - value)
        points.append(_point(level, value, influence, lost, objective.sign * (parts - influence)))
    return Robustness(
        what=what,
        unit="share of cells" if what == "missing" else "deviations",
        cells=_cells(subject, what),
        metric=objective.metric,
        direction=objective.direction,
        rows=len(used),
        draws=draws,
        points=points,
    )


def _point(
    level: float,
    value: float,
    influence: NDArray[np.float64],
    lost: float,
    lost_parts: NDArray[np.float64],
) -> RobustnessPoint:
    times = float(special.stdtrit(max(1, len(influence) - 1), 0.975))
    halves = [times * float(np.sqrt((each**2).sum())) for each in (influence, lost_parts)]
    return RobustnessPoint(
        level=level,
        value=value,
        interval=(value - halves[0], value + halves[0]),
        lost=lost,
        lost_interval=(lost - halves[1], lost + halves[1]),
    )


def _cells(subject: Subject, what: str) -> str:
    if image_input(subject) is not None:
        return (
            "pixels that become those of the mean image"
            if what == "missing"
            else "pixels of images"
        )
    if what == "noise":
        return "numbers"
    names = {spec.name: spec for spec in subject.schema.inputs}
    kinds = ["numbers"] * ("numeric" in names) + ["categories"] * ("categorical" in names)
    kinds += ["words' tokens"] * any(spec.tokens for spec in names.values())
    kinds += ["numbers of arrays"] * (not kinds)
    return " and ".join(kinds)


def _gaps(subject: Subject, inputs: Inputs) -> Spoil | None:
    """Returns what makes cells missing; `None` where nothing of a row can be."""
    image, specs = image_input(subject), subject.schema.inputs
    columns: dict[str, list[tuple[int, ...]]] = {}
    for feature in subject.features:
        if feature.input in _TABLE and feature.at:
            columns.setdefault(feature.input, []).append(feature.at)
    arrays = [s.name for s in specs if s.missing and s.name not in columns]
    tokens = [s.name for s in specs if s.tokens]
    if image is None and not (columns or arrays or tokens):
        return None
    mean = None if image is None else inputs[image].float().mean(0)

    def spoil(given: Inputs, share: float, own: torch.Generator) -> Inputs:
        found = {name: tensor.clone() for name, tensor in given.items()}
        count = count_of(given)
        if image is not None and mean is not None:
            pixels = given[image]
            gone = torch.rand((count, 1, *pixels.shape[2:]), generator=own) < share
            found[image] = torch.where(gone, mean.to(pixels.dtype), pixels)
            return found
        for name, places in columns.items():
            empty = 0 if name == "categorical" else torch.nan
            gone = torch.rand((count, len(places)), generator=own) < share
            for number, at in enumerate(places):  # all that is made of a column goes with it
                for place in at:
                    found[name][gone[:, number], place] = empty
        for name in arrays:
            gone = torch.rand(found[name].shape, generator=own) < share
            found[name][gone] = torch.nan
        for name in tokens:
            found[name][torch.rand(found[name].shape, generator=own) < share] = 0
        return found

    return spoil


def _noise(subject: Subject, inputs: Inputs) -> Spoil | None:
    """Returns what adds noise to numbers; `None` where there are none."""
    image = image_input(subject)
    numbers: dict[str, list[int] | None] = {}
    for spec in subject.schema.inputs:
        if spec.is_mask or spec.name == WINDOW:
            continue
        if spec.dtype != "float32" and spec.name != image:
            continue
        if spec.name == "numeric" and subject.schema.columns:
            own = [f for f in subject.features if f.input == "numeric" and f.kind == "numeric"]
            numbers[spec.name] = [place for feature in own for place in feature.at]
        else:
            numbers[spec.name] = None
    numbers = {name: places for name, places in numbers.items() if places is None or places}
    if not numbers:
        return None
    scales = {name: _deviation(inputs[name], whole=name == image) for name in numbers}

    def spoil(given: Inputs, level: float, own: torch.Generator) -> Inputs:
        found = dict(given)
        for name, places in numbers.items():
            old = given[name].float()
            noisy = old + level * scales[name] * torch.randn(old.shape, generator=own)
            if given[name].dtype == torch.uint8:
                noisy = noisy.round().clamp(0, 255)
            if places is not None:
                kept = old.clone()
                kept[:, places] = noisy[:, places]
                noisy = kept
            found[name] = noisy.to(given[name].dtype)
        return found

    return spoil


def _deviation(values: Tensor, *, whole: bool) -> Tensor:
    """Returns each number's deviation over rows, gaps left out; of images that of all pixels."""
    x = values.double()
    x = torch.where(x.isfinite(), x, torch.nan)
    if whole:
        return x.std().float()
    mean = torch.nanmean(x, 0)
    return torch.nan_to_num(torch.nanmean((x - mean) ** 2, 0).sqrt()).float()
