"""Integrated and expected gradients of a table's numbers, beside Shapley values of the same rows.

Shape legend: `N` rows, `F` columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pawl.data.types import Inputs
from pawl.explaining import attributions
from pawl.explaining.gradients import (
    SHUFFLES,
    expected_gradients,
    integrated_gradients,
    scrambled,
    unshifted_values,
)
from pawl.explaining.result import Attributions, Method, RowAttribution
from pawl.explaining.subject import Feature, Subject, Values, count_of, taken
from pawl.explaining.value import Check
from pawl.explaining.worth import RANKED, SHUFFLED, Attributed, alike, weights_check
from pawl.models import Pipeline

_STEPS, _FEW = 50, 8
_COMPLETE = 0.1
Maps = Callable[[Pipeline, Method, int | None], tuple[Values, Values]]


def by_gradients(
    subject: Subject, pipeline: Pipeline, rows: Inputs, found: Attributed, *, seed: int
) -> list[Attributions] | str:
    """Returns integrated and expected gradients of rows, or why there are none.

    The first go from the background's mean to the row, the others from each background row; categories
    have no way between them, so they stay those of the row, and only numbers get a part.

    Args:
        subject: What is explained.
        pipeline: The bundle's modules.
        rows: `N` rows.
        found: Their Shapley values.
        seed: Of the shuffled weights.
    """
    features = [each for each in subject.features if each.kind != "categorical"]
    names = {each.input for each in features}
    if len(names) != 1 or any(not each.at for each in features):
        return "integrated gradients are for the numbers of tables, and for images"
    (name,) = names
    if not rows[name].is_floating_point():
        return "integrated gradients are for numbers with a point"
    others = found.background[name]
    mean = torch.nan_to_num(torch.nanmean(torch.where(others.isfinite(), others, torch.nan), 0))
    shown: Callable[[Tensor], Tensor] = unshifted_values(subject.shift)

    def maps(model: Pipeline, method: Method, count: int | None = None) -> tuple[Values, Values]:
        outputs = found.leading[:count]
        if method == "integrated gradients":
            each, missed = integrated_gradients(
                model, rows, name, mean, outputs, shown=shown, steps=_STEPS
            )
        else:
            each, missed = expected_gradients(model, rows, name, others, outputs, shown=shown)
        return np.stack([each[:, list(own.at)].sum(1) for own in features], 1), missed

    if not maps(pipeline, "integrated gradients", 1)[0].any():
        return "the model has no gradients: it is flat but for steps, as trees are"
    wrong = [scrambled(pipeline, seed, number) for number in range(SHUFFLES)]
    methods: tuple[Method, ...] = ("integrated gradients", "expected gradients")
    return [
        _told(subject, rows, found, features, method, maps, pipeline, wrong) for method in methods
    ]


def _told(
    subject: Subject,
    rows: Inputs,
    found: Attributed,
    features: Sequence[Feature],
    method: Method,
    maps: Maps,
    pipeline: Pipeline,
    wrong: Sequence[Pipeline],
) -> Attributions:
    """Returns one method's attributions with their checks."""
    values, missed = maps(pipeline, method, None)
    scale = found.scale[found.leading]
    worst = float((np.abs(missed) / np.where(scale > 0, scale, 1.0)).max())
    start = "that of the mean row" if method == "integrated gradients" else "the background's mean"
    checks = [
        Check(
            name="completeness",
            value=worst,
            passed=worst <= _COMPLETE,
            text=f"A row's sum misses the prediction's distance from {start} (its "
            f"categories kept) by {worst:.2g} deviations at most ({_COMPLETE:g} is allowed). A "
            "model with steps, such as trees, has no gradients to add up.",
        )
    ]
    if len(features) >= RANKED:
        checks.append(weights_check(values, [maps(each, method, SHUFFLED)[0] for each in wrong]))
        places = [subject.features.index(each) for each in features]
        same = alike(values, found.values()[:, places])
        checks.append(
            Check(
                name="agreement",
                value=same,
                passed=True,
                text="They rank the numbers of a row as its Shapley values do with a correlation "
                f"of {same:.2f} (median over rows; nothing is demanded).",
            )
        )
    told = []
    for place, at in enumerate(found.leading):
        row = taken(rows, [place])
        prediction = float(found.predictions[place, at])
        total = float(values[place].sum() - missed[place])
        told.append(
            RowAttribution(
                row=place,
                output=subject.outputs[at],
                prediction=prediction,
                base=prediction - total,
                shown=[attributions.shown(each, row) for each in features],
                values=[float(value) for value in values[place]],
                errors=[0.0] * len(features),
            )
        )
    return Attributions(
        method=method,
        background=count_of(found.background),
        evaluations=_STEPS
        if method == "integrated gradients"
        else _FEW * count_of(found.background),
        features=[each.name for each in features],
        rows=told,
        completeness=worst,
        checks=checks,
    )
