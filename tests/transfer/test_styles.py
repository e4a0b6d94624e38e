"""Models in styles that people write, started from weights: probes, adapters, export."""

from __future__ import annotations

import warnings

import pytest
import torch
from problems import ALL_ROWS, images, member, problem_of
from user_nets import ResNet, StockViT

from pawl.data import ModelSpec
from pawl.deployment.export import check_parity
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.serial import SerialStepper
from pawl.training.trained import untrained

BARE = Recipe.of(batch_size={"size": 32}, momentum={"learning_rate": 0.02})


@pytest.mark.parametrize("net", [ResNet, StockViT])
def test_what_trains_of_it_trains_alike_and_exports(net: type) -> None:
    spec = ModelSpec((), 10, "multiclass")
    with torch.random.fork_rng(devices=[]):
        weights = net(spec).state_dict()
    task = problem_of(Task(data=images(), model=lambda: net(spec), weights=weights))
    assert "100.0% of the body loaded" in task.notes[0]
    for name in ("linear_probe", "low_rank_adapters"):
        recipe = BARE.with_(name)
        members = [member(recipe, seed) for seed in (0, 1)]
        both = [Population(task, members, each) for each in (FusedStepper(), SerialStepper())]
        losses = [population.advance(2) for population in both]
        torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-4)
    trained = untrained(task, recipe, 0, ALL_ROWS)
    rows = task.examples.take(ALL_ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = trained.graph(rows.take(ALL_ROWS[:4]))
    assert check_parity(trained, graph, rows) < 1e-4
