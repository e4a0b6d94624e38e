"""The room's two entries: a task's data for training, and new rows for prediction."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from pawl.data.arrays import load_arrays, read_arrays
from pawl.data.csvfiles import read_table_text
from pawl.data.images import load_images, read_images
from pawl.data.kinds import check_kind
from pawl.data.lost import Lost, LostCells
from pawl.data.sources import Form, Load, identify
from pawl.data.tables import load_table, read_table
from pawl.data.types import Examples, LoadedData, Schema
from pawl.errors import DataError, DataWarning, TaskError
from pawl.kinds import KINDS
from pawl.options import READ_OPTIONS, ReadOptions
from pawl.task import Task

_LOAD: Mapping[Form, Load] = MappingProxyType(
    {"table": load_table, "images": load_images, "arrays": load_arrays}
)
_READ: Mapping[Form, Callable[..., Examples]] = MappingProxyType(
    {"images": read_images, "arrays": read_arrays}
)
_OPTIONS: Mapping[Form, tuple[str, ...]] = MappingProxyType(
    {
        "table": tuple(name for name in READ_OPTIONS if name != "group_pattern"),
        "images": ("rare", "positive", "group", "group_pattern"),
        "arrays": ("rare", "positive", "group", "time"),
    }
)
"""Which options of reading each form takes."""
_PLURALS: Mapping[Form, str] = MappingProxyType(
    {"table": "tables", "images": "images", "arrays": "arrays"}
)


def load(task: Task, *, seed: int = 0, test_share: float = 0.2) -> LoadedData:
    """Reads a task's data and sets the test rows aside.

    The test rows are `task.test`, else the `test/` part of a folder or archive, else a stratified
    share. Everything that the schema holds but the kind and the classes is inferred from the
    development rows alone. Rows without a target are left out, with a note.

    Args:
        task: Its `data`, `target`, `test`, `kind`, `metric`, `name` and `read` are used.
        seed: Which rows become the test share.
        test_share: The test share's part of the rows, in (0, 1).

    Raises:
        DataError: If the data cannot be read or used.
        TaskError: If the target cannot be of the task's kind.
    """
    if not 0 < test_share < 1:
        raise DataError(f"got a test share of {test_share}; allowed is a number between 0 and 1")
    check_kind(task.kind)
    with _in_memory():
        source = identify(task.data, task.read)
        if task.kind is not None and KINDS[task.kind].has_places and source.form != "arrays":
            raise TaskError(
                f"got the kind {task.kind}, which is for arrays with a model of yours, and this is "
                f"{source.form}; leave the kind out"
            )
        _refuse_other_options(task.read, source.form)
        test = None if task.test is None else identify(task.test, task.read)
        parts = _LOAD[source.form](task, source, test, seed=seed, test_share=test_share)
        name = task.name or source.name
        del source, test
    pa.default_memory_pool().release_unused()  # Arrow keeps what the text of a table took
    return LoadedData(
        schema=parts.schema,
        development=parts.development,
        test=parts.test,
        name=name,
        notes=tuple(parts.notes),
        fingerprint=_fingerprint(parts.schema, parts.development, parts.test),
        left_out=parts.left_out,
    )


@dataclass(frozen=True)
class Reading:
    """Rows that were read by a schema.

    Attributes:
        examples: The rows.
        lost: Cells that are given, but that no model of the schema can take.
        guesses: What was guessed of the source, a line each.
    """

    examples: Examples
    lost: tuple[LostCells, ...] = ()
    guesses: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a reader should know, a line each."""
        return [*self.guesses, *map(str, self.lost)]


def read_like(schema: Schema, source: Any, *, with_targets: bool = False) -> Examples:
    """Reads rows by an existing schema, one example per row.

    Tables and arrays keep their order; images are sorted by path, and may lie in a flat folder.
    Columns that the schema lacks are ignored, categories that it lacks count as unknown (code 0).

    Args:
        schema: From `load`.
        source: In the form of the data that the schema comes from; the target may be absent.
        with_targets: Whether to read the targets too; otherwise they are ignored.

    Raises:
        DataError: If the source cannot be read or does not fit the schema, or, with targets, if a
            row has none.

    Warns:
        DataWarning: If cells of a table are given, but unlike what the schema's columns hold.
    """
    reading = read_noting(schema, source, with_targets=with_targets)
    for note in reading.notes:
        warnings.warn(note, DataWarning, stacklevel=2)
    return reading.examples


def read_noting(schema: Schema, source: Any, *, with_targets: bool = False) -> Reading:
    """Reads rows as `read_like` does, and returns what that warns of."""
    options = ReadOptions(separator=schema.separator, encoding=schema.encoding)
    with _in_memory():
        found = identify(source, options)
        if schema.source == "table":
            lost = Lost()
            examples = read_table(schema, found, with_targets=with_targets, lost=lost)
            return Reading(examples, tuple(lost), (*found.notes, *lost.notes))
        return Reading(_READ[schema.source](schema, found, with_targets=with_targets))


def read_csv_like(schema: Schema, data: bytes, name: str) -> Reading:
    """Reads what a CSV file holds as `read_noting` reads the file.

    Args:
        schema: From `load`.
        data: The file's bytes.
        name: What messages call it.
    """
    options = ReadOptions(separator=schema.separator, encoding=schema.encoding)
    return read_noting(schema, read_table_text(data, name, options))


def _refuse_other_options(options: ReadOptions, form: Form) -> None:
    allowed = _OPTIONS[form]
    given = [name for name, value in options.given.items() if value and name not in allowed]
    if given:
        forms = [_PLURALS[each] for each, names in _OPTIONS.items() if given[0] in names]
        raise DataError(
            f"got the option {given[0]!r} for {_PLURALS[form]}; it is for {' and '.join(forms)} alone, "
            "leave it out"
        )


@contextmanager
def _in_memory() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise DataError(
            "the data does not fit into this machine's memory; give fewer rows, or smaller images"
        ) from None


def _fingerprint(schema: Schema, *parts: Examples) -> str:
    digest = hashlib.sha256(schema.reading().encode())
    for part in parts:
        tensors = dict(part.inputs)
        if part.targets is not None:
            tensors["targets"] = part.targets
        if part.blocks is not None:
            tensors[part.blocks.by] = part.blocks.keys
        for name, tensor in tensors.items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
