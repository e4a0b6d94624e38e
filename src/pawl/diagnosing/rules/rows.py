"""Rules on rows and targets: imbalance, copies, order, labels."""

from __future__ import annotations

import math

from pawl.diagnosing.facts import DataFacts
from pawl.diagnosing.finding import Finding

_IMBALANCE, _EXTREME_IMBALANCE = 10.0, 100.0
_COPIES = 0.01
_NEIGHBORS = 0.3
_UNLIKE = 0.1
_Z = 2.6
"""Standard errors: one in a hundred, two-sided."""


def class_imbalance(data: DataFacts) -> Finding | None:
    """A class with many times fewer rows than the most frequent one."""
    present = [count for count in data.classes if count]
    if len(present) < 2 or max(present) < _IMBALANCE * min(present):
        return None
    least, ratio = min(present), max(present) / min(present)
    place = data.classes.index(least)
    name = f"{data.names[place]!r}" if data.names else str(place)
    return Finding(
        rule="class_imbalance",
        severity="info" if ratio < _EXTREME_IMBALANCE else "warning",
        evidence=f"class {name} has {least:,} rows, the most frequent class {max(present):,}, "
        f"{ratio:.0f} times as many",
        strength=ratio / _IMBALANCE,
        suggests=("class_weights", "balanced_sampling", "logit_adjustment", "focal_loss"),
    )


def duplicate_rows(data: DataFacts) -> Finding | None:
    """Rows that have the inputs of others."""
    if data.copies < _COPIES:
        return None
    return Finding(
        rule="duplicate_rows",
        severity="info",
        evidence=f"{data.copies:.1%} of the {data.rows:,} development rows have the inputs of an "
        "earlier one: they count twice, and folds share them",
        strength=data.copies / _COPIES,
        advice="keep copies together by the option group, or leave them out",
    )


def conflicting_labels(data: DataFacts) -> Finding | None:
    """Rows of equal inputs and unlike classes: no model can be right on both."""
    if data.conflicts < _COPIES:
        return None
    return Finding(
        rule="conflicting_labels",
        severity="warning",
        evidence=f"{data.conflicts:.1%} of the {data.rows:,} development rows have the inputs of a row "
        "of another class: no model can be right on both",
        strength=data.conflicts / _COPIES,
        suggests=("label_smoothing", "generalized_cross_entropy"),
        advice="check these labels, or add columns that tell the rows apart",
    )


def rows_in_train_and_test(data: DataFacts) -> Finding | None:
    """Test rows that are in the development rows, too."""
    if not data.test_rows or data.seen < max(2.0, _COPIES * data.test_rows):
        return None
    share = data.seen / data.test_rows
    return Finding(
        rule="rows_in_train_and_test",
        severity="critical" if share >= 0.5 else "warning",
        evidence=f"{data.seen:,} of the {data.test_rows:,} test rows ({share:.0%}) have the inputs of a "
        "row that trains: their scores may be better than those of new rows",
        strength=share / _COPIES,
        advice="test rows that are in no other part; the option group keeps copies together",
    )


def rows_in_order(data: DataFacts) -> Finding | None:
    """Neighboring rows whose targets are alike: they may come from one time, place or person."""
    if data.blocks or data.sorted or data.neighbors < _NEIGHBORS:
        return None
    if data.neighbors < _Z / math.sqrt(data.rows):
        return None
    return Finding(
        rule="rows_in_order",
        severity="warning",
        evidence=f"the targets of neighboring rows agree by {data.neighbors:.2f} (0 is chance, 1 is the "
        "same): rows that belong together, or follow each other in time, lie on both sides of a random "
        "split, and scores may be better than on new ones",
        strength=data.neighbors / _NEIGHBORS,
        advice="say so by the option time or group",
    )


def label_errors(data: DataFacts) -> Finding | None:
    """Labels that are wrong even of the rows that are clearest.

    With right labels the tenth of the rows that out-of-fold predictions are surest of has few errors:
    how few follows from how good predictions are over all, where rows are hard by degrees. With a share
    of wrong labels errors there do not fall below it.
    """
    clear = data.clear
    if clear is None:
        return None
    unlike = clear.clearest
    error = math.sqrt(max(unlike * (1 - unlike), 1e-9) / (0.1 * clear.rows))
    if unlike < _UNLIKE or unlike - _Z * error < clear.graded:
        return None
    return Finding(
        rule="label_errors",
        severity="warning",
        evidence=f"of the tenth of the rows that boosted trees are surest of, out of fold, {unlike:.0%} "
        f"have another label; were rows hard by degrees, {clear.graded:.0%} would. About "
        f"{clear.suspects:,} of {clear.rows:,} labels are suspect (confident learning)",
        strength=(unlike - clear.graded) / (_Z * error),
        suggests=("generalized_cross_entropy", "label_smoothing", "trimmed_loss"),
        advice="check the labels",
    )


RULES = (
    class_imbalance,
    duplicate_rows,
    conflicting_labels,
    rows_in_train_and_test,
    rows_in_order,
    label_errors,
)
