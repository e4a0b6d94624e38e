"""Parquet files, read as far as this machine can take what they unpack to."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pawl.data import memory
from pawl.data.filebytes import PER_BYTE, PER_CELL, PER_COLUMN
from pawl.errors import DataError

_TEXT = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_BATCH = 16_384


def read_parquet(path: Path) -> pd.DataFrame:
    """Reads a Parquet file into typed cells.

    Raises:
        DataError: It cannot be read, or needs more memory than is allowed.
    """
    with _reading(path):
        _check_size(path)
        return pd.read_parquet(path, engine="pyarrow")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path.name} cannot be read as Parquet ({reason}); write it again"
        ) from error


def _check_size(path: Path) -> None:
    """Refuses a file that unpacks to too much: its cells, and its text before it is written out.

    A file holds equal texts once, so that a few bytes can stand for any number of long ones.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    limit = memory.allowed()
    with pq.ParquetFile(path) as file:
        about = file.metadata
        chunks = [
            about.row_group(group).column(column)
            for group in range(about.num_row_groups)
            for column in range(about.num_columns)
        ]
        needed = PER_COLUMN * about.num_columns + sum(
            PER_CELL * chunk.num_values + PER_BYTE * chunk.total_uncompressed_size
            for chunk in chunks
        )
    advice = "give fewer rows or columns, or a sample of them"
    memory.refuse_more(needed, limit, path.name, advice)
    texts = list(dict.fromkeys(c.path_in_schema for c in chunks if c.physical_type in _TEXT))
    if not texts:
        return
    roots = list(dict.fromkeys(text.partition(".")[0] for text in texts))
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(batch_size=_BATCH, columns=roots, use_threads=False):
            for column in batch.columns:
                needed += PER_BYTE * sum(map(_length, _dictionaries(column)))
            memory.refuse_more(needed, limit, path.name, advice)


def _dictionaries(array: Any) -> Iterator[Any]:
    """Yields the arrays of text in an array of Arrow's, however it is nested."""
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_dictionary(array.type):
        yield array
    elif pa.types.is_nested(array.type):
        children = array.flatten()
        for child in children if isinstance(children, list) else [children]:
            yield from _dictionaries(child)


def _length(array: Any) -> int:
    """Bytes of an array's texts, when each is written out."""
    import pyarrow.compute as pc  # noqa: PLC0415

    return pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0


def outline(path: Path) -> tuple[int, list[str]]:
    """Returns how many rows a Parquet file has, and the names of its columns.

    Raises:
        DataError: It cannot be read.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    with _reading(path), pq.ParquetFile(path) as file:
        return file.metadata.num_rows, [str(name).strip() for name in file.schema_arrow.names]


def parquet_parts(path: Path, wanted: Collection[str], rows: int) -> Iterator[pd.DataFrame]:
    """Yields a Parquet file's rows in order, so many at a time, of columns that are wanted.

    Raises:
        DataError: It cannot be read, or some rows need more memory than is allowed.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    limit = memory.allowed()
    with _reading(path):
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name.strip() in wanted]
            texts = [
                column.path
                for column in map(file.schema.column, range(len(file.schema)))
                if column.physical_type in _TEXT and column.path in names
            ]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(batch_size=rows, columns=names, use_threads=False):
                needed = PER_CELL * batch.num_rows * batch.num_columns + sum(
                    PER_BYTE * _length(each)
                    for column in batch.columns
                    for each in _dictionaries(column)
                )
                memory.refuse_more(needed, limit, path.name, "give rows with shorter texts")
                yield batch.to_pandas()
