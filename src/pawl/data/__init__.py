"""Reads data into tensors: tables, images by class, arrays and datasets.

Training reads a `Task` with `load`; prediction reads new rows with `read_like` and the `Schema`
that training left.
"""

from pawl.data.blocks import Blocks
from pawl.data.loading import load, read_like
from pawl.data.module import load_module_task, resolve_task
from pawl.data.readers import register_reader
from pawl.data.splits import fold_rows, split_rows
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
    "InputSpec",
    "Inputs",
    "LoadedData",
    "ModelSpec",
    "Schema",
    "fold_rows",
    "load",
    "load_module_task",
    "read_like",
    "register_reader",
    "resolve_task",
    "split_rows",
]
