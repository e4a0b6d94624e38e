"""Readings against slow versions of the same, and trainings that a watch must not change."""

from __future__ import annotations

import math

import pytest
import torch
from problems import member, plain, problem, problem_of
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.diagnosing.curvature import sharpest
from pawl.diagnosing.probe import Probe, _noise_scale
from pawl.diagnosing.units import unit_reading
from pawl.diagnosing.watching import Watched, watch
from pawl.training.fused import FusedStepper
from pawl.training.population import Population, Stepper
from pawl.training.run import Run
from pawl.training.serial import SerialStepper


@pytest.mark.parametrize("make", [SerialStepper, FusedStepper])
def test_watching_changes_nothing_of_a_training(make: type[Stepper]) -> None:
    trained = []
    for watched in (False, True):
        stepper = Watched(make()) if watched else make()
        population = Population(problem("table"), [member(plain(dropout={}), epochs=6)], stepper)
        if isinstance(stepper, Watched):
            stepper.probe = Probe(population)
        run = Run(population)
        while not run.finished():
            run.segment()
        trained.append((population.state.weights, run.curves[0]))
        if isinstance(stepper, Watched):
            assert len(stepper.readings) >= 2
    assert torch.equal(trained[0][0], trained[1][0])
    assert trained[0][1] == trained[1][1]


def test_gradients_and_losses_are_those_of_plain_pytorch() -> None:
    made = problem("regression")
    population = Population(made, [member(plain(), epochs=2)], SerialStepper())
    population.advance(3)
    probe = Probe(population)
    read = probe.read()
    rows = probe._train
    body = probe._body.eval()
    loss = F.mse_loss(body(rows.inputs).flatten(), rows.targets)
    assert read.train_loss == pytest.approx(float(loss.detach()), rel=1e-5)
    chunk = 32 * (len(rows) // 32)
    part = rows.part(0, chunk)
    F.mse_loss(body.train()(part.inputs).flatten(), part.targets).backward()
    for name, parameter in body.named_parameters():
        seen = next(each for each in read.weights if each.name == name)
        assert parameter.grad is not None
        assert seen.gradient == pytest.approx(float(parameter.grad.norm()), rel=1e-3)
        assert seen.norm == pytest.approx(float(parameter.detach().norm()), rel=1e-5)
    assert read.step == 3
    assert read.rate == pytest.approx(0.02)
    # Of standardized values the best constant loses their variance, which is near 1.
    assert probe.constant_loss == pytest.approx(1.0, abs=0.3)


def test_the_noise_scale_is_that_of_known_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    signal, spread, size = torch.tensor([3.0, 4.0]), 2.0, 8
    rows = signal + spread * torch.randn(4000, size, 2, generator=generator, dtype=torch.float64)
    chunks = rows.mean(1)
    noise, squared = _noise_scale(chunks, size)
    assert noise == pytest.approx(2 * spread**2, rel=0.1)
    assert squared == pytest.approx(25.0, rel=0.02)
    assert all(math.isnan(value) for value in _noise_scale(chunks[:1], size))


def test_sharpness_is_the_largest_curvature() -> None:
    """Of a linear model's squared error, twice the largest eigenvalue of the inputs' second moment."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, 6, generator=generator) * torch.tensor([3.0, 1.0, 1.0, 0.5, 0.1, 2.0])
    target = torch.randn(200, generator=generator)
    exact = float(torch.linalg.eigvalsh(2 * x.T @ x / 200)[-1])
    value, vector = sharpest(lambda w: 2 * x.T @ (x @ w - target) / 200, torch.ones(6), None, 30)
    assert value == pytest.approx(exact, rel=1e-3)
    again, _ = sharpest(lambda w: 2 * x.T @ (x @ w - target) / 200, torch.zeros(6), vector, 1)
    assert again == pytest.approx(exact, rel=1e-3)


def test_every_fourth_reading_has_a_sharpness_and_leaves_the_weights() -> None:
    population = Population(problem("table"), [member(plain(), epochs=2)], SerialStepper())
    probe = Probe(population)
    before = probe._flat()
    taken = [probe.read() for _ in range(5)]
    assert [math.isfinite(each.sharpness) for each in taken] == [True, False, False, False, True]
    assert taken[0].sharpness > 0
    assert torch.equal(probe._flat(), before)


def test_dead_saturated_and_equal_units_are_counted() -> None:
    generator = torch.Generator().manual_seed(0)
    alive = torch.rand(4, 300, generator=generator)
    values = torch.cat([alive, alive[:1], torch.zeros(3, 300)])
    read = unit_reading("act", nn.ReLU, values)
    assert (read.units, read.dead, read.alike) == (8, 3 / 8, 1 / 8)
    ends = torch.where(torch.rand(5, 300, generator=generator) < 0.5, -1.0, 1.0)
    read = unit_reading("act", nn.Tanh, torch.cat([ends, 0.2 * alive]))
    assert read.saturated == pytest.approx(5 / 9)


class Called(nn.Module):
    """Activations as functions and methods, half of the units dead from the start."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 16)
        self.out = nn.Linear(16, 3)
        with torch.no_grad():
            self.first.bias[:8] = -1e4

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1).float()))
        return self.out(torch.tanh(self.second(x)))


def test_activations_that_are_called_as_functions_are_seen() -> None:
    from problems import images

    from pawl.task import Task

    made = problem_of(Task(data=images(), model=Called))
    population = Population(made, [member(plain(), epochs=2)], SerialStepper())
    read = Probe(population).read()
    assert [each.function for each in read.units] == ["ReLU", "Tanh"]
    assert read.units[0].dead >= 0.5
    assert read.units[1].dead == 0.0


@pytest.mark.parametrize(
    "kind",
    [
        "images",
        "multilabel",
        "multitarget",
        "tokens",
        "words",
        "own_loss",
        "functional",
        "sequences",
    ],
)
def test_every_kind_of_task_can_be_watched(kind: str) -> None:
    run = watch(problem(kind), member(plain(), epochs=4))
    assert run.status == "completed", run.reason
    assert run.reason == ""
    assert math.isnan(run.constant_loss) == (kind == "own_loss")
    assert [reading.step for reading in run.readings] == sorted({r.step for r in run.readings})
    assert run.last.step == run.total
    assert {each.rate for each in run.rivals} >= {0.1, 10.0}
    assert all(each.moved > 0 for each in run.first.weights if each.gradient > 0)
    assert run.to_dict()["readings"][0]["weights"]


def test_a_model_that_raises_leaves_a_reason_and_a_heartbeat_passes_through() -> None:
    class Stop(BaseException):
        pass

    def beat() -> None:
        raise Stop

    with pytest.raises(Stop):
        watch(problem("table"), member(plain(), epochs=4), heartbeat=beat)
    cut = watch(problem("table"), member(plain(), epochs=400), seconds=0.0)
    assert cut.status == "running"
    assert cut.rivals == ()
