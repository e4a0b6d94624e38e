"""Rows that vary together: intervals count groups and stretches of time, not rows."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pawl.evidence import ALPHA
from pawl.evidence.crossed import HoldoutScore, crossed, holdout_score, interval
from pawl.evidence.gain import gain_on_test
from pawl.training.metrics import make_objective

GROUPS, SIZE, FOLDS = 40, 10, 5
ROWS = GROUPS * SIZE
UNITS = torch.arange(ROWS) // SIZE
OBJECTIVE = make_objective("mae", None, "regression")


def pairs(generator: torch.Generator, *, together: float) -> tuple[list[HoldoutScore], ...]:
    """Errors of two arms that are alike, over folds of whole groups; rows of a group err alike."""
    order = torch.randperm(GROUPS, generator=generator)
    found: tuple[list[HoldoutScore], ...] = ([], [])
    targets = torch.zeros(ROWS)
    both = [
        1.0
        + together * torch.rand(GROUPS, generator=generator).repeat_interleave(SIZE)
        + (1 - together) * torch.rand(ROWS, generator=generator)
        for _ in found
    ]
    for fold in range(FOLDS):
        rows = torch.isin(UNITS, order[fold::FOLDS]).nonzero().flatten()
        for arm, errors in zip(found, both, strict=True):
            judged = holdout_score(OBJECTIVE, errors[rows], targets[rows], rows, UNITS)
            assert judged is not None
            arm.append(judged)
    return found


def called(together: float, units: Tensor | None, runs: int = 300) -> float:
    """The share of arms that are alike and called different."""
    generator = torch.Generator().manual_seed(1)
    drawn = [pairs(generator, together=together) for _ in range(runs)]
    return float(
        np.mean([crossed(OBJECTIVE, a, b, ROWS, units=units).p_value <= ALPHA for a, b in drawn])
    )


def test_error_rates_hold_where_rows_of_a_group_err_alike():
    slack = 3 * math.sqrt(ALPHA * (1 - ALPHA) / 300)
    assert called(0.9, UNITS) <= ALPHA + slack
    assert called(0.0, UNITS) <= ALPHA + slack


def test_units_of_one_row_each_change_nothing():
    generator = torch.Generator().manual_seed(2)
    first, second = pairs(generator, together=0.5)
    plain = crossed(OBJECTIVE, first, second, ROWS)
    each = crossed(OBJECTIVE, first, second, ROWS, units=torch.arange(ROWS))
    assert each.effect == plain.effect
    assert math.isclose(each.standard_error, plain.standard_error, rel_tol=0.01)


def test_rows_of_a_group_widen_the_intervals_on_test_rows():
    generator = torch.Generator().manual_seed(3)
    errors = torch.rand(3, GROUPS, generator=generator).repeat_interleave(SIZE, dim=1)
    targets = torch.zeros(ROWS)
    plain = gain_on_test(OBJECTIVE, 1 + errors, errors + 0.9, targets)
    grouped = gain_on_test(OBJECTIVE, 1 + errors, errors + 0.9, targets, units=UNITS)
    widths = [high - low for low, high in (plain.final[1], grouped.final[1])]
    assert 0.8 * math.sqrt(SIZE) < widths[1] / widths[0] < 1.3 * math.sqrt(SIZE)


def test_a_metric_function_is_computed_without_whole_groups():
    objective = make_objective(
        lambda targets, predictions: float(np.abs(targets - predictions).mean()),
        "minimize", "regression",
    )  # fmt: skip
    generator = torch.Generator().manual_seed(4)
    errors = torch.rand(GROUPS, generator=generator).repeat_interleave(SIZE)
    rows, targets = torch.arange(ROWS), torch.zeros(ROWS)
    mine = holdout_score(objective, errors, targets, rows, UNITS)
    known = holdout_score(OBJECTIVE, errors, targets, rows, UNITS)
    assert mine is not None
    assert known is not None
    low, high = interval(objective, mine, UNITS)
    low_, high_ = interval(OBJECTIVE, known, UNITS)
    assert math.isclose(high - low, high_ - low_, rel_tol=0.1)
