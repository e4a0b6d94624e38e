"""Predictions as people read them: a row per row in a table, or arrays; and as files.

Shape legend: `R` rows, `C` classes, `S` places of a row.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pawl.data.types import Schema
from pawl.errors import BundleError, option, printable
from pawl.kinds import KINDS, Conformal

if TYPE_CHECKING:
    from pawl.deployment.bundle import Bundle

_TABLES = (".csv", ".parquet")
_ARRAYS = (".npz",)


def prediction_frame(
    schema: Schema,
    predictions: np.ndarray,
    conformal: Conformal | None = None,
    shift: float | None = None,
) -> pd.DataFrame:
    """Returns predictions as a data frame; see `Bundle.predict`."""
    frame = _predicted(schema, predictions)
    if shift:
        shown = unshifted(predictions, shift)
        for at, name in enumerate(schema.classes):
            frame[printable(f"p_{name}")] = shown[:, at]
    if conformal is None:
        return frame
    if KINDS[schema.kind].has_classes:
        inside = conformal.sets(predictions)
        columns = {printable(f"in_{name}"): inside[:, at] for at, name in enumerate(schema.classes)}
    else:
        several = KINDS[schema.kind].target_axes > 0
        names = [f"{printable(column.name)}_" if several else "" for column in schema.targets]
        low, high = conformal.interval(predictions)
        columns = {
            f"{name}{end}": values[:, at].astype(np.float32)
            for at, name in enumerate(names or [""])
            for end, values in (("low", low), ("high", high))
        }
    return pd.concat([frame, pd.DataFrame(columns)], axis=1)


def unshifted(predictions: np.ndarray, shift: float) -> np.ndarray:
    """Returns the probabilities of two classes whose odds were multiplied by `exp(shift)`, `[R, 2]`."""
    second = predictions[:, 1].astype(np.float64)
    second = second / (second + (1.0 - second) * np.exp(shift))
    return np.stack([1.0 - second, second], 1).astype(predictions.dtype)


def _predicted(schema: Schema, predictions: np.ndarray) -> pd.DataFrame:
    kind = KINDS[schema.kind]
    if not kind.target_axes:
        if not kind.has_classes:
            return pd.DataFrame({"prediction": predictions})
        labels = np.asarray(schema.classes, dtype=object)[kind.labels(predictions)]
        columns: dict[str, Any] = {"prediction": labels}
        for index, name in enumerate(schema.classes):
            columns[printable(f"p_{name}")] = predictions[:, index]
        return pd.DataFrame(columns)
    names = [printable(column.name) for column in schema.targets]
    if not kind.has_classes:
        return pd.DataFrame(predictions, columns=names)
    chosen = kind.labels(predictions)
    columns = {
        name: np.asarray(column.classes, dtype=object)[chosen[:, place]]
        for place, (name, column) in enumerate(zip(names, schema.targets, strict=True))
    }
    columns |= {f"p_{name}": predictions[:, place] for place, name in enumerate(names)}
    return pd.DataFrame(columns)


def prediction_arrays(schema: Schema, predictions: np.ndarray) -> dict[str, Any]:
    """Returns `prediction`, class numbers or values `[R, *S]`, and of classes `probabilities`."""
    kind = KINDS[schema.kind]
    if not kind.has_classes:
        return {"prediction": predictions}
    return {"prediction": kind.labels(predictions), "probabilities": predictions}


def write_predictions(bundle: Bundle, source: Any, out: Path) -> int:
    """Predicts and writes a file: CSV or Parquet, or `.npz` for arrays; returns the number of rows.

    Raises:
        BundleError: The file cannot be written.
    """
    arrays = KINDS[bundle.schema.kind].has_places
    allowed = _ARRAYS if arrays else _TABLES
    if out.suffix not in allowed:
        why = ", since predictions lie on places of a row" if arrays else ""
        raise BundleError(f"got {option('out', out)}; it must end in {' or '.join(allowed)}{why}")
    if isinstance(source, str | Path) and out.exists() and out.resolve() == Path(source).resolve():
        raise BundleError(f"{option('out', out)} is the data itself; give another file to write")
    if not out.resolve().parent.is_dir():
        raise BundleError(
            f"cannot write {out.name}: there is no folder {str(out.parent)!r}; make it"
        )
    found = bundle.predict(source)
    try:
        if not isinstance(found, pd.DataFrame):
            np.savez_compressed(out, **found)
            return len(found["prediction"])
        if out.suffix == ".csv":
            found.to_csv(out, index=False)
        else:
            found.to_parquet(out, index=False)
    except OSError as error:
        raise BundleError(
            f"cannot write {str(out)!r}: {error.strerror or error}; give another {option('out')}"
        ) from None
    return len(found)
