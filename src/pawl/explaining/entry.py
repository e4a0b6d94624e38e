"""The room's entry: a bundle and rows into an explanation, a file of it and a page."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pawl.data import read_like
from pawl.data.types import Examples, Inputs
from pawl.deployment import Bundle
from pawl.environment import versions
from pawl.errors import (
    DataError,
    DataWarning,
    LedgerError,
    PawlError,
    TaskError,
    option,
    printable,
)
from pawl.explaining import attributions, calibration, errors_of, page, slices
from pawl.explaining.dependence import dependences
from pawl.explaining.effort import Effort
from pawl.explaining.gradients import scrambled, subject_of
from pawl.explaining.importance import importance
from pawl.explaining.numbers import by_gradients
from pawl.explaining.pictures import image_input, pictures
from pawl.explaining.result import Attributions, Explanation
from pawl.explaining.subject import Subject, count_of, taken
from pawl.ledger import Ledger
from pawl.models import Pipeline
from pawl.options import ExplainCall, explaining
from pawl.task import Objective
from pawl.training.checks import check_metric_works
from pawl.training.metrics import METRICS, make_objective
from pawl.training.own_metric import note_on

_LEAST_BACKGROUND = 10
_DEPENDENCES = 6
_MOST_COLUMNS = 500
_SHARES = {"importance": 0.45, "attributions": 0.5, "dependence": 0.4, "pictures": 0.8}
FILE, PAGE = "explain.json", "explain.html"


@dataclass(frozen=True)
class Explained:
    """What was found, and where it lies.

    Attributes:
        explanation: What `explain.json` holds.
        folder: Where file and page are; `None` if none was given.
        html: The page.
    """

    explanation: Explanation
    folder: Path | None
    html: str


@explaining(ExplainCall)
def explain(bundle: Any, data: Any, call: ExplainCall) -> Explained:
    """Explains what a bundle's model does on rows, and says what each explanation is worth.

    Args:
        bundle: A `pawl.Bundle`, its folder, or its campaign's.
        data: Rows in the form of the training data. Without targets there are no importances and no
            errors.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    folder = None if call.out is None else Ledger.place(call.out)
    effort = Effort.of(call.seconds, call.started)
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    objective, notes = _objective(opened, call)
    with _noted(notes):
        rows, without = _rows(opened, data)
        others = _background(opened, rows, call.background)
    if objective.function is not None and rows.targets is not None:
        objective = check_metric_works(objective, opened.schema, rows)
        notes += [note for note in [note_on(objective)] if note is not None]
    command = _command(bundle, data, call)
    work = _Work(opened, rows, others, objective, call, effort)
    if without:
        for part in ("importance", "calibration", "slices", "errors"):
            work.skipped[part] = without
    found = work.explanation(notes, command)
    html = page.render(found, work.thumbnails())
    if folder is not None:
        _write(folder, {FILE: found.to_json(), PAGE: html})
    return Explained(found, folder, html)


