"""A function's campaign: start, search, race, confirmation, report; every run is in the ledger."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pawl.environment import hardware, versions
from pawl.errors import BudgetError, TaskError, option
from pawl.evidence.delivering import delivers, likelihood
from pawl.evidence.tests import ALPHA
from pawl.execution import Clock, Listener, Published, Silent, available, driving
from pawl.execution.executors import can_fork
from pawl.fingerprint import fingerprint
from pawl.functions.compared import mean_with_interval
from pawl.functions.confirming import Change, Confirmed, confirm
from pawl.functions.page import render
from pawl.functions.runs import Asked, Runs
from pawl.functions.search import race, search
from pawl.functions.space import FunctionSpace
from pawl.functions.summary import (
    ChangeSummary,
    FunctionSummary,
    SettingsArm,
    statement_of,
)
from pawl.ledger import TrialRecord, ledger_of
from pawl.options import TuneOptions
from pawl.report.summary import effect_of
from pawl.search import Strategy
from pawl.search.grid import check_grid
from pawl.search.protocols import Params
from pawl.task import FunctionTask

SETTINGS_FILE = "settings.json"


@driving()
def run_function_campaign(
    task: FunctionTask,
    folder: Path,
    options: TuneOptions,
    *,
    command: str = "",
    resume: bool = False,
    accept_changes: bool = False,
    listener: Listener | None = None,
    identity: dict[str, Any] | None = None,
    started: float | None = None,
) -> FunctionSummary:
    """Optimizes a function's settings and leaves ledger, summary, report and settings in a folder.

    Args:
        task: What to optimize.
        folder: New or empty; with `resume`, that of an unfinished campaign.
        options: How.
        command: The command that repeats the campaign.
        resume: Go on with the campaign in the folder.
        accept_changes: Go on though the function or its settings have changed.
        listener: Told how it goes on.
        identity: What the ledger should remember so that the campaign can be resumed.
        started: `time.monotonic()` at which the budget began; now by default.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    started = time.monotonic() if started is None else started
    listener = listener or Silent()
    check_function(task)
    strategy = Strategy.of(options.search, options.grid or (), prunes=False)
    space = FunctionSpace(
        task, None if options.only is None else tuple(options.only), strategy.grid
    )
    if strategy.sampler == "grid":
        check_grid(space)
    code = {
        "train": fingerprint(task.train), "settings": fingerprint(task.settings),
        "baseline": fingerprint(task.baseline), "metric": task.metric, "direction": task.direction,
    }  # fmt: skip
    listener.phase("task", f"{name_of(task)}, {len(space.distributions)} settings")
    with ledger_of(
        folder, "", code, identity or {}, resume=resume, accept=accept_changes
    ) as ledger:
        ledger.charge(time.monotonic() - started)
        workers = available() if options.executor != "inline" and can_fork() else 1
        metric = task.metric or ""
        runs = Runs(
            task,
            space,
            metric,
            ledger,
            options.seed,
            Clock(ledger, options.seconds),
            workers,
            Published(listener, ledger, metric, task.direction),
        )
        try:
            return _optimize(runs, options, command)
        except TaskError:  # the baseline failed: there is nothing to go on with
            ledger.discard()
            raise
        except BudgetError:
            if not ledger.units():
                ledger.discard()
            raise


def check_function(task: FunctionTask) -> None:
    """Refuses what can be told to be wrong before the function is run.

    Raises:
        TaskError: There is no function, or no direction.
    """
    if not callable(task.train):
        raise TaskError(f"got {task.train!r} to train; give a function of settings and a seed")
    if task.direction not in ("maximize", "minimize"):
        raise TaskError(f"got direction={task.direction!r}; allowed are maximize and minimize")


def name_of(task: FunctionTask) -> str:
    """Returns what reports call a function's task."""
    return task.name or str(getattr(task.train, "__name__", type(task.train).__name__))


def _optimize(runs: Runs, options: TuneOptions, command: str) -> FunctionSummary:
    left, begun = runs.clock.left, runs.ledger.elapsed
    if left is not None and left <= 0 and not runs.ledger.units():
        longer = option("budget", f"{math.ceil(2 * begun)}s")
        raise BudgetError(
            f"a budget of {runs.clock.budget:.10g}s is too short here: {begun:.0f}s had passed before "
            f"the first run; give {longer} or more"
        )
    runs.listener.phase("baseline", "two seeds")
    start, other = _start(runs)
    deterministic = other.score == start.score
    runs.listener.phase("search", "settings on one seed")
    strategy = Strategy.of(options.search, options.grid or (), prunes=False)
    trials = search(runs, start, options.trials, strategy.sampler)
    runs.listener.phase("race", "the best few on further seeds")
    candidate = race(runs, trials)
    confirmed = Confirmed(None, 1.0, False, [])
    if candidate is not None and not deterministic:
        runs.listener.phase("confirm", "the best against the baseline on fresh seeds")
        confirmed = confirm(runs, candidate)
    runs.listener.phase("report", "summary and page")
    summary = _summary(runs, options, command, trials, candidate, confirmed, deterministic)
    ledger = runs.ledger
    ledger.write_file(SETTINGS_FILE, (json.dumps(summary.final, indent=2) + "\n").encode())
    ledger.write_file("report.html", render(summary, trials).encode())
    ledger.write_file("summary.json", summary.to_json().encode())
    return summary


