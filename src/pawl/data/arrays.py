"""Arrays, tensors and map-style datasets.

Shape legend: `R` rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from pawl.data.kinds import check_classes, check_rows
from pawl.data.labels import Labels, encode_labels, read_labels
from pawl.data.rare import settle_rows
from pawl.data.sources import Parts, Source, refuse_target, require_form
from pawl.data.splits import split_rows
from pawl.data.stacking import stack_dataset
from pawl.data.tensors import as_tensor, dtype_name, fit_inputs
from pawl.data.types import Examples, Inputs, InputSpec, Schema
from pawl.errors import DataError
from pawl.task import Task

_TARGET = "target"
_PAIR = 2
_FORMS = (
    "a path, a data frame, (inputs, targets) with arrays or tensors, where inputs may be a dict or "
    "tuple of them, or a map-style torch Dataset of (x, y)"
)

Style = Literal["single", "tuple", "dict"]


@dataclass(frozen=True)
class _Arrays:
    """Inputs as tensors of the dtypes pawl uses, and targets as they came."""

    inputs: Inputs
    style: Style
    targets: Any | None


def load_arrays(
    task: Task, source: Source, test: Source | None, *, seed: int, test_share: float
) -> Parts:
    """Reads arrays or a dataset; shapes and names become the schema.

    Raises:
        TaskError: If the targets cannot be of the kind that the task asks for.
        DataError: If the arrays cannot be used.
    """
    refuse_target(task.target, _TARGET, "arrays")
    inputs, style, labels, notes = _labeled(source, "rows")
    if not len(labels.present) or labels.present.any():
        check_rows(len(labels.present))
    test_inputs, test_labels = None, None
    if test is not None:
        require_form(test, "arrays", "the test data")
        test_inputs, _, test_labels, more = _labeled(test, "test rows")
        notes += more
    settled = settle_rows(labels, task, form="arrays", test=test_labels, test_share=test_share)
    kind, classes, test_labels = settled.kind, settled.classes, settled.test
    notes += settled.notes
    inputs = _where(inputs, settled.keep)
    test_inputs = None if test_inputs is None else _where(test_inputs, settled.test_keep)
    targets = encode_labels(settled.labels, kind, classes)
    own_model = task.model is not None
    everything = Examples(inputs, targets)
    development, test_rows = everything, None
    if test_inputs is None or test_labels is None:
        rest, held = split_rows(targets, kind, test_share, seed)
        development, test_rows = everything.take(rest), everything.take(held)
    specs = tuple(
        _spec(name, tensor, own_model=own_model) for name, tensor in development.inputs.items()
    )
    schema = Schema(
        source="arrays", kind=kind, target=_TARGET, classes=classes, inputs=specs, style=style
    )
    if test_inputs is not None and test_labels is not None:
        test_targets = encode_labels(test_labels, kind, classes)
        test_rows = Examples(fit_inputs(test_inputs, schema), test_targets)
    assert test_rows is not None
    assert development.targets is not None
    check_classes(development.targets, classes, _TARGET)
    for rows in (development, test_rows):
        notes += _notes_on_gaps(rows.inputs, own_model=own_model)
    return Parts(schema, development, test_rows, notes)


def read_arrays(schema: Schema, source: Source, *, with_targets: bool) -> Examples:
    """Reads arrays by the names, shapes and dtypes of a schema, in their order."""
    require_form(source, "arrays", "the source")
    arrays = _unpack(source.value, schema)
    inputs = fit_inputs(arrays.inputs, schema)
    if not with_targets:
        return Examples(inputs, None)
    if arrays.targets is None:
        raise DataError(f"got no targets; allowed is {_FORMS}")
    labels = _labels(arrays.targets, len(next(iter(inputs.values()))))
    if not labels.present.all():
        raise DataError(f"{(~labels.present).sum()} row(s) have no target; fill or remove them")
    return Examples(inputs, encode_labels(labels, schema.kind, schema.classes))


def _labeled(
    source: Source, what: Literal["rows", "test rows"]
) -> tuple[Inputs, Style, Labels, list[str]]:
    """The rows that have a target, and notes."""
    arrays = _unpack(source.value, None)
    assert arrays.targets is not None
    num_rows = len(next(iter(arrays.inputs.values())))
    labels = _labels(arrays.targets, num_rows)
    present = labels.present
    if present.all() or not present.any():
        return arrays.inputs, arrays.style, labels, []
    mask = torch.from_numpy(present)
    inputs = {name: tensor[mask] for name, tensor in arrays.inputs.items()}
    note = f"{(~present).sum()} of {num_rows} {what} have no target and were left out"
    return inputs, arrays.style, labels.take(present), [note]


def _where(inputs: Inputs, keep: NDArray[np.bool_] | None) -> Inputs:
    if keep is None:
        return inputs
    return {name: tensor[torch.from_numpy(keep)] for name, tensor in inputs.items()}


def _unpack(value: Any, schema: Schema | None) -> _Arrays:
    if isinstance(value, IterableDataset):
        raise DataError(
            "got an IterableDataset; allowed is a map-style Dataset with __len__ and __getitem__; "
            "collect its items into a list-backed Dataset or arrays"
        )
    if isinstance(value, DataLoader):
        raise DataError("got a DataLoader; allowed is a map-style Dataset; give loader.dataset")
    if isinstance(value, Dataset):
        inputs, targets = stack_dataset(value, with_targets=schema is None)
    else:
        inputs, targets = _pair(value, schema)
        if targets is None and schema is None:
            raise DataError(f"got {type(value).__name__} without targets; allowed is {_FORMS}")
    named, style = _named(inputs, targets, schema)
    tensors = {name: as_tensor(array, name) for name, array in named.items()}
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(lengths.values())) != 1:
        got = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise DataError(f"inputs differ in their number of rows ({got}); all need the same")
    return _Arrays(tensors, style, targets)


def _pair(value: Any, schema: Schema | None) -> tuple[Any, Any | None]:
    """`(inputs, targets)`, or inputs alone where a schema says how many there are."""
    is_pair = isinstance(value, tuple | list) and len(value) == _PAIR
    if is_pair and schema is not None and schema.style == "tuple":
        # A pair may be two inputs; inputs and targets have the inputs in a tuple of their own.
        is_pair = isinstance(value[0], tuple | list)
    elif is_pair and schema is not None and isinstance(value, list):
        is_pair = _is_array(value[0]) or isinstance(value[0], Mapping)
    if is_pair:
        return value[0], value[1]
    return value, None


def _named(inputs: Any, targets: Any, schema: Schema | None) -> tuple[dict[str, Any], Style]:
    if isinstance(inputs, Mapping):
        if not inputs:
            raise DataError(f"got an empty dict of inputs; allowed is {_FORMS}")
        return {str(name): array for name, array in inputs.items()}, "dict"
    if isinstance(inputs, tuple | list) and inputs and all(map(_is_array, inputs)):
        if not _are_rows(inputs, targets, schema):
            return {f"x{place}": array for place, array in enumerate(inputs)}, "tuple"
        inputs = [np.asarray(row) for row in inputs]
    return {"x": inputs}, "single"


def _are_rows(arrays: Sequence[Any], targets: Any, schema: Schema | None) -> bool:
    """Whether arrays in a list are one for each row, rather than one for each input."""
    if schema is not None:
        return schema.style == "single"
    if not isinstance(arrays, list) or len(arrays) != _length(targets):
        return False
    return any(array.ndim == 0 or len(array) != len(arrays) for array in arrays)


def _length(targets: Any) -> int | None:
    return len(targets) if hasattr(targets, "__len__") else None


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | Tensor)


def _labels(targets: Any, num_rows: int) -> Labels:
    values = targets.detach().cpu() if isinstance(targets, Tensor) else targets
    if isinstance(values, Tensor):
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(values, pd.Series | pd.DataFrame):
        values = values.to_numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"targets differ in their shapes; allowed is [rows]: {error}") from error
    if array.ndim > 1 and array.shape[1:] == (1,) * (array.ndim - 1):
        array = array.reshape(len(array))
    if array.ndim == 0:
        hint = f"; name a column by target={targets!r}" if isinstance(targets, str) else ""
        raise DataError(
            f"got a {type(targets).__name__} as targets; allowed is one value per row, in an array, "
            f"tensor, Series or list{hint}"
        )
    if array.ndim != 1:
        hint = "; take the argmax if they are one-hot" if array.ndim == _PAIR else ""
        raise DataError(f"targets have the shape {list(array.shape)}; allowed is [rows]{hint}")
    if len(array) != num_rows:
        raise DataError(
            f"got {num_rows} rows of inputs and {len(array)} targets; as many of both are needed"
        )
    if array.dtype.kind == "f":
        array = array.astype(np.float64)  # pandas knows no float16
    elif array.dtype.kind in "US":
        array = array.astype(str).astype(object)
    column: pd.Series[Any] = pd.Series(array)
    whole = array.dtype.kind in "iu"
    if array.dtype == object:
        present = column.dropna()
        whole = all(isinstance(value, int | np.integer) for value in present)
        if any(isinstance(value, str) for value in present):
            # Text is a class in the user's own arrays, even if it looks like a number.
            column = column.astype("category")
    return read_labels(column, _TARGET, whole=whole)


def _spec(name: str, tensor: Tensor, *, own_model: bool) -> InputSpec:
    """An input of this shape, with flags for its gaps where pawl's own network is to take it."""
    shape = tuple(tensor.shape[1:])
    missing: tuple[bool, ...] = ()
    if tensor.is_floating_point() and not own_model:
        odd = ~tensor.isfinite()
        is_vector = len(shape) == 1
        missing = tuple(odd.any(0).tolist()) if is_vector else (False,) * (shape[-1:] or (1,))[0]
    return InputSpec(name=name, shape=shape, dtype=dtype_name(tensor), missing=missing)


def _notes_on_gaps(inputs: Inputs, *, own_model: bool) -> Sequence[str]:
    notes = []
    for name, tensor in inputs.items():
        num_odd = int((~torch.isfinite(tensor)).sum()) if tensor.is_floating_point() else 0
        if num_odd:
            how = "and reach the task's model as they are" if own_model else "and count as missing"
            notes.append(f"input {name!r}: {num_odd} value(s) are NaN or infinite {how}")
    return notes
