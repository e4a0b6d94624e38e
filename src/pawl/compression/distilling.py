"""One network that has learned what a whole bundle predicts (Hinton et al., 2015); smaller ones, too."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch

from pawl import pacing
from pawl.compression.candidate import Candidate, Weights
from pawl.compression.features import Features, alike
from pawl.compression.lessons import lessons
from pawl.compression.students import leading, smaller, told
from pawl.compression.tuning import network_of, pipeline_of, tuned
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
from pawl.models import Deployed, ModelBuilder
from pawl.recipe import Recipe
from pawl.training.problem import Problem, looked_at
from pawl.training.trained import Trained, blended, from_outcome, untrained
from pawl.transfer import restarted

STEP = "distill"
_TIME_SHARE, _TRAINING_SHARE = 0.5, 0.7
"""Of the seconds left those that teaching may take, and of these those that are planned for."""
_MOST_RUNGS = 3
"""How often what is smaller again is looked for."""


def distilled(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes single networks that learned what the bundle predicts, the cheapest last.

    One is of the recipe with the largest share of the bundle's networks, unless one network is all that
    is left. Smaller ones are searched from there, a rung at a time: each way of being smaller (layers of
    half the width, a layer or a block fewer) is trained, and of those that seem good enough on the rows
    for choices the cheapest is where the next rung starts. So a pruned network would have to beat the
    least dense one that was found.

    They are trained as recipes are, on the rows to learn from, with what a recipe has of augmentation,
    from soft labels: the mean of target and of what the bundle predicts, or where a row has no target
    the latter. Values are learned from that mean, too. One that does not seem good enough is trained on
    with the hidden features of the bundle's leading network as a further term (`features`).

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
        return (
            "the bundle's network is a model of your own; give the module.py of its campaign "
            "in place of the rows, or in Python model="
        )
    one_left = len(current.weights.parts) == 1 and current.weights.recipes[0].learner is None
    students = [*([] if one_left else [recipe]), *smaller(taught, recipe)]
    if not students:
        return "one network is left already, and no smaller one can be made of it"
    found, reasons = dict[Recipe, Candidate](), list[str]()
    for _ in range(_MOST_RUNGS):
        good, lost = _taught_rung(work, taught, recipe, students)
        found |= good
        reasons += lost
        if not good or work.left() is not None:  # the first rung had the time that there was
            break
        students = [each for each in smaller(taught, _cheapest(work, good)) if each not in found]
        if not students:
            break
    costs = work.costs({each.detail: each.graph for each in found.values()}) if found else None
    if costs is None:
        return "; ".join(reasons)
    return [list(found.values())[at] for at in (-costs).argsort(kind="stable")]


def _cheapest(work: Work, good: Mapping[Recipe, Candidate]) -> Recipe:
    costs = work.costs({each.detail: each.graph for each in good.values()})
    return list(good)[int(costs.argmin())]


def _taught_rung(
    work: Work, problem: Problem, given: Recipe, students: Sequence[Recipe]
) -> tuple[dict[Recipe, Candidate], list[str]]:
    """Trains students, each once; returns those that seem good enough, and why the others do not."""
    known: dict[Recipe, Candidate | str] = work.known.setdefault(STEP, {})
    new = [each for each in students if each not in known]
    try:
        trained = _trained(work, problem, new) if new else []
    except PawlError as error:
        return {}, [f"no network could be taught ({error})"]
    except OutOfTime:
        return {}, ["the time that was left was not enough to teach a network"]
    for recipe, student in zip(new, trained, strict=True):
        known[recipe] = (
            f"no network could be taught ({student})"
            if isinstance(student, str)
            else _judged(work, student, told(recipe, given))
        )
    outcomes = {each: known[each] for each in students}
    good = {n: each for n, each in outcomes.items() if isinstance(each, Candidate)}
    return good, [each for each in outcomes.values() if isinstance(each, str)]


def _judged(work: Work, student: Trained, name: str) -> Candidate | str:
    """Returns a student, trained on if need be; or why it is not good enough on the rows for choices."""
    lost = ""
    for features in (False, True):
        if features and not _taught_features(work, student):
            break
        candidate = _candidate(work, student, name, features=features)
        judged = work.judge(predict(candidate.graph, work.choices))
        if judged.passed:
            return candidate
        lost = (
            f"on the rows for choices one network{name} loses {judged.loss:.3g}, at most "
            f"{judged.at_most:.3g}, where {judged.allowed:.3g} is allowed"
        )
    return lost


def _taught_features(work: Work, student: Trained) -> bool:
    """Trains a student on with the original's features; tells whether there are any to learn from."""
    learner, teacher = network_of(student.model), _leading_network(work)
    if teacher is None:
        return False
    few = work.rows.take(torch.arange(2) % len(work.rows))
    pairs = alike(learner, teacher, [few.inputs[name] for name in teacher.names])
    if pairs:
        for parameter in learner.body.parameters():
            parameter.requires_grad_(True)
        tuned(work, learner, 0, Features(learner, teacher, pairs))
    return bool(pairs)


def _leading_network(work: Work) -> Deployed | None:
    """Returns the original's network with the largest share; `None` where it cannot be built anew."""
    if _leading_network not in work.known:
        network, recipe = None, leading(work.original)
        with contextlib.suppress(PawlError):
            number = [each.id for each in work.original.recipes].index(recipe.id if recipe else "")
            network = network_of(pipeline_of(work, work.original), number)
        work.known[_leading_network] = network
    return cast("Deployed | None", work.known[_leading_network])


def _candidate(work: Work, trained: Trained, name: str, *, features: bool) -> Candidate:
    for parameter in trained.model.parameters():
        parameter.grad = None
    graph = trained.graph(work.rows.take(torch.arange(4) % len(work.rows)))
    check_parity(trained, graph, work.choices)
    weights = Weights(trained.tensors(), tuple(trained.described()))
    several = len(work.original.parts)
    taught = f"taught by the {several} models" if several > 1 else "taught by the one given"
    taught += ", and by what its layers say" if features else ""
    facts = {"rows": len(lessons(work).rows), "features": features}
    return Candidate(STEP, f"one network{name}, {taught}", graph, weights, facts)


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
