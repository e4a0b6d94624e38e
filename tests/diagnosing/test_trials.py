"""What is suspected of a training and tried; losses of rows; what batch normalization keeps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from problems import images, member, plain, problem, problem_of
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.diagnosing import rules
from pawl.diagnosing.facts import DataFacts
from pawl.diagnosing.gains import gain_of
from pawl.diagnosing.probe import Probe
from pawl.diagnosing.record import Reading, Rival, Training, UnitReading
from pawl.diagnosing.statistics import lag
from pawl.diagnosing.trials import suspected, trials
from pawl.diagnosing.watching import watch
from pawl.task import Task
from pawl.training.population import Population
from pawl.training.serial import SerialStepper

NOTHING_KNOWN = DataFacts(kind="multiclass", rows=0, test_rows=0, looked=0)


def told_of(run: Training) -> set[str]:
    return {each.rule for each in rules.settled(rules.of_training(run, NOTHING_KNOWN))}


def seen(*losses: float, units: int = 64, scale: int = 100, **more: object) -> Training:
    """A training whose losses are these, so many steps apart."""
    unit = UnitReading(
        name="act", function="ReLU", units=units, mean=0.4, std=0.6, dead=0.0, saturated=0.0, alike=0.0
    )  # fmt: skip
    readings = tuple(
        Reading(
            step=scale * i, rate=0.1, train_loss=x, valid_loss=x, train_score=0.5, valid_score=0.5,
            batch_loss=x, noise=1.0, signal=1.0, non_finite=0, weights=(), units=(unit,),
        )
        for i, x in enumerate(losses)
    )  # fmt: skip
    known: dict[str, object] = {
        "techniques": ("sgd",), "optimizer": "sgd", "rows": 960, "batch": 32, "total": 400,
        "status": "completed", "constant_loss": 1.0, "readings": readings,
    }  # fmt: skip
    return Training(**{**known, **more})  # type: ignore[arg-type]


DONE, FALLING = (1.0, 0.3, 0.25, 0.22, 0.21), (1.0, 0.9, 0.8, 0.7, 0.6)


def test_a_training_that_gives_no_cause_costs_no_trial() -> None:
    assert suspected(seen(*DONE), 10) == []
    assert suspected(seen(*DONE, batch=2, status="running"), 10) == []
    assert suspected(seen(*DONE, batch=2, status="diverged"), 10) == []


def test_small_and_large_batches_narrow_layers_and_late_falls_are_tried() -> None:
    def tried(run: Training, epochs: int = 10) -> list[tuple[str, float, int]]:
        return [(each.change, each.value, each.epochs) for each in suspected(run, epochs)]

    # 400 steps of 2 rows are 5 sixths of a pass; a third of them are 4 passes of 30 steps.
    assert tried(seen(*DONE, batch=2), 1) == [("batch", 32, 1), ("batch", 32, 4)]
    assert tried(seen(*DONE, batch=2), 3) == [("batch", 32, 3), ("batch", 32, 4)]
    assert tried(seen(*DONE, batch=2), 8) == [("batch", 32, 8)]
    assert tried(seen(*DONE, batch=960)) == [("batch", 32, 10)]
    assert tried(seen(*DONE, batch=960), 1000) == [("batch", 32, 35)]  # 1,024 steps
    assert tried(seen(*DONE, batch=20, rows=20)) == [("batch", 8, 10)]
    assert tried(seen(*DONE, batch=8, rows=24)) == []
    assert tried(seen(*DONE, units=1)) == [("width", 8.0, 10)]
    assert tried(seen(*FALLING)) == [("passes", 2, 20)]  # four times were more than 1,024 steps
    assert tried(seen(*FALLING, scale=50)) == [("passes", 4, 40)]
    assert tried(seen(1.0, 0.5, 0.3, 0.25, 0.167)) == [("passes", 2, 20)]  # a tenth of the fall
    assert tried(seen(1.0, 0.5, 0.3, 0.25, 0.2)) == []
    faster = Rival(rate=10.0, step=100, train_loss=0.1)
    assert tried(seen(*FALLING, rivals=(faster,))) == []


def test_gains_and_lags_of_known_numbers() -> None:
    before = torch.tensor([1.0, 2.0, 3.0, 4.0])
    gain = gain_of(before, before - torch.tensor([1.0, 1.0, 2.0, 2.0]))
    assert (gain.mean, gain.rows) == (1.5, 4)
    assert gain.error == pytest.approx(math.sqrt(1 / 3) / 2)
    assert gain.least() == pytest.approx(1.5 - 1.645 * gain.error)
    assert gain_of(before[:1]).least() == -math.inf
    zero, one, far = torch.zeros(3), torch.ones(3), torch.full((3,), 4.0)
    assert lag((zero, one), (zero, one), (far, one)) == pytest.approx(1.0)
    assert lag((zero, one), (far, one), (far, one)) == 0.0
    assert lag((zero, one), (zero, far.sqrt()), (zero, far)) == pytest.approx(0.5)
    assert lag((zero, one), (one, one), (0.1 * one, one)) == 0.0  # it started there


def test_losses_of_rows_are_those_of_plain_pytorch_and_nan_where_a_loss_has_none() -> None:
    population = Population(problem("table"), [member(plain(), epochs=2)], SerialStepper())
    population.advance(3)
    probe = Probe(population)
    losses, valid = probe.row_losses(*population.evaluated())
    rows = probe._train
    with torch.no_grad():
        out = probe._body.eval()(rows.inputs)
    by_hand = F.cross_entropy(out, rows.targets, reduction="none")
    assert torch.allclose(losses.float(), by_hand, atol=1e-6)
    read = probe.read()
    assert read.valid_loss == pytest.approx(float(valid.mean()), rel=1e-5)
    error = float(valid.std()) / math.sqrt(len(valid))
    assert read.valid_error == pytest.approx(error, rel=1e-5)
    own = Population(problem("own_loss"), [member(plain(), epochs=2)], SerialStepper())
    assert bool(Probe(own).row_losses(*own.evaluated())[0].isnan().all())
    assert math.isnan(Probe(own).read().valid_error)


class Normed(nn.Module):
    """Batch normalization of vectors far from 0 and 1, whose kept statistics follow by `momentum`."""

    def __init__(self, momentum: float = 0.1, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(64, width), nn.BatchNorm1d(width, momentum=momentum), nn.ReLU()
        )
        self.out = nn.Linear(width, 3)
        with torch.no_grad():
            self.body[0].weight *= 6

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x.flatten(1).float()))


def noisy(rows: int = 320) -> tuple[np.ndarray, np.ndarray]:
    """Images whose classes overlap, so that something is left to lose."""
    pixels, targets = images(rows)
    random = np.random.default_rng(0)
    return (pixels + random.normal(0, 120, pixels.shape)).astype(np.float32), targets


def watched(module: Callable[[], nn.Module], *, epochs: int = 8, batch: int = 32) -> Training:
    made = problem_of(Task(data=noisy(), model=module))
    recipe = plain(batch_size={"size": batch})
    run = watch(made, member(recipe, epochs=epochs, train=160, valid=80))
    assert run.status == "completed", run.reason
    return run


def test_statistics_that_lag_are_seen_and_others_are_not() -> None:
    slow, usual = watched(functools.partial(Normed, 3e-4)), watched(Normed)
    assert slow.statistics is not None
    assert usual.statistics is not None
    assert slow.statistics.values == usual.statistics.values == 32
    assert slow.statistics.behind > 0.9
    assert usual.statistics.behind < 0.2
    assert "normalization_disagrees" in told_of(slow)
    assert "normalization_disagrees" not in told_of(usual)
    assert usual.trials == ()
    assert slow.to_dict()["statistics"]["values"] == 32


class Narrow(nn.Module):
    """One unit for three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Tanh(), nn.Linear(1, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.float())


