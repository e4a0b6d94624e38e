"""One suite that every learner must pass, shipped or a user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import ALL_ROWS, member, problem, problem_of
from techniques.rows import ROW_TECHNIQUES
from techniques.table import ROWS, Row
from techniques.test_conformance import check_fits, check_record
from torch import nn

from pawl.deployment.export import check_parity, predict
from pawl.errors import PawlError, RecipeError
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.kinds import KINDS
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import (
    DataTechnique,
    FitRows,
    FitTechnique,
    Stage,
    Technique,
    excludes,
    register,
    techniques,
    unregister,
)
from pawl.techniques.learning import some
from pawl.training.fits import fit_member
from pawl.training.metrics import make_objective, score
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.trained import Trained, blended, from_outcome

CPU = torch.device("cpu")
KIND_PROBLEMS = ("table", "regression", "multilabel", "multitarget", "codes", "tokens")
NAMES = [t.name for t in techniques() if t.stage is Stage.FIT]


class Mean(nn.Module):
    """A user's learner: says the same of every row."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("says", torch.zeros(outputs))

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        rows = next(iter(inputs.values())).shape[0]
        return self.get_buffer("says").expand(rows, -1)


def fit_mean(module: nn.Module, rows: Any, settings: Any, seed: int, beat: Any) -> None:
    """Learns the share of each class, or the mean."""
    del settings, seed, beat
    outputs = len(module.get_buffer("says"))
    if KINDS[rows.kind].exclusive:
        counts = torch.bincount(rows.targets, minlength=outputs)
        module.register_buffer("says", ((counts + 1.0) / counts.sum()).log())
    else:
        module.register_buffer("says", rows.targets.reshape(len(rows.targets), -1).mean(0))


OWN = FitTechnique(
    name="own_mean",
    summary="Says the mean.",
    reference="none",
    apply=fit_mean,
    module=lambda spec, settings: Mean(spec.num_outputs),
)


@pytest.fixture
def own() -> Iterator[Technique]:
    yield register(OWN)
    unregister(OWN.name)


def recipe_of(row: Row) -> Recipe:
    return Recipe.of(standardize={}, **{row.name: row.settings[0]})


def task_of(technique: Technique, kind: str) -> tuple[Problem, Recipe] | None:
    """Returns a problem, and the recipe that fits it; `None` where the learner says why not."""
    task = problem(kind)
    reason = technique.fits(task.facts())
    if reason:
        assert "\n" not in reason
        return None
    row = ROWS.get(technique.name) or Row(technique.name, ({}, {}, {}))
    recipe = recipe_of(row)
    return task, recipe.without("standardize") if kind == "codes" else recipe


def fitted(task: Problem, recipe: Recipe, seed: int = 1) -> Trained:
    return fit_member(task, member(recipe, seed))[1]


def check_learns(technique: FitTechnique) -> None:
    """Of whatever is predicted it knows rows that it has seen better than a constant does."""
    for kind in KIND_PROBLEMS:
        if found := task_of(technique, kind):
            task, recipe = found
            trained = fitted(task, recipe)
            rows = member(recipe, 1).train
            got = trained.predict(task.examples.take(rows), CPU)
            targets = task.targets[rows]
            assert got.shape == (
                len(rows),
                *KINDS[task.schema.kind].prediction_shape(task.schema.num_outputs),
            )
            same = KINDS[task.schema.kind].constant(targets, task.schema.num_outputs)
            metric = "log_loss" if KINDS[task.schema.kind].exclusive else None
            metric = "rmse" if not KINDS[task.schema.kind].has_classes else metric
            objective = make_objective(metric, None, task.schema.kind)
            mine = float(score(objective, got, targets))
            constant = float(score(objective, same.expand(got.shape), targets))
            if technique is not OWN:
                assert objective.sign * mine > objective.sign * constant, kind


def check_repeats(technique: FitTechnique) -> None:
    """The same seed gives the same, whatever was fitted before."""
    task, recipe = task_of(technique, "table") or pytest.fail("it takes no tables")
    first, _, again = (fitted(task, recipe, seed) for seed in (1, 2, 1))
    rows = task.examples.take(ALL_ROWS)
    assert torch.equal(first.predict(rows, CPU), again.predict(rows, CPU))


def check_kept(technique: FitTechnique) -> None:
    """What a training leaves is what was fitted, bit for bit."""
    for kind in KIND_PROBLEMS:
        if found := task_of(technique, kind):
            task, recipe = found
            outcome, trained = fit_member(task, member(recipe, 3))
            rows = task.examples.take(ALL_ROWS)
            again = from_outcome(task, outcome).predict(rows, CPU)
            assert torch.equal(again, trained.predict(rows, CPU))


def check_exports(technique: FitTechnique) -> None:
    """Its graph says the same of one row and of many."""
    for kind in KIND_PROBLEMS:
        if found := task_of(technique, kind):
            task, recipe = found
            trained = fitted(task, recipe)
            rows = task.examples.take(ALL_ROWS)
            graph = trained.graph(rows.take(ALL_ROWS[:4]))
            assert check_parity(trained, graph, rows) < 1e-4
            one = predict(graph, rows.take(ALL_ROWS[:1]))
            np.testing.assert_allclose(one, predict(graph, rows)[:1], rtol=1e-4, atol=1e-5)


