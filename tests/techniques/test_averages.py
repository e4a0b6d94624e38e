"""Averages of weights, step by step."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from problems import member, plain, problem

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
    after, statistics = [], []
    for _ in range(3):
        population.advance(4)
        after.append(population.state.weights.clone())
        statistics.append({n: x.clone() for n, x in population.state.buffers.items()})
    weights, buffers = population.evaluated()
    torch.testing.assert_close(weights, torch.stack(after).mean(0))
    running = [name for name in buffers if "running" in name]
    assert running
    for name in running:
        mean = torch.stack([each[name] for each in statistics]).mean(0)
        torch.testing.assert_close(buffers[name], mean)
