"""Metrics of the user's own: which form of predictions one takes, and its scores.

Shape legend: `...` leading axes (members), `R` rows, `C` classes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pawl.errors import TaskError, first_line
from pawl.kinds import KINDS
from pawl.task import Given, MetricFunction, Objective

_FORMS: dict[Given, str] = {
    "probabilities": "probabilities of the classes",
    "second": "probabilities of the second class",
    "labels": "class numbers",
}


def name_of(metric: MetricFunction) -> str:
    """Returns what reports call a function; a `functools.partial` has its function's name."""
    metric = getattr(metric, "func", metric)
    return str(getattr(metric, "__name__", type(metric).__name__))


def choose_given(objective: Objective, made_up: Sequence[Tensor], targets: Tensor) -> Objective:
    """Decides what a function is given as predictions: the first form that it can work with.

    Probabilities come first, then, of two classes, those of the second, then class numbers. A form
    does if the function takes it without an error and tells two unlike predictions apart.

    Args:
        objective: With a function of the user's.
        made_up: Unlike predictions of the same rows, each `[R, *P]`.
        targets: `[R, *S]`.

    Raises:
        TaskError: It raises on every form.
    """
    forms: tuple[Given, ...] = ("probabilities",)
    if KINDS[objective.kind].has_classes:
        forms = tuple(f for f in _FORMS if f != "second" or objective.kind == "binary")
    usable, errors = [], []
    for given in forms:
        tried = replace(objective, given=given)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = [float(score_by_function(tried, p, targets)) for p in made_up]
        except TaskError as error:
            errors.append(error)
            continue
        usable.append(tried)
        if len(set(values)) > 1 and all(map(math.isfinite, values)):
            return tried
    if usable:
        return usable[0]
    why = [f"{type(e.__cause__).__name__}: {first_line(e.__cause__ or e)}" for e in errors]
    last = f"; given {_FORMS[forms[-1]]} instead, it raised {why[-1]}"
    raise TaskError(f"{errors[0]}{last if why[-1] != why[0] else ''}") from errors[0]


def note_on(objective: Objective) -> str | None:
    """Returns what a reader should know of what the user's metric is given, if it isn't the rule."""
    if objective.given == "probabilities":
        return None
    return f"the metric {objective.metric} is given {_FORMS[objective.given]}"


def score_by_function(
    objective: Objective, predictions: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Returns the metric's values; see `pawl.training.metrics.score`."""
    assert objective.function is not None
    kind = KINDS[objective.kind]
    of_rows = predictions.shape[-1 - kind.prediction_axes :]
    lead = predictions.shape[: -len(of_rows)]
    flat_p = predictions.reshape(-1, *of_rows).cpu().numpy()
    shape = targets.shape[-1 - kind.target_axes :]
    flat_t = targets.expand(*lead, *shape).reshape(-1, *shape).cpu().numpy()
    counts: list[np.ndarray | None] = [None] * len(flat_p)
    if weights is not None:
        expanded = weights.expand(*lead, weights.shape[-1]).reshape(-1, weights.shape[-1])
        counts = list(expanded.cpu().numpy().astype(np.int64))
    values = []
    for p, t, repeat in zip(flat_p, flat_t, counts, strict=True):
        if not np.isfinite(p).all():
            values.append(float("nan"))
            continue
        rows = np.repeat(np.arange(len(t)), 1 if repeat is None else repeat)
        given = _in_form(p, objective)
        try:
            values.append(float(objective.function(t[rows], given[rows])))
        except (Exception, SystemExit) as error:
            if repeat is not None:  # a draw may lack what the metric needs, such as a class
                values.append(float("nan"))
                continue
            what = f" ({_FORMS[objective.given]})" if kind.has_classes else ""
            raise TaskError(
                f"the metric {objective.metric} raised {type(error).__name__}: "
                f"{first_line(error)}; it is called with targets {t.shape} and predictions "
                f"{given.shape}{what} and must return a number"
            ) from error
    return torch.tensor(values, dtype=torch.float64).view(lead)


def _in_form(p: np.ndarray, objective: Objective) -> np.ndarray:
    if objective.given == "second":
        return p[:, 1]
    return KINDS[objective.kind].labels(p) if objective.given == "labels" else p
