"""A map-style dataset's items, stacked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pawl.errors import DataError

_PAIR = 2


def stack_dataset(dataset: Dataset[Any], *, with_targets: bool) -> tuple[Any, list[Any] | None]:
    """Stacks the items of a dataset.

    Args:
        dataset: Its items are `(x, y)`; x is a tensor, an array, a number, or a dict or tuple of
            them.
        with_targets: Whether items must be pairs; otherwise they may also be x alone.

    Returns:
        The inputs in x's form with a leading axis of rows (a list of rows where these are of unlike
        lengths), and the targets or `None`.

    Raises:
        DataError: If it has no length or no items, an item fails, or items differ in their form or
            shape.
    """
    try:
        num_items = len(dataset)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError) as error:
        raise DataError(
            f"got a {type(dataset).__name__} without __len__; allowed is a map-style Dataset with "
            f"__len__ and __getitem__; add __len__ or give arrays"
        ) from error
    if not num_items:
        raise DataError(f"the {type(dataset).__name__} has no items; add rows")
    stacks: dict[str | int, list[Tensor]] = {}
    targets: list[Any] = []
    form: type | None = None
    for row in range(num_items):
        x, y = _parts(_item(dataset, row), row, with_targets)
        fields = _fields(x)
        if row == 0:
            form, stacks = type(x), {name: [] for name in fields}
        if fields.keys() != stacks.keys():
            raise DataError(f"item {row} has other inputs than item 0; all items need the same")
        for name, value in fields.items():
            tensor = _tensor(value, row)
            if stacks[name] and not _alike(tensor, stacks[name][0]):
                raise DataError(
                    f"item {row} has the shape {list(tensor.shape)} and item 0 has "
                    f"{list(stacks[name][0].shape)}; all items need the same; pad or resize them"
                )
            stacks[name].append(tensor)
        targets.append(y)
    stacked = {name: _stacked(tensors) for name, tensors in stacks.items()}
    known = None if any(y is None for y in targets) and not with_targets else targets
    assert form is not None
    if issubclass(form, Mapping):
        return stacked, known
    if issubclass(form, tuple | list):
        return tuple(stacked.values()), known
    return stacked[0], known


def _item(dataset: Dataset[Any], row: int) -> Any:
    try:
        return dataset[row]
    except Exception as error:  # the user's own code
        reason = " ".join(str(error).split())
        raise DataError(
            f"item {row} of the {type(dataset).__name__} cannot be read: {type(error).__name__}: "
            f"{reason}; correct its __getitem__"
        ) from error


def _parts(item: Any, row: int, with_targets: bool) -> tuple[Any, Any]:
    if isinstance(item, tuple | list) and len(item) == _PAIR:
        return item[0], _target(item[1], row)
    if with_targets:
        got = type(item).__name__
        count = f" of {len(item)}" if isinstance(item, tuple | list) else ""
        raise DataError(f"item {row} is a {got}{count}; allowed is a pair (x, y)")
    return item, None


def _target(value: Any, row: int) -> Any:
    if isinstance(value, Tensor | np.ndarray | np.generic):
        if np.prod(value.shape) > 1:
            return value.numpy() if isinstance(value, Tensor) else value
        if np.prod(value.shape) == 0:
            raise DataError(
                f"item {row} has a target of the shape {list(value.shape)}, without a value"
            )
        return value.item() if not isinstance(value, np.ndarray) else value.reshape(()).item()
    return value


def _fields(x: Any) -> dict[str | int, Any]:
    if isinstance(x, Mapping):
        return {str(name): value for name, value in x.items()}
    return dict(enumerate(x)) if isinstance(x, tuple | list) else {0: x}


def _tensor(value: Any, row: int) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, bool | int | float | np.generic | np.ndarray):
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
    raise DataError(
        f"item {row} has an input of type {type(value).__name__}; allowed are tensors, arrays and "
        f"numbers; convert it in __getitem__ (an image with torchvision's or numpy's functions)"
    )


def _alike(tensor: Tensor, other: Tensor) -> bool:
    """Whether two items' inputs may be rows of one input: they may differ in their length."""
    return tensor.dim() == other.dim() and tensor.shape[1:] == other.shape[1:]


def _stacked(tensors: list[Tensor]) -> Tensor | list[Tensor]:
    if len({tensor.shape for tensor in tensors}) > 1:  # rows of unlike lengths
        return tensors
    # Numbers may be whole in one item and not in the next.
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) > 1:
        common = tensors[0].dtype
        for dtype in dtypes:
            common = torch.promote_types(common, dtype)
        tensors = [tensor.to(common) for tensor in tensors]
    return torch.stack(tensors)
