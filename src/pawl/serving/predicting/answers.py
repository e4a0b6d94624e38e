"""Predictions as answers: what `pawl predict` writes, as JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pawl.data import Examples
from pawl.deployment import Bundle, prediction_arrays, prediction_columns, without_prediction
from pawl.errors import printable
from pawl.kinds import KINDS


@dataclass(frozen=True)
class Answer:
    """What a request gets.

    Attributes:
        columns: Predictions of its rows by column, ready for JSON.
        notes: What a reader should know of them.
    """

    columns: Mapping[str, Sequence[Any]]
    notes: Sequence[str] = ()


class Predictor:
    """Predicts the rows of several requests at once.

    Args:
        bundle: What predicts.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._schema = bundle, bundle.schema
        self._conformal, self._shift = bundle.conformal, bundle.task.get("shift")

    def __call__(self, requests: Sequence[Examples]) -> list[Answer]:
        """Returns what each request's rows get.

        Raises:
            BundleError: The graph cannot take the rows.
        """
        together = requests[0]
        if len(requests) > 1:
            names = together.inputs
            together = Examples(
                {name: torch.cat([each.inputs[name] for each in requests]) for name in names}, None
            )
        raw = self._bundle.predict_raw(together)
        columns = {name: _plain(values) for name, values in self._columns(raw).items()}
        answers: list[Answer] = []
        start = 0
        for each in requests:
            end = start + len(each)
            own = {name: values[start:end] for name, values in columns.items()}
            answers.append(Answer(own, without_prediction(raw[start:end])))
            start = end
        return answers

    def _columns(self, raw: np.ndarray) -> dict[str, Any]:
        if KINDS[self._schema.kind].has_places:
            return prediction_arrays(self._schema, raw)
        return prediction_columns(self._schema, raw, self._conformal, self._shift)


def columns_of(bundle: Bundle) -> list[str]:
    """Returns the columns of the answers of a bundle."""
    schema = bundle.schema
    kind = KINDS[schema.kind]
    raw = np.zeros((1, *kind.prediction_shape(schema.num_outputs, schema.places)), np.float32)
    if kind.has_places:
        return list(prediction_arrays(schema, raw))
    files = ["file"] if schema.source == "images" else []
    shift = bundle.task.get("shift")
    return [*files, *prediction_columns(schema, raw, bundle.conformal, shift)]


def as_json(answer: Answer, notes: Sequence[str]) -> bytes:
    """Returns an answer as JSON: a row for each row, and notes (of reading, too) if there are any."""
    columns = answer.columns
    names = tuple(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    content: dict[str, Any] = {"predictions": rows}
    if notes or answer.notes:
        content["notes"] = [*notes, *answer.notes]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(
        errors="backslashreplace"
    )


def as_csv(answer: Answer) -> bytes:
    """Returns an answer as CSV, as `pawl predict` writes it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(zip(*answer.columns.values(), strict=True))
    return text.getvalue().encode(errors="backslashreplace")


def with_files(answer: Answer, files: Sequence[str]) -> Answer:
    """Returns an answer with the names of its images in front."""
    if not files:
        return answer
    return replace(answer, columns={"file": [printable(file) for file in files], **answer.columns})


def _plain(values: np.ndarray) -> list[Any]:
    """Returns an array as values of JSON: the shortest that are its numbers, null where none is."""
    found = values
    if values.dtype == np.float32 and values.ndim == 1:
        found = values.astype(str).astype(np.float64)
    if values.dtype.kind == "f" and not (there := np.isfinite(values)).all():
        found = found.astype(object)
        found[~there] = None
    return found.tolist()  # type: ignore[no-any-return]