def check_trains_as_a_job(technique: FitTechnique) -> None:
    """Among others it is trained, judged and kept like what takes steps."""
    task, recipe = task_of(technique, "table") or pytest.fail("it takes no tables")
    jobs = [Job(member(recipe, seed), ALL_ROWS[:7], keep=seed == 1) for seed in (1, 2, 3)]
    plan = Plan(TrainingWay("serial", 1), "")
    results = train_all(task, jobs, lambda _: plan)
    assert [r.outcome.status for r in results] == ["completed"] * 3
    assert [r.outcome.weights is not None for r in results] == [True, False, False]
    alone = fit_member(task, member(recipe, 2), refit=True)[1]
    assert results[1].predictions is not None
    assert torch.equal(results[1].predictions, alone.predict(task.examples.take(ALL_ROWS[:7]), CPU))


def check_composes(technique: FitTechnique) -> None:
    """It goes with what acts on rows, and with nothing else."""
    task, recipe = task_of(technique, "table") or pytest.fail("it takes no tables")
    for other in techniques():
        if other is technique:
            continue
        fits = isinstance(other, DataTechnique) and not other.in_loss
        assert excludes(technique, other) == (not fits)
        if not fits:
            with pytest.raises(RecipeError, match="exclude each other"):
                Recipe.from_dict(recipe.to_dict() | {other.name: {}})
    for other in ROW_TECHNIQUES:
        if not isinstance(other, DataTechnique):
            continue
        register(other)
        try:
            own = Recipe.from_dict(recipe.to_dict() | {other.name: {}})
            got = fitted(task, own).predict(task.examples.take(ALL_ROWS), CPU)
            assert got.isfinite().all()
        except PawlError as error:
            assert "soft labels" in str(error)  # noqa: PT017
        finally:
            unregister(other.name)


CHECKS: tuple[Callable[[FitTechnique], None], ...] = (
    check_learns,
    check_repeats,
    check_kept,
    check_exports,
    check_trains_as_a_job,
    check_composes,
)


def _id(check: Callable[..., None]) -> str:
    return check.__name__.removeprefix("check_")


@pytest.mark.parametrize("check", CHECKS, ids=_id)
@pytest.mark.parametrize("name", NAMES)
def test_learner(name: str, check: Callable[[FitTechnique], None]) -> None:
    technique = next(t for t in techniques() if t.name == name)
    assert isinstance(technique, FitTechnique)
    check(technique)


@pytest.mark.parametrize("check", CHECKS, ids=_id)
def test_a_learner_joins_by_being_registered(
    own: FitTechnique, check: Callable[[FitTechnique], None]
) -> None:
    check(own)


@pytest.mark.parametrize("name", NAMES)
def test_its_record(name: str) -> None:
    technique, row = next(t for t in techniques() if t.name == name), ROWS[name]
    check_record(technique, row)
    check_fits(technique, row)
    recipe = recipe_of(row)
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_neighbors_that_are_equally_far_are_the_same_everywhere() -> None:
    """Copies of rows, of which any ten are the ten nearest: libraries take different ones."""
    frame = pd.DataFrame({"a": [0, 0, 1, 1] * 60, "b": [0, 1, 0, 1] * 60, "target": range(240)})
    task = problem_of(Task(data=frame))
    recipe = Recipe.of(standardize={}, nearest_neighbors={"count": 10})
    rows = torch.arange(len(task.examples))
    trained = fit_member(task, Member(recipe, 0, rows, rows[:0], 1))[1]
    graph = trained.graph(task.examples.take(rows[:4]))
    assert check_parity(trained, graph, task.examples) < 1e-5
    got = trained.predict(task.examples, CPU).double().numpy()
    kept = task.targets.numpy()
    corner = task.examples.inputs["numeric"].numpy()
    for each in np.unique(corner, axis=0):
        alike = (corner == each).all(1)
        np.testing.assert_allclose(got[alike], kept[alike].mean(), rtol=1e-4)
    # Any order of the rows gives the same.
    mixed = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    other = fit_member(task, Member(recipe, 0, mixed, rows[:0], 1))[1]
    np.testing.assert_allclose(other.predict(task.examples, CPU), got, rtol=1e-4)


def test_of_many_rows_some_are_taken_evenly() -> None:
    values = torch.arange(1000.0)
    found = some(FitRows("regression", {"x": values}, values, values), 100)
    assert torch.equal(found.inputs["x"], found.targets)
    assert torch.equal(found.targets, found.weights)
    assert found.targets[[0, -1]].tolist() == [0.0, 999.0]
    assert len(found.targets.unique()) == 100
    few = FitRows("regression", {"x": values}, values)
    assert some(few, 1000) is few


