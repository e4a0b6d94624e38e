"""Integrated gradients of a table's numbers, beside Shapley values of the same rows.

Shape legend: `N` rows, `F` columns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pawl.data.types import Inputs
from pawl.explaining import attributions
from pawl.explaining.attributions import Attributed
from pawl.explaining.gradients import (
    SHUFFLES,
    integrated_gradients,
    scrambled,
    unshifted_values,
)
from pawl.explaining.result import Attributions, Check, RowAttribution
from pawl.explaining.subject import Subject, Values, count_of, taken
from pawl.models import Pipeline

_STEPS = 50
_COMPLETE = 0.1


def by_gradients(
    subject: Subject, pipeline: Pipeline, rows: Inputs, found: Attributed, *, seed: int
) -> Attributions | str:
    """Returns integrated gradients of rows, or why there are none.

    They go from the background's mean to the row; categories have no way between them, so they stay
    those of the row, and only numbers get a part.

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
    finite = found.background[name]
    baseline = torch.nan_to_num(torch.nanmean(torch.where(finite.isfinite(), finite, torch.nan), 0))
    shown: Callable[[Tensor], Tensor] = unshifted_values(subject.shift)

    def maps(model: Pipeline, count: int | None = None) -> tuple[Values, Values]:
        each, missed = integrated_gradients(
            model, rows, name, baseline, found.leading[:count], shown=shown, steps=_STEPS
        )
        return np.stack([each[:, list(own.at)].sum(1) for own in features], 1), missed

    if not maps(pipeline, 1)[0].any():
        return "the model has no gradients: it is flat but for steps, as trees are"
    values, missed = maps(pipeline)
    scale = found.scale[found.leading]
    worst = float((np.abs(missed) / np.where(scale > 0, scale, 1.0)).max())
    checks = [
        Check(
            name="completeness",
            value=worst,
            passed=worst <= _COMPLETE,
            text="A row's sum misses the prediction's distance from that of the mean row (its "
            f"categories kept) by {worst:.2g} deviations at most ({_COMPLETE:g} is allowed). A "
            "model with steps, such as trees, has no gradients to add up.",
        )
    ]
    if len(features) >= attributions.RANKED:
        wrong = [maps(scrambled(pipeline, seed, number))[0] for number in range(SHUFFLES)]
        checks.append(attributions.weights_check(values, wrong))
        places = [subject.features.index(each) for each in features]
        same = attributions.alike(values, found.values()[:, places])
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
        method="integrated gradients",
        background=count_of(found.background),
        evaluations=_STEPS,
        features=[each.name for each in features],
        rows=told,
        completeness=worst,
        checks=checks,
    )
