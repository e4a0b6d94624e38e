"""What a source is: a table, images or arrays; and what reports call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from pawl.data.archives import ARCHIVE_SUFFIXES, IMAGE_SUFFIXES, refuse_zipped_table
from pawl.data.csvfiles import (
    CSV_SUFFIXES,
    PARQUET_SUFFIXES,
    TableFile,
    check_frame,
    read_table_file,
    with_index,
)
from pawl.data.npz import read_npz
from pawl.data.readers import ARRAY_SUFFIX, own_suffixes, read_own
from pawl.data.samples import SAMPLES
from pawl.data.types import Examples, Schema
from pawl.errors import DataError, did_you_mean
from pawl.options import AS_IT_IS, ReadOptions

Form = Literal["table", "images", "arrays"]

_PATH_FORMS = (
    f"a table ({', '.join((*CSV_SUFFIXES, *PARQUET_SUFFIXES))}), a folder of images by class, an "
    f"archive of them ({', '.join(ARCHIVE_SUFFIXES)}), arrays ({ARRAY_SUFFIX}) and the "
    f"samples {', '.join(SAMPLES)}"
)
_PAIR = 2
_MATRIX = 2
_MAX_NEIGHBORS = 1000


@dataclass(frozen=True)
class Source:
    """A source whose form is known.

    Attributes:
        form: `table`, `images` or `arrays`.
        name: What reports call it.
        value: A data frame for a table; a `Path` or a sample's `Pixels` for images; what the user
            gave for arrays.
        targets: The targets' columns when they came apart from the table.
        separator: What separates the cells of a table's file, if it is text.
        notes: What a reader should know.
        index: The columns that came as a data frame's index.
    """

    form: Form
    name: str
    value: Any
    targets: tuple[str, ...] = ()
    separator: str | None = None
    notes: tuple[str, ...] = ()
    index: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parts:
    """A task's data, read, before it is named and fingerprinted."""

    schema: Schema
    development: Examples
    test: Examples
    notes: list[str]
    left_out: tuple[str, ...] = ()


Load = Callable[..., Parts]


def identify(data: Any, options: ReadOptions = AS_IT_IS) -> Source:
    """Finds the form of a source; reads it at once, by the options, if it is a table.

    Raises:
        DataError: If there is no such file, its extension is unknown, or the table cannot be read.
    """
    if isinstance(data, str) and data in SAMPLES:
        sample = SAMPLES[data]()
        form: Form = "table" if isinstance(sample, pd.DataFrame) else "images"
        return Source(form, data, sample)
    if isinstance(data, str | Path):
        return _from_path(data, options)
    if isinstance(data, pd.DataFrame):
        frame, index = with_index(data)
        return Source("table", "table", check_frame(frame, "the data frame"), index=index)
    if isinstance(data, TableFile):
        return Source("table", "table", data.frame, separator=data.separator, notes=data.notes)
    if isinstance(data, tuple | list) and len(data) == _PAIR:
        inputs = data[0]
        if isinstance(inputs, pd.Series):
            inputs = inputs.to_frame("x" if inputs.name is None else inputs.name)
        if isinstance(inputs, pd.DataFrame):
            return _from_frame_and_targets(inputs, data[1])
    name = type(data).__name__ if isinstance(data, Dataset) else "arrays"
    return Source("arrays", name, data)


def require_form(source: Source, form: Form, role: str) -> None:
    """Raises `DataError` unless the source is of the form that the schema or the data has."""
    if source.form != form:
        raise DataError(
            f"{role} is of the form {source.form} ({source.name}), but {form} is needed, as in the "
            f"data it goes with; give it in that form"
        )


def refuse_target(target: str | int | Sequence[str] | None, own: str, form: str) -> None:
    """Raises `DataError` when a target column is named for data that has no columns."""
    if target not in (None, own, [own], (own,)):
        raise DataError(
            f"got the target {target!r}, but a target column is for tables and this is {form}; "
            f"leave it out"
        )