def test_boosting_stops_by_the_rows_for_it() -> None:
    task = problem("table")
    long = Recipe.of(lightgbm={"rounds": 500, "leaf_rows": 5, "patience": 5})
    with_rows = member(long, 1)
    stopped = fit_member(task, with_rows)[1]
    whole = fit_member(task, replace(with_rows, valid=with_rows.valid[:0]))[1]
    assert len(stopped.model.body.core.roots) < len(whole.model.body.core.roots) == 500  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["lightgbm", "catboost"])
def test_what_stopped_learns_from_those_rows_as_well_where_others_judge(name: str) -> None:
    task = problem("table")
    one = member(Recipe.of(**{name: {"rounds": 300, "patience": 5}}), 1)
    first, plain_ = fit_member(task, one)
    again, refitted = fit_member(task, one, refit=True)
    trees, more = (each.model.body.core for each in (plain_, refitted))  # type: ignore[union-attr]
    assert len(trees.roots) == len(more.roots) < 300
    assert first.score == again.score  # known before these rows were learned from
    rows = task.examples.take(one.valid)
    right = [
        float(each.predict(rows, CPU).gather(1, task.targets[one.valid].unsqueeze(1)).log().mean())
        for each in (plain_, refitted)
    ]
    assert right[1] > right[0]
    both = FitRows("binary", {"x": torch.zeros(3)}, torch.zeros(3), torch.tensor([1.0, 2.0, 3.0]),
                   ({"x": torch.ones(2)}, torch.ones(2))).joined()  # fmt: skip
    assert both.stopping is None
    assert both.weights is not None
    assert both.weights.tolist() == [1.0, 2.0, 3.0, 2.0, 2.0]
    assert both.targets.tolist() == both.inputs["x"].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert both.joined() is both


def test_a_class_without_training_rows_is_unlikely_and_no_error() -> None:
    task = problem("codes")
    rows = (task.targets != 1).nonzero().flatten()
    for name in NAMES:
        one = replace(member(Recipe.of(**{name: ROWS[name].settings[0]}), 1), train=rows[:80])
        got = fit_member(task, one)[1].predict(task.examples.take(ALL_ROWS), CPU)
        assert got.isfinite().all(), name
        assert float(got[:, 1].max()) < (0.02 if name == "linear" else 0.6), name


def test_a_label_that_all_rows_have_is_sure() -> None:
    task = problem("multilabel")
    rows = ((task.targets[:, 0] == 1).nonzero().flatten())[:40]
    one = replace(member(Recipe.of(**{"linear": {}}), 1), train=rows)
    got = fit_member(task, one)[1].predict(task.examples.take(ALL_ROWS), CPU)
    assert float(got[:, 0].min()) > 0.95


def test_a_fit_that_takes_too_long_is_pruned_and_others_stay() -> None:
    task = problem("table")
    slow, quick = (Recipe.of(lightgbm={"rounds": n, "leaf_rows": 5}) for n in (10_000, 10))
    jobs = [
        Job(member(slow, 1), ALL_ROWS, seconds=0.0), Job(member(quick, 1), ALL_ROWS, seconds=600.0),
    ]  # fmt: skip
    way = Plan(TrainingWay("serial", 1), "")
    first, second = train_all(task, jobs, lambda _: way)
    assert (first.outcome.status, first.score) == ("pruned", None)
    assert "took longer than" in first.outcome.reason
    assert second.outcome.status == "completed"
    assert second.score is not None


@pytest.mark.parametrize("name", ["boosted_nets", "modern_nca", "nearest_neighbors"])
def test_models_that_learned_unlike_amounts_share_a_graph(name: str) -> None:
    task, recipe = problem("table"), recipe_of(ROWS[name])
    rows = member(recipe, 1).train
    several = recipe if name != "boosted_nets" else recipe.with_(name, rounds=2)
    each = [
        fit_member(task, Member(one, 1, rows[:count], rows[:0], 1))[1]
        for one, count in ((recipe, 96), (several, 60))
    ]
    both = blended(each)
    graph = both.graph(task.examples.take(ALL_ROWS[:4]))
    assert check_parity(both, graph, task.examples.take(ALL_ROWS)) < 1e-4


AHEAD = """
import os
import sys
from problems import member
from techniques.test_learners import NAMES, task_of
from pawl.execution.packing import import_ahead
from pawl.techniques import technique
from pawl.training.fits import fit_member

def packages():
    found = {tuple(name.split(".")[:2]) for name in sys.modules}
    return {".".join(name) for name in found if name[0] not in sys.stdlib_module_names}

for name in NAMES:
    if os.fork():  # each begins with nothing that another has imported
        os.wait()
        continue
    learner = technique(name)
    task, recipe = task_of(learner, "table") or task_of(learner, "regression")
    import_ahead(recipe)
    ahead = packages()
    fit_member(task, member(recipe, 1))
    print(name, sorted(packages() - ahead), flush=True)
    os._exit(0)
"""


def test_a_worker_has_nothing_left_to_import() -> None:
    """Each worker that is forked would import it anew, in front of a fit that may take less."""
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", AHEAD], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{name} []" for name in NAMES], done.stderr[-2000:]
