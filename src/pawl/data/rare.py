"""The target's kind and classes, once classes with too few rows are dropped or merged.

Shape legend: `R` rows.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pawl.data.cells import number_name
from pawl.data.kinds import MIN_CLASS_ROWS, settle
from pawl.data.labels import Labels
from pawl.data.narrowing import refuse_coarse
from pawl.data.several import settle_several
from pawl.data.targets import Targets
from pawl.data.types import TargetColumn, list_names
from pawl.errors import DataError, TaskError
from pawl.kinds import KindName
from pawl.task import Task

Form = Literal["table", "images", "arrays"]
_OTHER = "other"


@dataclass(frozen=True)
class Settled:
    """What is predicted, and from which rows.

    Attributes:
        kind: What is predicted.
        columns: The targets, with their classes.
        targets: Those of the rows that are kept.
        test: Those of test rows that were given apart.
        keep: `[R]` which rows are kept; `None` if all are.
        test_keep: The same of the test rows.
        notes: What a reader should know.
    """

    kind: KindName
    columns: tuple[TargetColumn, ...]
    targets: Targets
    test: Targets | None
    keep: NDArray[np.bool_] | None
    test_keep: NDArray[np.bool_] | None
    notes: list[str]


def settle_rows(
    targets: Targets,
    task: Task,
    *,
    form: Form,
    test: Targets | None,
    test_share: float,
) -> Settled:
    """Decides what is predicted, and does to rare classes what the task asks for.

    Args:
        targets: The targets of the data, none of them missing unless all are.
        task: Its `kind`, `metric` and `read` are used.
        form: Where the targets come from.
        test: The targets of test rows that were given apart, none of them missing.
        test_share: The part of the rows that is set aside where none were.

    Raises:
        TaskError: If the targets cannot be what the task asks for.
        DataError: If the target does not vary, or hardly does in 32 bits, the test rows don't fit, or
            rare classes are too few rows to be merged.
    """
    if len(targets.columns) > 1:
        kind, columns = settle_several(targets, task, form=form, test=test)
        settled = Settled(kind, columns, targets, test, None, None, [])
    else:
        own_test = None if test is None else test.columns[0]
        settled = _settle_one(targets.columns[0], task, form, own_test, test_share)
    for labels, column in zip(settled.targets.columns, settled.columns, strict=True):
        if not column.classes and labels.numbers is not None:
            refuse_coarse(f"target {labels.name!r}", labels.numbers)
    return settled


def _settle_one(
    labels: Labels, task: Task, form: Form, test: Labels | None, test_share: float
) -> Settled:
    keep: NDArray[np.bool_] | None = None
    test_keep: NDArray[np.bool_] | None = None
    notes: list[str] = []

    def settled() -> Settled:
        kind, classes, more = settle(labels, task, form=form, test=test)
        column = TargetColumn(name=labels.name, classes=classes)
        held = None if test is None else Targets((test,))
        return Settled(kind, (column,), Targets((labels,)), held, keep, test_keep, [*notes, *more])

    rare = task.read.rare
    if rare is None:
        return settled()
    unordered = replace(task, read=task.read.model_copy(update={"positive": None}))
    kind, classes, _ = settle(labels, unordered, form=form, test=test)
    if kind == "regression":
        raise TaskError(
            f"got {rare!r} for rare classes, but the target {labels.name!r} is a quantity; leave it "
            f"out, or ask for the kind multiclass"
        )
    names = _names(labels)
    share = 0.0 if test is not None else test_share
    few = _rare(names, share)
    if not few:
        return settled()
    counted = f"{len(few)} rare class(es) ({list_names(few)}) with {np.isin(names, few).sum()} rows"
    if rare == "drop":
        keep = ~np.isin(names, few)
        labels = labels.take(keep)
        if test is not None:
            test_keep = ~np.isin(_names(test), few)
            test = test.take(test_keep)
        notes.append(f"{counted} were left out")
    else:
        _check_merged(labels.name, few, int(np.isin(names, few).sum()), share)
        other = _OTHER
        while other in classes:
            other += "_"
        labels = _merged(labels, few, other)
        test = None if test is None else _merged(test, few, other)
        notes.append(f"{counted} were merged into the class {other!r}")
    return settled()


def _names(labels: Labels) -> NDArray[Any]:
    """`[R]` each row's class by name."""
    if labels.numbers is None:
        assert labels.texts is not None
        return labels.texts
    distinct, codes = np.unique(labels.numbers, return_inverse=True)
    return np.array([number_name(float(value)) for value in distinct], dtype=object)[codes]


def _merged(labels: Labels, few: list[str], other: str) -> Labels:
    names = _names(labels)
    texts = np.where(np.isin(names, few), other, names).astype(object)
    return replace(labels, texts=texts, numbers=None, odd=None)


def _rare(names: NDArray[Any], share: float) -> list[str]:
    """Classes with too few rows to develop on, the smallest first."""
    classes, counts = np.unique(names.astype(str), return_counts=True)
    order = np.argsort(counts, kind="stable")
    return [str(classes[place]) for place in order if not _enough(int(counts[place]), share)]


def _enough(count: int, share: float) -> bool:
    """Whether so many rows are enough to develop on, once test rows are set aside."""
    return count - math.ceil(count * share) >= MIN_CLASS_ROWS


def _check_merged(target: str, few: list[str], count: int, share: float) -> None:
    """Raises `DataError` when rare classes are too few rows even together."""
    if _enough(count, share):
        return
    needed = next(rows for rows in itertools.count(count) if _enough(rows, share))
    raise DataError(
        f"the rare class(es) {list_names(few)} of the target {target!r}, merged, would have {count} "
        f"row(s); at least {needed} are needed; use drop for the option rare, or add rows"
    )
