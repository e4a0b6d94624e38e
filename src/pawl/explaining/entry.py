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

from pawl.data import read_like
from pawl.data.types import Examples, Inputs
from pawl.deployment import Bundle
from pawl.errors import (
    DataError,
    DataWarning,
    LedgerError,
    TaskError,
    option,
    printable,
)
from pawl.execution import Listener, Silent
from pawl.explaining import page
from pawl.explaining.against import check_alike
from pawl.explaining.effort import Effort
from pawl.explaining.result import Explanation
from pawl.explaining.work import LEAST_BACKGROUND, Work
from pawl.ledger import place_of
from pawl.options import ExplainCall, of_bundle
from pawl.task import Objective
from pawl.training.checks import check_metric_works
from pawl.training.metrics import METRICS, make_objective
from pawl.training.own_metric import note_on

_NOT_REPEATED = ("out", "started", "listener")
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


@of_bundle(ExplainCall)
def explain(bundle: Any, data: Any, call: ExplainCall) -> Explained:
    """Explains what a bundle's model does on rows, and says what each explanation is worth.

    Args:
        bundle: A `pawl.Bundle`, its folder, or its campaign's.
        data: Rows in the form of the training data. Without targets there are no importances and no
            errors.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    folder = None if call.out is None else place_of(call.out)
    effort = Effort.of(call.seconds, call.started)
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    objective, notes = _objective(opened, call)
    listener: Listener = call.listener or Silent()
    listener.phase("read", "bundle and rows")
    with _noted(notes):
        rows, without = _rows(opened, data)
        other = None if call.against is None else _other(opened, data, call.against, without)
        others = _background(opened, rows, call.background)
    if objective.function is not None and rows.targets is not None:
        objective = check_metric_works(objective, opened.schema, rows)
        notes += [note for note in [note_on(objective)] if note is not None]
    command = _command(bundle, data, call)
    work = Work(opened, rows, others, objective, call, effort, other)
    if without:
        for part in (
            "importance",
            "calibration",
            "sets",
            "robustness",
            "slices",
            "errors",
            "against",
        ):
            work.skipped[part] = without
    found = work.explanation(notes, command, listener)
    listener.phase("page", "charts")
    html = page.render(found, work.thumbnails())
    if folder is not None:
        _write(folder, {FILE: found.to_json(), PAGE: html})
    return Explained(found, folder, html)


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


def _other(bundle: Bundle, data: Any, given: Any, without: str) -> tuple[Bundle, Examples]:
    """Returns the bundle to compare with, and the rows as it reads them."""
    other = given if isinstance(given, Bundle) else Bundle.open(given)
    check_alike(bundle.schema, other.schema)
    return other, read_like(other.schema, data, with_targets=not without)


def _background(bundle: Bundle, rows: Examples, given: Any) -> Inputs:
    others = rows if given is None else read_like(bundle.schema, given)
    if len(others) < LEAST_BACKGROUND:
        hint = "" if given is not None else f", or {option('background')} with others"
        raise DataError(
            f"got {len(others)} row(s) to compare with; {LEAST_BACKGROUND} or more are needed, as "
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
    given = {name: value for name, value in call.given.items() if name not in _NOT_REPEATED}
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
