"""The Python face of campaigns over functions: `tune`."""

from __future__ import annotations

import contextlib
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawl.data.module import load_from_module
from pawl.errors import LedgerError, TaskError, campaigns_of, option
from pawl.following import followed
from pawl.functions.campaign import name_of, run_function_campaign
from pawl.functions.page import render
from pawl.functions.summary import FunctionSummary
from pawl.ledger import Ledger, new_folder, place_of
from pawl.options import TuneCall, TuneOptions, tuning
from pawl.task import FunctionTask

_PATH = (str, Path)
_WHAT = "tune"


@dataclass(frozen=True)
class Tuned:
    """A finished campaign over a function.

    Attributes:
        folder: The campaign's folder.
        summary: What `summary.json` holds.
    """

    folder: Path
    summary: FunctionSummary

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are delivered; `settings.json` has the same."""
        return self.summary.final

    def render(self) -> None:
        """Writes the page anew, from the ledger.

        Raises:
            LedgerError: The ledger is missing or damaged.
        """
        with Ledger.open(self.folder) as ledger:
            # The baseline's first run is the search's; the second told whether seeds matter.
            first, _, *others = ledger.trials("search")
            ledger.write_file("report.html", render(self.summary, [first, *others]).encode())

    def __repr__(self) -> str:
        return f"{self.summary.statement}\nReport: {self.report}"


@tuning(TuneCall)
@campaigns_of(_WHAT)
def tune(task: Any, call: TuneCall) -> Tuned:
    """Optimizes the settings of a plain function, and proves what helped over seeds.

        >>> def train(settings, seed):
        ...     noise = np.random.default_rng(seed).normal()
        ...     return -((settings["x"] - 2.0) ** 2) + 0.1 * noise
        >>> task = pawl.FunctionTask(train=train, settings={"x": (0.0, 5.0)}, baseline={"x": 0.5})
        >>> pawl.tune(task, trials=20, out="runs/parabola").settings["x"]

    Args:
        task: A `pawl.FunctionTask`, or `module.py` or `module.py:name` that has one.

    Raises:
        PawlError: Any wrong input, in one line.
        BudgetError: No result within the budget.
    """
    started = time.monotonic() if call.started is None else call.started
    source = str(Path(task).absolute()) if isinstance(task, _PATH) else None
    known: dict[str, Any] = {}
    options = TuneOptions(**{k: v for k, v in call.given.items() if k in TuneOptions.model_fields})
    if call.resume is not None:
        folder = Path(call.resume).absolute()
        known, options = _known(folder, call)
        source = known["source"] if source is None else source
        if (folder / "summary.json").is_file():  # written last: nothing is left to do
            return load(folder)
    elif call.accept_changes:
        raise TaskError(f"{option('accept_changes')} is for going on with a campaign; give "
                        f"{option('resume')} too, or leave it out")  # fmt: skip
    given = task if task is not None and not isinstance(task, _PATH) else source
    if given is None:
        raise TaskError("no task given; give a pawl.FunctionTask, or module.py that has one")
    resolved = load_from_module(given, FunctionTask) if isinstance(given, str) else given
    if not isinstance(resolved, FunctionTask):
        raise TaskError(
            f"got {type(resolved).__name__}; allowed is a pawl.FunctionTask (a pawl.Task, data or a "
            "model are for pawl.optimize)"
        )
    command = known.get("command") or _command(call, task)
    identity = {"what": _WHAT, "source": source, "options": options.record(), "command": command}
    kept: Any = contextlib.nullcontext(call.resume and Path(call.resume).absolute())
    if call.resume is None:
        kept = new_folder(name_of(resolved))
        if call.out is not None:
            kept = contextlib.nullcontext(place_of(call.out))
    with kept as folder, followed(folder, call):
        summary = run_function_campaign(
            resolved, folder, options, command=command, resume=call.resume is not None,
            accept_changes=call.accept_changes, listener=call.listener, identity=identity,
            started=started,
        )  # fmt: skip
    return Tuned(folder, summary)


def load(folder: str | Path) -> Tuned:
    """Opens the folder of a finished campaign over a function.

    Raises:
        LedgerError: It holds none.
    """
    path = Path(folder)
    try:
        text = (path / "summary.json").read_text(encoding="utf-8")
        return Tuned(path, FunctionSummary.model_validate_json(text))
    except (OSError, ValueError) as error:
        raise LedgerError(
            f"{str(path)!r} holds no finished campaign of pawl tune ({type(error).__name__}); finish it "
            f"with {option('resume', path)}"
        ) from None


def _known(folder: Path, call: TuneCall) -> tuple[dict[str, Any], TuneOptions]:
    """Returns what a campaign was started with; what is given beside it must be the same."""
    with Ledger.open(folder) as ledger:
        known = ledger.identity
    if known.get("what") != _WHAT:
        raise LedgerError(
            f"{str(folder)!r} holds no campaign over a function; give the folder of a pawl tune"
        )
    was = known["options"]
    now = call.record()
    for name in call.given:
        if name in was and now[name] != was[name]:
            raise LedgerError(
                f"the campaign in {str(folder)!r} was started with the {name} {was[name]!r}, and got "
                f"{now[name]!r}; leave it out to go on, or start anew with another {option('out')}"
            )
    kept = {name: value for name, value in was.items() if value is not None}
    return known, TuneOptions(**kept)


def _command(call: TuneCall, task: Any) -> str:
    """Returns what repeats a campaign: a shell line, or a Python call if it was given an object."""
    differing = call.repeated()
    if isinstance(task, _PATH):
        flags = [
            text for name, value in differing.items()
            for text in (f"--{name.replace('_', '-')}", str(value))
        ]  # fmt: skip
        return shlex.join(["pawl", "tune", str(task), *flags])
    arguments = [f"{name}={value!r}" for name, value in differing.items()]
    return f"pawl.tune({', '.join(['task', *arguments])})"


__all__ = ["Tuned", "load", "tune"]
