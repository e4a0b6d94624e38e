"""What a comparison is, and what several of them, or several looks, are worth together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

ALPHA = 0.05
"""Family-wise error of a campaign's verdicts."""


@dataclass(frozen=True)
class Parts:
    """What the variance of a mean difference over pairs is made of, on the scale of the test.

    Attributes:
        effect: The mean difference.
        by_rows: Variance of the rows; more pairs on the same rows do not lessen it.
        by_models: Of one pair, beyond its rows; divided by the number of pairs.
        spread: Of the pairs, whatever it is from.
        units: How many rows (or groups of rows) were held out.
    """

    effect: float
    by_rows: float
    by_models: float
    spread: float
    units: int

    def error(self, pairs: int) -> tuple[float, float]:
        """Returns the standard error over so many pairs, and its degrees of freedom (2 or more)."""
        variance = self.by_rows + self.by_models / pairs
        uncertain = self.by_rows**2 / max(1, self.units - 1)
        uncertain += (self.spread / pairs) ** 2 / (pairs - 1)
        degrees = max(1.0, variance**2 / uncertain) if uncertain > 0 else 1.0
        return math.sqrt(variance), degrees


@dataclass(frozen=True)
class Comparison:
    """A paired comparison; a positive effect favors the first arm, whatever the metric's direction.

    Attributes:
        effect: Mean difference in the metric's units.
        interval: 95% interval of the effect, not corrected for other comparisons.
        p_value: Two-sided, of no difference.
        n: Number of pairs.
        standard_error: Of the effect.
        degrees: Degrees of freedom of the t distribution used.
        lower: One-sided lower confidence bound of the effect, at 95% unless another level was asked for.
        parts: Of its variance; `None` where they are not known, as with one pair.
    """

    effect: float
    interval: tuple[float, float]
    p_value: float
    n: int
    standard_error: float
    degrees: float
    lower: float
    parts: Parts | None = None


def comparison(
    effect: float, error: float, n: int, degrees: float, level: float = 0.95
) -> Comparison:
    """Returns what an effect with this standard error and these degrees of freedom is worth.

    Args:
        effect: The mean difference.
        error: Its standard error.
        n: Number of pairs.
        degrees: Degrees of freedom.
        level: Of the one-sided bound.
    """
    if error == 0.0:
        p_value, half, one_sided = (1.0 if effect == 0.0 else 0.0), 0.0, 0.0
    elif not math.isfinite(error):
        p_value, half, one_sided = 1.0, math.inf, math.inf
    else:
        p_value = float(2.0 * special.stdtr(degrees, -abs(effect) / error))
        half = float(special.stdtrit(degrees, 0.975)) * error
        one_sided = float(special.stdtrit(degrees, level)) * error
    interval = effect - half, effect + half
    return Comparison(effect, interval, p_value, n, error, degrees, effect - one_sided)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for their number (Holm 1979): at most 5% that any rejected is true.

    Needs no assumption on how the comparisons depend on each other.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return [float(p) for p in adjusted]


def non_inferior(comparison: Comparison, margin: float) -> bool:
    """Tells whether the first arm is worse by less than `margin` (one-sided, at the bound's level)."""
    return comparison.lower > -margin
