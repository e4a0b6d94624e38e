"""The Python face of campaigns: `optimize`, `load`."""

from __future__ import annotations

import contextlib
import html
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Unpack

from pawl import budget as budgets
from pawl.campaign import AVERAGED, Settings, check_epochs, run_campaign
from pawl.data import resolve_task
from pawl.deployment import Bundle
from pawl.errors import (
    LedgerError,
    TaskError,
    did_you_mean,
    first_line,
    go_on,
    option,
)
from pawl.evidence import check_deliver
from pawl.execution import Listener
from pawl.ledger import Ledger, new_folder
from pawl.reading import READ_OPTIONS, Reading, ReadOptions
from pawl.recipe import Recipe
from pawl.report.summary import Summary
from pawl.rng import check_seed
from pawl.task import Task
from pawl.techniques import technique
from pawl.training.checks import check_task

_RESUMABLE = (str, Path)
_MOST_AVERAGED = 10
_DEFAULT_BUDGET = "10m"
_IDENTITY = {
    "source", "overrides", "objects", "name", "budget", "trials", "device", "seed", "command",
    "fingerprint", "code", "versions", "baseline", "only", "epochs", "executor", "average",
    "deliver", "reading",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A finished campaign.

    Attributes:
        folder: The campaign's folder.
        summary: What `summary.json` holds.
    """

    folder: Path
    summary: Summary

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    @property
    def recipe(self) -> Recipe:
        """The final recipe."""
        return Recipe.read(self.folder / "recipe.toml")

    def bundle(self) -> Bundle:
        """Opens the bundle."""
        return Bundle.open(self.folder / "bundle")

    def predict(self, source: Any) -> Any:
        """Returns predictions as a data frame; see `Bundle.predict`."""
        return self.bundle().predict(source)

    def __repr__(self) -> str:
        return f"{self.summary.gain.statement}\nReport: {self.report}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(t.name)}</td><td>{t.verdict}</td><td>{_shown(t.effect)}</td>"
            f"<td>{_interval(t.interval)}</td><td>{t.n}</td></tr>"
            for t in self.summary.techniques
        )
        return (
            f"<p>{html.escape(self.summary.gain.statement)}</p><table><thead><tr><th>technique</th>"
            "<th>verdict</th><th>effect</th><th>95% interval</th><th>pairs</th></tr></thead>"
            f"<tbody>{rows}</tbody></table><p><code>{html.escape(str(self.report))}</code></p>"
        )


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.3g}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:+.3g} to {interval[1]:+.3g}"


def optimize(
    source: Any = None,
    targets: Any = None,
    *,
    target: str | None = None,
    metric: Any = None,
    test: Any = None,
    kind: Any = None,
    budget: str | float | None = None,
    trials: int | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    baseline: Recipe | str | Path | None = None,
    only: Iterable[str] | None = None,
    epochs: int | None = None,
    device: str | None = None,
    executor: str | None = None,
    average: int | None = None,
    deliver: str | None = None,
    seed: int | None = None,
    listener: Listener | None = None,
    started: float | None = None,
    direction: str | None = None,
    accept_changes: bool = False,
    **reading: Unpack[Reading],
) -> Result:
    """Optimizes a model on data, and proves what helped.

    Args:
        source: A path, a sample's name, a data frame, `(inputs, targets)`, a Dataset or a `Task`.
        targets: One value per row of the source, an array or data frame, where it comes without:
            `optimize(X, y)` is `optimize((X, y))`.
        target: The target's column in a table.
        metric: A built-in metric's name or a function of targets and predictions, as in
            `Task.metric`; by the kind by default.
        test: Rows kept for the final claim; a stratified fifth by default.
        kind: `binary`, `multiclass` or `regression`; inferred by default.
        budget: Seconds, or text such as `"10m"`; 10 minutes by default.
        trials: Number of search trials in place of a budget: nothing then depends on the clock.
        out: Folder for the results, new or empty; `runs/NAME-TIME` by default.
        resume: Folder of a campaign to go on with, as it was started: what is given beside it must
            be the same; a source given as an object is needed again.
        baseline: The recipe to start from and to beat, or its TOML file; by default what a competent
            person writes first.
        only: Names of the techniques that the search may bring in or vary; all by default.
        epochs: Most passes of a training over its rows; by their number by default.
        device: `auto`, `cpu` or `cuda`; `auto` by default.
        executor: Where members train on a CPU: `inline` (this process), `processes` (one per core)
            or `auto`, the default: whichever is measured to be faster.
        average: Most models whose mean the bundle predicts, of those that the final test trains (one
            per seed, 3 to 10); 5 by default. More cost latency and size, and predict better.
        deliver: `likely`, the default: the bundle holds the recipe that is more likely better on rows
            that nothing was chosen by; or `proven`: the baseline, unless one is shown to be better.
        seed: Decides splits, seeds and samples, from 0; 0 by default.
        listener: Told how it goes on.
        started: `time.monotonic()` at which the budget began; now by default.
        direction: `maximize` or `minimize`: needed with a metric function.
        accept_changes: Go on with a campaign whose model, loss or metric has changed since it was
            started; that this was done is put on record.
        reading: How rows are read, where they don't tell it themselves: `separator`, `decimal`,
            `encoding`, `date_format`, `ignore`, `types`, `rare`, `positive`; see
            `pawl.reading.ReadOptions`.

    Raises:
        PawlError: Any wrong input, in one line.
        BudgetError: No result within the budget.
    """
    started = time.monotonic() if started is None else started
    source = _with_targets(source, targets)
    overrides = {"target": target, "metric": metric, "test": test, "kind": kind,
                 "direction": direction}  # fmt: skip
    if budget is not None and trials is not None:
        raise TaskError("got a budget and a number of trials; give one of them")
    if trials is not None and (type(trials) is not int or trials < 1):
        raise TaskError(f"got {trials!r} trials; give a whole number, 1 or more")
    seconds = None if budget is None else budgets.parse(budget)
    read = _given(reading)
    start = Recipe.read(baseline) if isinstance(baseline, _RESUMABLE) else baseline
    allowed = None if only is None else _names(only)
    narrowed = {"baseline": start.to_dict() if start else None, "only": allowed,
                "epochs": check_epochs(epochs)}  # fmt: skip
    may_hold = check_deliver(deliver)
    if resume is not None:
        beside = {"budget": seconds, "trials": trials, "seed": seed, "device": device,
                  "executor": executor, "average": average, "out": out, "deliver": deliver,
                  **narrowed, "reading": read or None}  # fmt: skip
        return _resume(source, overrides, beside, Path(resume), listener, started, accept_changes)
    if accept_changes:
        raise TaskError(f"{option('accept_changes')} is for going on with a campaign; give "
                        f"{option('resume')} too, or leave it out")  # fmt: skip
    if source is None:
        raise TaskError("no data given; give a CSV or Parquet file, a folder or archive of images, "
                        "module.py, or a sample: digits, breast-cancer")  # fmt: skip
    if trials is None and budget is None:
        budget, seconds = _DEFAULT_BUDGET, budgets.parse(_DEFAULT_BUDGET)
    seed, device = check_seed(0 if seed is None else seed), device or "auto"
    executor = executor or "auto"
    average = _check_average(average)
    name = _source_name(source)
    length = {"trials": trials} if trials is not None else {"budget": budget}
    told = {
        **overrides, "baseline": baseline, "only": ",".join(allowed or ()) or None,
        "epochs": epochs, **length, "seed": seed, "device": None if device == "auto" else device,
        "executor": None if executor == "auto" else executor,
        "average": None if average == AVERAGED else average,
        "deliver": None if may_hold == "likely" else may_hold, **read,
    }  # fmt: skip
    command = _command(source, told, "source" if targets is None else "source, targets")
    overrides["test"] = _absolute(test)
    identity = {
        "source": str(_absolute(source)) if isinstance(source, _RESUMABLE) else None,
        "overrides": {k: str(v) for k, v in overrides.items() if isinstance(v, _RESUMABLE)},
        "objects": [k for k, v in overrides.items() if not isinstance(v, (*_RESUMABLE, NoneType))],
        "name": name, "budget": seconds, "trials": trials, "device": device, "seed": seed,
        "command": command, "executor": executor, "average": average,
        "deliver": may_hold, **narrowed, "reading": read or None,
    }  # fmt: skip
    settings = Settings(
        seconds,
        trials,
        seed,
        device,
        name,
        command,
        start,
        allowed,
        epochs,
        executor,
        average,
        may_hold,
    )
    kept = new_folder(name) if out is None else contextlib.nullcontext(Ledger.place(out))
    with kept as folder:
        # Last: its module may change the directory.
        task = resolve_task(source, **overrides, **read)
        check_task(task)
        summary = run_campaign(
            task, folder, settings, listener=listener, identity=identity, started=started
        )
    return Result(folder, summary)


def _resume(
    source: Any,
    overrides: dict[str, Any],
    beside: dict[str, Any],
    folder: Path,
    listener: Listener | None,
    started: float,
    accept_changes: bool,
) -> Result:
    with Ledger.open(folder) as ledger:
        known = ledger.identity
    if "what" in known:
        raise LedgerError(
            f"{str(folder)!r} was left by pawl {known['what']} and holds no campaign; give the "
            "folder of a pawl optimize"
        )
    if not known.keys() >= _IDENTITY:
        raise LedgerError(
            f"the campaign in {str(folder)!r} was written by another version of pawl; finish it "
            f"with that one, or start anew with another {option('out')}"
        )
    _check_same(known, folder, overrides, beside)
    if (folder / "summary.json").is_file():  # written last: nothing is left to do
        return load(folder)
    given = {name: value for name, value in overrides.items() if value is not None}
    given |= {"test": _absolute(given["test"])} if "test" in given else {}
    source = known["source"] if source is None else source
    missing = [name for name in known["objects"] if name not in given]
    if source is None or missing:
        more = "".join(f", {name}={name}" for name in missing)
        raise LedgerError(
            f"the campaign in {str(folder)!r} was started from Python objects; call "
            f"pawl.optimize(task{more}, resume=folder) with the same ones"
        )
    folder = folder.absolute()
    given |= known["reading"] or {}
    task = resolve_task(source, **{**known["overrides"], **given})  # may change the directory
    settings = Settings(
        known["budget"], known["trials"], known["seed"], known["device"], known["name"],
        known["command"], Recipe.from_dict(known["baseline"]) if known["baseline"] else None,
        known["only"], known["epochs"], known["executor"], known["average"],
        known["deliver"], accept_changes,
    )  # fmt: skip
    summary = run_campaign(task, folder, settings, resume=True, listener=listener, started=started)
    return Result(folder, summary)


def _with_targets(source: Any, targets: Any) -> Any:
    if targets is None:
        return source
    if source is None:
        raise TaskError("got targets without inputs; give both, as in pawl.optimize(X, y)")
    if isinstance(source, (*_RESUMABLE, Task)):
        got = "a Task" if isinstance(source, Task) else repr(str(source))
        hint = f"; name its column by target={targets!r}" if isinstance(targets, str) else ""
        raise TaskError(f"got targets beside {got}; they go with arrays or a data frame{hint}")
    return source, targets


def _given(reading: Reading) -> dict[str, Any]:
    """Returns the options of reading that were given, JSON-ready.

    Raises:
        TaskError: One of them is unknown, or none that is allowed.
    """
    for name in reading:
        if name not in READ_OPTIONS:
            raise TaskError(f"got the unknown option {name!r}{did_you_mean(name, READ_OPTIONS)}")
    return ReadOptions(**reading).given()  # type: ignore[arg-type]


def _check_average(average: int | None) -> int:
    if average is not None and (type(average) is not int or not 1 <= average <= _MOST_AVERAGED):
        raise TaskError(f"got average={average!r}; give a whole number from 1 to {_MOST_AVERAGED}")
    return AVERAGED if average is None else average


def _names(only: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(only))
    if isinstance(only, str) or not names:
        raise TaskError(f"got only={only!r}; give a list of technique names")
    return [technique(name).name for name in names]


def _check_same(
    known: dict[str, Any], folder: Path, overrides: dict[str, Any], beside: dict[str, Any]
) -> None:
    """Refuses what is given beside a campaign's folder and is not what it was started with.

    Data is not compared here: its content is, when it has been read.
    """
    was = dict.fromkeys(overrides) | known["overrides"] | known
    was["out"] = str(folder.resolve())
    given = {name: value for name, value in {**overrides, **beside}.items() if name != "test"}
    for name, value in given.items():
        if value is None or name in known["objects"]:
            continue
        if value != was[name] and not (name == "out" and Path(value).resolve() == folder.resolve()):
            how = f"without a {name}" if was[name] is None else f"with the {name} {was[name]!r}"
            raise LedgerError(
                f"the campaign in {str(folder)!r} was started {how}, and got {value!r}; leave it out "
                f"to go on, or start anew with another {option('out')}"
            )


def _absolute(source: Any) -> Any:
    """Returns what is there under a path, so that it is found from any directory; the rest as it is."""
    if not isinstance(source, _RESUMABLE):
        return source
    path, separator, name = str(source).partition(".py:")
    candidate = Path(path + (".py" if separator else ""))
    return f"{candidate.resolve()}{':' + name if name else ''}" if candidate.exists() else source


def _source_name(source: Any) -> str:
    if isinstance(source, _RESUMABLE):
        return str(source)
    if isinstance(source, Task):
        return source.name or _source_name(source.data)
    if isinstance(source, tuple | list) and source:
        return type(source[0]).__name__
    return type(source).__name__


def limits(
    budget: str | float | None, trials: int | None, resume: str | Path | None
) -> tuple[float, float] | None:
    """Returns a campaign's budget, and the seconds from now on after which it is taken to hang.

    Returns:
        Both, or `None` if it has no budget.

    Raises:
        PawlError: The budget is not one, or there is no campaign to go on with.
    """
    spent = 0.0
    if resume is not None:
        with Ledger.open(Path(resume)) as ledger:
            seconds, spent = ledger.identity.get("budget"), ledger.elapsed
        if seconds is None:
            return None
    elif trials is not None:
        return None
    else:
        seconds = budgets.parse(_DEFAULT_BUDGET if budget is None else budget)
    return seconds, max(0.0, seconds - spent) + budgets.grace(seconds)


def _command(source: Any, given: Mapping[str, Any], names: str) -> str:
    """Returns what repeats a campaign: a shell line, or a Python call if it was given objects."""
    set_ = {name: value for name, value in given.items() if value is not None}
    if all(
        isinstance(value, str | Path | int | float | list) for value in (source, *set_.values())
    ):
        flags = [
            text
            for name, value in set_.items()
            for each in (value if isinstance(value, list) else [value])
            for text in (f"--{name.replace('_', '-')}", str(each))
        ]
        return shlex.join(["pawl", "optimize", str(source), *flags])
    arguments = [
        f"{name}={value!r}" if isinstance(value, str | int | float | list) else f"{name}={name}"
        for name, value in set_.items()
    ]
    return f"pawl.optimize({', '.join([names, *arguments])})"


def load(folder: str | Path) -> Result:
    """Opens the folder of a finished campaign.

    Raises:
        LedgerError: It holds none.
    """
    path = Path(folder)
    try:
        summary = Summary.model_validate_json((path / "summary.json").read_text(encoding="utf-8"))
    except OSError:
        raise LedgerError(
            f"{str(path)!r} holds no finished campaign (no summary.json); finish it with "
            f"{go_on(path)}"
        ) from None
    except ValueError as error:
        raise LedgerError(
            f"{str(path / 'summary.json')!r} is damaged or of another version of pawl "
            f"({first_line(error)}); delete it and "
            f"write it anew with {go_on(path)}"
        ) from None
    return Result(path, summary)


__all__ = ["Result", "load", "optimize"]
