"""Arrays, tensors and map-style datasets.

Shape legend: `R` rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.block_columns import check_classes, pop_blocks, read_blocks
from pawl.data.blocks import Blocks
from pawl.data.kinds import check_rows
from pawl.data.labels import Labels, read_labels
from pawl.data.places import check_like, check_width, column_of, kind_at_places, read_places
from pawl.data.ragged import MASK
from pawl.data.rare import settle_rows
from pawl.data.several import check_targets
from pawl.data.sources import Parts, Source, refuse_target, require_form
from pawl.data.splits import split_rows
from pawl.data.targets import Targets, encode_targets, require_columns
from pawl.data.tensors import dtype_name, fit_inputs
from pawl.data.types import Examples, Inputs, InputSpec, Schema
from pawl.data.unpacking import FORMS, Arrays, unpack
from pawl.errors import DataError, TaskError
from pawl.kinds import KINDS, KindName
from pawl.options import ReadOptions
from pawl.task import Task

_TARGET = "target"
_PAIR = 2
_MATRICES = 3


def load_arrays(
    task: Task, source: Source, test: Source | None, *, seed: int, test_share: float
) -> Parts:
    """Reads arrays or a dataset; shapes and names become the schema.

    Raises:
        TaskError: If the targets cannot be of the kind that the task asks for.
        DataError: If the arrays cannot be used.
    """
    refuse_target(task.target, _TARGET, "arrays")
    arrays = unpack(source.value, None, task.read)
    if (kind := kind_at_places(arrays.targets, arrays.inputs, task.kind)) is not None:
        return _load_places(task, arrays, kind, test, seed=seed, test_share=test_share)
    inputs, read, notes = _labeled(arrays, "rows")
    if not len(read.present) or read.present.any():
        check_rows(len(read.present))
    test_inputs, test_read = None, None
    if test is not None:
        test_inputs, test_read, more = _labeled(_test_arrays(test, arrays, task.read), "test rows")
        require_columns(test_read, read)
        notes += more
    settled = settle_rows(read, task, form="arrays", test=test_read, test_share=test_share)
    kind, predicted, test_read = settled.kind, settled.columns, settled.test
    notes += [*arrays.notes, *settled.notes]
    inputs = _where(inputs, settled.keep)
    test_inputs = None if test_inputs is None else _where(test_inputs, settled.test_keep)
    targets = encode_targets(settled.targets, kind, predicted)
    own_model = task.model is not None
    inputs, test_inputs, blocks, more = _blocks_apart(inputs, test_inputs, task.read)
    check_classes(blocks[0], targets if kind == "binary" else None, predicted[0].classes)
    notes += more
    everything = Examples(inputs, targets, blocks=blocks[0])
    development, test_rows = everything, None
    if test_inputs is None or test_read is None:
        rest, held = split_rows(targets, kind, test_share, seed, blocks=blocks[0])
        development, test_rows = everything.take(rest), everything.take(held)
    if not own_model:
        _check_lengths(development.inputs, arrays.masks)
    specs = _specs(development.inputs, arrays, own_model=own_model)
    schema = Schema(source="arrays", kind=kind, targets=predicted, inputs=specs, style=arrays.style)
    if test_inputs is not None and test_read is not None:
        test_targets = encode_targets(test_read, kind, predicted)
        test_rows = Examples(fit_inputs(test_inputs, schema), test_targets, blocks=blocks[1])
    assert test_rows is not None
    notes += check_targets(development.known_targets, kind, predicted)
    for rows in (development, test_rows):
        notes += _notes_on_gaps(rows.inputs, own_model=own_model)
    return Parts(schema, development, test_rows, notes)


def _check_lengths(inputs: Inputs, masks: Sequence[str]) -> None:
    """Refuses rows of unlike lengths, but real numbers `[steps, channels]`: for these there is a net."""
    for name in (mask.removesuffix(MASK) for mask in masks):
        if inputs[name].dim() != _MATRICES or not inputs[name].is_floating_point():
            raise DataError(
                f"input {name!r} has rows of unlike lengths, for which pawl builds a network if they "
                "are real numbers [steps, channels]; give them so, give a model of yours, or pad or "
                "crop them"
            )


def _load_places(
    task: Task,
    arrays: Arrays,
    kind: KindName,
    test: Source | None,
    *,
    seed: int,
    test_share: float,
) -> Parts:
    """Reads arrays whose targets lie on places of their rows; see `load_arrays`."""
    if task.model is None:
        raise TaskError(
            f"targets are {KINDS[kind].phrase} (the kind {kind}), for which pawl builds no network; "
            "give a model of yours"
        )
    refused = next((name for name in ("rare", "positive") if getattr(task.read, name)), None)
    if refused is not None:
        raise TaskError(
            f"got the option {refused!r}, which is not for the kind {kind}; leave it out"
        )
    apart = None if test is None else _test_arrays(test, arrays, task.read)
    inputs, test_inputs, blocks, notes = _blocks_apart(
        arrays.inputs, None if apart is None else apart.inputs, task.read
    )
    rows = Examples(inputs, _read_all(arrays, kind), blocks=blocks[0])
    check_rows(len(rows))
    check_width(arrays.targets, kind)
    if apart is None or test_inputs is None:
        rest, held = split_rows(rows.known_targets, kind, test_share, seed, blocks=blocks[0])
        development, test_rows = rows.take(rest), rows.take(held)
    else:
        test_targets = _read_all(apart, kind)
        development, test_rows = rows, Examples(test_inputs, test_targets, blocks=blocks[1])
    column = column_of(development.known_targets, test_rows.known_targets, kind, _TARGET)
    specs = _specs(development.inputs, arrays, own_model=True)
    schema = Schema(source="arrays", kind=kind, targets=(column,), inputs=specs, style=arrays.style)
    test_rows = replace(test_rows, inputs=fit_inputs(test_rows.inputs, schema))
    for part in (development, test_rows):
        notes += _notes_on_gaps(part.inputs, own_model=True)
    return Parts(schema, development, test_rows, notes)


def _blocks_apart(
    inputs: Inputs, test: Inputs | None, options: ReadOptions
) -> tuple[Inputs, Inputs | None, tuple[Blocks | None, Blocks | None], list[str]]:
    """Returns inputs without the array of groups or times, what that says of both parts, and notes."""
    inputs, frame = pop_blocks(inputs, options)
    test_frame = None
    if test is not None:
        test, test_frame = pop_blocks(test, options)
    blocks, apart, notes = read_blocks(frame, test_frame, options)
    return inputs, test, (blocks, apart), notes


def _test_arrays(test: Source, arrays: Arrays, options: ReadOptions) -> Arrays:
    """Reads test rows; those of unlike lengths are padded as the data is."""
    require_form(test, "arrays", "the test data")
    specs = _specs(arrays.inputs, arrays, own_model=True)
    like = Schema(source="arrays", kind="regression", targets=(), inputs=specs, style=arrays.style)
    found = unpack(test.value, like if arrays.masks else None, options)
    _refuse_other_masks(found, like)
    if found.targets is None:
        raise DataError(f"got test rows without targets; allowed is {FORMS}")
    return found


def _refuse_other_masks(arrays: Arrays, schema: Schema) -> None:
    """Raises `DataError` where rows were padded whose padding no mask of the schema would tell."""
    known = {spec.name: spec.shape for spec in schema.inputs}
    for name in (mask.removesuffix(MASK) for mask in arrays.masks if mask not in known):
        if name in known:
            raise DataError(
                f"input {name!r} has rows of unlike lengths; {list(known[name])} is needed for each, as "
                "in the data that the schema comes from; pad or crop them"
            )


def _read_all(arrays: Arrays, kind: KindName) -> Tensor:
    return read_places(arrays.targets, kind, len(next(iter(arrays.inputs.values()))))


def read_arrays(schema: Schema, source: Source, *, with_targets: bool) -> Examples:
    """Reads arrays by the names, shapes and dtypes of a schema, in their order.

    Raises:
        DataError: They do not fit the schema, or a row lacks its target where targets are wanted.
    """
    require_form(source, "arrays", "the source")
    arrays = unpack(source.value, schema)
    _refuse_other_masks(arrays, schema)
    inputs = fit_inputs(arrays.inputs, schema)
    if not len(next(iter(inputs.values()))):
        raise DataError("got no rows; give at least one")
    if not with_targets:
        return Examples(inputs, None)
    if arrays.targets is None:
        raise DataError(f"got no targets; allowed is {FORMS}")
    num_rows = len(next(iter(inputs.values())))
    if KINDS[schema.kind].has_places:
        at_places = read_places(arrays.targets, schema.kind, num_rows)
        check_like(at_places, schema.targets[0])
        return Examples(inputs, at_places)
    read = _targets(arrays.targets, num_rows)
    require_columns(read, schema.targets)
    if not read.present.all():
        raise DataError(f"{(~read.present).sum()} row(s) have no target; fill or remove them")
    return Examples(inputs, encode_targets(read, schema.kind, schema.targets))


def _labeled(
    arrays: Arrays, what: Literal["rows", "test rows"]
) -> tuple[Inputs, Targets, list[str]]:
    """The rows that have a target, and notes."""
    assert arrays.targets is not None
    num_rows = len(next(iter(arrays.inputs.values())))
    read = _targets(arrays.targets, num_rows)
    present = read.present
    if present.all() or not present.any():
        return arrays.inputs, read, []
    mask = torch.from_numpy(present)
    inputs = {name: tensor[mask] for name, tensor in arrays.inputs.items()}
    note = f"{(~present).sum()} of {num_rows} {what} have no target and were left out"
    return inputs, read.take(present), [note]


def _where(inputs: Inputs, keep: NDArray[np.bool_] | None) -> Inputs:
    if keep is None:
        return inputs
    return {name: tensor[torch.from_numpy(keep)] for name, tensor in inputs.items()}


def _targets(targets: Any, num_rows: int) -> Targets:
    names: list[str] = []
    if isinstance(targets, pd.DataFrame):
        names = [str(name) for name in targets.columns]
    values = targets.detach().cpu() if isinstance(targets, Tensor) else targets
    if isinstance(values, Tensor):
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(values, pd.Series | pd.DataFrame):
        values = values.to_numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"targets differ in their shapes; allowed is [rows] or [rows, targets]: {error}"
        ) from error
    if array.ndim > 1 and array.shape[1:] == (1,) * (array.ndim - 1):
        array = array.reshape(len(array))
    if array.ndim == 0:
        hint = f"; name a column by target={targets!r}" if isinstance(targets, str) else ""
        raise DataError(
            f"got a {type(targets).__name__} as targets; allowed is one value per row, in an array, "
            f"tensor, Series or list{hint}"
        )
    if array.ndim > _PAIR or 0 in array.shape[1:]:
        raise DataError(
            f"targets have the shape {list(array.shape)}; allowed is [rows], or [rows, targets] for "
            "several at once"
        )
    if len(array) != num_rows:
        raise DataError(
            f"got {num_rows} rows of inputs and {len(array)} targets; as many of both are needed"
        )
    if array.ndim == 1:
        return Targets((_labels(array, _TARGET),))
    if len(names) != array.shape[1]:
        names = [f"{_TARGET}_{place}" for place in range(array.shape[1])]
    return Targets(tuple(_labels(array[:, place], name) for place, name in enumerate(names)))


def _labels(array: NDArray[Any], name: str) -> Labels:
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
    return read_labels(column, name, whole=whole)


def _specs(inputs: Inputs, arrays: Arrays, *, own_model: bool) -> tuple[InputSpec, ...]:
    specs = [_spec(name, tensor, own_model=own_model) for name, tensor in inputs.items()]
    return tuple(spec.model_copy(update={"is_mask": spec.name in arrays.masks}) for spec in specs)


def _spec(name: str, tensor: Tensor, *, own_model: bool) -> InputSpec:
    """An input of this shape, with flags for its gaps where pawl's own network is to take it."""
    shape = tuple(tensor.shape[1:])
    missing: tuple[bool, ...] = ()
    if tensor.is_floating_point() and not own_model:
        odd = ~tensor.isfinite()
        is_vector = len(shape) == 1
        missing = tuple(odd.any(0).tolist()) if is_vector else (False,) * (shape[-1:] or (1,))[0]
    span = (0, 0)
    if tensor.dtype == torch.int64 and tensor.numel():
        span = (int(tensor.min()), int(tensor.max()))
    return InputSpec(name=name, shape=shape, dtype=dtype_name(tensor), missing=missing, span=span)


def _notes_on_gaps(inputs: Inputs, *, own_model: bool) -> Sequence[str]:
    notes = []
    for name, tensor in inputs.items():
        num_odd = int((~torch.isfinite(tensor)).sum()) if tensor.is_floating_point() else 0
        if num_odd:
            how = "and reach the task's model as they are" if own_model else "and count as missing"
            notes.append(f"input {name!r}: {num_odd} value(s) are NaN or infinite {how}")
    return notes
