"""Suspicions that are tried: the same training, of the same seed, with one thing changed.

Cheap evidence says what to suspect; a trial says whether it costs anything. Trainings that give no cause
pay nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pawl.diagnosing.gains import gain_of
from pawl.diagnosing.probe import Probe
from pawl.diagnosing.record import Change, Training, Trial, UnitReading
from pawl.diagnosing.rules.batches import FEW_STEPS, SMALL
from pawl.diagnosing.rules.gains import worth
from pawl.diagnosing.rules.learning import SUSPECTED, learning_rate_too_low, still_falls
from pawl.errors import RecipeError
from pawl.execution import OutOfTime
from pawl.recipe import Recipe
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.run import Run
from pawl.training.serial import SerialStepper

_BATCH, _LEAST_BATCH, _FEWEST_BATCHES = 32, 8, 16
_STEPS_SHARE = 1 / 3
"""A trial with larger batches takes no more of the training's steps, in as many passes or in more."""
_MOST_STEPS = 1024
"""A trial with smaller batches takes no more; up to it, one with more passes takes four times those."""
_NARROW, _WIDER = 8, 8.0
_LONGER, _MOST_LONGER = 2, 4

RowLosses = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Suspicion:
    """What is to be changed.

    Attributes:
        change: See `Trial`.
        value: See `Trial`.
        epochs: Passes over the rows that the trial makes.
    """

    change: Change
    value: float
    epochs: int


def suspected(run: Training, epochs: int) -> list[Suspicion]:
    """Returns what is worth a trial, the cheapest first.

    Batches of at most eight rows, or a pass of at most four; a layer of fewer than eight units; a loss
    that still falls at the end, and not because the rate is too low. Larger batches are tried in as many
    passes, and in more: the former do too little where steps are what lacks, the latter learn by heart.

    Args:
        run: What was seen.
        epochs: Passes that it made, as planned.
    """
    if not run.whole or not run.readings:
        return []
    found: list[Suspicion] = []
    larger = min(_BATCH, run.rows // 4)
    smaller = max(_LEAST_BATCH, min(_BATCH, run.rows // _FEWEST_BATCHES))
    if run.batch <= SMALL and larger > run.batch:
        afforded = int(_STEPS_SHARE * run.last.step) // max(1, run.rows // larger)
        tried = dict.fromkeys((epochs, max(epochs, afforded)))
        found += [Suspicion("batch", larger, each) for each in tried]
    elif run.rows // max(1, run.batch) <= FEW_STEPS and 2 * smaller <= run.batch:
        passes = min(epochs, math.ceil(_MOST_STEPS / (run.rows // smaller)))
        found.append(Suspicion("batch", smaller, passes))
    if _narrowest(run.first.units) < _NARROW:
        found.append(Suspicion("width", _WIDER, epochs))
    if still_falls(run) >= SUSPECTED and learning_rate_too_low(run) is None:
        longer = max(_LONGER, min(_MOST_LONGER, _MOST_STEPS // max(1, run.last.step)))
        found.append(Suspicion("passes", longer, longer * epochs))
    return found


def trials(
    problem: Problem, member: Member, run: Training, losses: RowLosses, beat: Callable[[], None]
) -> tuple[Trial, ...]:
    """Returns trials of what is suspected, as far as time allows.

    Args:
        problem: The task.
        member: The training.
        run: What was seen of it.
        losses: Of its training and validation rows by the weights that count, `[R]`.
        beat: Called every few steps; a `StopIteration` ends it.
    """
    found: list[Trial] = []
    if not len(losses[1]) or not all(bool(each.isfinite().all()) for each in losses):
        return ()
    try:
        for each in suspected(run, member.epochs):
            if any(t.change == each.change and worth(run, t.gain) for t in found):
                continue
            with torch.random.fork_rng(devices=[]):
                trial = _tried(problem, member, each, losses, beat)
            found += [] if trial is None else [trial]
    except StopIteration:
        pass
    return tuple(found)


def _tried(
    problem: Problem, member: Member, what: Suspicion, losses: RowLosses, beat: Callable[[], None]
) -> Trial | None:
    try:
        return _trained(problem, member, what, losses, beat)
    except (OutOfTime, StopIteration):
        raise
    except Exception:  # what cannot be changed says nothing of the training
        return None


def _trained(
    problem: Problem, member: Member, what: Suspicion, losses: RowLosses, beat: Callable[[], None]
) -> Trial:
    beat()  # what is built first may take as long as a few steps
    recipe = _wider(member.recipe, what.value) if what.change == "width" else member.recipe
    other = dataclasses.replace(member, recipe=recipe, epochs=what.epochs)
    population = Population(problem, [other], SerialStepper())
    if what.change == "batch":
        population.rebatch(int(what.value))
    probe, run = Probe(population), Run(population, instruments=0.0)
    if what.change == "width" and _narrowest(probe.units()) < what.value:
        raise RecipeError("the layer with the fewest units cannot have more")
    while not run.finished():
        run.segment(beat)
    train, valid = probe.row_losses(*run.kept())
    return Trial(
        change=what.change,
        value=what.value,
        step=int(population.step[0]),
        train_loss=float(train.mean()),
        valid_loss=float(valid.mean()),
        gain=gain_of(losses[1], valid),
        train_gain=gain_of(losses[0], train),
    )


def _narrowest(units: Sequence[UnitReading]) -> int:
    return min((each.units for each in units), default=_NARROW)


def _wider(recipe: Recipe, factor: float) -> Recipe:
    """Returns the recipe with wider layers, beyond the bounds of the setting, too.

    Raises:
        RecipeError: It cannot have other widths.
    """
    had = float(getattr(recipe.settings("width"), "factor", 1.0)) if "width" in recipe else 1.0
    other = recipe.with_("width")
    known = other.settings("width").model_copy(update={"factor": factor * had})
    return Recipe(tuple((n, known if n == "width" else own) for n, own in other.entries))
