"""What a recipe's network costs, told before it is trained: its weights, and the operations of a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pawl.errors import TaskError, option
from pawl.models.member_layers import frozen
from pawl.recipe import Recipe
from pawl.training.problem import Problem


@dataclass(frozen=True)
class Cost:
    """What one network costs.

    Attributes:
        parameters: Weights, frozen ones included.
        operations: Floating-point operations of matrix products and convolutions for one row; what
            recurrent layers and elementwise functions do is not counted.
    """

    parameters: int
    operations: int


def cost_of(problem: Problem, recipe: Recipe, rows: Tensor) -> Cost:
    """Returns what the network of a recipe costs; no setting that may differ in a population changes it.

    Args:
        problem: The task.
        recipe: Of a network.
        rows: Training rows, to build it by, `[R]`.
    """
    front, body, _ = problem.build(recipe, 0, rows)
    held = [*body.parameters(), *frozen(body).values()]
    front.eval()
    body.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        body(front(problem.examples.take(rows[:1]).inputs))
    return Cost(sum(p.numel() for p in held), int(counter.get_total_flops()))


def too_large(cost: Cost, most: int | None) -> str | None:
    """Returns why a network is not trained under a limit on its parameters; `None` if it may be."""
    if most is None or cost.parameters <= most:
        return None
    return f"infeasible: {cost.parameters:,} parameters are more than the {most:,} allowed"


def check_size(problem: Problem, start: Recipe, rows: Tensor, most: int | None) -> None:
    """Refuses a limit under which the network to start from could not be trained.

    Raises:
        TaskError: It has more parameters.
    """
    if most is None:
        return
    cost = cost_of(problem, start, rows)
    if cost.parameters > most:
        raise TaskError(
            f"the network to start from has {cost.parameters:,} parameters, more than "
            f"{option('max_parameters', most)} allows; give a limit of {cost.parameters} or more, or a "
            f"smaller network, as by {option('baseline')}"
        )
