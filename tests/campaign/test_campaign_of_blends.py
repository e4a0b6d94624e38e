"""A campaign with learners: blended, delivered, predicted from; the same twice, and after a kill."""

from __future__ import annotations

import tomllib
from pathlib import Path

import dying
import numpy as np
import pandas as pd
import pytest
import torch
from campaigns import check_same, summary_of
from problems import frame, problem
from sklearn.metrics import roc_auc_score

from pawl.deployment import Bundle
from pawl.ensembling import families, fitting_learners
from pawl.errors import TaskError
from pawl.ledger import Ledger
from pawl.recipe import Recipe

TRIALS = 16


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("data")
    table = frame(500)
    paths = folder / "rows.csv", folder / "test.csv"
    table[:360].to_csv(paths[0], index=False)
    table[360:].to_csv(paths[1], index=False)
    return paths


@pytest.fixture(scope="module")
def done(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("campaign") / "out"
    dying.run(files, out, trials=TRIALS, seed=3)
    return out


def test_learners_race_and_are_blended(done: Path) -> None:
    with Ledger.open(done) as ledger:
        tried = [trial.role for trial in ledger.trials("learners")]
        raced = {trial.recipe_id: trial for trial in ledger.trials("race")}
    assert tried[0] == "linear"  # cheapest, and not the worst
    first, tuned = tried[:10], tried[10:]
    assert len(tuned) == TRIALS // 4
    assert set(tuned) <= set(first)
    assert sorted(first) == [
        "boosted_nets", "catboost", "extra_trees", "lightgbm", "lightgbm", "lightgbm", "linear",
        "modern_nca", "nearest_neighbors", "random_forest",
    ]  # fmt: skip
    fitted = [bool(Recipe.from_dict(trial.recipe).learner) for trial in raced.values()]
    assert sum(fitted) == len(fitted) - sum(fitted) == 3
    part = summary_of(done)["parts"]["ensemble"]
    assert sum(member["share"] for member in part["members"]) == pytest.approx(1.0)
    told = tomllib.loads((done / "recipe.toml").read_text())
    assert len(told["member"]) == len(part["members"])
    assert "Many models as one" in (done / "report.html").read_text()


def test_the_bundle_predicts_what_was_scored(done: Path, files: tuple[Path, Path]) -> None:
    table = pd.read_csv(files[1])
    bundle = Bundle.open(done)
    predicted = bundle.predict(table.drop(columns="target"))
    value = roc_auc_score(table["target"] == "yes", predicted["p_yes"])
    assert summary_of(done)["final"]["value"] == pytest.approx(value, abs=1e-9)
    # And its modules do, rebuilt without a training row.
    examples = bundle.read(table)
    with torch.no_grad():
        got = bundle.module()(*examples.inputs.values()).numpy()
    np.testing.assert_allclose(got, bundle.predict_raw(examples), rtol=1e-3, atol=1e-4)


def test_killed_and_resumed_it_is_the_same(
    done: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    died = 0
    while dying.run(files, out, trials=TRIALS, seed=3, die_at=60 + 60 * died) is not None:
        died += 1
        assert died < 30
    assert died
    check_same(out, done)


def test_families() -> None:
    assert families() == ("nets", "boosting", "linear", "neighbors", "trees")
    table = problem("table").facts()
    trees = sorted(r.learner.name for r in fitting_learners(table, ["trees"]) if r.learner)
    assert trees == [
        "catboost", "extra_trees", "lightgbm", "lightgbm", "lightgbm", "random_forest",
    ]  # fmt: skip
    assert fitting_learners(table, ["nets"]) == ()
    assert fitting_learners(problem("own_model").facts()) == ()
    assert fitting_learners(problem("own_model").facts(), ["linear"])
    assert fitting_learners(problem("images").facts()) == ()
    with pytest.raises(TaskError, match=r"family 'forests'.*allowed are nets, boosting, linear"):
        fitting_learners(table, ["forests"])
    with pytest.raises(TaskError, match=r"none of them fits this task.*give nets as well"):
        fitting_learners(problem("images").facts(), ["trees"])
    many = [len(fitting_learners(problem(kind).facts())) for kind in ("multilabel", "multitarget")]
    assert many == [6, 6]  # boosting of trees takes one target
