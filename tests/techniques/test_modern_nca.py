"""Neighbors by a learned distance, against answers known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import member, problem, problem_of

from pawl.data.types import InputSpec, ModelSpec
from pawl.models import Learned, Neighborhood
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import FitRows
from pawl.techniques.neighbors.modern_nca import ModernNCASettings, _candidates, fit, module
from pawl.training.fits import fit_member
from pawl.training.population import Member


def fresh(kind: Any = "regression", outputs: int = 1, width: int = 2) -> Learned:
    spec = ModelSpec(
        inputs=(InputSpec(name="x", shape=(width,), dtype="float32"),),
        num_outputs=outputs,
        kind=kind,
    )
    return module(spec, ModernNCASettings())


def fitted(learned: Learned, rows: FitRows, **settings: Any) -> Learned:
    fit(learned, rows, ModernNCASettings(**{"steps": 20, **settings}), 3, lambda: None)
    return learned


def core(learned: Learned) -> Neighborhood:
    assert isinstance(learned.core, Neighborhood)
    return learned.core


def test_of_one_candidate_its_label_is_returned_whatever_is_asked() -> None:
    learned = fitted(fresh(), FitRows("regression", {"x": torch.ones(1, 2)}, torch.tensor([7.0])))
    assert learned({"x": torch.tensor([[0.0, 5.0], [1e3, -1e3]])}).tolist() == [[7.0], [7.0]]
    rows = FitRows("multiclass", {"x": torch.ones(1, 2)}, torch.tensor([2]))
    of_classes = fitted(fresh("multiclass", 3), rows)
    found = of_classes({"x": torch.tensor([[0.0, 5.0]])}).softmax(-1)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0, 1.0]]), atol=1e-5, rtol=0)


def test_the_weighted_mean_by_hand() -> None:
    learned = fresh(width=1)
    one = core(learned)
    one.mix, one.constant = torch.zeros(2, 1), torch.zeros(1)  # no waves
    one.frequency, one.weight = torch.zeros(1, 1), torch.tensor([[2.0], [0.0]])
    one.shift, one.scale = torch.tensor([1.0]), torch.tensor([0.5])
    one.keys = torch.tensor([[0.0], [1.0], [4.0]])
    one.values = torch.tensor([[10.0], [20.0], [30.0]])
    one.tilt = torch.tensor([1.0, 1.0, 3.0]).log()
    # x = 3 is scaled to 1 and embedded as 2: distances 2, 1 and 2.
    weight = np.exp([-2.0, -1.0, -2.0]) * [1.0, 1.0, 3.0]
    wanted = (weight * [10.0, 20.0, 30.0]).sum() / weight.sum()
    torch.testing.assert_close(
        learned({"x": torch.tensor([[3.0]])}), torch.tensor([[wanted]]).float()
    )


def test_waves_are_those_of_the_formula() -> None:
    learned = fitted(
        fresh(), FitRows("regression", {"x": torch.randn(40, 2)}, torch.randn(40)), steps=20
    )
    one, x = core(learned), torch.tensor([[0.3, -2.0]])
    s = ((x - one.shift) * one.scale)[0]
    parts = [s]
    for f in range(2):
        turned = 2 * np.pi * one.frequency[f] * s[f]
        parts.append((torch.cat([turned.cos(), turned.sin()]) @ one.mix + one.constant).relu())
    torch.testing.assert_close(one.embed(x)[0], torch.cat(parts) @ one.weight)


def test_it_learns_which_numbers_matter() -> None:
    """One number says all, nineteen say nothing: distances of the rows as they are see mostly noise."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(500, 20)), columns=[f"x{i}" for i in range(20)])
    frame["target"] = np.sin(2 * frame["x0"])
    task = problem_of(Task(data=frame))
    rows = torch.arange(len(task.examples))
    scores = {}
    for name, settings in (("nearest_neighbors", {}), ("modern_nca", {"steps": 150, "width": 16})):
        recipe = Recipe.of(standardize={}, **{name: settings})
        scores[name] = fit_member(task, Member(recipe, 0, rows[:300], rows[300:], 1))[0].score
    assert scores["modern_nca"] < 0.4 < 0.5 < scores["nearest_neighbors"]


def test_a_row_is_no_neighbor_of_itself_while_it_trains() -> None:
    """Targets are noise: the best is to trust nobody, which a row that sees itself would not learn."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(shape, generator=generator) for shape in ((300, 2), (300,)))
    learned = fitted(fresh(), FitRows("regression", {"x": x}, y), steps=300)
    assert float(learned({"x": x}).std()) < 0.6


def test_what_a_row_weighs_counts_and_what_weighs_nothing_is_not_kept() -> None:
    x = torch.zeros(30, 2)
    targets = torch.tensor([1.0, 0.0, 5.0] * 10)
    rows = FitRows("regression", {"x": x}, targets, torch.tensor([3.0, 1.0, 0.0] * 10))
    learned = fitted(fresh(), rows)
    assert len(core(learned).keys) == 20
    torch.testing.assert_close(learned({"x": x[:1]}), torch.tensor([[0.75]]))


@pytest.mark.parametrize(("kind", "targets"), [
    ("multiclass", torch.tensor([0] * 900 + [1] * 90 + [2] * 10)),
    ("regression", torch.arange(1000.0)),
])  # fmt: skip
def test_few_candidates_are_of_every_stratum(kind: Any, targets: torch.Tensor) -> None:
    rows = FitRows(kind, {"x": torch.zeros(1000, 2)}, targets)
    kept = _candidates(rows, 100, 1)
    assert len(kept.unique()) == 100
    assert not torch.equal(kept, _candidates(rows, 100, 2))
    if kind == "multiclass":
        for got, wanted in zip(targets[kept].bincount(), (90, 9, 1), strict=True):
            assert abs(int(got) - wanted) <= 1
    else:
        assert float(targets[kept].mean()) == pytest.approx(499.5, abs=25)
        torch.testing.assert_close(kept, _candidates(rows, 100, 1))
    assert torch.equal(_candidates(rows, 1000, 1), torch.arange(1000))


def test_it_stops_by_the_rows_for_it_and_is_trained_anew_for_as_many_steps() -> None:
    task = problem("table")
    one = member(Recipe.of(modern_nca={"steps": 2000, "patience": 2}), 1)
    first, again = (fit_member(task, one, refit=refit)[1] for refit in (False, True))
    cores = [core(each.model.body) for each in (first, again)]  # type: ignore[arg-type, union-attr]
    assert 0 < int(cores[0].steps) < 2000
    assert cores[0].steps == cores[1].steps
    assert (len(cores[0].keys), len(cores[1].keys)) == (96, 120)


def test_a_beat_may_end_it() -> None:
    def beat() -> None:
        raise TimeoutError

    rows = FitRows("regression", {"x": torch.randn(40, 2)}, torch.randn(40))
    with pytest.raises(TimeoutError):
        fit(fresh(), rows, ModernNCASettings(), 0, beat)


def test_columns_of_one_value_and_many_numbers_are_no_error() -> None:
    x = torch.randn(60, 300)
    x[:, 1] = 4.0
    rows = FitRows("regression", {"x": x}, x[:, 0])
    learned = fitted(fresh(width=300), rows)
    assert core(learned).numbers == (0,)
    assert learned({"x": x}).isfinite().all()
