"""Partial dependence of predictions on a column, and individual conditional expectation.

A column gets one value for all rows, `PD(v) = mean_r f(v, rest of r)` (Friedman 2001), and each row on
its own is a line (Goldstein et al. 2015). Values are those of rows, at quantiles, or the commonest
categories. Where columns are correlated, some of these rows never occur.

Shape legend: `R` rows, `G` values, `O` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

from pawl.data.types import Inputs
from pawl.explaining.agreement import rank_correlation
from pawl.explaining.effort import Effort
from pawl.explaining.result import Dependence
from pawl.explaining.subject import Feature, Subject, count_of, taken
from pawl.explaining.value import Check
from pawl.rng import derive_seed

_ROWS, _LINES = 300, 20
_VALUES, _CATEGORIES = 20, 10
_OUTPUTS = 3
_STABLE = 0.7


def dependences(
    subject: Subject, inputs: Inputs, names: Sequence[str], *, seed: int, effort: Effort
) -> list[Dependence]:
    """Returns how predictions depend on columns; of several classes for those predicted most.

    Intervals are of 95%, over rows as independent draws.

    Args:
        subject: What is explained.
        inputs: Rows.
        names: Columns, in their order.
        seed: Of the rows that are used.
        effort: Fewer columns where it ends before.
    """
    rows = _sample(count_of(inputs), seed)
    used = taken(inputs, rows)
    outputs = _outputs(subject, used)
    by_name = {feature.name: feature for feature in subject.features}
    found: list[Dependence] = []
    for name in names:
        if effort.over and found:
            break
        feature = by_name[name]
        if feature.kind == "input":
            continue
        donors = donors_of(feature, inputs)
        if len(donors) < 2:
            continue
        curves = _curves(subject, feature, used, taken(inputs, donors))
        at = feature.numbers(taken(inputs, donors))
        found += [_told(subject, feature, curves[..., output], at, output) for output in outputs]
    return found


def donors_of(feature: Feature, inputs: Inputs) -> NDArray[np.int64]:
    """Returns rows whose values of a column stand for all, in their order, `[G]`."""
    values = feature.numbers(inputs)
    if feature.kind == "categorical":
        known, first, counts = np.unique(
            np.nan_to_num(values), return_index=True, return_counts=True
        )
        return first[np.argsort(-counts, kind="stable")][:_CATEGORIES].astype(np.int64)
    there = np.flatnonzero(np.isfinite(values))
    order = there[np.argsort(values[there], kind="stable")]
    known, first = np.unique(values[order], return_index=True)
    if len(known) > _VALUES:
        wanted = np.quantile(values[order], np.linspace(0.02, 0.98, _VALUES), method="nearest")
        first = first[np.searchsorted(known, np.unique(wanted))]
    return order[first].astype(np.int64)


def _curves(
    subject: Subject, feature: Feature, used: Inputs, donors: Inputs
) -> NDArray[np.float64]:
    """Returns each row's prediction with each value, `[R, G, O]`."""
    rows, values = count_of(used), count_of(donors)
    mixed = taken(used, np.repeat(np.arange(rows), values))
    feature.put(mixed, taken(donors, np.tile(np.arange(values), rows)))
    curves: NDArray[np.float64] = subject.values(mixed).reshape(rows, values, -1)
    return curves


def _told(
    subject: Subject,
    feature: Feature,
    curves: NDArray[np.float64],
    at: NDArray[np.float64],
    output: int,
) -> Dependence:
    mean, rows = curves.mean(0), len(curves)
    error = curves.std(0, ddof=1) / np.sqrt(rows) if rows > 1 else np.zeros_like(mean)
    half = float(special.stdtrit(max(1, rows - 1), 0.975)) * error
    single = curves[np.linspace(0, rows - 1, min(_LINES, rows)).astype(np.int64)]
    ordered = feature.kind in ("numeric", "date")
    return Dependence(
        feature=feature.name,
        kind=feature.kind,
        output=subject.outputs[output],
        grid=[feature.text(float(value)) for value in at],
        at=[float(value) for value in at] if ordered else [],
        mean=mean.tolist(),
        interval=[
            (float(low), float(high)) for low, high in zip(mean - half, mean + half, strict=True)
        ],
        single=single.tolist(),
        rows=rows,
        checks=[_stability(curves, 2 * float(half.max()))] if len(at) > 2 else [],
    )


def _stability(curves: NDArray[np.float64], width: float) -> Check:
    """Returns whether halves of the rows agree; a curve that stays within its interval is flat."""
    if np.ptp(curves.mean(0)) <= width:
        return Check(
            name="stability",
            value=None,
            passed=True,
            text="The mean is flat: it stays within the width of its interval.",
        )
    same = rank_correlation(curves[::2].mean(0), curves[1::2].mean(0))
    return Check(
        name="stability",
        value=same,
        passed=same >= _STABLE,
        text="The means of two halves of the rows rank the column's values with a correlation of "
        f"{same:.2f} ({_STABLE} or more is demanded).",
    )


def _outputs(subject: Subject, used: Inputs) -> list[int]:
    """Returns the outputs that are shown: the second of two classes, else the commonest few."""
    if subject.schema.kind == "binary":
        return [1]
    if not subject.kind.exclusive:
        return list(range(min(_OUTPUTS, len(subject.outputs))))
    leading = np.bincount(subject.leading(subject.values(used)), minlength=len(subject.outputs))
    return [int(output) for output in np.argsort(-leading, kind="stable")[:_OUTPUTS]]


def _sample(count: int, seed: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = torch.from_numpy(
        np.random.default_rng(derive_seed(seed, "dependence rows")).permutation(count)
    ).numpy()
    return np.sort(order[:_ROWS])
