"""Averages of weights, step by step."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from problems import member, plain, problem

from pawl.models import assign
from pawl.models.held import gathered, gathering, hold
from pawl.recipe import Recipe
from pawl.techniques import AVERAGE_INTERVAL, AverageTechnique, technique
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.serial import SerialStepper
from pawl.training.steps import averaging_due


@pytest.mark.parametrize("total", [40, 42, 7])
def test_the_mean_of_the_last_weights(total: int) -> None:
    swa, shares = technique("swa"), (0.5, 0.25)
    assert isinstance(swa, AverageTechnique)
    generator = torch.Generator().manual_seed(0)
    ways = torch.randn(total + 1, 2, 5, generator=generator)
    average = ways[0].clone()
    settings, totals = SimpleNamespace(share=torch.tensor(shares)), torch.tensor([total, total])
    seen: list[int] = []
    for step in range(1, total + 1):
        steps = torch.tensor([step, step])
        if not bool(averaging_due(steps, totals).all()):
            continue
        seen.append(step)
        average = swa.apply(average, ways[step], steps.float(), totals.float(), settings)
        for i, share in enumerate(shares):
            begin = (1 - share) * total // AVERAGE_INTERVAL * AVERAGE_INTERVAL
            counted = [one for one in seen if one > begin] or [step]
            expected = ways[counted][:, i].mean(0)
            torch.testing.assert_close(average[i], expected)


@pytest.mark.parametrize("make", [FusedStepper, SerialStepper])
def test_the_mean_predicts_at_the_end_and_the_weights_before(make: type) -> None:
    recipe = plain(batch_norm={}).with_("swa", share=0.5)
    population = Population(problem("table"), [member(recipe, 1, epochs=8)], make())
    assert int(population.total[0]) == 24
    population.advance(12)
    assert torch.equal(population.evaluated()[0], population.state.weights)
    after = []
    for _ in range(3):
        population.advance(4)
        after.append(population.state.weights.clone())
    weights, _ = population.evaluated()
    torch.testing.assert_close(weights, torch.stack(after).mean(0))


@pytest.mark.parametrize("make", [FusedStepper, SerialStepper])
@pytest.mark.parametrize(
    "recipe",
    [
        plain(batch_norm={}).with_("swa", share=0.5),
        plain(batch_norm={}, dropout={"rate": 0.5}).with_("ema", horizon=20.0),
    ],
    ids=["swa", "ema"],
)
def test_normalization_has_the_statistics_of_averaged_weights(make: type, recipe: Recipe) -> None:
    """As of all rows that train in one batch, from which batches of them differ by little."""
    given = problem("table")
    population = Population(given, [member(recipe, seed, epochs=8) for seed in (1, 2)], make())
    population.advance(20)
    before = {name: x.clone() for name, x in population.state.buffers.items()}
    weights, buffers = population.evaluated()
    for name, x in population.state.buffers.items():
        assert torch.equal(x, before[name]), "training goes on with its own"
    assert population.evaluated()[1] is buffers
    for i, fit in enumerate(population.fits):
        front, body, _ = given.build(
            recipe, population.members[i].seed, population.members[i].train
        )
        assign(body, {n: w[i] for n, w in population.layout.views(weights).items()})
        layers = [m for m in body.modules() if isinstance(m, torch.nn.BatchNorm1d)]
        names = [n for n in buffers if n.endswith("running_mean")]
        assert len(layers) == len(names) > 0
        body.eval()
        for layer in layers:
            layer.train()
            layer.momentum = 1.0
        with torch.no_grad():
            body(front({name: x[fit.rows] for name, x in given.examples.inputs.items()}))
        for name, layer in zip(names, layers, strict=True):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            spread = layer.running_var.sqrt()
            apart = (buffers[name][i] - layer.running_mean) / spread
            assert float(apart.abs().max()) < 0.1
            var = buffers[name.replace("mean", "var")][i] / layer.running_var
            assert float(var.min()) > 0.8
            assert float(var.max()) < 1.2
    kept = population.evaluated()[1]
    population.advance(1)
    assert population.evaluated()[1] is not kept


def test_layers_that_are_held_keep_their_statistics() -> None:
    body = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3))
    hold(body[0])
    layers = gathering(body)
    assert layers == [body[1]]
    with gathered(layers, 0.5):
        body.eval()
        assert not body[0].training
        assert body[1].training
    body.eval()
    assert not body[1].training
    assert body[1].momentum == 0.1