def _from_path(data: str | Path, options: ReadOptions) -> Source:
    if not str(data).strip():
        raise DataError(f"got an empty path as data; allowed are {_PATH_FORMS}")
    path = Path(data).expanduser()
    lowered = path.name.lower()
    try:
        exists = path.exists()
    except (OSError, ValueError):  # a name too long, or with a null byte
        exists = False
    if not exists:
        near = did_you_mean(str(data), [*SAMPLES, *_neighbors(path)])
        raise DataError(
            f"there is no file or folder {str(data)!r}{near}; allowed are {_PATH_FORMS}"
        )
    if path.is_dir():
        return Source("images", path.resolve().name, path)
    if path.is_fifo() or path.is_socket():
        raise DataError(f"{str(data)!r} is a pipe or socket; write its content to a file first")
    if (own := read_own(path)) is not None:
        name, rows = own
        return replace(identify(rows, options), name=name)
    for suffix in (*ARCHIVE_SUFFIXES, *IMAGE_SUFFIXES):
        if lowered.endswith(suffix):
            refuse_zipped_table(path)
            return Source("images", path.name[: -len(suffix)], path)
    if lowered.endswith(ARRAY_SUFFIX):
        return Source("arrays", path.name[: -len(ARRAY_SUFFIX)], read_npz(path))
    # The longest suffix first, so that `a.csv.gz` is called `a`.
    for suffix in sorted((*CSV_SUFFIXES, *PARQUET_SUFFIXES), key=len, reverse=True):
        if lowered.endswith(suffix):
            file = read_table_file(path, options)
            name = path.name[: -len(suffix)]
            return Source(
                "table",
                name,
                file.frame,
                separator=file.separator,
                notes=file.notes,
                index=file.index,
            )
    got = path.suffix or "no extension"
    own_ = "".join(f", and {suffix} by your own reader" for suffix in own_suffixes())
    raise DataError(f"{path.name} has the extension {got!r}; allowed are {_PATH_FORMS}{own_}")


def _neighbors(path: Path) -> list[str]:
    try:
        return [str(entry) for entry in islice(path.parent.iterdir(), _MAX_NEIGHBORS)]
    except OSError:
        return []


def _from_frame_and_targets(frame: pd.DataFrame, targets: Any) -> Source:
    if isinstance(targets, torch.Tensor):
        targets = targets.detach().cpu().numpy()
    if isinstance(targets, np.ndarray) and targets.ndim == _MATRIX:
        count = targets.shape[1]
        names = ["target"] if count == 1 else [f"target_{place}" for place in range(count)]
        targets = pd.DataFrame(targets, columns=names)
    if isinstance(targets, pd.DataFrame) and targets.shape[1] != 1:
        return _from_frame_and_several(frame, targets)
    if isinstance(targets, pd.DataFrame):
        targets = targets.iloc[:, 0]
    if isinstance(targets, str | Mapping | Set):
        hint = f"; name a column by target={targets!r}" if isinstance(targets, str) else ""
        raise DataError(
            f"got a {type(targets).__name__} as targets beside a data frame; allowed is one value per "
            f"row, in a Series, array or list{hint}"
        )
    try:
        column: pd.Series[Any] = pd.Series(targets).reset_index(drop=True)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the targets beside a data frame are not one value per row ({error}); give [rows]"
        ) from error
    if len(column) != len(frame):
        raise DataError(
            f"got {len(frame)} rows of inputs and {len(column)} targets; as many of both are needed"
        )
    name = "target" if column.name is None else str(column.name).strip()
    return _joined(frame, {name: column})


def _from_frame_and_several(frame: pd.DataFrame, targets: pd.DataFrame) -> Source:
    if not targets.shape[1]:
        raise DataError("got targets without columns; at least one is needed")
    if len(targets) != len(frame):
        raise DataError(
            f"got {len(frame)} rows of inputs and {len(targets)} targets; as many of both are needed"
        )
    clean = check_frame(targets, "the targets").reset_index(drop=True)
    return _joined(frame, {str(name): clean[name] for name in clean.columns})


def _joined(frame: pd.DataFrame, targets: Mapping[str, pd.Series[Any]]) -> Source:
    frame, index = with_index(frame, but=list(targets))
    clean = check_frame(frame, "the data frame")
    for name in targets:
        if name in clean.columns:
            raise DataError(
                f"the inputs have a column {name!r} like the targets' name; rename or drop the column"
            )
    return Source("table", "table", clean.assign(**targets), tuple(targets), index=index)
