"""A session whose trainings are made up, so that what is right to conclude is known.

Rows, splits, seeds, ledger and everything that judges are real; only what a training predicts is given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pawl.data import load
from pawl.data.types import Examples
from pawl.execution import Job, Session, Trainer, pick_device
from pawl.execution.outcomes import failed
from pawl.execution.packing import Result
from pawl.ledger import Ledger
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.metrics import score
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.run import Outcome

World = Callable[[Recipe, Member], float | None]
"""How far a model of a recipe is off, in the target's units; `None` for a training that fails."""

BASE = Recipe.of(standardize={}, adamw={"learning_rate": 0.001})
CONSTANT = float("inf")
"""Said by a world of a model that predicts the same for every row."""


class MadeUpTrainer(Trainer):
    """Trains nothing: a world says what trainings come to."""

    world: World
    asked: list[Member]

    def train(self, jobs: Sequence[Job], *, examples: Examples | None = None) -> list[Result]:
        """Makes up the trainings' results."""
        found = examples or self.problem.examples
        assert found.targets is not None
        return [self._made(job, found.targets) for job in jobs]

    def _made(self, job: Job, targets: Tensor) -> Result:
        member = job.member
        self.asked.append(member)
        off = self.world(member.recipe, member)
        if off is None:
            return Result(failed(member, "made up to fail"), None, None)
        valid = (
            self._score(self.problem.targets, member.valid, member, off)
            if len(member.valid)
            else None
        )
        outcome = Outcome(
            member, "completed", valid, 10, (), 0.01, **self._weights(member, job.keep)
        )
        if job.judge is None:
            return Result(outcome, None, None)
        predictions = self._predicted(targets[job.judge], member, off)
        value = float(score(self.problem.objective, predictions, targets[job.judge]))
        return Result(outcome, predictions, value)

    def _predicted(self, targets: Tensor, member: Member, off: float) -> Tensor:
        if off == CONSTANT:
            return torch.full_like(targets, 7.0)
        # The same for all arms of a pair, so that arms of one error are equal.
        noise = np.random.default_rng(member.seed).normal(size=len(targets))
        return targets + off * torch.from_numpy(noise).to(targets)

    def _score(self, targets: Tensor, rows: Tensor, member: Member, off: float) -> float:
        predictions = self._predicted(targets[rows], member, off)
        return float(score(self.problem.objective, predictions, targets[rows]))

    def _weights(self, member: Member, wanted: bool) -> dict[str, Any]:
        if not wanted:
            return {}
        _, body, _ = self.problem.build(member.recipe, member.seed, member.train)
        weights = torch.cat([torch.empty(0), *(p.detach().flatten() for p in body.parameters())])
        return {"weights": weights, "buffers": dict(body.named_buffers())}


class MadeUp(Session):
    """A session whose trainings are made up.

    Attributes:
        asked: Members that were to be trained.
    """

    def __init__(self, problem: Problem, ledger: Ledger, world: World) -> None:
        super().__init__(problem, ledger, 0)
        self.trainer = made = MadeUpTrainer(self.rows, ledger, self.clock, self.heartbeat)
        made.world, made.asked = world, []
        self.asked = made.asked


@contextlib.contextmanager
def made_up(
    folder: Path,
    world: World,
    rows: int = 300,
    targets: Tensor | None = None,
    *,
    resume: bool = False,
) -> Iterator[MadeUp]:
    """Opens a session on made-up rows of a regression, or goes on with the one in a folder."""
    generator = np.random.default_rng(3)
    inputs = generator.normal(size=(rows, 3)).astype(np.float32)
    values = 5.0 * generator.normal(size=rows) if targets is None else targets.numpy()
    task = Task(data=(inputs, values.astype(np.float32)), kind="regression", metric="mae")
    problem = Problem.of(task, load(task, seed=0), pick_device("cpu"))
    place = folder / "made-up"
    with Ledger.open(place) if resume else Ledger.create(place, {}) as ledger:
        yield MadeUp(problem, ledger, world)


def by_recipe(known: Mapping[str, float | None]) -> World:
    """Returns a world in which all models of a recipe (by its id) are equally far off."""
    return lambda recipe, _: known[recipe.id]


def rows_for(session: Session) -> Examples:
    """Test rows of three numbers, and targets that nothing explains."""
    generator = np.random.default_rng(9)
    inputs = torch.from_numpy(generator.normal(size=(80, 3)).astype(np.float32))
    targets = torch.from_numpy(5 * generator.normal(size=80).astype(np.float32))
    return Examples(dict.fromkeys(session.problem.examples.inputs, inputs), targets)
