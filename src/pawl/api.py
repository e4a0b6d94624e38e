"""The Python face of campaigns: `optimize`."""

from __future__ import annotations

import contextlib
import shlex
import time
from pathlib import Path
from typing import Any

from pawl import budget as budgets
from pawl.campaign import run_campaign
from pawl.compression import NEAREST
from pawl.data import resolve_task
from pawl.errors import LedgerError, LimitError, TaskError, option
from pawl.following import followed
from pawl.ledger import Ledger, new_folder, place_of
from pawl.options import Call, Options, in_order, is_recorded, optimizing
from pawl.recipe import Recipe
from pawl.result import Result, load_result
from pawl.task import Task
from pawl.techniques import technique
from pawl.training.checks import check_task

_PATH = (str, Path)
_IDENTITY = {"source", "options", "objects", "name", "command", "fingerprint", "code", "versions"}


@optimizing(Call)
def optimize(source: Any, targets: Any, call: Call) -> Result:
    """Optimizes a model on data, and proves what helped.

    Args:
        source: A path, a sample's name, a data frame, `(inputs, targets)`, a Dataset or a `Task`.
        targets: One value per row of the source, an array or data frame, where it comes without:
            `optimize(X, y)` is `optimize((X, y))`.

    Raises:
        PawlError: Any wrong input, in one line.
        BudgetError: No result within the budget.
        LimitError: No model keeps within the limits; the campaign's folder has everything all the same.
    """
    started = time.monotonic() if call.started is None else call.started
    together = _with_targets(source, targets)
    start = Recipe.read(call.baseline) if isinstance(call.baseline, _PATH) else call.baseline
    for name in call.only or ():
        technique(name)
    resolved = _updated(
        call,
        test=_absolute(call.test),
        weights=_absolute(call.weights),
        warm_start=_absolute(call.warm_start),
        baseline=start,
    )
    if call.resume is not None:
        return _resume(together, resolved, Path(call.resume), started)
    if call.accept_changes:
        raise TaskError(f"{option('accept_changes')} is for going on with a campaign; give "
                        f"{option('resume')} too, or leave it out")  # fmt: skip
    if "max_loss" in call.given and not call.limited:
        raise TaskError(
            f"got {option('max_loss', call.max_loss)} without a limit; it says what may be lost to "
            f"keep within one: give {option('max_latency')}, {option('max_size')} or "
            f"{option('max_memory')} too"
        )
    if together is None:
        raise TaskError("no data given; give a CSV or Parquet file, a folder or archive of images, "
                        "module.py, or a sample: digits, breast-cancer")  # fmt: skip
    name = _source_name(together)
    command = _command(call, source, "source" if targets is None else "source, targets")
    identity = {
        "source": str(_absolute(source)) if isinstance(together, _PATH) else None,
        "options": resolved.record(), "objects": call.objects(), "name": name, "command": command,
    }  # fmt: skip
    kept = new_folder(name) if call.out is None else contextlib.nullcontext(place_of(call.out))
    with kept as folder:
        # Last: its module may change the directory.
        task = resolve_task(together, **resolved.of_task())
        check_task(task)
        with followed(folder, call):
            summary = run_campaign(
                task, folder, resolved, source=name, command=command, listener=call.listener,
                identity=identity, started=started,
            )  # fmt: skip
    return _within_limits(Result(folder, summary))


def _resume(source: Any, call: Call, folder: Path, started: float) -> Result:
    with Ledger.open(folder) as ledger:
        known = ledger.identity
    if "what" in known:
        raise LedgerError(
            f"{str(folder)!r} was left by pawl {known['what']} and holds no campaign; give the "
            "folder of a pawl optimize"
        )
    options = _options_of(known, folder)
    _check_same(known, folder, call)
    if (folder / "summary.json").is_file():  # written last: nothing is left to do
        return _within_limits(load_result(folder))
    given = call.of_task()
    source = known["source"] if source is None else source
    missing = [name for name in known["objects"] if name not in given]
    if source is None or missing:
        more = "".join(f", {name}={name}" for name in missing)
        raise LedgerError(
            f"the campaign in {str(folder)!r} was started from Python objects; call "
            f"pawl.optimize(task{more}, resume=folder) with the same ones"
        )
    folder = folder.absolute()
    task = resolve_task(source, **{**options.of_task(), **given})  # may change the directory
    with followed(folder, call):
        summary = run_campaign(
            task, folder, options, source=known["name"], command=known["command"], resume=True,
            accept_changes=call.accept_changes, listener=call.listener, started=started,
        )  # fmt: skip
    return _within_limits(Result(folder, summary))


