"""Predictions as people read them: a row per row in a table, or arrays.

Shape legend: `R` rows, `C` classes, `S` places of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pawl.data.types import Schema
from pawl.errors import printable
from pawl.kinds import KINDS, Conformal


def prediction_frame(
    schema: Schema,
    predictions: np.ndarray,
    conformal: Conformal | None = None,
    shift: float | None = None,
) -> pd.DataFrame:
    """Returns predictions as a data frame; see `Bundle.predict`."""
    return pd.DataFrame(prediction_columns(schema, predictions, conformal, shift))


def prediction_columns(
    schema: Schema,
    predictions: np.ndarray,
    conformal: Conformal | None = None,
    shift: float | None = None,
) -> dict[str, np.ndarray]:
    """Returns predictions as columns by name, each `[R]`; see `Bundle.predict`."""
    columns = _predicted(schema, predictions)
    if shift:
        shown = unshifted(predictions, shift)
        for at, name in enumerate(schema.classes):
            columns[printable(f"p_{name}")] = shown[:, at]
    if conformal is None:
        return columns
    if KINDS[schema.kind].has_classes:
        inside = conformal.sets(predictions)
        for at, name in enumerate(schema.classes):
            columns[printable(f"in_{name}")] = inside[:, at]
        return columns
    several = KINDS[schema.kind].target_axes > 0
    names = [f"{printable(column.name)}_" if several else "" for column in schema.targets]
    low, high = conformal.interval(predictions)
    for at, name in enumerate(names or [""]):
        for end, values in (("low", low), ("high", high)):
            columns[f"{name}{end}"] = values[:, at].astype(np.float32)
    return columns


def without_prediction(predictions: np.ndarray) -> list[str]:
    """Returns a note on the rows for which a model has no prediction, if there are any."""
    lost = int((~np.isfinite(predictions).reshape(len(predictions), -1).all(1)).sum())
    said = f"{lost} of {len(predictions)} predictions are not finite: the model has none for these rows"
    return [said] if lost else []


def unshifted(predictions: np.ndarray, shift: float) -> np.ndarray:
    """Returns the probabilities of two classes whose odds were multiplied by `exp(shift)`, `[R, 2]`."""
    second = predictions[:, 1].astype(np.float64)
    second = second / (second + (1.0 - second) * np.exp(shift))
    return np.stack([1.0 - second, second], 1).astype(predictions.dtype)


def _predicted(schema: Schema, predictions: np.ndarray) -> dict[str, np.ndarray]:
    kind = KINDS[schema.kind]
    if not kind.target_axes:
        if not kind.has_classes:
            return {"prediction": predictions}
        there = np.isfinite(predictions).all(1)
        columns = {"prediction": _classes(schema.classes, kind.labels(predictions), there)}
        for index, name in enumerate(schema.classes):
            columns[printable(f"p_{name}")] = predictions[:, index]
        return columns
    names = [printable(column.name) for column in schema.targets]
    if not kind.has_classes:
        return {name: predictions[:, place] for place, name in enumerate(names)}
    chosen = kind.labels(predictions)
    columns = {
        name: _classes(column.classes, chosen[:, place], np.isfinite(predictions[:, place]))
        for place, (name, column) in enumerate(zip(names, schema.targets, strict=True))
    }
    return columns | {f"p_{name}": predictions[:, place] for place, name in enumerate(names)}


def _classes(names: Sequence[str], numbers: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Returns the classes of some numbers, and `None` where there is no prediction, `[R]`."""
    found: np.ndarray = np.asarray(names, dtype=object)[numbers]
    found[~there] = None
    return found


def prediction_arrays(schema: Schema, predictions: np.ndarray) -> dict[str, Any]:
    """Returns `prediction`, class numbers or values `[R, *S]`, and of classes `probabilities`."""
    kind = KINDS[schema.kind]
    if not kind.has_classes:
        return {"prediction": predictions}
    return {"prediction": kind.labels(predictions), "probabilities": predictions}
