"""Statistics of batch normalization that belong to averaged weights.

What a layer sees under the mean of weights is not the mean of what it saw under each of them, so that
statistics that were averaged along, or gathered at other weights, are wrong for it. They are taken
anew, of rows that train (Izmailov et al., Averaging Weights Leads to Wider Optima and Better
Generalization, UAI 2018, section 3.2).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pawl import rng
from pawl.models.held import gathered, gathering
from pawl.training.state import Buffers, EvaluationState

if TYPE_CHECKING:
    from pawl.training.population import Population

_ROWS, _LEAST_BATCH = 1024, 2
"""How many rows of a member are taken, about; and how many a batch must have to have a deviation."""


def with_own_statistics(population: Population, weights: Tensor, buffers: Buffers) -> Buffers:
    """Returns buffers in which PyTorch's layers of batch normalization have statistics of these weights.

    All other parts of a model are as in an evaluation: no dropout, no augmentation. Batches are as large
    as a step's, and the same for a member whoever is beside it. Layers that are held in evaluation mode
    (frozen ones) keep what they have, and layers of a user's own classes have their averages.

    Args:
        population: The members.
        weights: `[N, P]`.
        buffers: By name, `[N, ...]`; they stay as they are.

    Returns:
        `buffers` themselves if there are no such layers, or a batch is a single row.
    """
    layers = gathering(population.body)
    size = min(fit.batch_size for fit in population.fits)
    if not layers or size < _LEAST_BATCH:
        return buffers
    count = math.ceil(_ROWS / size)
    ahead = torch.arange(count * size)
    places = []
    for member, fit in zip(population.members, population.fits, strict=True):
        order = torch.from_numpy(rng.permutation(member.seed, 0, len(fit.rows)))
        places.append(order[ahead % len(order)].view(count, size))  # of few rows more than once
    rows = torch.stack([batch["rows"] for batch in population.batches_at(places)], 1)
    fresh = {name: buffer.clone() for name, buffer in buffers.items()}
    kept = EvaluationState(weights, fresh, population.state.front)
    for k, chosen in enumerate(rows):
        with torch.no_grad(), gathered(layers, 1.0 / (k + 1)):
            population.stepper.forward(population, population.examples, chosen, kept)
    return fresh
