"""What attributions are worth: complete, stable, of this model, in the right order.

Shape legend: `F` columns, `O` outputs, `N` explained rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

from pawl.data.types import Inputs
from pawl.explaining import shapley
from pawl.explaining.agreement import rank_correlation
from pawl.explaining.estimate import Estimate
from pawl.explaining.subject import Subject, Values, count_of, taken
from pawl.explaining.value import Check

_COMPLETE = 0.1
_STABLE, _UNLIKE = 0.7, 0.5
_DELETED = 16
SHUFFLED = 6
"""Rows that are explained with shuffled weights, too."""
RANKED = 4
"""Fewer columns have no ranks to compare."""


@dataclass(frozen=True)
class Attributed:
    """Rows with the attributions of all outputs.

    Attributes:
        estimates: Of each row.
        predictions: Of the rows, `[N, O]`.
        base: Mean prediction of all rows that the background stands for, `[O]`.
        scale: Deviation of the prediction over them, `[O]`.
        leading: The output that is explained, `[N]`.
        background: The rows compared with.
        evaluations: Per row.
        exact: Whether all sets were evaluated.
    """

    estimates: list[Estimate]
    predictions: Values
    base: Values
    scale: Values
    leading: NDArray[np.int64]
    background: Inputs
    evaluations: int
    exact: bool

    def values(self, estimates: Sequence[Estimate] | None = None) -> Values:
        """Returns the attributions of the leading outputs, `[N, F]`."""
        used = self.estimates if estimates is None else estimates
        return np.stack([e.values[:, at] for e, at in zip(used, self.leading, strict=False)])


How = Callable[[Subject, Inputs, int, int], Estimate]


def incompleteness(found: Attributed) -> float:
    """Returns the largest distance of a row's sum from what it is to explain, in deviations."""
    rows = np.arange(len(found.estimates))
    wanted = found.predictions[rows, found.leading] - found.base[found.leading]
    missed = np.abs(found.values().sum(1) - wanted)
    scale = found.scale[found.leading]
    return float((missed / np.where(scale > 0, scale, 1.0)).max())


def checks(
    subject: Subject,
    rows: Inputs,
    found: Attributed,
    wrong: Sequence[Values],
    *,
    complete: bool = True,
) -> list[Check]:
    """Returns the tests of attributions.

    Args:
        subject: What is explained.
        rows: The rows.
        found: Their attributions.
        wrong: Those of models with the same weights in random places, each of the first few rows,
            `[.., F]`; none where there are no modules.
        complete: Whether parts are meant to add up.
    """
    made = [completeness(incompleteness(found))] if complete else []
    if len(subject.features) >= RANKED:
        made.append(_stability(found))
        if wrong:
            made.append(weights_check(found.values(), wrong))
    made.append(_deletion(subject, rows, found))
    return made


def completeness(missed: float) -> Check:
    """Returns whether rows' sums miss what they are to explain by no more than is allowed."""
    return Check(
        name="completeness",
        value=missed,
        passed=missed <= _COMPLETE,
        text="The attributions of a row miss its prediction's distance from the mean "
        f"prediction by {missed:.2g} deviations of the prediction at most ({_COMPLETE:g} is "
        "allowed).",
    )


def shuffled(
    scrambled: Sequence[Subject], rows: Inputs, found: Attributed, how: How
) -> list[Values]:
    """Returns attributions of the first few rows by models with shuffled weights, `[.., F]` each.

    Adebayo et al. 2018: an explanation that does not depend on the weights explains nothing.

    Args:
        scrambled: The models.
        rows: The rows.
        found: Whose outputs are explained.
        how: Attributes a row, with its number and the model's.
    """
    few = min(SHUFFLED, len(found.estimates))
    return [
        found.values([how(other, taken(rows, [row]), number, row) for row in range(few)])
        for number, other in enumerate(scrambled)
    ]


