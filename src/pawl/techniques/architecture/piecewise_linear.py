"""Piecewise linear encoding of numbers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from pawl.data.types import Inputs
from pawl.models import PiecewiseLinear, TabularNet, flat
from pawl.techniques.architecture._tables import needs_table_net
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_MOST_NUMBERS = 256


class PiecewiseLinearSettings(Settings):
    """Settings of `piecewise_linear`."""

    bins: Literal[8, 16, 32] = Field(16, description="bins per number")


def piecewise_linear(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Gives the first layer, beside each number, how far it reaches into each of its bins.

    The bins end at quantiles of the training rows in which a value counts by the root of how often
    it occurs: a column that is mostly zero would else have most of its bins there.
    """
    assert isinstance(module, TabularNet)
    for name in module.numbers:
        x = flat(sample[name]).double().numpy()
        edges = [bin_edges(column, settings.bins) for column in x.T]
        low, width = torch.zeros(2, len(edges), settings.bins)
        for i, each in enumerate(edges):
            low[i, : len(each) - 1] = torch.from_numpy(each[:-1])
            width[i, : len(each) - 1] = torch.from_numpy(np.diff(each))
        module.encode(name, PiecewiseLinear(low, width), len(edges) * settings.bins)
    return module


def bin_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Returns the ends of up to so many bins, rising; a single value has none."""
    distinct, counts = np.unique(values, return_counts=True)
    weights = np.sqrt(counts)
    reached = np.cumsum(weights) - weights / 2
    at = np.linspace(reached[0], reached[-1], bins + 1)
    return np.unique(np.interp(at, reached, distinct).astype(np.float32))


def needs_few_numbers(facts: Facts) -> str | None:
    """Says that there are no numbers, too many, or no network to give them to."""
    reason = needs_table_net(facts)
    if reason:
        return reason
    assert isinstance(facts.module, TabularNet)
    if not facts.module.numbers:
        return "the task has no numeric inputs"
    count = sum(_width(facts.sample[name]) for name in facts.module.numbers)
    if count > _MOST_NUMBERS:
        return f"a row has {count:,} numbers, and {_MOST_NUMBERS} are the most"
    return None


def _width(x: Tensor) -> int:
    return flat(x).shape[1]


TECHNIQUE = ModelTechnique(
    name="piecewise_linear",
    summary="Encode each number by how far it reaches into each of its bins.",
    reference="Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning, 2022",
    apply=piecewise_linear,
    phase=Phase.ENCODING,
    group="encoding",
    settings=PiecewiseLinearSettings,
    fits=needs_few_numbers,
)