class _Work:
    """The parts of an explanation, in order."""

    def __init__(
        self,
        bundle: Bundle,
        rows: Examples,
        others: Inputs,
        objective: Objective,
        call: ExplainCall,
        effort: Effort,
    ) -> None:
        self.bundle, self.rows, self.others = bundle, rows, others
        self.objective, self.call, self.effort = objective, call, effort
        self.subject = Subject.of(bundle)
        self.skipped: dict[str, str] = {}
        self.some = taken(rows.inputs, np.arange(min(call.rows, len(rows))))
        self._module: Pipeline | None = None
        self._tried = False

    def explanation(self, notes: list[str], command: str) -> Explanation:
        schema, seed = self.bundle.schema, self.call.seed
        fields: dict[str, Any] = {}
        for part in (self._importances, self._attributions, self._dependences, self._pictures):
            fields |= part(fields)
        fields |= self._reliability(fields)
        return Explanation(
            name=printable(str(self.bundle.task.get("name", "model"))),
            kind=schema.kind,
            target=printable(schema.target),
            outputs=list(self.subject.outputs),
            rows=len(self.rows),
            seed=seed,
            seconds=self.call.seconds,
            skipped={name: printable(reason) for name, reason in self.skipped.items()},
            notes=notes,
            versions=versions(),
            command=command,
            **fields,
        )

    def module(self) -> Pipeline | None:
        """Returns the bundle's modules; `None` where they cannot be built, with the reason noted."""
        if not self._tried:
            self._tried = True
            try:
                self._module = self.bundle.module(self.call.model)
            except PawlError as error:
                reason = f"the bundle's modules could not be built ({error})"
                self.skipped["gradients"] = self.skipped["check of weights"] = reason
        return self._module

    def thumbnails(self) -> dict[int, np.ndarray]:
        """Returns images that the page shows, by row, `[C, H, W]` uint8."""
        name = image_input(self.subject)
        if name is None or self.bundle.schema.source != "images":
            return {}
        pixels = self.rows.inputs[name]
        return {row: pixels[row].numpy() for row in range(len(pixels))}

    def _importances(self, _: dict[str, Any]) -> dict[str, Any]:
        if "importance" in self.skipped:
            return {}
        if not self.subject.features:
            self.skipped["importance"] = "single pixels have none; maps show where images matter"
            return {}
        if len(self.rows) < _LEAST_BACKGROUND:
            self.skipped["importance"] = _too_few(len(self.rows), _LEAST_BACKGROUND)
            return {}
        part = self.effort.part(_SHARES["importance"])
        try:
            found = importance(
                self.subject, self.rows, self.objective, seed=self.call.seed, effort=part
            )
        except ValueError as error:
            self.skipped["importance"] = str(error)
            return {}
        return {"importance": found}

    def _attributions(self, _: dict[str, Any]) -> dict[str, Any]:
        subject = self.subject
        if self.subject.kind.has_places:
            self.skipped["attributions"] = "predictions on places of a row are not explained by row"
            return {}
        if not subject.features:
            return {}
        if len(subject.features) > _MOST_COLUMNS:
            self.skipped["attributions"] = (
                f"{len(subject.features)} columns are more than {_MOST_COLUMNS}"
            )
            return {}
        part = self.effort.part(_SHARES["attributions"])
        found = attributions.attribute(
            subject, self.some, self.others, seed=self.call.seed, effort=part
        )
        pipeline = None if part.over else self.module()
        wrong = None
        if pipeline is None and "gradients" not in self.skipped:
            self.skipped["gradients"] = self.skipped["check of weights"] = "no time was left"
        if pipeline is not None:
            wrong = subject_of(subject, scrambled(pipeline, self.call.seed))
        rows = taken(self.some, np.arange(len(found.estimates)))
        checks = attributions.checks(subject, rows, found, wrong, seed=self.call.seed)
        kept = [attributions.told(subject, rows, found, checks)]
        if pipeline is not None:
            gradients: Attributions | str = "no time was left"
            if not part.over:
                gradients = by_gradients(subject, pipeline, rows, found, seed=self.call.seed)
            if isinstance(gradients, str):
                self.skipped["gradients"] = gradients
            else:
                kept.append(gradients)
        return {"attributions": kept}

    def _dependences(self, fields: dict[str, Any]) -> dict[str, Any]:
        if self.subject.kind.has_places or not self.subject.features:
            return {}
        names = self._ranked(fields)[:_DEPENDENCES]
        part = self.effort.part(_SHARES["dependence"])
        found = dependences(self.subject, self.others, names, seed=self.call.seed, effort=part)
        return {"dependences": found}

    def _ranked(self, fields: dict[str, Any]) -> list[str]:
        """Returns columns, the most important first; without importances by attributions."""
        if "importance" in fields:
            return [each.name for each in fields["importance"].features]
        if fields.get("attributions"):
            first = fields["attributions"][0]
            sizes = np.abs([row.values for row in first.rows]).mean(0)
            return [first.features[place] for place in np.argsort(-sizes, kind="stable")]
        return [feature.name for feature in self.subject.features]

    def _pictures(self, _: dict[str, Any]) -> dict[str, Any]:
        if image_input(self.subject) is None or self.subject.kind.has_places:
            return {}
        some = Examples(self.some, None, self.rows.files[: count_of(self.some)])
        part = self.effort.part(_SHARES["pictures"])
        found = pictures(
            self.subject, some, self.others, self.module(), seed=self.call.seed, effort=part
        )
        return {"pictures": found}

    def _reliability(self, fields: dict[str, Any]) -> dict[str, Any]:
        if self.rows.targets is None:
            return {}
        if self.subject.kind.has_places:
            for name in ("calibration", "slices", "errors"):
                self.skipped[name] = "predictions on places of a row are not judged by row"
            return {}
        subject, seed = self.subject, self.call.seed
        predictions = subject.predict(self.rows)
        values, targets = subject.shown(predictions), self.rows.targets.double().numpy()
        name, errors, _ = errors_of.errors_of(subject, values, predictions, targets)
        found: dict[str, Any] = {
            "errors": errors_of.told(subject, values, predictions, targets, self.rows.files)
        }
        if len(self.rows) < calibration.FEWEST:
            self.skipped["calibration"] = _too_few(len(self.rows), calibration.FEWEST)
        else:
            found["calibration"] = calibration.calibration(subject, values, targets, seed=seed)
        if not subject.features:
            self.skipped["slices"] = "slices are described by columns, and images have none"
        elif len(self.rows) < slices.FEWEST:
            self.skipped["slices"] = _too_few(len(self.rows), slices.FEWEST)
        else:
            found["slices"] = slices.weak_slices(
                subject.features[:_MOST_COLUMNS], self.rows.inputs, errors,
                error=name, important=self._ranked(fields), seed=seed,
            )  # fmt: skip
        return found


