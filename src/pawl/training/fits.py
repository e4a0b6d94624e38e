"""Trains members whose recipes fit in one go, without steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from pawl.data.types import Examples, Inputs
from pawl.errors import TrialError
from pawl.kinds import KINDS
from pawl.models import Deployed, Front
from pawl.techniques import FitRows
from pawl.training.fitting import FittedSplit
from pawl.training.metrics import score
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.run import Outcome, Point
from pawl.training.trained import Trained, part_of


def fit_member(
    problem: Problem,
    member: Member,
    beat: Callable[[], None] = lambda: None,
    *,
    refit: bool = False,
) -> tuple[Outcome, Trained]:
    """Fits a member; returns how it ended, and what predicts.

    It counts as many steps as its recipe's batches would take in its epochs, so that times per row
    compare with those of trainings by steps.

    Args:
        problem: The task.
        member: Its recipe has a learner.
        beat: Called every now and then; what it raises ends the fit.
        refit: Whether what predicts learns from the validation rows as well, once they have said when to
            stop and how good it is.

    Raises:
        TrialError: The data stage made soft labels or offsets, which learners don't take.
    """
    started = time.perf_counter()
    learner = member.recipe.learner
    assert learner is not None
    settings = member.recipe.settings(learner.name)
    front, body, fitted = problem.build(member.recipe, member.seed, member.train)
    front, body = front.cpu(), body.cpu()
    rows = _rows(problem, member, front, fitted)
    learner.apply(body, rows, settings, member.seed, beat)
    model = Deployed(
        problem.schema, front, body, fitted.target_mean, fitted.target_std, fitted.limits
    ).cpu()
    trained = Trained((part_of(member),), model)
    value, predicting = math.nan, 0.0
    if len(member.valid):
        fitted_at = time.perf_counter()
        predicted = trained.predict(problem.examples.take(member.valid), torch.device("cpu"))
        predicting = (time.perf_counter() - fitted_at) / len(member.valid)
        wanted = problem.targets[member.valid.to(problem.device)].cpu()
        value = float(score(problem.objective, predicted, wanted))
    if refit and learner.refit is not None and rows.stopping is not None:
        learner.refit(body, rows.joined(), settings, member.seed, beat)
    steps = fitted.steps_per_epoch * member.epochs
    usable = not len(member.valid) or math.isfinite(value)
    return (
        Outcome(
            member=member,
            status="completed" if usable else "diverged",
            score=value if len(member.valid) and usable else None,
            steps=steps,
            curve=(Point(steps, math.nan, value),),
            seconds=time.perf_counter() - started,
            predicting=predicting,
            reason="" if usable else "predictions or metric are not finite",
            weights=torch.empty(0),
            buffers={name: buffer.clone() for name, buffer in body.named_buffers()},
        ),
        trained,
    )


def _rows(problem: Problem, member: Member, front: Front, fitted: FittedSplit) -> FitRows:
    """Returns a member's training rows as its learner takes them."""
    if fitted.soft is not None:
        raise TrialError("the recipe makes soft labels, which a learner does not take")
    if fitted.offset is not None:
        raise TrialError("the recipe makes offsets of outputs, which a learner does not take")
    mean, std = fitted.target_mean.cpu(), fitted.target_std.cpu()
    scaled = KINDS[problem.schema.kind].scaled

    def seen(examples: Examples, known: Inputs) -> tuple[Inputs, Tensor]:
        assert examples.targets is not None
        with torch.no_grad():
            inputs = front({name: x.cpu() for name, x in (examples.inputs | known).items()})
        targets = examples.targets.cpu()
        return inputs, (targets - mean) / std if scaled else targets

    inputs, targets = seen(fitted.take(problem.examples, fitted.rows), fitted.known)
    stopping = seen(problem.examples.take(member.valid), {}) if len(member.valid) else None
    return FitRows(problem.schema.kind, inputs, targets, fitted.weights, stopping)
