"""Every feature bent so that it is nearly normal."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.models import Affine, Power
from pawl.models.curves import bent
from pawl.techniques.data._affine import inverse
from pawl.techniques.data._columns import columns
from pawl.techniques.data.robust_scale import needs_vectors
from pawl.techniques.record import Settings
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split

_STRONGEST = 5.0
_TINY = 1e-12


def power_transform(split: Split, settings: Settings) -> Split:
    """Standardizes each number, bends it by Yeo and Johnson's power, and standardizes it again.

    The power is the most likely one if the training rows' values are normal then, within -5 and 5.
    Standardized first, so that it does not depend on the unit.
    """
    found = columns(split)
    if not found:
        return split
    first: list[dict[str, Tensor]] = [{}, {}]
    second: list[dict[str, Tensor]] = [{}, {}]
    powers: dict[str, Tensor] = {}
    device = split.device
    for name, values in found.items():
        x = torch.from_numpy(values)
        scaled = _standardized(x, first, name)
        power = torch.tensor([best_power(column.numpy()) for column in scaled.T])
        powers[name] = power.float().to(device)
        _standardized(bent(scaled, power), second, name)
    for tensors in (*first, *second):
        for name, tensor in tensors.items():
            tensors[name] = tensor.to(device)
    layers = (*split.layers, Affine(*first), Power(powers), Affine(*second))
    return dataclasses.replace(split, layers=layers)


def best_power(values: NDArray[np.float64]) -> float:
    """Returns the power of the largest likelihood; 1 where all values are alike.

    `L(p) = -R/2 log var(bent(x, p)) + (p - 1) sum sign(x) log(1 + |x|)`.
    """
    x = torch.from_numpy(values)
    slope = float((x.sign() * x.abs().log1p()).sum())

    def unlikely(power: float) -> float:
        variance = float(bent(x, torch.tensor(power, dtype=torch.float64)).var(correction=0))
        return 0.5 * len(values) * float(np.log(max(variance, 1e-300))) - (power - 1) * slope

    if float(x.var(correction=0)) < _TINY:
        return 1.0
    found = scipy.optimize.minimize_scalar(
        unlikely, bounds=(-_STRONGEST, _STRONGEST), method="bounded", options={"xatol": 1e-4}
    )
    return float(found.x)


def _standardized(x: Tensor, into: list[dict[str, Tensor]], name: str) -> Tensor:
    """Returns columns `[R, F]` standardized; keeps shift and scale."""
    shift, scale = x.mean(0), inverse(x.std(0, correction=0))
    into[0][name], into[1][name] = shift.float(), scale.float()
    return (x - shift) * scale


TECHNIQUE = DataTechnique(
    name="power_transform",
    summary="Bend every feature by the power that makes it most nearly normal.",
    reference="Yeo and Johnson, A New Family of Power Transformations to Improve Normality or "
    "Symmetry, 2000",
    apply=power_transform,
    group="scaling",
    fits=needs_vectors,
)