def test_a_layer_of_one_unit_is_tried_wider_and_told_of() -> None:
    run = watched(Narrow, epochs=12)
    wider = run.trial("width")
    assert wider is not None
    assert wider.step == run.last.step
    assert wider.gain.least() > 0
    assert "model_too_small" in told_of(run)


class Fixed(nn.Module):
    """One unit that stays one, as the forward knows by heart, behind a layer that may be wider."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(64, 16), nn.Sequential(nn.Linear(16, 1), nn.Tanh())
        self.out = nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(torch.relu(self.wide(x.flatten(1).float())))
        return self.out(x.reshape(len(x), 1))


def test_of_a_narrow_layer_that_stays_narrow_a_trial_says_nothing() -> None:
    run = watched(Fixed, epochs=3)
    assert min(each.units for each in run.first.units) == 1
    assert run.trial("width") is None
    assert "model_too_small" not in told_of(run)


class Keywords(Normed):
    """Calls its normalization by the name of the argument."""

    def forward(self, x: Tensor) -> Tensor:
        first, norm, act = self.body
        return self.out(act(norm(input=first(x.flatten(1).float()))))


def test_values_are_counted_however_a_normalization_is_called() -> None:
    run = watched(Keywords, epochs=1)
    assert run.statistics is not None
    assert run.statistics.values == 32


def test_other_batches_than_the_recipes_are_those_of_a_recipe_with_them() -> None:
    trained = []
    for size, other in ((8, None), (32, 8)):
        recipe = plain(batch_size={"size": size}, one_cycle={})
        population = Population(problem("table"), [member(recipe)], SerialStepper())
        if other is not None:
            population.rebatch(other)
        population.advance(20)
        trained.append((population.state.weights, population.total))
    assert torch.equal(trained[0][0], trained[1][0])
    assert torch.equal(trained[0][1], trained[1][1])


def test_without_time_nothing_is_tried() -> None:
    def beat() -> None:
        raise StopIteration

    made, who = problem("table"), member(plain(batch_size={"size": 2}))
    run, losses = seen(*DONE, batch=2), (torch.ones(9), torch.ones(9))
    assert trials(made, who, run, losses, beat) == ()


def test_batches_of_two_rows_are_tried_larger() -> None:
    run = watched(Normed, epochs=2, batch=2)
    larger = run.trial("batch")
    assert larger is not None
    assert larger.value == 32
    assert larger.step <= run.last.step / 2
    assert "batch_too_small" in told_of(run)  # two values for each deviation
    assert run.statistics is not None
    assert run.statistics.values == 2
