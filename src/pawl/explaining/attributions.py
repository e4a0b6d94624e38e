"""Attributions of rows, and what they are worth: complete, stable, of this model, in the right order.

Shape legend: `F` columns, `O` outputs, `N` explained rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

from pawl.data.types import Inputs
from pawl.explaining import shapley
from pawl.explaining.agreement import rank_correlation
from pawl.explaining.effort import Effort
from pawl.explaining.result import Attributions, Check, RowAttribution
from pawl.explaining.subject import Feature, Subject, Values, count_of, taken
from pawl.rng import derive_seed

BACKGROUND = 64
_FEW_BACKGROUND = 32
_MOST_SETS = 2**16
_MOST_STEPS, _MOST_ORDERS = 32_000, 4
_LEAST_PAIRS = 16
_COMPLETE = 0.1
_STABLE, _UNLIKE = 0.7, 0.5
_DELETED = 16
_SHUFFLED = 6
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

    estimates: list[shapley.Estimate]
    predictions: Values
    base: Values
    scale: Values
    leading: NDArray[np.int64]
    background: Inputs
    evaluations: int
    exact: bool

    def values(self, estimates: Sequence[shapley.Estimate] | None = None) -> Values:
        """Returns the attributions of the leading outputs, `[N, F]`."""
        used = self.estimates if estimates is None else estimates
        return np.stack([e.values[:, at] for e, at in zip(used, self.leading, strict=False)])


def attribute(
    subject: Subject, rows: Inputs, others: Inputs, *, seed: int, effort: Effort
) -> Attributed:
    """Returns Shapley values of rows.

    Args:
        subject: What is explained.
        rows: To explain; fewer of them where the effort ends before.
        others: What they are compared with: a background sample is taken of these.
        seed: Of the orders.
        effort: At least one row is explained.
    """
    features = subject.features
    all_values = subject.values(others)
    commonest = int(np.bincount(subject.leading(all_values)).argmax())
    few, most = (
        taken(others, shapley.spread_rows(all_values[:, commonest], count))
        for count in (_FEW_BACKGROUND, BACKGROUND)
    )
    exact, background = True, most
    if not _affordable(features, rows, most):
        exact = _affordable(features, rows, few)
        background = few if exact else most
    pairs = _pairs(len(features), count_of(background))
    estimates: list[shapley.Estimate] = []
    for place in range(count_of(rows)):
        if effort.over and estimates:
            break
        row = taken(rows, [place])
        if exact:
            estimates.append(shapley.exact(subject, features, row, background))
        else:
            own = derive_seed(seed, "orders", place)
            estimates.append(shapley.sampled(subject, features, row, background, pairs, own))
    done = taken(rows, np.arange(len(estimates)))
    predictions = subject.values(done)
    return Attributed(
        estimates=estimates,
        predictions=predictions,
        base=all_values.mean(0),
        scale=all_values.std(0),
        leading=subject.leading(predictions),
        background=background,
        evaluations=round(np.mean([each.evaluations for each in estimates])),
        exact=exact,
    )


def _affordable(features: Sequence[Feature], rows: Inputs, background: Inputs) -> bool:
    """Tells whether all sets of each row can be evaluated."""
    most = (
        shapley.sets_of(features, taken(rows, [row]), background) for row in range(count_of(rows))
    )
    return all(each <= _MOST_SETS for each in most)


def _pairs(columns: int, background: int) -> int:
    """Returns how many pairs of orders are drawn: as many for each background row."""
    each = _MOST_STEPS // (2 * (columns + 1) * background)
    if each:
        return background * min(_MOST_ORDERS, each)
    return max(_LEAST_PAIRS, min(background, _MOST_STEPS // (2 * (columns + 1))))


def told(
    subject: Subject, rows: Inputs, found: Attributed, checks: Sequence[Check]
) -> Attributions:
    """Returns attributions as they are kept."""
    told_rows = []
    for place, (estimate, at) in enumerate(zip(found.estimates, found.leading, strict=True)):
        row = taken(rows, [place])
        told_rows.append(
            RowAttribution(
                row=place,
                output=subject.outputs[at],
                prediction=float(found.predictions[place, at]),
                base=float(found.base[at]),
                shown=[shown(feature, row) for feature in subject.features],
                values=[float(value) for value in estimate.values[:, at]],
                errors=[float(error) for error in estimate.errors[:, at]],
            )
        )
    return Attributions(
        method="exact Shapley values" if found.exact else "sampled Shapley values",
        background=count_of(found.background),
        evaluations=found.evaluations,
        features=[feature.name for feature in subject.features],
        rows=told_rows,
        completeness=incompleteness(found),
        checks=list(checks),
    )


def shown(feature: Feature, row: Inputs) -> str:
    """Returns a row's value of a column as people write it."""
    return "" if feature.kind == "input" else feature.text(float(feature.numbers(row)[0]))


def incompleteness(found: Attributed) -> float:
    """Returns the largest distance of a row's sum from what it is to explain, in deviations."""
    rows = np.arange(len(found.estimates))
    wanted = found.predictions[rows, found.leading] - found.base[found.leading]
    missed = np.abs(found.values().sum(1) - wanted)
    scale = found.scale[found.leading]
    return float((missed / np.where(scale > 0, scale, 1.0)).max())


def checks(
    subject: Subject, rows: Inputs, found: Attributed, scrambled: Sequence[Subject], *, seed: int
) -> list[Check]:
    """Returns the tests of attributions.

    Args:
        subject: What is explained.
        rows: The rows.
        found: Their attributions.
        scrambled: Models with the same weights in random places; none where there are no modules.
        seed: Of the orders.
    """
    missed = incompleteness(found)
    made = [
        Check(
            name="completeness",
            value=missed,
            passed=missed <= _COMPLETE,
            text="The attributions of a row miss its prediction's distance from the mean "
            f"prediction by {missed:.2g} deviations of the prediction at most ({_COMPLETE:g} is "
            "allowed).",
        )
    ]
    if len(subject.features) >= RANKED:
        made.append(_stability(found))
        if scrambled:
            made.append(_of_this_model(rows, found, scrambled, seed))
    made.append(_deletion(subject, rows, found))
    return made


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


def _of_this_model(
    rows: Inputs, found: Attributed, scrambled: Sequence[Subject], seed: int
) -> Check:
    """Adebayo et al. 2018: an explanation that does not depend on the weights explains nothing."""
    wrong = []
    for number, subject in enumerate(scrambled):
        others = []
        for place in range(min(_SHUFFLED, len(found.estimates))):
            own = derive_seed(seed, "scrambled", number, place)
            row = taken(rows, [place])
            others.append(
                shapley.sampled(subject, subject.features, row, found.background, _LEAST_PAIRS, own)
            )
        wrong.append(found.values(others))
    return weights_check(found.values(), wrong)


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
