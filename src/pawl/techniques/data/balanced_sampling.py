"""Rows of rare classes, shown more often."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.techniques.data._rows import classes_of, needs_classes
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split


class BalancedSamplingSettings(Settings):
    """Settings of `balanced_sampling`."""

    exponent: float = number(0.5, 0.1, 1.0, "how far: at 1 all classes have as many rows")


def balanced_sampling(split: Split, settings: Any) -> Split:
    """Names the rows of rare classes several times.

    A class of `R_c` rows has `R_c (M / R_c)^exponent` then, `M` being the rows of the most frequent one.
    Each row comes as often as any other of its class, or once more; which do, the seed decides. All rows
    stay, so a pass over them is longer.
    """
    codes, counts = classes_of(split)
    wanted = counts * (int(counts.max()) / counts.double()) ** settings.exponent
    place = _places(rng.uniform(split.key("balanced_sampling"), (len(codes),)), codes)
    # Of the class's rows in random order, the k-th comes as often as k + i * R_c is below the wanted.
    times = torch.ceil((wanted.round()[codes] - place) / counts[codes]).long()
    return dataclasses.replace(split, rows=split.rows.repeat_interleave(times))


def _places(order: Tensor, codes: Tensor) -> Tensor:
    """Returns each row's place among those of its class, from 0 on, `[R]`, by rising `order`."""
    by_order = order.argsort(stable=True)
    by_class = by_order[codes[by_order].argsort(stable=True)]
    counts = codes.bincount()
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(codes)
    place[by_class] = torch.arange(len(codes)) - starts[codes[by_class]]
    return place


TECHNIQUE = DataTechnique(
    name="balanced_sampling",
    summary="Show rows of rare classes more often.",
    reference="Buda, Maki and Mazurowski, A systematic study of the class imbalance problem in "
    "convolutional neural networks, 2018",
    apply=balanced_sampling,
    settings=BalancedSamplingSettings,
    memberwise=frozenset({"exponent"}),
    phase=Phase.REPEATED_ROWS,
    group="balancing",
    draws=True,
    fits=needs_classes,
)
