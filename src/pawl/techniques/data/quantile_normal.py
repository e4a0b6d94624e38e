"""Every feature with a normal distribution."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtri

from pawl.models import Curves
from pawl.techniques.data._columns import columns
from pawl.techniques.data.robust_scale import needs_vectors
from pawl.techniques.record import Settings
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split

Numbers = NDArray[np.float64]


class QuantileNormalSettings(Settings):
    """Settings of `quantile_normal`."""

    knots: Literal[16, 64, 256] = Field(64, description="ends of straight pieces, per number")


def quantile_normal(split: Split, settings: Any) -> Split:
    """Maps each number to the normal quantile of its rank among the training rows.

    `z = Phi^-1((r - 1/2) / R)` for the value of rank `r` of `R`, equal values by their mean rank.
    Between the knots, which are evenly spread over the ranks, it goes in straight lines; what lies
    beyond the training rows is drawn to their ends.
    """
    layers = list(split.layers)
    device = split.device
    for name, values in columns(split).items():
        curves = [knots(column, settings.knots) for column in values.T]
        at, to = (torch.from_numpy(np.stack(each)).float() for each in zip(*curves, strict=True))
        layers.append(Curves(name, at, to).to(device))
    return dataclasses.replace(split, layers=tuple(layers))


def knots(values: Numbers, count: int) -> tuple[Numbers, Numbers]:
    """Returns so many knots of a column and what they are mapped to; all alike is mapped to 0."""
    distinct, counts = np.unique(values, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(values)
    if len(distinct) > count:
        levels = np.linspace(ranks[0], ranks[-1], count)
        distinct, ranks = np.interp(levels, ranks, distinct), levels
    missing = count - len(distinct)
    found = (np.pad(each, (0, missing), mode="edge") for each in (distinct, ndtri(ranks)))
    at, to = found
    return at, to


TECHNIQUE = DataTechnique(
    name="quantile_normal",
    summary="Map every feature's ranks to a normal distribution.",
    reference="Gorishniy et al., TabM, 2024, appendix; van der Waerden's normal scores, 1952",
    apply=quantile_normal,
    settings=QuantileNormalSettings,
    group="scaling",
    fits=needs_vectors,
)
