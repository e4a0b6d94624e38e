"""A training that is watched: readings between its steps, the same at other rates, what is suspected.

The steps themselves are those of any training: what watches stands around the stepper, whichever that
is, looks at the losses that it returns, and takes a reading between two calls.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pawl.data.types import Examples
from pawl.diagnosing.probe import Probe
from pawl.diagnosing.record import Reading, Training
from pawl.diagnosing.rivals import rate_of, rivals
from pawl.diagnosing.statistics import statistics_of
from pawl.diagnosing.trials import RowLosses, trials
from pawl.errors import PawlError
from pawl.execution import OutOfTime, reason_of
from pawl.models import frozen
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.run import Run
from pawl.training.serial import SerialStepper
from pawl.training.state import Buffers, EvaluationState
from pawl.training.stepper import Stepper

_SPACING = 1.25
"""Steps of a reading over those of the one before: about 20 readings in 3,000 steps."""
_CLOSEST = 16
_AVERAGED = 2 / 3
"""Of the planned steps: weights behind them are averaged."""

Heartbeat = Callable[[], None]


class Watched:
    """A stepper that takes another's steps, and reads the first member between them.

    Args:
        stepper: The other.
    """

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        self.name, self.width = stepper.name, stepper.width
        self.probe: Probe | None = None
        self.losses: list[tuple[int, float]] = []
        self.readings: list[Reading] = []
        self.seconds = 0.0
        self._due = 0
        self._mean: Tensor | None = None
        self._averaged = 0

    def rebind(self, population: Population) -> None:
        """Passed on."""
        self.stepper.rebind(population)

    def chunk(self, members: int, values: int) -> int:
        """Passed on."""
        return self.stepper.chunk(members, values)

    def forward(
        self, population: Population, examples: Examples, rows: Tensor, kept: EvaluationState
    ) -> Tensor:
        """Passed on."""
        return self.stepper.forward(population, examples, rows, kept)

    def advance(self, population: Population, batches: Sequence[Buffers]) -> Tensor:
        """Takes the steps, and a reading before them if one is due."""
        step, steps = int(population.step[0]), len(batches[0]["rows"])
        before: Tensor | None = None
        if self.probe is not None and step >= self._due:
            self.read()
            before = population.state.weights[0].clone()
        losses = self.stepper.advance(population, batches)
        self.losses.append((step + steps, float(losses[0])))
        self._average(population)
        if before is not None and self.probe is not None:
            moved = self.probe.moved(before, steps)
            last = self.readings[-1]
            weights = tuple(
                dataclasses.replace(each, moved=far)
                for each, far in zip(last.weights, moved, strict=True)
            )
            self.readings[-1] = dataclasses.replace(last, weights=weights)
        return losses

    def _average(self, population: Population) -> None:
        if int(population.step[0]) <= _AVERAGED * int(population.total[0]):
            return
        now = population.state.weights[0].double()
        self._averaged += 1
        self._mean = now if self._mean is None else self._mean.lerp(now, 1 / self._averaged)

    def averaged_loss(self) -> float:
        """Returns the loss of the mean of late weights; NaN where there are fewer than three."""
        if self._mean is None or self._averaged < 3 or self.probe is None:
            return math.nan
        return self.probe.loss_at(self._mean.float())

    def read(self) -> None:
        """Takes a reading now."""
        assert self.probe is not None
        started = time.perf_counter()
        found = self.probe.read()
        self.readings.append(found)
        total = int(self.probe.population.total[0])
        closest = max(1, min(_CLOSEST, total // 8))
        self._due = max(found.step + closest, int(_SPACING * found.step))
        self.seconds += time.perf_counter() - started


def watch(
    problem: Problem,
    member: Member,
    *,
    heartbeat: Heartbeat = lambda: None,
    seconds: float | None = None,
    stepper: Stepper | None = None,
) -> Training:
    """Trains a member with instruments, at other rates, and with what is suspected changed.

    Args:
        problem: The task.
        member: The training.
        heartbeat: Called every few steps; what it raises is passed on.
        seconds: How long it may take, rivals and trials included; what it has then comes back, as
            `running` if the training itself is not at its end.
        stepper: How steps are computed; one after the other by default.
    """
    deadline = None if seconds is None else time.monotonic() + seconds

    def beat() -> None:
        heartbeat()
        if deadline is not None and time.monotonic() > deadline:
            raise StopIteration

    found = Training(
        techniques=tuple(name for name, _ in member.recipe.entries),
        optimizer=member.recipe.optimizer,
        rate=rate_of(member.recipe),
        rows=len(member.train),
        batch=min(member.recipe.batch_size, len(member.train)),
        total=0,
        status="failed",
    )
    with torch.random.fork_rng(devices=[]):
        try:
            watched = Watched(stepper or SerialStepper())
            found, losses = _watched(problem, member, found, beat, watched)
            found = dataclasses.replace(found, rivals=rivals(problem, member, found, beat))
            return dataclasses.replace(found, trials=trials(problem, member, found, losses, beat))
        except (PawlError, OutOfTime):
            raise
        except (
            Exception
        ) as error:  # the user's model, or a technique: the search will tell of it, too
            return dataclasses.replace(found, status="failed", reason=reason_of(error))


def _watched(
    problem: Problem, member: Member, known: Training, beat: Heartbeat, watched: Watched
) -> tuple[Training, RowLosses]:
    """Returns what was seen, and losses of rows by the weights that count."""
    population = Population(problem, [member], watched)
    watched.probe = Probe(population)
    first = {name: buffer.clone() for name, buffer in population.state.buffers.items()}
    run = Run(population, instruments=0.0)
    status = "running"
    try:
        while status == "running":
            run.segment(beat)
            status = run.finished().get(0, "running")
    except StopIteration:
        pass
    watched.read()
    seen = dataclasses.replace(
        known,
        batch=population.fits[0].batch_size,
        total=int(population.total[0]),
        status=status,
        parameters=sum(population.layout.sizes),
        layers=_frozen(problem, population),
        kept=_kept(run),
        constant_loss=watched.probe.constant_loss,
        zero_loss=watched.probe.zero_loss,
        losses=tuple(watched.losses),
        readings=tuple(watched.readings),
        averaged_loss=watched.averaged_loss(),
        scales=watched.probe.scales(),
        statistics=statistics_of(population, watched.probe, first),
    )
    return seen, watched.probe.row_losses(*run.kept())


def _kept(run: Run) -> int:
    """Returns the step whose weights count."""
    curve, sign = run.curves[0], run.population.problem.objective.sign
    if not run.tracks_best or not curve:
        return int(run.population.step[0])
    best = max(reversed(curve), key=lambda point: sign * point.valid_score)
    return best.step


def _frozen(problem: Problem, population: Population) -> tuple[str, ...]:
    """Returns names of weights that the model has frozen as they were drawn."""
    if problem.pretrained or "freezing" in population.members[0].recipe:
        return ()
    return tuple(name for name, x in frozen(population.whole(0)[1]).items() if x.dim() > 1)


__all__ = ["Watched", "watch"]
