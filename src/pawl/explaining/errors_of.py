"""Errors of rows: which classes are taken for which, and the rows that are worst.

Shape legend: `R` rows, `O` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pawl.data.tokens import words_of
from pawl.data.types import Examples
from pawl.errors import printable
from pawl.explaining.judged import ClassErrors, ClassWorst, Errors, WorstRow
from pawl.explaining.subject import Feature, Subject, Values

_WORST, _TOLD = 10, 4
_OF_CLASS, _CLASSES = 4, 10
"""The worst rows of a class that are shown, and of how many classes."""
_LONGEST = 400
_LEAST = 1e-7


def errors_of(
    subject: Subject, values: Values, predictions: NDArray[np.float32], targets: NDArray[np.float64]
) -> tuple[str, Values, Values]:
    """Returns what a row's error is called, the error `[R]`, and by what rows are worse, `[R]`.

    Of classes an error is a wrong one, of labels the share of wrong ones; the worst rows are those whose
    truth was least likely. Of values it is the distance, of several in deviations of each.

    Args:
        subject: What is explained.
        values: As they are explained, `[R, O]`.
        predictions: As the model gives them, by which it decides.
        targets: `[R]` or `[R, O]`.
    """
    if subject.kind.exclusive:
        wrong = (subject.kind.labels(predictions) != targets) * 1.0
        likely = values[np.arange(len(values)), targets.astype(np.int64)]
        return "share of wrong predictions", wrong, -np.log(likely.clip(_LEAST))
    if subject.kind.has_classes:
        wrong = ((predictions > 0.5) != (targets == 1)).mean(1)
        likely = np.where(targets == 1, values, 1.0 - values)
        return "share of wrong labels", wrong, -np.log(likely.clip(_LEAST)).mean(1)
    known = targets if targets.ndim > 1 else targets[:, None]
    distance = np.abs(values - known)
    if values.shape[1] == 1:
        return "absolute error", distance[:, 0], distance[:, 0]
    scale = known.std(0)
    both = (distance / np.where(scale > 0, scale, 1.0)).mean(1)
    return "absolute error, in deviations", both, both


def told(
    subject: Subject,
    values: Values,
    predictions: NDArray[np.float32],
    targets: NDArray[np.float64],
    rows: Examples,
    important: Sequence[str] = (),
) -> Errors:
    """Returns errors by class, and the worst rows; see `errors_of`.

    Args:
        subject: What is explained.
        values: As they are explained, `[R, O]`.
        predictions: As the model gives them.
        targets: `[R]` or `[R, O]`.
        rows: The rows.
        important: Names of columns, the most important first: values of the first few are told.
    """
    by_name = {feature.name: feature for feature in subject.features}
    telling = [by_name[name] for name in important[:_TOLD]]
    name, errors, badness = errors_of(subject, values, predictions, targets)
    shown = errors if subject.kind.prediction_axes == 0 else badness

    def row_of(row: int) -> WorstRow:
        return WorstRow(
            row=row,
            file=printable(rows.files[row]) if rows.files else "",
            shown=_values(telling, rows, row),
            texts=_texts(subject, rows, row),
            actual=_actual(subject, targets[row]),
            predicted=_predicted(subject, values[row], predictions[row]),
            error=float(shown[row]),
        )

    order = np.argsort(-badness, kind="stable")
    worst = [row_of(int(row)) for row in order[:_WORST] if badness[row] > 0]
    classes = _classes(subject, predictions, targets) if subject.kind.exclusive else []
    by_class = []
    if subject.kind.exclusive:
        wrong = np.bincount(targets.astype(np.int64), errors, minlength=len(subject.outputs))
        for place in np.argsort(-wrong, kind="stable")[:_CLASSES]:
            own = [int(r) for r in order if targets[r] == place and errors[r] > 0][:_OF_CLASS]
            if own:
                named = subject.outputs[place]
                by_class.append(ClassWorst(name=named, worst=[row_of(row) for row in own]))
    return Errors(
        error=name, mean=float(errors.mean()), classes=classes, worst=worst, by_class=by_class
    )


def _values(telling: Sequence[Feature], rows: Examples, row: int) -> list[str]:
    return [
        f"{feature.name} {feature.text(float(feature.numbers(rows.inputs)[row]))}"
        for feature in telling
        if feature.kind != "input"
    ]


def _texts(subject: Subject, rows: Examples, row: int) -> list[str]:
    """Returns a row's texts as the model reads them."""
    columns = [column for column in subject.schema.columns if column.kind == "text"]
    specs = [spec for spec in subject.schema.inputs if spec.tokens]
    found = []
    for column, spec in zip(columns, specs, strict=True):
        words = words_of(column.tokenizer, rows.inputs[spec.name][row].tolist())
        text = printable(" ".join(word for word, _ in words))
        cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()} ..."
        found.append(cut if len(columns) == 1 else f"{printable(column.name)}: {cut}")
    return found


def _actual(subject: Subject, target: NDArray[np.float64]) -> str:
    if subject.kind.exclusive:
        return subject.outputs[int(target)]
    if subject.kind.has_classes:
        on = [name for name, there in zip(subject.outputs, target, strict=True) if there]
        return ", ".join(on) or "none"
    return ", ".join(f"{value:.6g}" for value in np.atleast_1d(target))


def _predicted(subject: Subject, values: Values, predictions: NDArray[np.float32]) -> str:
    if subject.kind.exclusive:
        best = int(subject.kind.labels(predictions[None])[0])
        return f"{subject.outputs[best]} ({values[best]:.3g})"
    if subject.kind.has_classes:
        on = [
            f"{name} ({value:.3g})"
            for name, value in zip(subject.outputs, values, strict=True)
            if value > 0.5
        ]
        return ", ".join(on) or "none"
    return ", ".join(f"{value:.6g}" for value in values)


def _classes(
    subject: Subject, predictions: NDArray[np.float32], targets: NDArray[np.float64]
) -> list[ClassErrors]:
    count = len(subject.outputs)
    labels = subject.kind.labels(predictions)
    table = np.zeros((count, max(count, int(labels.max()) + 1)), dtype=np.int64)
    np.add.at(table, (targets.astype(np.int64), labels), 1)
    found = []
    for place, name in enumerate(subject.outputs):
        right, rows, chosen = table[place, place], table[place].sum(), table[:, place].sum()
        others = table[place].copy()
        others[place] = 0
        most = int(others.argmax())
        taken_for = f"{subject.outputs[most]} ({others[most]})" if others[most] else ""
        found.append(
            ClassErrors(
                name=name,
                rows=int(rows),
                recall=float(right / rows) if rows else None,
                precision=float(right / chosen) if chosen else None,
                taken_for=taken_for,
            )
        )
    return found
