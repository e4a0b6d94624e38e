"""Tables: choosing the target, setting the test rows aside, and reading rows by a schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from pawl.data.block_columns import block_columns, check_classes, read_blocks, split_names
from pawl.data.cells import as_dates, read_cells, with_numbers
from pawl.data.columns import infer_columns
from pawl.data.encoding import encode_columns, missing_column
from pawl.data.kinds import check_rows
from pawl.data.labels import read_labels
from pawl.data.lost import Lost
from pawl.data.numbers import Marks, usual_mark
from pawl.data.rare import settle_rows
from pawl.data.several import check_targets
from pawl.data.sources import Parts, Source, require_form
from pawl.data.splits import split_rows
from pawl.data.targets import Targets, encode_targets
from pawl.data.types import Column, Examples, Inputs, InputSpec, Schema, TargetColumn, Window
from pawl.data.windowed import Tables, Windowed, with_windows
from pawl.data.windows import WINDOW, notes_on_time, read_past
from pawl.errors import DataError, TaskError
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
    chosen = _choose_targets(source, task.target, options)
    _check_columns(frame, chosen, options)
    decimal = _decimal(options.decimal, usual_mark(frame, source.separator))
    whole, whole_test = frame, None
    frame, read, notes = _with_targets(frame, chosen, "rows", decimal)
    notes = [*source.notes, *_notes_on_index(source, chosen, options), *notes]
    test_frame, test_read = None, None
    if test is not None:
        require_form(test, "table", "the test data")
        whole_test = _named_targets(test, chosen)
        test_frame, test_read, more = _with_targets(whole_test, chosen, "test rows", decimal)
        notes += [*test.notes, *more]
        if not len(test_frame):
            raise DataError(
                f"no test row has a target in {read.name!r}{test_read.told_missing}; fill it or leave "
                f"test out"
            )
    if len(frame):
        check_rows(len(frame))
    # Whole numbers beside a frame are what a user's array of classes looks like.
    form: Literal["table", "arrays"] = "table"
    if source.targets and all(pd.api.types.is_integer_dtype(frame[name].dtype) for name in chosen):
        form = "arrays"
        read = Targets(tuple(replace(labels, whole=True) for labels in read.columns))
    settled = settle_rows(read, task, form=form, test=test_read, test_share=test_share)
    kind, predicted, test_read = settled.kind, settled.columns, settled.test
    notes += settled.notes
    frame = frame if settled.keep is None else frame[settled.keep]
    if test_frame is not None and settled.test_keep is not None:
        test_frame = test_frame[settled.test_keep]
    targets = encode_targets(settled.targets, kind, predicted)
    blocks, test_blocks, more = read_blocks(frame, test_frame, options)
    check_classes(blocks, targets if kind == "binary" else None, predicted[0].classes)
    notes += more
    everything = frame = _numbers_read(frame, chosen, options, decimal)
    if test_frame is None or test_read is None:
        rest, held = split_rows(targets, kind, test_share, seed, blocks=blocks)
        test_frame, test_targets = frame.iloc[held.numpy()], targets[held]
        frame, targets = frame.iloc[rest.numpy()], targets[rest]
        if blocks is not None:
            blocks, test_blocks = blocks.take(rest), blocks.take(held)
    else:
        test_targets = encode_targets(test_read, kind, predicted)
    notes += check_targets(targets, kind, predicted)
    tables = Tables(frame, test_frame, whole, whole_test)
    features = _features(tables, predicted, task, decimal)
    notes += features.notes
    if test is None and blocks is None:
        notes += in_order_of_time(everything, features.columns)
    apart = any(spec.tokens or spec.name == WINDOW for spec in features.inputs)
    schema = Schema(
        source="table", kind=kind, targets=predicted, columns=features.columns,
        window=features.window, inputs=features.inputs,
        separator=options.separator, encoding=options.encoding, decimal=decimal,
        style="dict" if len(features.inputs) > 1 and apart else "single",
    )  # fmt: skip
    return Parts(
        schema,
        Examples(features.rows, targets, blocks=blocks),
        Examples(features.test, test_targets, blocks=test_blocks),
        notes,
        features.left_out,
    )


def _notes_on_index(source: Source, targets: Sequence[str], options: ReadOptions) -> list[str]:
    """Returns notes on columns that came as an index and that no option names."""
    blocks = block_columns(options, [str(name) for name in source.value.columns])
    named = {*targets, *options.ignore, *options.kinds, *blocks, options.group}
    return [
        f"the index {name!r} is taken as a column; the option ignore leaves it out"
        for name in source.index
        if name not in named
    ]


def _numbers_read(
    frame: pd.DataFrame, targets: Sequence[str], options: ReadOptions, decimal: Marks
) -> pd.DataFrame:
    """Reads columns of plain numbers but where an option or a window is to see their text."""
    if options.window is not None:
        return frame
    blocks = block_columns(options, [str(name) for name in frame.columns])
    return with_numbers(frame, decimal, but=(*targets, *options.kinds, *blocks))


@dataclass(frozen=True)
class _Features:
    """What a model gets of a table: the columns, and development and test rows by them."""

    columns: tuple[Column, ...]
    window: Window | None
    inputs: tuple[InputSpec, ...]
    rows: Inputs
    test: Inputs
    left_out: tuple[str, ...]
    notes: list[str]


def _features(
    tables: Tables, targets: Sequence[TargetColumn], task: Task, decimal: Marks
) -> _Features:
    """Infers columns from development rows, and reads both parts by them."""
    options = task.read
    no_features = [column.name for column in targets]
    if options.group and options.window is None:
        no_features.append(options.group)
    # A user's model that takes one vector goes on getting one, unless texts are asked for.
    found = infer_columns(
        tables.rows.drop(columns=no_features), options, decimal, texts=task.model is None
    )
    windowed: Windowed | None = None
    notes = list(found.notes)
    if options.window is not None:
        windowed = with_windows(tables, found, targets, options, decimal)
        found, notes = windowed.own, [*notes, *windowed.notes]
    columns, inputs = found.columns, found.inputs
    lost = Lost()
    rows = encode_columns(tables.rows, columns, inputs, decimal=decimal)
    test = encode_columns(tables.test, columns, inputs, decimal=decimal, lost=lost)
    # Drawn rows lack no more than those that columns are inferred from.
    if tables.apart is not None:
        notes += _notes_on_test(lost, tables.test)
    if windowed is not None:
        inputs = (*inputs, windowed.spec)
        rows, test = rows | {WINDOW: windowed.rows}, test | {WINDOW: windowed.test}
    window = None if windowed is None else windowed.window
    return _Features(columns, window, inputs, rows, test, found.left_out, notes)


def _notes_on_test(lost: Lost, test: pd.DataFrame) -> list[str]:
    """Returns what of test rows no model can take, as `read_noting` says it of rows to predict."""
    places = test.index  # of rows that have a target, in their table
    cells = [replace(each, row=int(places[each.row - 1]) + 1) for each in lost]
    return [f"test rows, {note}" for note in (*lost.notes, *map(str, cells))]


def read_table(schema: Schema, source: Source, *, with_targets: bool, lost: Lost) -> Examples:
    """Reads rows in file order by a schema; every row gives one example.

    Raises:
        DataError: They do not fit the schema, or a row lacks its target where targets are wanted.
    """
    require_form(source, "table", "the source")
    names = tuple(column.name for column in schema.targets)
    frame = _named_targets(source, names)
    decimal = decimal_of(schema, frame, source.separator)
    whole, targets = frame, None
    if with_targets:
        read = _read_targets(frame, names, decimal)
        present = read.present
        if schema.window is not None and present.any():
            frame, read = frame[present], read.take(present)  # the others are seen by these
        elif not present.all():
            raise DataError(
                f"{(~present).sum()} row(s) have no target in {schema.target!r}{read.told_missing}, the "
                f"first is row {(~present).argmax() + 1}; every row needs one here; fill or remove them"
            )
        targets = encode_targets(read, schema.kind, schema.targets)
    inputs = [spec for spec in schema.inputs if spec.name != WINDOW]
    encoded = encode_columns(frame, schema.columns, inputs, decimal=decimal, lost=lost)
    if schema.window is not None:
        past = read_past(whole, schema.window, schema.targets, decimal)
        rows = frame.index.to_numpy()
        lost.notes += notes_on_time(whole, schema.window, past, rows)
        encoded[WINDOW] = past.of(rows)
    return Examples(encoded, targets)


def decimal_of(schema: Schema, frame: pd.DataFrame, separator: str | None) -> Marks:
    """Returns the decimal marks of new rows, which may be written otherwise than the schema's."""
    decimal = schema.decimal
    return (
        decimal if len(decimal) == 1 else _decimal(None, usual_mark(frame, separator) or decimal[0])
    )


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
                f"random among them; if the model is to predict what comes later, give the column as "
                f"the option time"
            )
    return notes


