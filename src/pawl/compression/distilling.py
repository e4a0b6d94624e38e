"""One network that has learned what a whole bundle predicts (Hinton et al., 2015)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pawl import pacing
from pawl.compression.candidate import Candidate, Weights
from pawl.compression.work import Work
from pawl.data import split_rows
from pawl.data.types import Examples
from pawl.deployment import check_parity
from pawl.deployment.predictions import unshifted
from pawl.errors import PawlError
from pawl.execution import Job, Session
from pawl.execution.rows import STOPPING_SHARE
from pawl.kinds import KINDS
from pawl.ledger import Ledger
from pawl.modalities import modality_of
from pawl.models import ModelBuilder
from pawl.recipe import Recipe
from pawl.training.problem import Problem
from pawl.training.trained import Trained, blended, from_outcome, untrained

STEP = "distill"
TEACHER_SHARE = 0.5
"""Of the teacher in what is learned; the rest is the target's: where the teacher was trained on the same
rows, it says little more than the targets."""


def distilled(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes one network of the recipe with the largest share of the bundle's networks.

    It is trained as recipes are, on the rows to learn from, from soft labels: the mean of target and of
    what the bundle predicts. Values are learned from that mean, too.

    Args:
        work: Rows and measures.
        current: What there is.

    Returns:
        The candidate, or why there is none.
    """
    recipe = leading(work.original)
    if recipe is None:
        return "the bundle holds no network whose recipe could be taught"
    if len(current.weights.parts) == 1 and current.weights.recipes[0].learner is None:
        return "one network is left already"
    if KINDS[work.schema.kind].has_places:
        return "it is for targets of a row, and here they lie on places of it"
    taught = _taught(work)
    if not _is_same_network(work, taught, recipe):
        return "the bundle's network is a model of your own; give it in Python, as model="
    try:
        trained = _trained(work, taught, recipe)
    except PawlError as error:
        return f"no network could be taught ({error})"
    if isinstance(trained, str):
        return f"no network could be taught ({trained})"
    graph = trained.graph(work.rows.take(torch.arange(4) % len(work.rows)))
    check_parity(trained, graph, work.choices)
    weights = Weights(trained.tensors(), tuple(trained.described()))
    several = len(work.original.parts)
    detail = (
        f"one network, taught by the {several} models" if several > 1 else "one network, taught"
    )
    return [Candidate(STEP, detail, graph, weights, {"rows": len(work.rows)})]


def leading(original: Weights) -> Recipe | None:
    """Returns the recipe with the largest share among those of networks; `None` if there is none."""
    shares: dict[str, float] = {}
    recipes = {r.id: r for r in original.recipes if r.learner is None}
    for recipe, part in zip(original.recipes, original.parts, strict=True):
        if recipe.id in recipes:
            shares[recipe.id] = shares.get(recipe.id, 0.0) + float(part["share"])
    return recipes[max(shares, key=lambda one: shares[one])] if shares else None


def soft_labels(work: Work, targets: Tensor, predicted: np.ndarray) -> Tensor:
    """Returns the mean of targets and of what the bundle predicts.

    Args:
        work: Kind, classes and shift.
        targets: `[R, *S]`.
        predicted: `[R, *P]`.

    Returns:
        Probabilities `[R, *P]`, or values `[R, *S]`.
    """
    kind = KINDS[work.schema.kind]
    plain = unshifted(predicted, work.shift) if work.shift else predicted
    theirs = torch.from_numpy(np.ascontiguousarray(plain)).float()
    own = F.one_hot(targets, theirs.shape[-1]).float() if kind.exclusive else targets.float()
    return (1.0 - TEACHER_SHARE) * own + TEACHER_SHARE * theirs


def _taught(work: Work) -> Problem:
    """Returns the bundle's task with the teacher's labels."""
    schema, rows = work.schema, work.rows
    modality = modality_of(schema)
    builder = ModelBuilder(schema, work.model, modality.net, one_vector=modality.one_vector)
    labels = soft_labels(work, rows.known_targets, work.teacher(rows))
    soft = None
    if KINDS[schema.kind].has_classes:
        soft = labels
    else:
        rows = Examples(rows.inputs, labels, blocks=rows.blocks)
    return Problem(
        schema=schema, examples=rows, objective=work.objective, builder=builder,
        own_model=work.model is not None, soft=soft,
    )  # fmt: skip


def _is_same_network(work: Work, problem: Problem, recipe: Recipe) -> bool:
    """Tells whether what would be built has the tensors of the bundle's network of this recipe."""
    number = [one.id for one in work.original.recipes].index(recipe.id)
    prefix = (
        f"members.{number}." if any(n.startswith("members.") for n in work.original.tensors) else ""
    )
    known = {n.removeprefix(prefix) for n in work.original.tensors if n.startswith(prefix)}
    try:
        built = untrained(problem, recipe, 0, torch.arange(len(work.rows))).model
    except Exception:  # of techniques that fit the user's model alone
        return False
    return set(built.state_dict()) == known - {"temperature", "shift"}


def _trained(work: Work, problem: Problem, recipe: Recipe) -> Trained | str:
    """Trains it; returns why it could not be."""
    with tempfile.TemporaryDirectory() as scratch:
        known = {"what": "compress", "seed": work.seed}
        with Ledger.create(Path(scratch) / "distill", known) as ledger:
            session = Session(problem, ledger, work.seed, None, work.listener)
            session.epochs = pacing.natural_epochs(session)
            train, stopping = split_rows(
                problem.targets, work.schema.kind, STOPPING_SHARE, session.rows.derive("stopping"),
                blocks=problem.blocks,
            )  # fmt: skip
            seed = session.rows.derive("distill")
            member = session.rows.member(recipe, seed, train, stopping, session.epochs)
            (result,) = session.trainer.train([Job(member, keep=True)])
    outcome = result.outcome
    if outcome.weights is None:
        return outcome.reason or outcome.status
    return _shifted(from_outcome(problem, outcome), work.shift)


def _shifted(trained: Trained, shift: float) -> Trained:
    return blended([trained], (), None, shift) if shift else trained
