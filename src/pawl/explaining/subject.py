"""What is explained: a function of rows, and the columns that it is explained by.

Shape legend: `R` rows, `O` explained outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.encoding import features_by_column
from pawl.data.types import Examples, Inputs, Schema
from pawl.data.windows import WINDOW, seen
from pawl.deployment import Bundle
from pawl.deployment.predictions import unshifted
from pawl.errors import printable
from pawl.kinds import KINDS

Values = NDArray[np.float64]
Predict = Callable[[Examples], NDArray[np.float32]]
_DAY = "datetime64[D]"


@dataclass(frozen=True)
class Feature:
    """What is explained as one: a column as it was read, or an entry of an array.

    Attributes:
        name: The column's, or `INPUT[PLACE]`.
        kind: `numeric`, `boolean`, `date`, `categorical`, or `input` for what is no single value: an
            array or a text as a whole, or what rows see of a column of those before them.
        input: In which input it lies.
        at: Its places along the last axis; empty for the whole input.
        categories: Those of a categorical column; code 1 is the first.
    """

    name: str
    kind: str
    input: str
    at: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()

    def put(self, inputs: Inputs, values: Inputs) -> None:
        """Takes its values from other rows, `[R, ...]` each, in place."""
        if self.at:
            inputs[self.input][..., list(self.at)] = values[self.input][..., list(self.at)]
        else:
            inputs[self.input][:] = values[self.input]

    def where(self, mask: Tensor, inputs: Inputs, values: Inputs) -> None:
        """Takes its values from other rows where a mask `[R]` says so, in place."""
        there = mask.nonzero().squeeze(-1)
        for at in self.at:
            inputs[self.input][there, ..., at] = values[self.input][there, ..., at]
        if not self.at:
            inputs[self.input][there] = values[self.input][there]

    def numbers(self, inputs: Inputs) -> Values:
        """Returns a number for each row, `[R]`; NaN where missing. Of a date, its days since 1970."""
        values: Values = inputs[self.input][:, self.at[0]].double().numpy()
        return np.where(values == 0, np.nan, values) if self.kind == "categorical" else values

    def text(self, value: float) -> str:
        """Returns one of `numbers` as people write it."""
        if not np.isfinite(value):
            return "unknown" if self.kind == "categorical" else "missing"
        if self.kind == "categorical":
            return printable(self.categories[int(value) - 1])
        if self.kind == "date":
            return str(np.datetime64(int(value), "D").astype(_DAY))
        if self.kind == "boolean":
            return "yes" if value else "no"
        return f"{value:.6g}"


def features_of(schema: Schema) -> tuple[Feature, ...]:
    """Returns what rows of a schema are explained by; nothing for images."""
    if schema.source == "images":
        return ()
    if schema.columns:
        return tuple(_columns(schema))
    found = []
    for spec in schema.inputs:
        if len(spec.shape) == 1:
            for place in range(spec.shape[0]):
                alone = f"{spec.name}[{place}]" if spec.shape[0] > 1 else spec.name
                name = spec.features[place] if spec.features else alone
                found.append(Feature(name, "numeric", spec.name, (place,)))
        elif not spec.is_mask:
            found.append(Feature(spec.name, "input", spec.name))
    return tuple(found)


def _columns(schema: Schema) -> list[Feature]:
    found, start, code, text = [], 0, 0, 0
    numbers = next((spec.features for spec in schema.inputs if spec.name == "numeric"), ())
    widths = features_by_column(schema.columns, numbers)
    texts = [spec.name for spec in schema.inputs if spec.tokens]
    for column in schema.columns:
        if column.kind == "categorical":
            found.append(
                Feature(column.name, column.kind, "categorical", (code,), column.categories)
            )
            code += 1
        elif column.kind == "text":
            found.append(Feature(column.name, "input", texts[text]))
            text += 1
        else:
            stop = start + len(widths[column.name])
            found.append(Feature(column.name, column.kind, "numeric", tuple(range(start, stop))))
            start = stop
    return [*found, *(Feature(f"earlier {name}", "input", WINDOW, at) for name, at in seen(schema))]


class Subject:
    """A function of rows, and the outputs that are explained.

    Args:
        schema: Of the rows.
        predict: Returns predictions `[R, *P]`, as a bundle's graph does.
        shift: What the log odds of two classes are shifted by in them, as in a bundle's task.

    Attributes:
        outputs: Names of the outputs: classes, labels or targets.
    """

    def __init__(self, schema: Schema, predict: Predict, shift: float = 0.0) -> None:
        self.schema, self.kind = schema, KINDS[schema.kind]
        self.features = features_of(schema)
        self.predict, self.shift = predict, shift
        named = schema.classes or tuple(column.name for column in schema.targets)
        if self.kind.exclusive and not schema.classes:
            named = tuple(map(str, range(schema.num_outputs)))
        self.outputs = tuple(printable(name) for name in named)

    @classmethod
    def of(cls, bundle: Bundle) -> Subject:
        """Returns a bundle's graph."""
        return cls(bundle.schema, bundle.predict_raw, float(bundle.task.get("shift") or 0.0))

    @property
    def label(self) -> str:
        """What values are: probabilities, or the target's name."""
        if self.kind.has_classes:
            return "probability"
        return self.outputs[0] if len(self.outputs) == 1 else "prediction"

    def values(self, inputs: Inputs) -> Values:
        """Returns what is explained, `[R, O]`: probabilities of classes or labels, or values."""
        return self.shown(self.predict(Examples(inputs, None)))

    def shown(self, predictions: NDArray[np.float32]) -> Values:
        """Returns predictions as they are explained."""
        if self.shift:
            predictions = unshifted(predictions, self.shift)
        exact = predictions.astype(np.float64)
        return exact if exact.ndim > 1 else exact[:, None]

    def leading(self, values: Values) -> NDArray[np.int64]:
        """Returns which output is explained of each row, `[R]`.

        The second of two classes, the most probable of several classes or labels, the first value.
        """
        if self.schema.kind == "binary":
            return np.ones(len(values), dtype=np.int64)
        if self.kind.has_classes:
            best: NDArray[np.int64] = values.argmax(1)
            return best
        return np.zeros(len(values), dtype=np.int64)


def taken(inputs: Inputs, rows: Sequence[int] | NDArray[np.int64] | Tensor) -> Inputs:
    """Returns copies of rows."""
    index = torch.as_tensor(rows, dtype=torch.int64)
    return {name: tensor[index] for name, tensor in inputs.items()}


def count_of(inputs: Inputs) -> int:
    """Returns the number of rows."""
    return len(next(iter(inputs.values())))
