"""Predictions as files; tables are read, predicted and written in parts."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pawl.data import TableStream, is_table_file
from pawl.errors import BundleError, DataWarning, option
from pawl.kinds import KINDS

if TYPE_CHECKING:
    from pawl.deployment.bundle import Bundle

_TABLES = (".csv", ".parquet")
_ARRAYS = (".npz",)
Progress = Callable[[int, int], None]
"""Is told how many rows are done, and how many there are."""


def write_predictions(
    bundle: Bundle,
    source: Any,
    out: Path,
    *,
    rows: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Predicts and writes a file: CSV or Parquet, or `.npz` for arrays; returns the number of rows.

    CSV and Parquet files may be larger than memory. The file is there when all of it is written.

    Args:
        bundle: What predicts.
        source: As for `Bundle.predict`.
        out: The file to write; one that is there is replaced.
        rows: How many rows of a table's file are read at a time; by default as many as fit well.
        progress: Is told how far it is.

    Raises:
        BundleError: The file cannot be written.
        DataError: The rows cannot be read.

    Warns:
        DataWarning: As `read_like`.
    """
    _check(bundle, source, out)
    # Windows look back over the rows before, so that all must be there.
    in_parts = bundle.schema.source == "table" and bundle.schema.window is None
    if in_parts and isinstance(source, str | Path):
        path = Path(source).expanduser()
        if is_table_file(path):
            stream = TableStream.open(bundle.schema, path, rows)
            count = _write_parts(bundle, stream, out, progress)
            for note in stream.notes:
                warnings.warn(note, DataWarning, stacklevel=2)
            return count
    found = bundle.predict(source)
    with _replacing(out) as part:
        if not isinstance(found, pd.DataFrame):
            with part.open("wb") as file:
                np.savez_compressed(file, **found)
            return len(found["prediction"])
        with _writing(part, out.suffix) as write:
            write(found)
    return len(found)


def _check(bundle: Bundle, source: Any, out: Path) -> None:
    arrays = KINDS[bundle.schema.kind].has_places
    allowed = _ARRAYS if arrays else _TABLES
    if out.suffix not in allowed:
        why = ", since predictions lie on places of a row" if arrays else ""
        raise BundleError(f"got {option('out', out)}; it must end in {' or '.join(allowed)}{why}")
    if isinstance(source, str | Path) and out.exists() and out.resolve() == Path(source).resolve():
        raise BundleError(f"{option('out', out)} is the data itself; give another file to write")
    if not out.resolve().parent.is_dir():
        raise BundleError(
            f"cannot write {out.name}: there is no folder {str(out.parent)!r}; make it"
        )


def _write_parts(bundle: Bundle, stream: TableStream, out: Path, progress: Progress | None) -> int:
    done = 0
    with _replacing(out) as part, _writing(part, out.suffix) as write:
        for examples in stream:
            found = bundle.predict_read(examples)
            assert isinstance(found, pd.DataFrame)
            write(found)
            done += len(found)
            if progress is not None:
                progress(done, stream.total)
    return done


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Gives a name to write to, which becomes the file's when all went well."""
    place = out.resolve()
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, place)
    except OSError as error:
        raise BundleError(
            f"cannot write {str(out)!r}: {error.strerror or error}; give another {option('out')}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def _writing(part: Path, suffix: str) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Gives what appends rows to a CSV or Parquet file."""
    if suffix == ".csv":
        with part.open("w", encoding="utf-8", newline="") as file:
            yield lambda frame: frame.to_csv(file, index=False, header=not file.tell())
        return
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        writers: list[pq.ParquetWriter] = []

        def write(frame: pd.DataFrame) -> None:
            table = pa.Table.from_pandas(frame, preserve_index=False)
            if not writers:
                # Classes are text, also where the first rows have none.
                texts = [
                    f.with_type(pa.string()) if f.type == pa.null() else f for f in table.schema
                ]
                table = table.cast(pa.schema(texts))
                writers.append(stack.enter_context(pq.ParquetWriter(part, table.schema)))
            writers[0].write_table(table.cast(writers[0].schema))

        yield write
