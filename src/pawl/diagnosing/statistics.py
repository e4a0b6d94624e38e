"""What batch normalization keeps for evaluation, against what it sees.

Shape legend: `N` members, `P` weights, `C` channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.diagnosing.gains import gain_of
from pawl.diagnosing.probe import Probe
from pawl.diagnosing.record import Statistics
from pawl.models.held import gathering
from pawl.training.population import Population
from pawl.training.state import Buffers
from pawl.training.statistics import with_own_statistics

Moments = tuple[Tensor, Tensor]
_EPSILON = 1e-5
_APART = 0.3
"""Statistics that start so near to what is seen, in deviations, cannot lag."""


def lag(start: Moments, kept: Moments, fresh: Moments) -> float:
    """Returns how far kept statistics are from fresh ones, over how far they were at the start.

    Apart are means by deviations, and variances by their logarithms: the root mean square over channels.
    0 where statistics started near to what is seen, and so have nothing to follow.

    Args:
        start: Mean and variance of each channel, `[C]`, as they were before any step.
        kept: As they are.
        fresh: Of what the layer sees.

    Example:
        >>> one, two = torch.ones(2), torch.full((2,), 2.0)
        >>> lag((0 * one, one), (one, one), (two, one))
        0.5
    """
    mean, variance = fresh[0].double(), fresh[1].double().clamp_min(_EPSILON)

    def apart(found: Moments) -> float:
        means = (found[0] - mean).square() / variance
        scales = (found[1].double().clamp_min(_EPSILON) / variance).log().square()
        return float((means + scales).mean().sqrt())

    whole = apart(start)
    return apart(kept) / whole if whole > _APART else 0.0


def statistics_of(population: Population, probe: Probe, first: Buffers) -> Statistics | None:
    """Returns what batch normalization keeps against what it sees; `None` without such layers.

    Args:
        population: Whose, at the end of a training.
        probe: Reads the member.
        first: Buffers at the start, by name, `[N, ...]`.
    """
    values, layers = probe.normalized(), gathering(population.body)
    if values is None or not layers:
        return None
    weights, kept = population.evaluated()
    fresh = with_own_statistics(population, weights, kept)
    behind = 0.0
    for name, module in population.body.named_modules():
        if module in layers:
            behind = max(
                behind, lag(*(_moments(x, name, probe.index) for x in (first, kept, fresh)))
            )
    before, after = (torch.cat(probe.row_losses(weights, own)) for own in (kept, fresh))
    return Statistics(values=values, behind=behind, gain=gain_of(before, after))


def _moments(buffers: Buffers, name: str, index: int) -> Moments:
    ahead = f"{name}." if name else ""
    return buffers[f"{ahead}running_mean"][index], buffers[f"{ahead}running_var"][index]