def _decimal(given: str | None, usual: str | None) -> Marks:
    if given is not None:
        return "," if given == "," else "."
    return ",." if usual == "," else ".,"


def _check_columns(frame: pd.DataFrame, targets: Sequence[str], options: ReadOptions) -> None:
    """Raises `DataError` when an option names a column that is not there, or a target."""
    names = [str(name) for name in frame.columns]
    for name in (*options.ignore, *options.kinds):
        if name not in names:
            raise DataError(missing_column(name, names))
        if name in targets:
            raise DataError(
                f"the column {name!r} is the target, which is not to be ignored and has no type; "
                f"the option kind says what it is"
            )
    for own in (*block_columns(options, names), options.group):
        if own in targets:
            raise DataError(f"the column {own!r} is the target, which says no groups and no time")


def _choose_targets(
    source: Source, wanted: str | int | Sequence[str] | None, options: ReadOptions
) -> tuple[str, ...]:
    names = [str(name) for name in source.value.columns]
    if wanted is not None:
        parts = [str(wanted)] if isinstance(wanted, str | int) else [str(each) for each in wanted]
        chosen = split_names(parts, names)  # a header may hold a comma itself
        asked = [each for part in parts for each in ([part] if part in names else part.split(","))]
        if len(asked) > len(chosen):
            raise TaskError(
                f"got the target {', '.join(parts)!r}, which names a column twice; name each once"
            )
        if source.targets:
            if chosen != source.targets:
                raise DataError(
                    f"got the target {', '.join(parts)!r}, but the targets came apart from the table "
                    f"as {', '.join(source.targets)!r}; leave the target out"
                )
            return source.targets
        for name in chosen:
            if name not in names:
                raise DataError(missing_column(name, names, "target"))
        return chosen
    if source.targets:
        return source.targets
    names = [name for name in names if name not in options.ignore]
    lowered = {name.lower(): name for name in reversed(names)}
    for name in _TARGET_NAMES:
        if name in names or name in lowered:
            return (name if name in names else lowered[name],)
    named = [name for name in names if name]
    if not named:
        raise DataError("the table's columns have no names; a header is needed; add one")
    return (named[-1],)