def _start(runs: Runs) -> tuple[TrialRecord, TrialRecord]:
    """Runs the baseline with two seeds; the first is the search's.

    Raises:
        TaskError: It does not run to its end, or returns no metric.
    """
    seeds = runs.seeds("search", 2)
    baseline = runs.space.baseline
    both = runs.ask("start", "search", [Asked("baseline", baseline, seed) for seed in seeds])
    for trial in both:
        if trial.score is None:
            raise TaskError(
                f"the function {name_of(runs.task)} failed with the baseline's settings: {trial.reason}"
            )
    runs.metric = runs.metric or next(iter(both[0].extra))
    return both[0], both[1]


def _summary(
    runs: Runs,
    options: TuneOptions,
    command: str,
    trials: list[TrialRecord],
    candidate: Params | None,
    confirmed: Confirmed,
    deterministic: bool,
) -> FunctionSummary:
    every = runs.ledger.trials()
    headline = confirmed.headline
    delivered: Literal["candidate", "baseline"] = "baseline"
    arms = {
        name: _arm(settings, confirmed.scores.get(role, {}), trials, every, role)
        for name, role, settings in (
            ("baseline", "baseline", runs.space.baseline), ("candidate", "candidate", candidate)
        )
        if settings is not None
    }  # fmt: skip
    if candidate is not None and deterministic:
        better = runs.sign * (arms["candidate"].mean - arms["baseline"].mean) > 0
        delivered = "candidate" if better and options.deliver == "likely" else "baseline"
    elif delivers(headline, proven=confirmed.proven, deliver=options.deliver):
        delivered = "candidate"
    summary = FunctionSummary(
        schema=1, name=name_of(runs.task), metric=runs.metric, direction=runs.task.direction,
        delivered=delivered, proven=confirmed.proven, deterministic=deterministic,
        likelihood=None if headline is None else likelihood(headline),
        baseline=arms["baseline"], candidate=arms.get("candidate"),
        confirmation=None if headline is None else effect_of(headline, confirmed.p_value),
        changes=[_change(change) for change in confirmed.changes], statement="",
        runs=len(every), failed=sum(trial.score is None for trial in every),
        looks=confirmed.looks, alpha=ALPHA, seconds=runs.ledger.elapsed,
        budget_seconds=runs.clock.budget, stopped_after=runs.clock.stopped_after, seed=runs.seed,
        versions=versions(), hardware=hardware(),
        command=command, ledger_digest=runs.ledger.digest(),
    )  # fmt: skip
    return summary.model_copy(update={"statement": statement_of(summary)})


def _arm(
    settings: Params,
    scores: Mapping[int, float],
    trials: list[TrialRecord],
    every: list[TrialRecord],
    role: str,
) -> SettingsArm:
    if scores:
        mean, interval = mean_with_interval(list(scores.values()))
        mine = [t for t in every if t.phase == "confirm" and t.role == role]
        return SettingsArm(
            settings=settings, mean=mean, interval=_finite(interval), n=len(scores),
            failed=sum(t.score is None for t in mine),
        )  # fmt: skip
    run = next(t for t in trials if t.recipe["settings"] == settings)
    assert run.score is not None
    return SettingsArm(settings=settings, mean=run.score, interval=None, n=1)


def _finite(interval: tuple[float, float]) -> tuple[float, float] | None:
    return interval if all(map(math.isfinite, interval)) else None


def _change(change: Change) -> ChangeSummary:
    verdict: Literal["kept", "rejected", "unproven"] = "unproven"
    found, p_value = change.comparison, change.p_value
    if found is not None and p_value is not None and p_value <= ALPHA:
        verdict = "kept" if found.effect > 0 else "rejected"
    return ChangeSummary(
        name=change.name, before=change.before, after=change.after, verdict=verdict,
        effect=None if found is None else effect_of(found, p_value),
    )  # fmt: skip


__all__ = ["SETTINGS_FILE", "check_function", "name_of", "run_function_campaign"]
