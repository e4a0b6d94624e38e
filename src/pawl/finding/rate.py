"""`find_rate`: a learning rate by a range test, or by cross-validation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import annotated_types

from pawl.errors import TaskError, option
from pawl.execution import driving
from pawl.finding.opening import opened
from pawl.finding.rate_range import RangeTest, range_test
from pawl.finding.rate_scores import RateScores, cross_validated
from pawl.options import FindRateCall, optimizing
from pawl.recipe import Recipe
from pawl.techniques import technique

_MANY, _FEW = 25, 9


@optimizing(FindRateCall)
@driving()
def find_rate(source: Any, targets: Any, call: FindRateCall) -> RangeTest | RateScores:
    """Finds a learning rate, by short trainings or, with `folds`, by cross-validation.

    Nothing of it stays: what is trained afterwards is the same, bit by bit. Test rows are not touched.

    The range test trains members of one population, each at a constant rate of its own, from the same
    first weights on the same batches; so a high rate meets weights as fresh as a low one does, and one
    that diverges harms no other (in a test whose rate grows step by step, each goes on from what the
    rates before left). It says what lowers the training loss fastest within `steps`. With `folds` each
    rate trains to the end on the same folds and seeds, with schedule and early stopping, and is scored
    on the rows held out: slower, and what the rate is chosen for.

    Args:
        source: As in `optimize`.
        targets: As in `optimize`.

    Raises:
        PawlError: Any wrong input, in one line.

    Example:
        >>> import pawl
        >>> found = pawl.find_rate("digits", rates=5, steps=12, seeds=1)
        >>> found.suggested in [each.rate for each in found.rates]
        True

    Smith, Cyclical Learning Rates for Training Neural Networks, WACV 2017 (range test).
    """
    with opened(source, targets, call, "find-rate", call.epochs) as (session, recipe):
        grid = rates_of(recipe, call)
        found: RangeTest | RateScores
        if call.folds is None:
            found = range_test(session, recipe, grid, call.steps, call.seeds)
        else:
            found = cross_validated(session, recipe, grid, call.folds)
    if call.picture is not None:
        Path(call.picture).write_text(found.picture(), encoding="utf-8")
    return found


def rates_of(recipe: Recipe, call: FindRateCall) -> list[float]:
    """Returns the rates to try: by equal factors, within the optimizer's bounds.

    Raises:
        TaskError: They are none, or outside of these.
    """
    field = technique(recipe.optimizer).settings.model_fields["learning_rate"]
    least, most = (
        next(getattr(each, name) for each in field.metadata if isinstance(each, kind))
        for name, kind in (("ge", annotated_types.Ge), ("le", annotated_types.Le))
    )
    lowest = least if call.lowest is None else call.lowest
    highest = most if call.highest is None else call.highest
    for name, rate in (("lowest", lowest), ("highest", highest)):
        if not least <= rate <= most:
            raise TaskError(
                f"got {option(name, rate)}; {recipe.optimizer} takes rates from {least:g} to {most:g}"
            )
    if lowest >= highest:
        raise TaskError(
            f"got {option('lowest', lowest)} and {option('highest', highest)}; give a lower and a "
            "higher one"
        )
    count = call.rates or (_MANY if call.folds is None else _FEW)
    factor = math.log(highest / lowest) / (count - 1)
    inner = [float(f"{lowest * math.exp(factor * i):.3g}") for i in range(1, count - 1)]
    return [lowest, *inner, highest]
