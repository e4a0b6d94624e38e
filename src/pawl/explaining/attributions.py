"""Attributions of rows: Shapley values, and plainer ones beside them.

Shape legend: `F` columns, `O` outputs, `N` explained rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pawl.data.types import Inputs
from pawl.explaining import shapley
from pawl.explaining.effort import Effort
from pawl.explaining.estimate import Estimate
from pawl.explaining.local import ablated, lime
from pawl.explaining.result import Attributions, Method, RowAttribution
from pawl.explaining.subject import Feature, Subject, Values, count_of, taken
from pawl.explaining.value import Check
from pawl.explaining.worth import Attributed, checks, incompleteness, shuffled
from pawl.rng import derive_seed

BACKGROUND = 64
_FEW_BACKGROUND = 32
_MOST_SETS = 2**16
_AT_ONCE = 2**15
"""So many evaluations, or those of one row, are made together."""
_MOST_STEPS, _MOST_ORDERS = 32_000, 4
_LEAST_PAIRS = 16
_SAMPLES, _LEAST_SAMPLES, _FITS = 64, 512, 0.5
"""Of LIME, for each column and at least; and how well its models must fit."""


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
    most_steps = min(
        shapley.sets_of(features, rows, background).max(),
        np.inf if exact else 2.0 * pairs * (len(features) + 1),
    )
    # With a clock one at a time, to look at it in between.
    together = 1 if effort.deadline is not None else max(1, int(_AT_ONCE // most_steps))
    estimates: list[Estimate] = []
    for first in range(0, count_of(rows), together):
        if effort.over and estimates:
            break
        some = taken(rows, np.arange(first, min(first + together, count_of(rows))))
        if exact:
            estimates += shapley.exact(subject, features, some, background)
        else:
            own = derive_seed(seed, "orders", first)
            estimates += shapley.sampled(subject, features, some, background, pairs, own)
    done = taken(rows, np.arange(len(estimates)))
    predictions = subject.values(done)
    return Attributed(
        estimates=estimates,
        predictions=predictions,
        base=all_values.mean(0),
        scale=all_values.std(0),
        leading=subject.leading(predictions),
        background=background,
        evaluations=_mean_evaluations(estimates),
        exact=exact,
    )


def _mean_evaluations(estimates: Sequence[Estimate]) -> int:
    return round(sum(each.evaluations for each in estimates) / len(estimates))


def _affordable(features: Sequence[Feature], rows: Inputs, background: Inputs) -> bool:
    """Tells whether all sets of each row can be evaluated."""
    return bool((shapley.sets_of(features, rows, background) <= _MOST_SETS).all())


def _pairs(columns: int, background: int) -> int:
    """Returns how many pairs of orders are drawn: as many for each background row."""
    each = _MOST_STEPS // (2 * (columns + 1) * background)
    if each:
        return background * min(_MOST_ORDERS, each)
    return max(_LEAST_PAIRS, min(background, _MOST_STEPS // (2 * (columns + 1))))


def told(
    subject: Subject,
    rows: Inputs,
    found: Attributed,
    checks: Sequence[Check],
    method: Method,
    *,
    complete: bool = True,
) -> Attributions:
    """Returns attributions as they are kept; `complete` where parts are meant to add up."""
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
        method=method,
        background=count_of(found.background),
        evaluations=found.evaluations,
        features=[feature.name for feature in subject.features],
        rows=told_rows,
        completeness=incompleteness(found) if complete else None,
        checks=list(checks),
    )


def shown(feature: Feature, row: Inputs) -> str:
    """Returns a row's value of a column as people write it."""
    return "" if feature.kind == "input" else feature.text(float(feature.numbers(row)[0]))


def by_shapley(
    subject: Subject, rows: Inputs, found: Attributed, scrambled: Sequence[Subject], *, seed: int
) -> Attributions:
    """Returns Shapley values with what they are worth.

    Args:
        subject: What is explained.
        rows: The rows.
        found: Their attributions.
        scrambled: Models with the same weights in random places; none where there are no modules.
        seed: Of the orders.
    """

    def how(other: Subject, row: Inputs, number: int, place: int) -> Estimate:
        own = derive_seed(seed, "scrambled", number, place)
        return shapley.sampled(other, other.features, row, found.background, _LEAST_PAIRS, own)[0]

    wrong = shuffled(scrambled, rows, found, how)
    made = checks(subject, rows, found, wrong)
    return told(
        subject, rows, found, made,
        "exact Shapley values" if found.exact else "sampled Shapley values",
    )  # fmt: skip


def by_ablation(
    subject: Subject, rows: Inputs, found: Attributed, scrambled: Sequence[Subject]
) -> Attributions:
    """Returns what is lost without each column alone; see `by_shapley`."""

    def how(other: Subject, row: Inputs, *_: int) -> Estimate:
        return ablated(other, other.features, row, found.background)

    mine = _instead(found, [how(subject, taken(rows, [r])) for r in range(len(found.estimates))])
    wrong = shuffled(scrambled, rows, found, how)
    made = checks(subject, rows, mine, wrong, complete=False)
    return told(subject, rows, mine, made, "feature ablation", complete=False)


def by_lime(
    subject: Subject, rows: Inputs, found: Attributed, scrambled: Sequence[Subject], *, seed: int
) -> Attributions:
    """Returns the slopes of linear models near rows; see `by_shapley`."""
    samples = max(_LEAST_SAMPLES, _SAMPLES * len(subject.features))

    def near(other: Subject, row: Inputs, number: int, place: int) -> tuple[Estimate, Values]:
        own = derive_seed(seed, "lime", number, place)
        return lime(other, other.features, row, found.background, samples, own)

    both = [near(subject, taken(rows, [r]), -1, r) for r in range(len(found.estimates))]
    mine = _instead(found, [estimate for estimate, _ in both])
    wrong = shuffled(scrambled, rows, found, lambda *given: near(*given)[0])
    fit = float(np.median([each[at] for (_, each), at in zip(both, found.leading, strict=True)]))
    fits = Check(
        name="fit",
        value=fit,
        passed=fit >= _FITS,
        text=f"The linear models explain {100 * fit:.0f}% of how predictions vary near a row (median "
        f"over rows, weighted; {100 * _FITS:.0f}% or more is demanded).",
    )
    made = [fits, *checks(subject, rows, mine, wrong, complete=False)]
    return told(subject, rows, mine, made, "LIME", complete=False)


def _instead(found: Attributed, estimates: Sequence[Estimate]) -> Attributed:
    """Returns the same rows with other attributions."""
    kept = [
        replace(own, path=old.path) for own, old in zip(estimates, found.estimates, strict=True)
    ]
    return replace(found, estimates=kept, evaluations=round(np.mean([e.evaluations for e in kept])))