def _within_limits(result: Result) -> Result:
    """Returns a finished campaign if its bundle keeps within the limits that there were.

    Raises:
        LimitError: It does not; all that the campaign left stays.
    """
    found = result.summary.parts.get("limits")
    if found is None or not found["missed"]:
        return result
    where = str(result.folder)
    nearest = f", the nearest in {str(result.folder / NEAREST)!r}" if found["changed"] else ""
    why = "".join(f"; {note}" for note in found["notes"])
    raise LimitError(
        f"no model that is shown to lose less than {found['allowed']:.3g} of {result.summary.metric} "
        f"keeps within {'; '.join(found['missed'])}{why}; the campaign is whole in {where!r}, its "
        f"bundle as it was trained{nearest}; give a wider limit, a larger {option('max_loss')}, or "
        "more rows"
    )


def _updated(call: Call, **changed: Any) -> Call:
    """Returns the call with what was given in another form."""
    return call.model_copy(update={k: v for k, v in changed.items() if v is not None})


def _options_of(known: dict[str, Any], folder: Path) -> Options:
    """Returns the options that a campaign was started with.

    Raises:
        LedgerError: Another version of pawl wrote them.
    """
    if known.keys() >= _IDENTITY and known["options"].keys() <= Options.model_fields.keys():
        kept = {k: value for k, value in known["options"].items() if value not in (None, [])}
        if kept.get("baseline"):
            kept["baseline"] = Recipe.from_dict(kept["baseline"])
        return Options(**kept)
    raise LedgerError(
        f"the campaign in {str(folder)!r} was written by another version of pawl; finish it "
        f"with that one, or start anew with another {option('out')}"
    )


def _with_targets(source: Any, targets: Any) -> Any:
    if targets is None:
        return source
    if source is None:
        raise TaskError("got targets without inputs; give both, as in pawl.optimize(X, y)")
    if isinstance(source, (*_PATH, Task)):
        got = "a Task" if isinstance(source, Task) else repr(str(source))
        hint = f"; name its column by target={targets!r}" if isinstance(targets, str) else ""
        raise TaskError(f"got targets beside {got}; they go with arrays or a data frame{hint}")
    return source, targets


def _check_same(known: dict[str, Any], folder: Path, call: Call) -> None:
    """Refuses what is given beside a campaign's folder and is not what it was started with.

    Data is not compared here: its content is, when it has been read.
    """
    given = {**call.given, **{k: v for k, v in call.record().items() if k in call.given}}
    given = {k: v for k, v in given.items() if k in Options.model_fields and k != "test"}
    was = known["options"]
    if call.out is not None and Path(call.out).resolve() != folder.resolve():
        given, was = {**given, "out": str(call.out)}, {**was, "out": str(folder.resolve())}
    for name, value in given.items():
        if name not in known["objects"] and value != was[name]:
            how = f"without a {name}" if was[name] is None else f"with the {name} {was[name]!r}"
            raise LedgerError(
                f"the campaign in {str(folder)!r} was started {how}, and got {value!r}; leave it out "
                f"to go on, or start anew with another {option('out')}"
            )


def _absolute(source: Any) -> Any:
    """Returns what is there under a path, so that it is found from any directory; the rest as it is."""
    if not isinstance(source, _PATH):
        return source
    path, separator, name = str(source).partition(".py:")
    candidate = Path(path + (".py" if separator else ""))
    return f"{candidate.resolve()}{':' + name if name else ''}" if candidate.exists() else source


def _source_name(source: Any) -> str:
    if isinstance(source, _PATH):
        return str(source)
    if isinstance(source, Task):
        return source.name or _source_name(source.data)
    if isinstance(source, tuple | list) and source:
        return type(source[0]).__name__
    return type(source).__name__


def limits(call: Call) -> tuple[float, float] | None:
    """Returns a campaign's budget, and the seconds from now on after which it is taken to hang.

    Returns:
        Both, or `None` if it has no budget.

    Raises:
        PawlError: There is no campaign to go on with.
    """
    seconds, spent = call.seconds, 0.0
    if call.resume is not None:
        with Ledger.open(Path(call.resume)) as ledger:
            seconds, spent = ledger.identity.get("options", {}).get("budget"), ledger.elapsed
    return (
        None if seconds is None else (seconds, max(0.0, seconds - spent) + budgets.grace(seconds))
    )


def _command(call: Call, source: Any, names: str) -> str:
    """Returns what repeats a campaign: a shell line, or a Python call if it was given objects."""
    differing = call.repeated()
    set_ = {name: differing[name] for name in in_order(Options) if name in differing}
    if all(isinstance(value, Path) or is_recorded(value) for value in (source, *set_.values())):
        flags = [
            text
            for name, value in set_.items()
            for each in (value if isinstance(value, tuple) else [value])
            for text in (f"--{name.replace('_', '-')}", *([] if each is True else [str(each)]))
        ]
        return shlex.join(["pawl", "optimize", str(source), *flags])
    arguments = [
        f"{name}={list(value) if isinstance(value, tuple) else value!r}"
        if is_recorded(value)
        else f"{name}={name}"
        for name, value in set_.items()
    ]
    return f"pawl.optimize({', '.join([names, *arguments])})"


__all__ = ["Result", "limits", "optimize"]
