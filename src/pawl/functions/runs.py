"""Runs of a function: by settings and seed, side by side, each in the ledger."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pawl import rng
from pawl.errors import TaskError, first_line
from pawl.execution import Clock, Heartbeat, Listener, Lost, Silent
from pawl.execution.executors import executor_with
from pawl.functions.space import FunctionSpace
from pawl.ledger import Ledger, TrialRecord
from pawl.search.protocols import Params
from pawl.task import FunctionTask

SCORE = "score"
"""What the metric of a function is called that returns a number."""


@dataclass(frozen=True)
class Asked:
    """A run that is wanted: an arm's settings, and a seed."""

    role: str
    params: Params
    seed: int


@dataclass
class Runs:
    """What the phases of a function's campaign share.

    Attributes:
        task: The function.
        space: Its settings.
        metric: The metric's name; found by the first run if it is empty.
        ledger: The campaign's record.
        seed: The campaign's.
        clock: What is left of the budget.
        workers: Runs at once.
        listener: Told how it goes on.
    """

    task: FunctionTask
    space: FunctionSpace
    metric: str
    ledger: Ledger
    seed: int
    clock: Clock
    workers: int
    listener: Listener = field(default_factory=Silent)
    done: int = 0
    best: float | None = None

    @property
    def sign(self) -> float:
        """`+1` when more is better, `-1` when less is."""
        return 1.0 if self.task.direction == "maximize" else -1.0

    def seeds(self, purpose: str, count: int) -> list[int]:
        """Returns seeds for a purpose of this campaign."""
        return [rng.derive_seed(self.seed, purpose, place) % 2**31 for place in range(count)]

    def seconds(self) -> float:
        """Returns what a run takes on average, runs side by side counted as they are."""
        trials = [trial for trial in self.ledger.trials() if trial.seconds > 0]
        mean = sum(trial.seconds for trial in trials) / max(1, len(trials))
        return mean / self.workers

    def ask(self, key: str, phase: str, wanted: Sequence[Asked]) -> tuple[TrialRecord, ...]:
        """Returns the runs of a unit, as they are in the ledger or as they end now."""
        unit = self.ledger.compute(key, phase, partial(self._run, phase, wanted))
        self.done += len(unit.trials)
        for trial in unit.trials:
            if trial.score is not None and phase == "search":
                best = trial.score if self.best is None else self.best
                self.best = max(best, trial.score, key=lambda score: self.sign * score)
        self._tell()
        return unit.trials

    def _run(
        self, phase: str, wanted: Sequence[Asked]
    ) -> tuple[dict[str, Any], Sequence[TrialRecord]]:
        work = [partial(_call, self.task.train, self.space, each) for each in wanted]
        executor = executor_with(min(self.workers, len(work)))
        found = executor.run(work, self._heartbeat)
        return {}, [self._record(phase, each, one) for each, one in zip(wanted, found, strict=True)]

    def _record(self, phase: str, asked: Asked, found: dict[str, Any] | Lost) -> TrialRecord:
        if isinstance(found, Lost):
            found = {"metrics": {}, "reason": found.reason, "seconds": 0.0}
        metrics, reason = found["metrics"], found["reason"]
        metric = self.metric or (next(iter(metrics)) if len(metrics) == 1 else "")
        score = metrics.get(metric)
        if not reason and score is None:
            got = ", ".join(metrics) or "no number"
            what = (
                f"no {metric}" if metric else "it is not said which is improved; name it by metric="
            )
            reason = f"it returned {got}, and {what}"
        elif score is not None and not math.isfinite(score):
            reason, score = f"its {metric} is {score}", None
        return TrialRecord(
            phase=phase, role=asked.role, recipe={"settings": dict(asked.params)},
            recipe_id=id_of(asked.params), seed=asked.seed, split="", epochs=0,
            status="failed" if score is None else "completed", score=score,
            seconds=found["seconds"], reason=reason,
            extra={name: x for name, x in metrics.items() if math.isfinite(x)},
        )  # fmt: skip

    def _heartbeat(self) -> None:
        self.clock.beat()
        self._tell()

    def _tell(self) -> None:
        self.listener.progress(trials=self.done, best=self.best, left=self.clock.left)


def _call(
    train: Callable[[Any, int], Any], space: FunctionSpace, asked: Asked, _: Heartbeat
) -> dict[str, Any]:
    """Runs the function once; what it raises is its result."""
    started, reason = time.monotonic(), ""
    metrics: dict[str, float] = {}
    try:
        metrics = _metrics(train(space.settings(asked.params), asked.seed))
    except TaskError as error:
        reason = str(error)
    except (Exception, SystemExit) as error:  # the user's own code
        reason = f"it raised {type(error).__name__}: {first_line(error)}"
    return {"metrics": metrics, "reason": reason, "seconds": time.monotonic() - started}


def id_of(params: Params) -> str:
    """Returns a short name of settings, by content."""
    text = json.dumps(params, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _metrics(returned: Any) -> dict[str, float]:
    """Returns what a function returned as numbers by name.

    Raises:
        TaskError: It is neither a number nor a mapping of numbers.
    """
    if isinstance(returned, Mapping):
        named = {str(name): _number(value) for name, value in returned.items()}
        return {name: value for name, value in named.items() if value is not None}
    value = _number(returned)
    if value is None:
        raise TaskError(
            f"it returned {type(returned).__name__}; it must return a number, or a mapping of names to "
            "numbers"
        )
    return {SCORE: value}


def _number(value: Any) -> float | None:
    if isinstance(value, bool | str | bytes):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