def alike(one: Values, other: Values) -> float:
    """Returns the median over rows of the rank correlation over columns; both are `[N, F]`."""
    each = [rank_correlation(a, b) for a, b in zip(one, other, strict=True)]
    return float(np.median(each))


def _stability(found: Attributed) -> Check:
    halves = [
        np.stack(
            [e.halves[part][:, at] for e, at in zip(found.estimates, found.leading, strict=True)]
        )
        for part in (0, 1)
    ]
    same = alike(*halves)
    return Check(
        name="stability",
        value=same,
        passed=same >= _STABLE,
        text="Two estimates, by other background rows and orders, rank the columns of a row with a "
        f"correlation of {same:.2f} (median over rows; {_STABLE} or more is demanded).",
    )


def weights_check(ours: Values, wrong: Sequence[Values], what: str = "columns of a row") -> Check:
    """Returns whether attributions `[N, F]` are others where weights are shuffled.

    By their signed ranks: sizes also depend on how far a row's values are from the others', whatever the
    model makes of them.

    Args:
        ours: Of the model.
        wrong: Of models with shuffled weights, each of the first few rows.
        what: What is ranked.
    """
    same = float(np.mean([alike(ours[: len(each)], each) for each in wrong]))
    return Check(
        name="weights",
        value=same,
        passed=same <= _UNLIKE,
        text=f"With the model's weights shuffled, the {what} rank with a correlation of {same:.2f} "
        f"to these (mean over {len(wrong)} shuffles; at most {_UNLIKE} is allowed).",
    )


def _deletion(subject: Subject, rows: Inputs, found: Attributed) -> Check:
    """Columns taken from the row in the order of their attributions, against random orders."""
    gained = []
    sample = taken(
        found.background, shapley.spread_rows(np.arange(1.0 * count_of(found.background)), _DELETED)
    )
    for place, (estimate, at) in enumerate(zip(found.estimates, found.leading, strict=True)):
        row = taken(rows, [place])
        toward = np.sign(found.predictions[place, at] - found.base[at]) or 1.0
        ours = deleted(subject, row, sample, np.argsort(-toward * estimate.values[:, at]))[:, at]
        random = estimate.path[::-1, at]
        scale = found.scale[at] if found.scale[at] > 0 else 1.0
        gained.append(
            toward * float((random - ours)[1:-1].mean()) / scale if len(ours) > 2 else 0.0
        )
    mean, (low, high) = mean_interval(np.array(gained))
    return Check(
        name="deletion",
        value=mean,
        passed=low > 0 or len(subject.features) == 1,
        text="Where columns are taken away by their attributions, largest first, the prediction "
        f"comes nearer to the mean by {mean:.2g} deviations than in random orders (95% interval "
        f"over rows {low:.2g} to {high:.2g}; above 0 is demanded).",
    )


def deleted(subject: Subject, row: Inputs, background: Inputs, order: NDArray[np.int64]) -> Values:
    """Returns mean predictions with an order's first `k` columns from background rows, `[F + 1, O]`."""
    count, width = count_of(background), len(order)
    mixed = {
        name: tensor.expand(count * (width + 1), *tensor.shape[1:]).clone()
        for name, tensor in row.items()
    }
    others = taken(background, np.tile(np.arange(count), width + 1))
    step = np.repeat(np.arange(width + 1), count)
    for rank, place in enumerate(order):
        subject.features[place].where(torch.from_numpy(step > rank), mixed, others)
    means: Values = subject.values(mixed).reshape(width + 1, count, -1).mean(1)
    return means


def mean_interval(values: Values) -> tuple[float, tuple[float, float]]:
    """Returns a mean and its 95% interval by Student's t; of one value the value itself."""
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return mean, (mean, mean)
    half = float(special.stdtrit(count - 1, 0.975)) * float(values.std(ddof=1)) / np.sqrt(count)
    return mean, (mean - half, mean + half)
