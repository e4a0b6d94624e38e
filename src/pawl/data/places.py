"""Targets that lie on places of a row: a class or a value at each step of a sequence, at each pixel.

Shape legend: `R` rows, `L` length of a sequence, `[H, W]` size of an image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.narrowing import refuse_coarse
from pawl.data.types import Inputs, TargetColumn
from pawl.errors import DataError
from pawl.kinds import KINDS, NOTHING, KindName

_IMAGE_RANK = 4
_MOST_CLASSES = 1 << 20


def kind_at_places(targets: Any, inputs: Inputs, wanted: KindName | None) -> KindName | None:
    """Returns the kind of targets that lie on places of their rows; `None` if they are of another sort.

    Whole numbers `[R, L]` beside an input of codes of that length are a sequence; `[R, H, W]` are
    pixels.

    Args:
        targets: As the user gave them.
        inputs: The rows' tensors.
        wanted: What the user says they are.
    """
    if wanted is not None:
        return wanted if KINDS[wanted].has_places else None
    array = _as_array(targets)
    if array is None or array.dtype.kind not in "iufb":
        return None
    if array.ndim in (3, 4):
        return "dense_regression" if array.dtype.kind == "f" else "dense"
    whole = array.dtype.kind in "iu" and array.ndim == 2
    length = array.shape[1:]
    if whole and any(x.shape[1:] == length and x.dtype == torch.int64 for x in inputs.values()):
        return "sequence"
    return None


def read_places(targets: Any, kind: KindName, rows: int) -> Tensor:
    """Returns targets `[R, *S]`, class numbers or values.

    Raises:
        DataError: They have another shape, or hold what is neither a class nor a value.
    """
    what = KINDS[kind]
    array = _as_array(targets)
    if array is None or array.dtype.kind not in "iufb":
        raise DataError(
            f"targets of the kind {kind} must be an array or tensor of numbers, all rows of one shape; "
            f"pad or crop them (a class {NOTHING} counts as none)"
        )
    if kind != "sequence" and array.ndim == _IMAGE_RANK and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 + what.target_axes or 0 in array.shape[1:]:
        axes = "length" if kind == "sequence" else "height, width"
        raise DataError(
            f"targets have the shape {list(array.shape)}; for {kind} allowed is [rows, {axes}]"
        )
    if len(array) != rows:
        raise DataError(
            f"got {rows} rows of inputs and {len(array)} targets; as many of both are needed"
        )
    if not what.has_classes:
        values = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
        odd = int((~values.isfinite()).sum())
        if odd:
            raise DataError(
                f"the targets hold {odd} value(s) that are NaN or infinite; fill them or leave their "
                "rows out"
            )
        return values
    return _classes(array)


def column_of(targets: Tensor, test: Tensor | None, kind: KindName, name: str) -> TargetColumn:
    """Returns what is predicted at each place.

    Raises:
        DataError: The targets do not vary, or test rows have other places.
    """
    shape = tuple(targets.shape[1:])
    if test is not None and tuple(test.shape[1:]) != shape:
        raise DataError(
            f"targets of the test rows have the shape {list(test.shape[1:])}, those of the data "
            f"{list(shape)}; both need the same"
        )
    known = targets[targets != NOTHING] if KINDS[kind].has_classes else targets
    if known.numel() == 0 or bool((known == known.flatten()[0]).all()):
        got = "nothing" if known.numel() == 0 else f"always {known.flatten()[0].item():g}"
        raise DataError(f"the target is {got} at every place; at least two values are needed")
    if not KINDS[kind].has_classes:
        return TargetColumn(name=name, shape=shape)
    most = max(int(part.max()) for part in (targets, test) if part is not None)
    return TargetColumn(name=name, shape=shape, count=max(2, most + 1))


def check_width(targets: Any, kind: KindName) -> None:
    """Raises `DataError` when 32 bits hardly tell values apart; see `refuse_coarse`."""
    array = _as_array(targets)
    if array is not None and not KINDS[kind].has_classes:
        refuse_coarse("the target", array.reshape(-1))


def check_like(targets: Tensor, column: TargetColumn) -> None:
    """Raises `DataError` when targets lie on other places, or have classes that are not known."""
    if tuple(targets.shape[1:]) != column.shape:
        raise DataError(
            f"targets have the shape {list(targets.shape[1:])}; {list(column.shape)} is needed, as in "
            "the data that the schema comes from"
        )
    if column.count and int(targets.max()) >= column.count:
        raise DataError(
            f"the target has the class {int(targets.max())}; known are 0 to {column.count - 1}"
        )


def _as_array(targets: Any) -> NDArray[Any] | None:
    if isinstance(targets, Tensor):
        targets = targets.detach().cpu()
        targets = (targets.float() if targets.dtype == torch.bfloat16 else targets).numpy()
    try:
        return np.asarray(targets)
    except ValueError:  # rows of different shapes
        return None


def _classes(array: NDArray[Any]) -> Tensor:
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(array) & (array % 1 == 0)
        if not whole.all():
            odd = array[~whole].flat[0]
            raise DataError(
                f"the targets hold {odd:g}, which is no class; allowed are whole numbers from 0, and "
                f"{NOTHING} where there is none"
            )
    classes = torch.from_numpy(np.array(array, dtype=np.int64, order="C"))
    wrong = ((classes < 0) & (classes != NOTHING)) | (classes >= _MOST_CLASSES)
    if bool(wrong.any()):
        raise DataError(
            f"the targets hold the class {int(classes[wrong][0])}; allowed are whole numbers from 0 to "
            f"{_MOST_CLASSES - 1}, and {NOTHING} where there is none"
        )
    return classes
