"""Arrays as tensors of the dtypes that pawl uses, checked against a schema."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pawl.data.types import Inputs, InputSpec, Schema
from pawl.errors import DataError

_BYTE_MAX = 255
_NUMPY_DTYPES = {"b": np.float32, "f": np.float32, "i": np.int64, "u": np.int64}


def as_tensor(value: Any, name: str, *, exact: bool = False) -> Tensor:
    """A copy in float32, int64 or uint8.

    Args:
        value: The array.
        name: What messages call it.
        exact: Whether it is float64 in place of float32.

    Raises:
        DataError: If it holds no numbers, or its rows differ in shape.
    """
    if not isinstance(value, Tensor):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise DataError(
                f"input {name!r} has rows of different shapes ({error}); all need the same; pad or "
                f"crop them"
            ) from error
        if hasattr(value, "toarray"):
            raise DataError(f"input {name!r} is sparse; allowed are dense arrays; use toarray()")
        if array.dtype.kind not in "biuf":
            raise DataError(
                f"input {name!r} is {type(value).__name__} of dtype {array.dtype}; allowed are "
                f"arrays and tensors of numbers or booleans; convert it, or give a pandas DataFrame, "
                f"whose columns may hold text and dates"
            )
        dtype = np.uint8 if array.dtype == np.uint8 else _NUMPY_DTYPES[array.dtype.kind]
        if exact and array.dtype.kind == "f":
            dtype = np.float64
        # A copy, because torch takes neither read-only arrays nor swapped bytes.
        with np.errstate(over="ignore"):
            value = torch.from_numpy(np.array(array, dtype=dtype, order="C"))
    tensor: Tensor = value.detach().cpu()
    if tensor.layout != torch.strided:
        raise DataError(f"input {name!r} is sparse; allowed are dense arrays; use to_dense()")
    if len(tensor.shape) > 1 and not tensor[:1].numel() and len(tensor):
        raise DataError(
            f"input {name!r} has rows of shape {list(tensor.shape[1:])}, which hold no value; at "
            f"least one is needed; add features"
        )
    if tensor.ndim == 0:
        raise DataError(f"input {name!r} is a single number; rows are needed on the first axis")
    if tensor.is_complex():
        raise DataError(f"input {name!r} is complex; allowed are real numbers; split it into two")
    is_float = tensor.is_floating_point() or tensor.dtype == torch.bool
    wanted = torch.int64
    if is_float:
        wanted = torch.float64 if exact else torch.float32
    if tensor.dtype == torch.uint8:
        wanted = torch.uint8
    return tensor.to(wanted, copy=True, memory_format=torch.contiguous_format)


def fit_inputs(inputs: Inputs, schema: Schema) -> Inputs:
    """The inputs that the schema names, in its order and with its dtypes.

    Raises:
        DataError: If one is absent, or differs in its shape, or cannot be of the dtype.
    """
    if len(inputs) == 1 and len(schema.inputs) == 1:
        inputs = {schema.inputs[0].name: next(iter(inputs.values()))}
    fitted: Inputs = {}
    for spec in schema.inputs:
        if spec.name not in inputs:
            wanted = ", ".join(one.name for one in schema.inputs)
            raise DataError(
                f"got the inputs {', '.join(inputs)}; {wanted} are needed, as in the data that the "
                f"schema comes from"
            )
        tensor = inputs[spec.name]
        if tuple(tensor.shape[1:]) != spec.shape:
            raise DataError(
                f"input {spec.name!r} has rows of shape {list(tensor.shape[1:])}; "
                f"{list(spec.shape)} is needed, as in the data that the schema comes from"
            )
        fitted[spec.name] = _cast(tensor, spec)
    return fitted


def _cast(tensor: Tensor, spec: InputSpec) -> Tensor:
    wanted: torch.dtype = getattr(torch, spec.dtype)
    fits = wanted in (tensor.dtype, torch.float32)
    if not fits and not tensor.is_floating_point():
        in_range = not tensor.numel() or (tensor.min() >= 0 and tensor.max() <= _BYTE_MAX)
        fits = wanted == torch.int64 or bool(in_range)
    if not fits:
        raise DataError(
            f"input {spec.name!r} holds {dtype_name(tensor)} that is not allowed as {spec.dtype}; "
            f"convert it"
        )
    return tensor.to(wanted)


def dtype_name(tensor: Tensor) -> Literal["float32", "int64", "uint8"]:
    """The dtype's name in an `InputSpec`."""
    if tensor.dtype == torch.uint8:
        return "uint8"
    return "float32" if tensor.is_floating_point() else "int64"
