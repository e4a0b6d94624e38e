"""One network that has learned what a whole bundle predicts (Hinton et al., 2015)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from pawl import pacing
from pawl.compression.candidate import Candidate, Weights
from pawl.compression.lessons import lessons
from pawl.compression.work import Work
from pawl.data import split_rows
from pawl.data.types import Examples
from pawl.deployment import check_parity
from pawl.deployment.export import predict
from pawl.errors import PawlError
from pawl.execution import Job, OutOfTime, Session, seconds_per_epoch
from pawl.execution.rows import STOPPING_SHARE
from pawl.kinds import KINDS
from pawl.ledger import Ledger
from pawl.modalities import modality_of
from pawl.models import ModelBuilder, Net
from pawl.recipe import Recipe
from pawl.techniques import technique
from pawl.training.problem import Problem, looked_at
from pawl.training.trained import Trained, blended, from_outcome, untrained
from pawl.transfer import restarted

STEP = "distill"
_TIME_SHARE, _TRAINING_SHARE = 0.5, 0.7
"""Of the seconds left those that teaching may take, and of these those that are planned for."""


def distilled(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes single networks that learned what the bundle predicts, the cheapest last.

    One is of the recipe with the largest share of the bundle's networks, unless one network is all that
    is left; one has layers of half that width, where they can have that: a pruned network would have to
    beat it. They are trained as recipes are, on the rows to learn from, from soft labels: the mean of
    target and of what the bundle predicts, or where a row has no target the latter. Values are learned
    from that mean, too.

    Args:
        work: Rows and measures.
        current: What there is.

    Returns:
        Candidates that seem good enough on the rows for choices, or why there are none.
    """
    recipe = leading(work.original)
    if recipe is None:
        return "the bundle holds no network whose recipe could be taught"
    if KINDS[work.schema.kind].has_places:
        return "it is for targets of a row, and here they lie on places of it"
    taught = _taught(work)
    if not _is_same_network(work, taught, recipe):
        return "the bundle's network is a model of your own; give it in Python, as model="
    one_left = len(current.weights.parts) == 1 and current.weights.recipes[0].learner is None
    students = {} if one_left else {"": recipe}
    if (narrower := narrowed(taught, recipe)) is not None:
        students |= {" of half the width": narrower}
    if not students:
        return "one network is left already, and no narrower one can be made of it"
    try:
        trained = _trained(work, taught, list(students.values()))
    except PawlError as error:
        return f"no network could be taught ({error})"
    except OutOfTime:
        return "the time that was left was not enough to teach a network"
    found, reasons = list[Candidate](), list[str]()
    for name, student in zip(students, trained, strict=True):
        if isinstance(student, str):
            reasons.append(f"no network could be taught ({student})")
            continue
        candidate = _candidate(work, student, name)
        judged = work.judge(predict(candidate.graph, work.choices))
        if judged.passed:
            found.append(candidate)
        else:
            reasons.append(
                f"on the rows for choices one network{name} loses {judged.loss:.3g}, at most "
                f"{judged.at_most:.3g}, where {judged.allowed:.3g} is allowed"
            )
    return found or "; ".join(reasons)


def _candidate(work: Work, trained: Trained, name: str) -> Candidate:
    graph = trained.graph(work.rows.take(torch.arange(4) % len(work.rows)))
    check_parity(trained, graph, work.choices)
    weights = Weights(trained.tensors(), tuple(trained.described()))
    several = len(work.original.parts)
    taught = f"taught by the {several} models" if several > 1 else "taught by the one given"
    facts = {"rows": len(lessons(work).rows)}
    return Candidate(STEP, f"one network{name}, {taught}", graph, weights, facts)


def leading(original: Weights) -> Recipe | None:
    """Returns the recipe with the largest share among those of networks; `None` if there is none."""
    shares: dict[str, float] = {}
    recipes = {r.id: r for r in original.recipes if r.learner is None}
    for recipe, part in zip(original.recipes, original.parts, strict=True):
        if recipe.id in recipes:
            shares[recipe.id] = shares.get(recipe.id, 0.0) + float(part["share"])
    return recipes[max(shares, key=lambda one: shares[one])] if shares else None


def narrowed(problem: Problem, recipe: Recipe) -> Recipe | None:
    """Returns the recipe with layers of half the width; `None` if there is no such width.

    A user's own network is narrowed where surgery knows what consumes each layer's outputs.
    """
    own = not isinstance(problem.builder(0), Net)
    if own and (problem.pretrained or technique("width").fits(problem.facts())):
        return None
    present = recipe.to_dict().get("width", {"factor": 1.0})
    factor = float(present["factor"]) / 2
    try:
        return recipe.without("width") if factor == 1.0 else recipe.with_("width", factor=factor)
    except PawlError:  # no such width, or the recipe has what excludes it
        return None


def _taught(work: Work) -> Problem:
    """Returns the bundle's task with the teacher's labels."""
    schema, taught = work.schema, lessons(work)
    rows = taught.rows
    modality = modality_of(schema)
    plain = ModelBuilder(schema, work.model, modality.net, one_vector=modality.one_vector)
    started = work.start is not None
    builder = restarted(work.start, plain, schema, looked_at(schema, rows)) if work.start else plain
    soft = None
    if KINDS[schema.kind].has_classes:
        soft = taught.labels
    else:
        rows = Examples(rows.inputs, taught.labels, blocks=rows.blocks)
    return Problem(
        schema=schema, examples=rows, objective=work.objective, builder=builder,
        own_model=work.model is not None or started, soft=soft,
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


def _trained(work: Work, problem: Problem, recipes: Sequence[Recipe]) -> list[Trained | str]:
    """Trains a network of each; returns what predicts, or why it could not be trained."""
    with tempfile.TemporaryDirectory() as scratch:
        known = {"what": "compress", "seed": work.seed}
        with Ledger.create(Path(scratch) / "distill", known) as ledger:
            left = work.left()
            budget = None if left is None else _TIME_SHARE * max(0.0, left)
            session = Session(problem, ledger, work.seed, budget, work.listener)
            session.epochs = _epochs(session, recipes)
            train, stopping = split_rows(
                problem.targets, work.schema.kind, STOPPING_SHARE, session.rows.derive("stopping"),
                blocks=problem.blocks,
            )  # fmt: skip
            seed = session.rows.derive("distill")
            members = [
                session.rows.member(recipe, seed, train, stopping, session.epochs)
                for recipe in recipes
            ]
            results = session.trainer.train([Job(member, keep=True) for member in members])
    return [
        _shifted(from_outcome(problem, result.outcome), work.shift)
        if result.outcome.weights is not None
        else result.outcome.reason or result.outcome.status
        for result in results
    ]


def _epochs(session: Session, recipes: Sequence[Recipe]) -> int:
    """Returns the passes of each training: as in a campaign, fewer where time is short.

    Raises:
        OutOfTime: There is none for a single one.
    """
    natural, left = pacing.natural_epochs(session), session.clock.left
    if left is None:
        return natural
    session.clock.floor = 0.0
    session.clock.beat()
    per_epoch = seconds_per_epoch(session, recipes[0], len(recipes))
    still = session.clock.left or 0.0
    epochs = int(_TRAINING_SHARE * still / (len(recipes) * per_epoch))
    if epochs < 1:
        raise OutOfTime
    return min(natural, epochs)


def _shifted(trained: Trained, shift: float) -> Trained:
    return blended([trained], (), None, shift) if shift else trained
