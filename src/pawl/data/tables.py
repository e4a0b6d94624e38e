"""Tables: choosing the target, setting the test rows aside, and reading rows by a schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from pawl.data.cells import as_dates, read_cells
from pawl.data.columns import infer_columns
from pawl.data.encoding import encode_columns, missing_column
from pawl.data.kinds import check_classes, check_rows
from pawl.data.labels import Labels, encode_labels, read_labels
from pawl.data.numbers import Marks, usual_mark
from pawl.data.rare import settle_rows
from pawl.data.sources import Parts, Source, require_form
from pawl.data.splits import split_rows
from pawl.data.types import Column, Examples, Schema
from pawl.errors import DataError
from pawl.options import ReadOptions
from pawl.task import Task

_TARGET_NAMES = ("target", "label", "class", "y")


def load_table(
    task: Task, source: Source, test: Source | None, *, seed: int, test_share: float
) -> Parts:
    """Reads a table, infers its schema from the development rows, and reads both parts by it.

    Raises:
        TaskError: If the target cannot be of the kind that the task asks for.
        DataError: If the table cannot be used.
    """
    frame: pd.DataFrame = source.value
    options = task.read
    target = _choose_target(source, None if task.target is None else str(task.target), options)
    _check_columns(frame, target, options)
    decimal = _decimal(options.decimal, usual_mark(frame, source.separator))
    frame, labels, notes = _with_target(frame, target, "rows", decimal)
    notes = [*source.notes, *notes]
    test_frame, test_labels = None, None
    if test is not None:
        require_form(test, "table", "the test data")
        test_frame, test_labels, more = _with_target(
            _named_target(test, target), target, "test rows", decimal
        )
        notes += [*test.notes, *more]
        if not len(test_frame):
            raise DataError(f"no test row has a target in {target!r}; fill it or leave test out")
    if len(frame):
        check_rows(len(frame))
    # Whole numbers beside a frame are what a user's array of classes looks like.
    form: Literal["table", "arrays"] = "table"
    if source.target is not None and pd.api.types.is_integer_dtype(frame[target].dtype):
        form, labels = "arrays", replace(labels, whole=True)
    settled = settle_rows(labels, task, form=form, test=test_labels, test_share=test_share)
    kind, classes, test_labels = settled.kind, settled.classes, settled.test
    notes += settled.notes
    frame = frame if settled.keep is None else frame[settled.keep]
    if test_frame is not None and settled.test_keep is not None:
        test_frame = test_frame[settled.test_keep]
    targets = encode_labels(settled.labels, kind, classes)
    everything = frame
    if test_frame is None or test_labels is None:
        rest, held = split_rows(targets, kind, test_share, seed)
        test_frame, test_targets = frame.iloc[held.numpy()], targets[held]
        frame, targets = frame.iloc[rest.numpy()], targets[rest]
    else:
        test_targets = encode_labels(test_labels, kind, classes)
    check_classes(targets, classes, target)
    inferred = infer_columns(frame.drop(columns=[target]), options, decimal)
    columns, inputs = inferred.columns, inferred.inputs
    notes += inferred.notes
    if test is None:
        notes += in_order_of_time(everything, columns)
    schema = Schema(
        source="table", kind=kind, target=target, classes=classes, columns=columns, inputs=inputs,
        separator=options.separator, encoding=options.encoding, decimal=decimal,
    )  # fmt: skip
    return Parts(
        schema,
        Examples(encode_columns(frame, columns, inputs, decimal=decimal), targets),
        Examples(encode_columns(test_frame, columns, inputs, decimal=decimal), test_targets),
        notes,
        inferred.left_out,
    )


def read_table(schema: Schema, source: Source, *, with_targets: bool) -> Examples:
    """Reads rows in file order by a schema; every row gives one example."""
    require_form(source, "table", "the source")
    frame = _named_target(source, schema.target)
    decimal = schema.decimal
    if len(decimal) > 1:  # new rows may be written otherwise
        decimal = _decimal(None, usual_mark(frame, source.separator) or decimal[0])
    targets = None
    if with_targets:
        if schema.target not in frame.columns:
            raise DataError(missing_column(schema.target, list(frame.columns), "target"))
        labels = read_labels(frame[schema.target], schema.target, decimal=decimal)
        absent = ~labels.present
        if absent.any():
            raise DataError(
                f"{absent.sum()} row(s) have no target in {schema.target!r}, the first is row "
                f"{absent.argmax() + 1}; every row needs one here; fill or remove them"
            )
        targets = encode_labels(labels, schema.kind, schema.classes)
    encoded = encode_columns(frame, schema.columns, schema.inputs, decimal=decimal, warn=True)
    return Examples(encoded, targets)


def in_order_of_time(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """A caution for each date by which the rows are in order, as a random test share ignores it."""
    notes = []
    for column in columns:
        if column.kind != "date":
            continue
        dates = as_dates(read_cells(frame[column.name]), column.date_format)
        steps = np.diff(dates[~np.isnat(dates)]).astype(np.int64)
        if (steps >= 0).all() or (steps <= 0).all():
            notes.append(
                f"the rows are in order of time by {column.name!r}, and the test rows are drawn at "
                f"random among them; if the model is to predict what comes later, give the latest "
                f"rows as test rows"
            )
    return notes


def _decimal(given: str | None, usual: str | None) -> Marks:
    if given is not None:
        return "," if given == "," else "."
    return ",." if usual == "," else ".,"


def _check_columns(frame: pd.DataFrame, target: str, options: ReadOptions) -> None:
    """Raises `DataError` when an option names a column that is not there, or the target."""
    names = [str(name) for name in frame.columns]
    for name in (*options.ignore, *options.kinds):
        if name not in names:
            raise DataError(missing_column(name, names))
        if name == target:
            raise DataError(
                f"the column {name!r} is the target, which is not to be ignored and has no type; "
                f"the option kind says what it is"
            )


def _choose_target(source: Source, wanted: str | None, options: ReadOptions) -> str:
    names = [str(name) for name in source.value.columns]
    if source.target is not None:
        if wanted not in (None, source.target):
            raise DataError(
                f"got the target {wanted!r}, but the targets came apart from the table as "
                f"{source.target!r}; leave the target out"
            )
        return source.target
    if wanted is not None:
        if wanted not in names:
            raise DataError(missing_column(wanted, names, "target"))
        return wanted
    names = [name for name in names if name not in options.ignore]
    lowered = {name.lower(): name for name in reversed(names)}
    for name in _TARGET_NAMES:
        if name in names or name in lowered:
            return name if name in names else lowered[name]
    named = [name for name in names if name]
    if not named:
        raise DataError("the table's columns have no names; a header is needed; add one")
    return named[-1]


def _named_target(source: Source, target: str) -> pd.DataFrame:
    frame: pd.DataFrame = source.value
    if source.target is None or source.target == target:
        return frame
    return frame.drop(columns=[target], errors="ignore").rename(columns={source.target: target})


def _with_target(
    frame: pd.DataFrame, target: str, what: Literal["rows", "test rows"], decimal: Marks
) -> tuple[pd.DataFrame, Labels, list[str]]:
    """The rows that have a target, their targets, and notes."""
    if target not in frame.columns:
        names = list(frame.columns)
        raise DataError(f"{what}: {missing_column(target, names, 'target')}")
    labels = read_labels(frame[target], target, decimal=decimal)
    present = labels.present
    notes = []
    if labels.num_infinite:
        notes.append(f"{labels.num_infinite} infinite target(s) in the {what} count as missing")
    if present.all():
        return frame, labels, notes
    if present.any():
        notes.append(
            f"{(~present).sum()} of {len(frame)} {what} have no target in {target!r} and were left "
            f"out"
        )
    return frame[present], labels.take(present), notes
