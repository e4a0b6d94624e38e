"""Bagging: each model learns from rows drawn with replacement."""

from __future__ import annotations

import dataclasses

import torch

from pawl import rng
from pawl.techniques.data._rows import classes_of
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split


def bootstrap(split: Split, settings: Settings) -> Split:
    """Draws as many rows as there are, with replacement, by the member's seed.

    So the mean of models of several seeds is Breiman's bagging. About 63% of the rows are among those of
    a model. Rows of a class are drawn from each other, so that none is lost; those that come in groups
    are drawn one by one all the same.
    """
    targets = split.examples.known_targets
    codes = torch.zeros(len(split.rows), dtype=torch.int64)
    if targets.dim() == 1 and not targets.is_floating_point():
        codes, _ = classes_of(split)
    counts = codes.bincount()
    starts = counts.cumsum(0) - counts
    place = torch.floor(rng.uniform(split.key("bootstrap"), (len(codes),)) * counts[codes]).long()
    place = torch.minimum(place, counts[codes] - 1)
    drawn = codes.argsort(stable=True)[starts[codes] + place]
    return dataclasses.replace(split, rows=split.rows[drawn])


TECHNIQUE = DataTechnique(
    name="bootstrap",
    summary="Let each seed draw its training rows with replacement, so that their mean is bagging.",
    reference="Breiman, Bagging Predictors, 1996",
    apply=bootstrap,
    phase=Phase.ROWS,
    draws=True,
)
