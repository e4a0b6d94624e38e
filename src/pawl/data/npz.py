"""Arrays in a file: `.npz`, inputs by name, and targets if there are any."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pawl.data import memory
from pawl.errors import DataError, first_line

TARGETS = ("target", "targets", "y")
"""Names that the targets may have, the first that is there."""


def read_npz(path: Path) -> Any:
    """Returns `(inputs, targets)`, or inputs alone: one array, or a dict of several.

    Raises:
        DataError: It cannot be read, holds objects, or needs more memory than is allowed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            needed = sum(entry.file_size for entry in archive.infolist())
        memory.refuse_more(needed, memory.allowed(), path.name, "give fewer rows")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except DataError:
        raise
    except Exception as error:  # damaged archives raise many kinds
        raise DataError(
            f"{path.name} cannot be read as arrays ({first_line(error)}); write it by numpy.savez, with "
            "arrays of numbers"
        ) from None
    name = next((name for name in TARGETS if name in arrays), None)
    targets = None if name is None else arrays.pop(name)
    if not arrays:
        raise DataError(
            f"{path.name} holds no inputs; allowed are arrays by name, and targets as {TARGETS[0]!r}"
        )
    inputs = next(iter(arrays.values())) if len(arrays) == 1 else arrays
    return inputs if targets is None else (inputs, targets)
