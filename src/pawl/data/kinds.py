"""Which kind of prediction the targets ask for, and whether there is enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pawl.data.labels import (
    Labels,
    are_booleans,
    canonical_name,
    is_number,
    sort_classes,
)
from pawl.data.types import list_names
from pawl.errors import DataError, TaskError, did_you_mean
from pawl.kinds import KINDS, KindName
from pawl.task import CLASS_METRICS, MetricFunction, Task

MIN_ROWS = 20
MIN_CLASS_ROWS = 5
_MAX_ARRAY_CLASSES = 100
_FEW_CLASSES = 20
_BINARY = 2


def settle(
    labels: Labels,
    task: Task,
    *,
    form: Literal["table", "images", "arrays"],
    test: Labels | None = None,
) -> tuple[KindName, tuple[str, ...], list[str]]:
    """Decides what is predicted, and its classes.

    Args:
        labels: The targets of the data.
        task: Its `kind`, `metric` and positive class are used; the kind is inferred if `None`.
        form: Where the targets come from.
        test: The targets of test rows that were given apart; they may add classes, but don't decide
            the kind.

    Returns:
        The kind, the class names (none for a regression) and notes.

    Raises:
        TaskError: If the targets cannot be of the kind that the user wants.
        DataError: If the target does not vary, or the test rows don't fit.
    """
    kind = task.kind
    check_kind(kind)
    check_varies(labels)
    if kind is not None and KINDS[kind].target_axes:
        raise TaskError(
            f"got the kind {kind}, which is for several targets, and there is one, {labels.name!r}; "
            "name more, as in a,b"
        )
    names = labels.names()
    notes = []
    if kind is None:
        kind = _infer_kind(labels, names, form, task.metric)
        if kind == "regression" and _could_be_classes(labels, names):
            notes.append(
                f"the target {labels.name!r} holds {len(names)} whole numbers ({list_names(names)}) "
                f"that are taken as quantities; the kind multiclass makes them classes"
            )
    elif (
        kind == "regression"
        and labels.numbers is None
        and (form == "images" or not are_booleans(names))
    ):
        raise TaskError(
            f"got the kind regression, but the target {labels.name!r} is text such as "
            f"{names[0]!r}; use binary or multiclass, or a target of numbers"
        )
    positive = task.read.positive
    if kind == "regression":
        check_positive(positive, labels.name, "a quantity")
        return kind, (), notes
    if kind == "multiclass" or len(names) != _BINARY:
        check_positive(positive, labels.name, f"one of {len(names)} classes")
    if kind == "binary" and len(names) != _BINARY:
        raise TaskError(
            f"got the kind binary, but the target {labels.name!r} has {len(names)} classes "
            f"({list_names(names)}); use multiclass, or a target with two"
        )
    names = positive_last(names, positive, labels.name)
    return kind, *with_test_classes(names, kind, test)


def check_kind(kind: str | None) -> None:
    """Raises `TaskError` when there is no such kind."""
    if kind is not None and kind not in KINDS:
        raise TaskError(
            f"got the kind {kind!r}{did_you_mean(str(kind), KINDS)}; allowed are {', '.join(KINDS)}"
        )


def check_varies(labels: Labels) -> None:
    """Raises `DataError` when a target has no values, or always the same."""
    if not labels.present.any():
        raise DataError(
            f"no row has a target in {labels.name!r}{labels.told_missing}; fill it or choose another "
            f"target"
        )
    names = labels.names()
    if len(names) == 1:
        raise DataError(
            f"the target {labels.name!r} is always {names[0]!r}{labels.told_missing}; at least two "
            f"different values are needed; choose another target or add rows"
        )


def check_positive(positive: str | None, name: str, what: str) -> None:
    """Raises `TaskError` when a positive class was named for what has none."""
    if positive is not None:
        raise TaskError(
            f"got the positive class {positive!r}, but the target {name!r} is {what}; it is for two "
            f"classes; leave it out"
        )


def positive_last(names: list[str], positive: str | None, target: str) -> list[str]:
    """Returns class names with the positive one, if it is named, at their end.

    Raises:
        TaskError: There is no such class.
    """
    if positive is None:
        return names
    ordered = sorted(names, key=lambda name: canonical_name(name) == canonical_name(positive))
    if canonical_name(ordered[-1]) != canonical_name(positive):
        raise TaskError(
            f"got the positive class {positive!r}{did_you_mean(positive, names)}; the target "
            f"{target!r} has {list_names(names)}"
        )
    return ordered


def _could_be_classes(labels: Labels, names: list[str]) -> bool:
    """Whether targets are few whole numbers, as classes often are."""
    numbers = labels.numbers
    if numbers is None or len(names) > _FEW_CLASSES:
        return False
    return bool((numbers[labels.present] % 1 == 0).all())


def _infer_kind(
    labels: Labels, names: list[str], form: str, metric: str | MetricFunction | None
) -> KindName:
    if metric in CLASS_METRICS and len(names) <= _MAX_ARRAY_CLASSES:
        numbers = labels.numbers
        if numbers is not None and (numbers[labels.present] % 1 == 0).all():
            return "binary" if len(names) == _BINARY else "multiclass"
    if labels.numbers is not None and form != "images":
        numbers = labels.numbers[labels.present]
        few = numbers.min() >= 0 and len(names) <= _MAX_ARRAY_CLASSES
        if form == "table":
            is_class = len(names) == _BINARY
        else:
            is_class = labels.whole and (len(names) == _BINARY or bool(few))
        if not is_class:
            return "regression"
    elif labels.odd is not None and len(names) > _FEW_CLASSES:
        raise DataError(
            f"the target {labels.name!r} mixes numbers with text such as {labels.odd!r}; allowed "
            f"is either; leave the cell empty, or ask for the kind multiclass"
        )
    return "binary" if len(names) == _BINARY else "multiclass"


def with_test_classes(
    names: list[str], kind: KindName, test: Labels | None
) -> tuple[tuple[str, ...], list[str]]:
    """Returns class names with those that only the test rows have, and a note on these.

    Raises:
        DataError: There would be more than two of a binary task.
    """
    if test is None:
        return tuple(names), []
    known = {*names, *map(canonical_name, names)}
    extra = [
        name for name in test.names() if name not in known and canonical_name(name) not in known
    ]
    if not extra:
        return tuple(names), []
    if kind == "binary":
        raise DataError(
            f"the test rows have the class(es) {list_names(extra)}, which the data lacks: its "
            f"classes are {list_names(names)}; correct the test rows' target"
        )
    note = f"only the test rows have the class(es) {list_names(extra)}: no model can learn them"
    return tuple(sort_classes({*names, *extra})), [note]


def check_rows(num_rows: int) -> None:
    """Raises `DataError` when there are too few rows to learn from."""
    if num_rows < MIN_ROWS:
        raise DataError(
            f"got {num_rows} row(s) with a target; at least {MIN_ROWS} are needed; add rows"
        )


def check_classes(targets: Tensor, classes: Sequence[str], name: str) -> None:
    """Raises `DataError` when a development class is too small to be split again."""
    counts = torch.bincount(targets, minlength=len(classes)).tolist() if classes else []
    small = [(place, count) for place, count in enumerate(counts) if 0 < count < MIN_CLASS_ROWS]
    if not small:
        return
    place, count = small[0]
    more = f" ({len(small)} classes are as small)" if len(small) > 1 else ""
    quantity = all(is_number(name) for name in classes)
    instead = "ask for the kind regression" if quantity else "choose another target"
    raise DataError(
        f"class {classes[place]!r} of the target {name!r} has {count} development row(s){more}; at "
        f"least {MIN_CLASS_ROWS} are needed; add rows, give the option rare (drop leaves such classes "
        f"out, merge makes one of them), or {instead}"
    )
