"""The range test: the training loss after a few steps at each of many rates."""

from __future__ import annotations

import functools
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from pawl.errors import TaskError, option
from pawl.execution import Heartbeat, Lost, Plan, Session
from pawl.finding.pictures import Mark, drawn
from pawl.recipe import Recipe
from pawl.techniques import ScheduleTechnique, StopTechnique
from pawl.training.population import Member, Population
from pawl.training.problem import Problem

_AT_ONCE = 4
"""Steps between two looks at the losses."""
_LAST = 0.25
"""Share of the steps whose mean loss counts."""


@dataclass(frozen=True)
class RateTried:
    """What a rate did.

    Attributes:
        rate: The rate.
        loss: Mean training loss over the last quarter of the steps and over the seeds; `None` if a
            training diverged.
        error: Its standard error over the seeds; `None` with one of them.
        diverged: How many of the seeds ended above where they began, or with a loss that is not finite.
    """

    rate: float
    loss: float | None
    error: float | None
    diverged: int


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes:
        rates: What was tried, from the lowest rate to the highest.
        suggested: The rate with the lowest loss.
        within_one_error: The lowest rate whose loss is within one standard error of it.
        limit: The lowest rate above it at which a training diverged; `None` if none did.
        first_loss: Mean loss of the first steps at the lowest rate: where trainings begin.
        steps: Of each training.
        seeds: Trainings at each rate.
        optimizer: Whose rate it is.
        notes: What a reader should know.
    """

    rates: tuple[RateTried, ...]
    suggested: float
    within_one_error: float
    limit: float | None
    first_loss: float
    steps: int
    seeds: int
    optimizer: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Returns the test as JSON."""
        return json.dumps({"what": "range test", **asdict(self)}, indent=2)

    def picture(self) -> str:
        """Returns the losses over the rates as an SVG file's text."""
        marks = [
            Mark(each.rate, each.loss, 1.96 * (each.error or 0.0))
            for each in self.rates
            if each.loss is not None
        ]
        return drawn(
            marks, chosen=self.suggested, axis=f"learning rate of {self.optimizer}",
            title=f"training loss after {self.steps} steps", bounds=(-math.inf, 1.2 * self.first_loss),
        )  # fmt: skip


def range_test(
    session: Session, recipe: Recipe, grid: Sequence[float], steps: int, seeds: int
) -> RangeTest:
    """Trains a few steps at each rate and returns what the losses say.

    The recipe's schedule and early stopping are left out: a rate is what it is.

    Raises:
        TaskError: Every rate diverged, or none lowered the loss.
    """
    for t, _ in recipe:
        if isinstance(t, ScheduleTechnique | StopTechnique):
            recipe = recipe.without(t.name)
    session.listener.phase("rates", f"{len(grid)} rates, {seeds} seeds, {steps} steps each")
    train, valid = session.rows.search
    members = []
    for seed in (session.rows.derive("rate", i) for i in range(seeds)):
        for rate in grid:
            own = recipe.with_(recipe.optimizer, learning_rate=rate)
            each = session.problem.fit(own, train, seed).steps_per_epoch
            members.append(Member(own, seed, train, valid[:0], math.ceil(steps / each)))
    losses = _trained(session, members, steps).view(seeds, len(grid), -1)
    start = losses[:, 0, 0].mean()
    last = losses[:, :, -max(1, round(_LAST * losses.shape[2])) :].mean(2)
    # Higher than at the first look, by more than batches differ.
    bad = ~last.isfinite() | (last > 1.05 * start)
    tried = tuple(
        _tried(rate, last[:, i].tolist(), int(bad[:, i].sum())) for i, rate in enumerate(grid)
    )
    losses_of = {i: each.loss for i, each in enumerate(tried) if each.loss is not None}
    place = min(losses_of, key=losses_of.__getitem__, default=None)
    if place is None or losses_of[place] >= float(start):
        raise TaskError(
            f"no rate from {grid[0]:g} to {grid[-1]:g} lowers the loss within {steps} steps; give "
            f"others by {option('lowest')} and {option('highest')}, or more {option('steps')}"
        )
    notes = []
    if place in (0, len(grid) - 1):
        which = "lowest" if place == 0 else "highest"
        notes.append(f"the {which} of the rates is the best: the best may lie beyond it")
    near = losses_of[place] + (tried[place].error or 0.0)
    within = min(i for i, loss in losses_of.items() if loss <= near)
    return RangeTest(
        tried, grid[place], grid[within],
        next((t.rate for t in tried[place:] if t.diverged), None),
        float(start), steps, seeds, recipe.optimizer, tuple(notes),
    )  # fmt: skip


def _trained(session: Session, members: Sequence[Member], steps: int) -> Tensor:
    """Returns mean losses of every few steps, `[members, K]`."""
    plan = session.trainer.plan(members[0].recipe)
    shares = [list(members[i :: plan.workers]) for i in range(plan.workers)]
    pieces = [
        functools.partial(_losses, session.problem, share, plan, steps) for share in shares if share
    ]
    found = session.trainer.run(pieces, plan, members[0])
    losses = torch.empty(len(members), math.ceil(steps / _AT_ONCE))
    for i, one in enumerate(found):
        if isinstance(one, Lost):
            raise TaskError(f"a process that tried rates ended: {one.reason}")
        losses[i :: plan.workers] = one
    return losses


def _losses(
    problem: Problem, members: Sequence[Member], plan: Plan, steps: int, heartbeat: Heartbeat
) -> Tensor:
    """Returns the losses of these members, as many at once as the plan says, `[N, K]`."""
    found = []
    for start in range(0, len(members), plan.width):
        group = members[start : start + plan.width]
        population = Population(problem, group, plan.stepper(len(group)))
        looks = []
        for taken in range(0, steps, _AT_ONCE):
            heartbeat()
            looks.append(population.advance(min(_AT_ONCE, steps - taken)).cpu())
        found.append(torch.stack(looks, dim=1))
    return torch.cat(found)


def _tried(rate: float, losses: Sequence[float], diverged: int) -> RateTried:
    if diverged:
        return RateTried(rate, None, None, diverged)
    error = None
    if len(losses) > 1:
        error = statistics.stdev(losses) / math.sqrt(len(losses))
    return RateTried(rate, statistics.fmean(losses), error, 0)
