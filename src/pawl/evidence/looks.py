"""Several looks at a growing series of pairs: what each may spend of alpha, and what they are worth."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

_NODES, _FARTHEST = 96, 8.0
_SMALL = 1e-5
"""Below it the bound by Bonferroni says enough, and integrals would need more digits."""

_Values = NDArray[np.float64]


def spending(looks: Sequence[int]) -> dict[int, float]:
    """Returns the share of alpha that each planned look may spend; the shares sum to one.

    Up to a look of `n` of `N` pairs, `(n / N)^2` is spent (the power family of Kim and DeMets, Design
    and analysis of group sequential tests based on the type I error spending rate function,
    Biometrika 1987): an early look only saves time, and what it spends is missed later.
    """
    spent = [(n / looks[-1]) ** 2 for n in looks]
    return dict(zip(looks, np.diff([0.0, *spent]).tolist(), strict=True))


def sequential_p(p_values: Sequence[float], pairs: Sequence[int], shares: Sequence[float]) -> float:
    """Combines the p-values of the looks taken so far into one that may be held against alpha.

    It is the smallest alpha at which one of the looks would have ended the series: each is held against
    a boundary by which the chance to cross it, and none before it, is its share of alpha (Lan and
    DeMets, Discrete sequential boundaries for clinical trials, Biometrika 1983). Looks at the same
    pairs and more are correlated, by `sqrt(n / m)` at least: the rows that looks have in common only
    add to it, and the more they are correlated, the rarer is a false claim (Slepian's inequality, of
    each side on its own). p-values count as those of a normal test.

    Valid whenever the series is stopped, as long as the shares sum to at most one and do not follow from
    the results. Never above weighted Bonferroni, the smallest of `p / share`.

    Args:
        p_values: One per look, two-sided.
        pairs: One per look: how many there were, rising.
        shares: Of alpha, one per look.
    """
    bonferroni = min(1.0, *(p / share for p, share in zip(p_values, shares, strict=True)))
    least = min(p_values)
    if len(p_values) == 1 or bonferroni <= _SMALL or least >= 1.0:
        return bonferroni
    seen = scipy.special.ndtri(1.0 - np.clip(p_values, 1e-15, 1.0) / 2)

    def beyond(log_alpha: float) -> float:
        return float(np.max(seen - _boundaries(math.exp(log_alpha), pairs, shares)))

    low, high = math.log(max(least, _SMALL)), math.log(bonferroni)
    if high - low < 1e-6 or beyond(low) >= 0:
        return max(least, _SMALL)
    if beyond(high) <= 0:  # equal, but for rounding
        return bonferroni
    return min(bonferroni, math.exp(float(scipy.optimize.brentq(beyond, low, high, xtol=1e-4))))


def _boundaries(alpha: float, pairs: Sequence[int], shares: Sequence[float]) -> _Values:
    """Returns each look's boundary, in standard errors.

    With `S_k = z_k sqrt(n_k)`, whose increments are independent, the part of the density that has not
    crossed so far is carried from look to look.
    """
    found = [float(-scipy.special.ndtri(alpha / 2 * shares[0]))]
    root = math.sqrt(pairs[0])
    at, weights = _nodes(-_FARTHEST * root, found[0] * root)
    mass = weights * _density(at / root) / root
    for before, now, share in zip(pairs, pairs[1:], shares[1:], strict=False):
        step, root = math.sqrt(now - before), math.sqrt(now)
        wanted = alpha / 2 * share

        def excess(z: float) -> float:
            crossed = scipy.special.ndtr((at - z * root) / step)  # noqa: B023
            return float((mass * crossed).sum()) - wanted  # noqa: B023

        found.append(float(scipy.optimize.brentq(excess, -_FARTHEST, _FARTHEST, xtol=1e-6)))
        if len(found) == len(pairs):
            break
        further, weights = _nodes(-_FARTHEST * root, found[-1] * root)
        spread = _density((further[:, None] - at[None, :]) / step) / step
        at, mass = further, weights * (spread @ mass)
    return np.asarray(found)


def _density(z: _Values) -> _Values:
    """Returns the standard normal density."""
    return np.asarray(np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))


@functools.cache
def _rule() -> tuple[_Values, _Values]:
    return np.polynomial.legendre.leggauss(_NODES)


def _nodes(low: float, high: float) -> tuple[_Values, _Values]:
    """Returns places and weights of a Gauss-Legendre rule."""
    places, weights = _rule()
    half = (high - low) / 2
    return low + half * (places + 1), half * weights