def _too_few(got: int, needed: int) -> str:
    return f"{got} rows are too few; {needed} or more are needed"


def _objective(bundle: Bundle, call: ExplainCall) -> tuple[Objective, list[str]]:
    """Returns the metric, and what is to be said of it."""
    kind = bundle.schema.kind
    if call.metric is not None:
        return make_objective(call.metric, call.direction, kind), []  # type: ignore[arg-type]
    if call.direction is not None:
        raise TaskError(
            f"got {option('direction', call.direction)} without a metric; give both, or leave it "
            "out"
        )
    named = bundle.task.get("metric")
    if named in METRICS and kind in METRICS[named].kinds:
        return make_objective(named, None, kind), []
    found = make_objective(None, None, kind)
    note = (
        f"the bundle was optimized for a metric of its user's own, {printable(str(named))}, which "
        f"it does not hold; {found.metric} stands in for it here"
    )
    return found, [note]


def _rows(bundle: Bundle, data: Any) -> tuple[Examples, str]:
    """Returns the rows, with targets if each has one, and else why there are none."""
    rows = read_like(bundle.schema, data)
    if not len(rows):
        raise DataError("got no rows; give at least one to explain")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            return read_like(bundle.schema, data, with_targets=True), ""
    except (DataError, TaskError) as error:
        return rows, f"it needs the targets of all rows: {error}"


def _background(bundle: Bundle, rows: Examples, given: Any) -> Inputs:
    others = rows if given is None else read_like(bundle.schema, given)
    if len(others) < _LEAST_BACKGROUND:
        hint = "" if given is not None else f", or {option('background')} with others"
        raise DataError(
            f"got {len(others)} row(s) to compare with; {_LEAST_BACKGROUND} or more are needed, as "
            f"a column's part shows only beside other values; give more rows{hint}"
        )
    return others.inputs


@contextmanager
def _noted(notes: list[str]) -> Iterator[None]:
    """Turns warnings on the data into notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        yield
    for each in caught:
        if issubclass(each.category, DataWarning):
            notes.append(printable(str(each.message)))


def _command(bundle: Any, data: Any, call: ExplainCall) -> str:
    """Returns what repeats it: a shell line, or a Python call where objects were given."""
    given = {name: value for name, value in call.given.items() if name not in ("out", "started")}
    shown = bundle.folder if isinstance(bundle, Bundle) else bundle
    plain = all(
        isinstance(each, str | Path | int | float) for each in (shown, data, *given.values())
    )
    if plain:
        flags = [text for name, value in given.items() for text in (f"--{name}", str(value))]
        return shlex.join(["pawl", "explain", str(shown), str(data), *flags, "--out", "explained"])
    more = "".join(
        f", {name}={value!r}" if isinstance(value, str | int | float) else f", {name}={name}"
        for name, value in given.items()
    )
    return f"pawl.explain(bundle, data{more})"


def _write(folder: Path, files: dict[str, str]) -> None:
    """Writes files, each as a whole or not at all.

    Raises:
        LedgerError: They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            part = folder / f".{name}.part"
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(folder / name)
    except OSError as error:
        raise LedgerError(
            f"cannot write to {str(folder)!r}: {error.strerror or error}; give another "
            f"{option('out')}"
        ) from None


__all__ = ["Explained", "explain"]
