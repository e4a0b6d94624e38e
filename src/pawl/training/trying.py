"""A first step of training, before any other, so that a model that cannot take one is named."""

from __future__ import annotations

import torch

from pawl.errors import PawlError, TaskError, first_line
from pawl.recipe import Recipe
from pawl.training.population import Member, Population
from pawl.training.problem import CHECKED_ROWS, Problem
from pawl.training.serial import SerialStepper


def check_step(problem: Problem) -> None:
    """Takes one plain step on a few rows: forward, backward and the optimizer's.

    A fused one need not work: members then train one by one, as the planner finds out for each
    structure.

    Raises:
        TaskError: It raised, or forward left a buffer that cannot be kept.
    """
    recipe = Recipe.of(adamw={}, batch_size={"size": CHECKED_ROWS})
    rows = torch.arange(min(CHECKED_ROWS, len(problem.examples)))
    with torch.random.fork_rng(devices=[]):
        try:
            population = Population(
                problem, [Member(recipe, 0, rows, rows[:0], epochs=1)], SerialStepper()
            )
            population.advance(1)
        except PawlError as error:
            raise TaskError(str(error)) from None
        except (Exception, SystemExit) as error:
            # Forward and loss were tried before.
            raise TaskError(
                f"training the model raised {type(error).__name__}: {first_line(error)} (in the "
                "backward pass or the optimizer's step, on its first batch)"
            ) from error
    known = population.state.buffers.keys() | population.shared.keys()
    fresh = [n for n, _ in population.body.named_buffers() if n not in known]
    if fresh:
        raise TaskError(
            f"the model's forward made the buffer {fresh[0]!r}, which was not there when the model "
            "was built; register it there, as a tensor"
        )
