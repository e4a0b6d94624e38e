"""Several targets at once: which kind of prediction they ask for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from pawl.data.kinds import (
    MIN_CLASS_ROWS,
    check_classes,
    check_kind,
    check_positive,
    check_varies,
    positive_last,
    with_test_classes,
)
from pawl.data.labels import Labels, are_booleans
from pawl.data.targets import Targets
from pawl.data.types import TargetColumn, list_names
from pawl.errors import DataError, TaskError
from pawl.kinds import KINDS, KindName
from pawl.task import Task

_LABEL = 2
"""Classes of a label: it is there, or it isn't."""


def settle_several(
    targets: Targets, task: Task, *, form: str, test: Targets | None
) -> tuple[KindName, tuple[TargetColumn, ...]]:
    """Decides what is predicted where there are several targets: labels, or quantities.

    Columns of two classes each are labels (numbers in the user's own arrays only if they are
    whole, or 0 and 1); columns of numbers are quantities. Arrays that look like one class in one-hot
    form are refused.

    Args:
        targets: The targets of the data.
        task: Its `kind` and `read` are used.
        form: Where the targets come from; see `pawl.data.kinds.settle`.
        test: The targets of test rows that were given apart.

    Raises:
        TaskError: If they cannot be what the user wants.
        DataError: If one does not vary, they are unlike each other, or the test rows don't fit.
    """
    check_kind(task.kind)
    for labels in targets.columns:
        check_varies(labels)
    if task.kind is None and form == "arrays" and _is_one_hot(targets):
        raise DataError(
            f"got {len(targets.columns)} targets of which exactly one is 1 in every row: take the "
            "argmax if they are one-hot, or ask for the kind multilabel"
        )
    kind = task.kind or _infer(targets, form)
    if not KINDS[kind].target_axes:
        raise TaskError(
            f"got the kind {kind} for {len(targets.columns)} targets ({targets.name}); use multilabel "
            "or multitarget, or name one target"
        )
    if task.read.rare is not None:
        raise TaskError(
            f"got {task.read.rare!r} for rare classes, which is for one target of classes, and there "
            f"are {len(targets.columns)}; leave it out"
        )
    if kind == "multitarget":
        check_positive(task.read.positive, targets.name, "quantities")
        for labels in targets.columns:
            if labels.numbers is None and not are_booleans(labels.names()):
                raise TaskError(
                    f"got the kind multitarget, but the target {labels.name!r} is text such as "
                    f"{labels.names()[0]!r}; name targets of numbers"
                )
        return kind, tuple(TargetColumn(name=labels.name) for labels in targets.columns)
    columns = []
    for place, labels in enumerate(targets.columns):
        names = labels.names()
        if len(names) != _LABEL:
            raise TaskError(
                f"got the kind multilabel, but the target {labels.name!r} has {len(names)} classes "
                f"({list_names(names)}); each label needs two, such as 0 and 1"
            )
        names = positive_last(names, task.read.positive, labels.name)
        known, _ = with_test_classes(names, "binary", None if test is None else test.columns[place])
        columns.append(TargetColumn(name=labels.name, classes=known))
    return kind, tuple(columns)


def _infer(targets: Targets, form: str) -> KindName:
    labels = [_is_label(each, form) for each in targets.columns]
    if all(labels):
        return "multilabel"
    if all(each.numbers is not None for each in targets.columns):
        return "multitarget"
    for each in targets.columns:
        if each.numbers is None and not _is_label(each, form):
            names = each.names()
            raise DataError(
                f"the target {each.name!r} has {len(names)} classes ({list_names(names, 4)}); of "
                "several targets, all must be numbers, or each have two classes; name one target"
            )
    raise DataError(
        f"some of the targets {targets.name} are labels and some are quantities; name those of one sort"
    )


def _is_label(labels: Labels, form: str) -> bool:
    if len(labels.names()) != _LABEL:
        return False
    # As floats, 0 and 1 are what losses of labels want.
    whole = labels.whole or labels.names() == ["0", "1"]
    return labels.numbers is None or form == "table" or whole


def _is_one_hot(targets: Targets) -> bool:
    if any(labels.numbers is None for labels in targets.columns):
        return False
    values = np.stack(
        [labels.numbers for labels in targets.columns if labels.numbers is not None], 1
    )
    return bool(np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all())


def check_targets(encoded: Tensor, kind: KindName, columns: Sequence[TargetColumn]) -> list[str]:
    """Returns notes on targets of development rows; see `check_classes` for one of classes.

    Args:
        encoded: `[R, *S]`.
        kind: What is predicted.
        columns: The targets.

    Raises:
        DataError: A class is too small to be split again.
    """
    if kind != "multilabel":
        check_classes(encoded, columns[0].classes, columns[0].name)
        return []
    least = np.minimum(encoded.sum(0).numpy(), (1 - encoded).sum(0).numpy())
    few = [
        column.name for column, count in zip(columns, least, strict=True) if count < MIN_CLASS_ROWS
    ]
    if not few:
        return []
    return [
        f"{len(few)} label(s) ({list_names(few)}) have fewer than {MIN_CLASS_ROWS} development rows of "
        "one class: little can be learned or shown of them"
    ]
