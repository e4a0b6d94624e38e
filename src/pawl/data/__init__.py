"""Reads data into tensors: tables, images by class, arrays and datasets.

Training reads a `Task` with `load`; prediction reads new rows with `read_like` and the `Schema`
that training left.
"""

from pawl.data.archives import ImageFile
from pawl.data.blocks import Blocks
from pawl.data.copies import notes_on_copies
from pawl.data.images import read_image_files
from pawl.data.loading import Reading, load, read_csv_like, read_like, read_noting
from pawl.data.module import load_module_task, resolve_task
from pawl.data.readers import register_reader
from pawl.data.splits import fold_rows, split_rows
from pawl.data.streaming import TableStream, is_table_file
from pawl.data.types import (
    Column,
    Examples,
    Inputs,
    InputSpec,
    LoadedData,
    ModelSpec,
    Schema,
)

__all__ = [
    "Blocks",
    "Column",
    "Examples",
    "ImageFile",
    "InputSpec",
    "Inputs",
    "LoadedData",
    "ModelSpec",
    "Reading",
    "Schema",
    "TableStream",
    "fold_rows",
    "is_table_file",
    "load",
    "load_module_task",
    "notes_on_copies",
    "read_csv_like",
    "read_image_files",
    "read_like",
    "read_noting",
    "register_reader",
    "resolve_task",
    "split_rows",
]
