"""Functions whose explanations are known, in the place of a bundle's graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from pawl.data.types import Column, Examples, InputSpec, Schema, TargetColumn
from pawl.explaining.subject import Subject

Function = Callable[[np.ndarray], np.ndarray]


def schema_of(names: str, kind: str = "regression") -> Schema:
    """A table of numeric columns, one letter each; a capital letter is a category of four."""
    columns = tuple(
        Column(name=name, kind="categorical", categories=("red", "green", "blue"))
        if name.isupper()
        else Column(name=name, kind="numeric")
        for name in names
    )
    numbers = tuple(each.name for each in columns if each.kind == "numeric")
    codes = tuple(each.name for each in columns if each.kind == "categorical")
    inputs = [
        InputSpec(
            name="numeric", shape=(len(numbers),), dtype="float32", features=numbers,
            missing=(False,) * len(numbers),
        )
    ]  # fmt: skip
    if codes:
        inputs.append(
            InputSpec(
                name="categorical", shape=(len(codes),), dtype="int64", features=codes,
                cardinalities=(4,) * len(codes),
            )
        )  # fmt: skip
    classes = {"regression": (), "binary": ("no", "yes"), "multiclass": ("a", "b", "c")}[kind]
    return Schema(
        source="table", kind=kind, columns=columns, inputs=tuple(inputs),
        targets=(TargetColumn(name="y", classes=classes),),
    )  # fmt: skip


def subject_of(names: str, function: Function, kind: str = "regression") -> Subject:
    """A subject that is a function of the numbers `[R, F]`, and of the codes behind them."""

    def predict(examples: Examples) -> np.ndarray:
        parts = [tensor.numpy().astype(np.float64) for tensor in examples.inputs.values()]
        return function(np.concatenate(parts, 1)).astype(np.float32)

    return Subject(schema_of(names, kind), predict)


def rows_of(
    x: np.ndarray, codes: np.ndarray | None = None, y: np.ndarray | None = None
) -> Examples:
    """Rows of such a schema."""
    inputs = {"numeric": torch.from_numpy(x.astype(np.float32))}
    if codes is not None:
        inputs["categorical"] = torch.from_numpy(codes.astype(np.int64))
    targets = None if y is None else torch.from_numpy(y)
    if targets is not None and targets.dtype == torch.float64:
        targets = targets.float()
    return Examples(inputs, targets)


def probabilities(second: np.ndarray) -> np.ndarray:
    """Those of two classes, `[R, 2]`."""
    return np.stack([1.0 - second, second], 1)
