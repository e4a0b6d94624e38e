"""The same training, from the same start over the same batches, at other learning rates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from pawl.diagnosing.probe import Probe
from pawl.diagnosing.record import Rival, Training
from pawl.diagnosing.rules.learning import NOTHING
from pawl.recipe import Recipe
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper

_WAYS, _FARTHEST = (0.1, 10.0), 5
"""Learning rates of rivals, over the training's. Where it learns little, their squares and so on up to
the fifth powers follow while each learns more than the one before."""
_LITTLE = 0.5
"""Of what a constant loses."""
_SHARE = 1 / 3
"""Of the training's steps, a rival takes so many."""
_FEWEST_STEPS = 32
_BETWEEN_BEATS = 16

Heartbeat = Callable[[], None]


def rivals(problem: Problem, member: Member, main: Training, beat: Heartbeat) -> tuple[Rival, ...]:
    """Returns the training at other rates, as far as time allows.

    Args:
        problem: The task.
        member: The training.
        main: What was seen of it.
        beat: Called every few steps; a `StopIteration` ends a rival, which is then left out.
    """
    return tuple(each for way in _WAYS for each in _one_way(problem, member, way, main, beat))


def _one_way(
    problem: Problem, member: Member, way: float, main: Training, beat: Heartbeat
) -> list[Rival]:
    """Returns the rival at this factor, and those further on that are worth a look."""
    if not main.readings:
        return []
    found: list[Rival] = []
    best = main.last.train_loss
    little = not main.explained(best) >= _LITTLE
    # Where nothing is learned, the next decade may still be one of chance.
    misses = 1 if not main.explained(best) >= NOTHING else 0
    for power in range(1, 1 + (_FARTHEST if little else 1)):
        rival = _rival(problem, member, way**power, main, beat)
        if rival is None:
            break
        found.append(rival)
        if math.isfinite(best) and not rival.train_loss < best:
            misses -= 1
            if misses < 0:
                break
            continue
        best = rival.train_loss
    return found


def _rival(
    problem: Problem, member: Member, factor: float, main: Training, beat: Heartbeat
) -> Rival | None:
    """Returns the training at another rate; `None` where it has none, or time ran out."""
    recipe = _at_rate(member.recipe, factor)
    wanted = max(_FEWEST_STEPS, int(_SHARE * main.last.step))
    if recipe is None or main.status not in ("completed", "stopped", "diverged"):
        return None
    own = dataclasses.replace(member, recipe=recipe)
    population = Population(problem, [own], SerialStepper())
    probe, left = Probe(population), min(wanted, int(population.total[0]))
    try:
        while left > 0:
            beat()
            population.advance(min(_BETWEEN_BEATS, left))
            left -= _BETWEEN_BEATS
    except StopIteration:
        return None
    train, valid = probe.losses()
    return Rival(rate=factor, step=int(population.step[0]), train_loss=train, valid_loss=valid)


def _at_rate(recipe: Recipe, factor: float) -> Recipe | None:
    """Returns the recipe at so many times its rate, in its bounds or not; `None` without a rate."""
    name, rate = recipe.optimizer, rate_of(recipe)
    if math.isnan(rate):
        return None
    other = recipe.settings(name).model_copy(update={"learning_rate": factor * rate})
    return Recipe(tuple((n, other if n == name else own) for n, own in recipe.entries))


def rate_of(recipe: Recipe) -> float:
    """Returns a recipe's learning rate; NaN without one."""
    return float(getattr(recipe.settings(recipe.optimizer), "learning_rate", math.nan))