def _named_targets(source: Source, names: Sequence[str]) -> pd.DataFrame:
    """A frame whose targets, if they came apart, have the names of those that they go with."""
    frame: pd.DataFrame = source.value
    own = source.targets
    if not own or own == tuple(names):
        return frame
    if len(own) != len(names):
        raise DataError(
            f"got {len(own)} target(s) ({', '.join(own)}), and {len(names)} are needed "
            f"({', '.join(names)}), as in the data they go with"
        )
    others = [name for name in names if name not in own]
    return frame.drop(columns=others, errors="ignore").rename(
        columns=dict(zip(own, names, strict=True))
    )


def _read_targets(frame: pd.DataFrame, names: Sequence[str], decimal: Marks) -> Targets:
    for name in names:
        if name not in frame.columns:
            raise DataError(missing_column(name, list(frame.columns), "target"))
    return Targets(tuple(read_labels(frame[name], name, decimal=decimal) for name in names))


def _with_targets(
    frame: pd.DataFrame, names: Sequence[str], what: Literal["rows", "test rows"], decimal: Marks
) -> tuple[pd.DataFrame, Targets, list[str]]:
    """The rows that have all targets, these, and notes."""
    try:
        targets = _read_targets(frame, names, decimal)
    except DataError as error:
        if what == "rows":
            raise
        raise DataError(f"{what}: {error}") from None
    present = targets.present
    notes = [
        f"the numbers of the target {labels.name!r} are read without the {labels.sign!r} beside them"
        for labels in targets.columns
        if labels.sign and what == "rows"
    ]
    if targets.num_infinite:
        notes.append(f"{targets.num_infinite} infinite target(s) in the {what} count as missing")
    if present.all():
        return frame, targets, notes
    if present.any():
        notes.append(
            f"{(~present).sum()} of {len(frame)} {what} have no target in {targets.name!r}"
            f"{targets.told_missing} and were left out"
        )
    return frame[present], targets.take(present), notes
