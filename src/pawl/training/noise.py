"""How noisy the gradients of batches are: the size of batch from which on more rows say little new."""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.techniques import StepContext
from pawl.training.bound import BoundMember
from pawl.training.population import Population
from pawl.training.program import select_values
from pawl.training.serial import batches_of


def gradient_noise(population: Population, batches: int) -> float | None:
    """Returns the gradient noise scale of a population of one, in rows, at its weights as they are.

    `tr(S) / |G|^2` for the gradient `G` of all rows and the covariance `S` of rows' gradients, by the
    norms of `m` batches of `b` rows and of their mean, `m b` rows: both unbiased where batches are
    independent, `E|g|^2 = |G|^2 + tr(S) / rows`. Weights and buffers stay as they are.

    Args:
        population: One member; its next batches are looked at.
        batches: `m`, at least 2.

    Returns:
        `None` where the gradient of all rows is lost in the noise: more batches are needed, or training
        has come to its end.

    McCandlish et al., An Empirical Model of Large-Batch Training, 2018, appendix A.1.
    """
    kept = population.snapshot()
    norms, mean = _norms(population, batches)
    rows = population.fits[0].batch_size
    population.restore(kept)
    small, large = float(norms.mean()), float(mean)
    noise = (small - large) / (1.0 / rows - 1.0 / (rows * batches))
    signal = (batches * large - small) / (batches - 1)
    return noise / signal if signal > 0.0 and noise >= 0.0 else None


@torch.no_grad()
def _norms(population: Population, batches: int) -> tuple[Tensor, Tensor]:
    """Returns squared norms of each batch's gradient, `[m]`, and of their mean, `[]`."""
    places = [population.next_places(0, batches)]
    (own,) = population.batches_at(places)
    one = slice(0, 1)
    total = population.total.float()
    step = (population.step + torch.arange(batches).unsqueeze(1)).float()
    context = StepContext(torch.zeros_like(step), step + 1.0, total, population.layout)
    values = select_values(population.values, one)
    bound = BoundMember(population, 0)
    population.body.train()
    norms, mean = [], torch.zeros_like(bound.gradient)
    keys = population.step_keys(batches)
    for batch in batches_of(population, 0, own, values, context, keys):
        bound.backward(batch)
        norms.append(bound.gradient.double().square().sum())
        mean += bound.gradient / batches
    return torch.stack(norms), mean.double().square().sum()
