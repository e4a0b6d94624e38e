"""Arrays, tensors and datasets as named tensors, as the user gave them.

Shape legend: `R` rows, `L` length of the longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from pawl.data.block_columns import block_columns
from pawl.data.narrowing import coarse, too_coarse
from pawl.data.ragged import MASK, pad
from pawl.data.stacking import stack_dataset
from pawl.data.tensors import as_tensor
from pawl.data.types import Inputs, Schema
from pawl.errors import DataError
from pawl.kinds import NOTHING
from pawl.options import AS_IT_IS, ReadOptions

_PAIR, _VECTORS = 2, 2
FORMS = (
    "a path, a data frame, (inputs, targets) with arrays or tensors, where inputs may be a dict or "
    "tuple of them, or a map-style torch Dataset of (x, y)"
)

Style = Literal["single", "tuple", "dict"]


@dataclass(frozen=True)
class Arrays:
    """Inputs as tensors of the dtypes pawl uses, and targets as they came.

    Attributes:
        inputs: The user's, and behind them the masks of those that were padded.
        style: How the user gave them.
        targets: `None` if they are absent.
        masks: Names of the masks.
        notes: On what was changed.
    """

    inputs: Inputs
    style: Style
    targets: Any | None
    masks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def unpack(value: Any, schema: Schema | None, options: ReadOptions = AS_IT_IS) -> Arrays:
    """Reads arrays or a dataset; rows of unlike lengths are padded, with a mask as a further input.

    Args:
        value: What the user gave.
        schema: How it is to be read, where that is known; targets may then be absent.
        options: Arrays of groups or times, by their names here, keep all their digits.

    Raises:
        DataError: It is of no form that is allowed.
    """
    if isinstance(value, IterableDataset):
        raise DataError(
            "got an IterableDataset; allowed is a map-style Dataset with __len__ and __getitem__; "
            "collect its items into a list-backed Dataset or arrays"
        )
    if isinstance(value, DataLoader):
        raise DataError("got a DataLoader; allowed is a map-style Dataset; give loader.dataset")
    targets: Any
    if isinstance(value, Dataset):
        inputs, targets = stack_dataset(value, with_targets=schema is None)
    else:
        inputs, targets = _pair(value, schema)
        if targets is None and schema is None:
            raise DataError(f"got {type(value).__name__} without targets; allowed is {FORMS}")
    named, style = _named(inputs, targets, schema)
    masks = {}
    for name, array in list(named.items()):
        padded = pad(array, name, length=_length_of(name, named, schema))
        if padded is not None:
            named[name], masks[f"{name}{MASK}"] = padded
    if masks and targets is not None:
        length = next(iter(masks.values())).shape[1]
        filled = pad(targets, "targets", length=length, fill=NOTHING)
        targets = targets if filled is None else filled[0]
    blocks = block_columns(options, list(named))
    tensors = {
        name: as_tensor(array, name, exact=name in blocks)
        for name, array in (named | masks).items()
    }
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(lengths.values())) != 1:
        got = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise DataError(f"inputs differ in their number of rows ({got}); all need the same")
    notes = [
        note
        for name, array in named.items()
        for note in _notes_on_width(name, array, tensors[name])
    ]
    return Arrays(tensors, style, targets, tuple(masks), tuple(notes))


def _notes_on_width(name: str, array: Any, tensor: Tensor) -> Iterator[str]:
    """Yields which columns of an input of 64 bits lose too much as float32."""
    if isinstance(array, Tensor):
        if array.dtype != torch.float64:
            return
        array = array.detach().cpu()
    given = np.asarray(array)
    if given.dtype == np.float64 and given.ndim == _VECTORS:
        narrow = tensor.numpy()
        for place in coarse(given, narrow):
            yield too_coarse(f"input {name!r}, place {place}", narrow[:, place])


def _length_of(name: str, named: Mapping[str, Any], schema: Schema | None) -> int | None:
    """Returns what rows of an input are padded to; `None` if they are padded only where they differ."""
    masks = () if schema is None else tuple(s for s in schema.inputs if s.is_mask)
    if schema is None or not masks or any(mask.name in named for mask in masks):
        return None
    own = masks[0] if schema.style == "single" else None
    mask = next((each for each in masks if each.name == f"{name}{MASK}"), own)
    return None if mask is None else mask.shape[0]


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
            raise DataError(f"got an empty dict of inputs; allowed is {FORMS}")
        return {str(name): array for name, array in inputs.items()}, "dict"
    if isinstance(inputs, tuple) and inputs and all(_is_array(x) or _are_arrays(x) for x in inputs):
        return {f"x{place}": array for place, array in enumerate(inputs)}, "tuple"
    if isinstance(inputs, list) and _are_arrays(inputs):
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


def _are_arrays(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_array, value))
