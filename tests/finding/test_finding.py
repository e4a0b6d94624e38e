"""Learning rate and batch size of a recipe: what is found, and that nothing of it stays."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from problems import TRAIN, bare, frame, member, plain, problem
from terminal import pawl as typed
from torch import nn

import pawl
from pawl.cli import show_found
from pawl.errors import PawlError
from pawl.finding import RangeTest, RateScored, RateScores, RateTried, SizeTried
from pawl.finding.batch_size import judged
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.fused import FusedStepper
from pawl.training.noise import gradient_noise
from pawl.training.population import Member, Population
from pawl.training.serial import SerialStepper


def lines(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Values linear in columns that are alike, so that a model diverges from a known rate on."""
    generator = np.random.default_rng(0)
    x = (generator.normal(size=(rows, 1)) + 0.3 * generator.normal(size=(rows, 4))).astype(
        np.float32
    )
    return x, (x @ np.array([1.0, -2.0, 3.0, 0.5]) + 0.1 * generator.normal(size=rows)).astype(
        np.float32
    )


PLANE = Task(data=lines(), model=bare)
DESCENT = Recipe.of(standardize={}, batch_size={"size": 32}, sgd={"learning_rate": 0.01})


def test_a_range_test_finds_the_valley_and_where_it_ends() -> None:
    found = pawl.find_rate(PLANE, recipe=DESCENT, rates=10, steps=40)
    assert isinstance(found, RangeTest)
    # The curvature is twice the columns' largest variance, about 3.8: beyond 2 / 7.6 no step converges.
    assert [found.rates[0].rate, found.rates[-1].rate] == [0.001, 1.0]  # the optimizer's own bounds
    assert 0.01 < found.suggested < 0.26
    assert found.rates[0].rate < found.within_one_error <= found.suggested
    assert found.limit is not None
    assert 0.2 < found.limit < 0.5
    losses = [each.loss for each in found.rates]
    assert losses[-1] is None
    assert found.rates[-1].diverged == found.seeds == 2
    known = {each.rate: each for each in found.rates}
    assert known[found.suggested].loss < 0.5 * losses[0] < 0.5 * found.first_loss
    assert known[found.suggested].error is not None
    assert json.loads(found.to_json())["suggested"] == found.suggested


def test_cross_validation_scores_every_rate_on_rows_held_out() -> None:
    found = pawl.find_rate(PLANE, recipe=DESCENT, rates=4, folds=3, epochs=12, metric="rmse")
    assert isinstance(found, RateScores)
    assert (found.metric, found.direction, found.folds, found.epochs) == ("rmse", "minimize", 3, 12)
    scores = [each.score for each in found.rates]
    best = scores.index(min(scores))
    assert found.suggested == found.rates[best].rate == pytest.approx(0.1, rel=0.01)
    assert found.within_one_error <= found.suggested
    for each in found.rates:
        low, high = each.interval
        assert low < each.score < high
        assert each.n == 3
        assert each.behind >= 0
    # The slowest rate is far behind, and shown to be.
    assert found.rates[0].behind == pytest.approx(scores[0] - scores[best], rel=1e-3)
    assert found.rates[0].behind_interval[0] > 0
    # What diverges counts as a constant predictor, and is named.
    assert found.rates[-1].failed == 3
    assert found.rates[-1].score == pytest.approx(statistics.stdev(lines()[1].tolist()), rel=0.2)
    assert "3 folds, 95% intervals; 0.1 suggested" in found.picture()


def weights_after(recipe: Recipe) -> torch.Tensor:
    members = [member(recipe, seed) for seed in (1, 2)]
    population = Population(problem("table"), members, FusedStepper())
    population.advance(12)
    return population.state.weights.clone()


def test_nothing_of_it_stays(tmp_path: Path) -> None:
    recipe = plain(dropout={}, mixup={})
    before = weights_after(recipe)
    torch.manual_seed(7)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    table = frame()
    pawl.find_rate(Task(data=table), recipe=recipe, rates=3, steps=12, seeds=1)
    pawl.find_rate(Task(data=table), recipe=recipe, rates=3, folds=2, epochs=1)
    pawl.find_batch_size(Task(data=table), recipe=recipe, smallest=8, steps=10)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert torch.equal(weights_after(recipe), before)
    assert not list(tmp_path.iterdir())


def test_batch_sizes_are_timed_and_one_is_suggested() -> None:
    found = pawl.find_batch_size(PLANE, recipe=DESCENT, smallest=8, largest=64, steps=20)
    assert [each.size for each in found.sizes] == [8, 16, 32, 64]
    assert all(each.rows_per_second > 0 for each in found.sizes)
    assert found.suggested in [each.size for each in found.sizes]
    assert found.noise_scale is not None
    assert min(each.relative_time for each in found.sizes) == 1.0
    assert json.loads(found.to_json())["knee"] == found.knee


def tried(*times: float) -> list[SizeTried]:
    sizes = [16 << i for i in range(len(times))]
    return [SizeTried(size, ms, 1e3 * size / ms) for size, ms in zip(sizes, times, strict=True)]


@pytest.mark.parametrize(
    ("times", "noise", "suggested", "knee"),
    [
        ((1.0, 1.0, 1.0, 1.0), 1000.0, 128, 128),  # rows are free: the largest
        ((1.0, 2.0, 4.0, 8.0), 1000.0, 16, 16),  # and here they all cost alike
        ((1.0, 1.1, 1.3, 2.6), 2.0, 16, 64),  # more rows say little new
        ((1.0, 1.1, 1.3, 2.6), 500.0, 64, 64),
        ((1.0, 1.1, 1.3, 2.6), None, 64, 64),
    ],
)
def test_what_times_and_noise_say_together(
    times: tuple[float, ...], noise: float | None, suggested: int, knee: int
) -> None:
    found = judged(tried(*times), noise, None, 100)
    assert (found.suggested, found.knee) == (suggested, knee)
    assert bool(found.notes) == (noise is None)


def test_the_noise_of_gradients_is_that_of_its_definition() -> None:
    recipe = plain().with_("batch_size", size=4)
    known = member(recipe, 3)
    population = Population(problem("regression"), [known], SerialStepper())
    before = population.state.weights.clone()
    # Many passes over the rows, so that the estimate is close.
    estimates = []
    for seed in range(24):
        one = Member(recipe, seed, known.train, known.valid, 4)
        own = Population(problem("regression"), [one], SerialStepper())
        own.state.weights.copy_(before)
        estimates.append(gradient_noise(own, TRAIN // 4))
        assert torch.equal(own.state.weights, before)
    every = Population(
        problem("regression"),
        [member(recipe.with_("batch_size", size=1), 3)],
        SerialStepper(),
    )
    every.state.weights.copy_(before)
    rows: list[torch.Tensor] = []
    every.restore(every.snapshot())
    from pawl.training.bound import BoundMember

    backward = BoundMember.backward
    with pytest.MonkeyPatch.context() as patch:

        def noted(self: Any, batch: Any) -> torch.Tensor:
            loss = backward(self, batch)
            rows.append(self.gradient.clone())
            return loss

        patch.setattr(BoundMember, "backward", noted)
        gradient_noise(every, TRAIN)
    each = torch.stack(rows).double()
    mean = each.mean(0)
    # The sample's mean has noise of its own, which the estimate takes off.
    spread = float((each - mean).square().sum(1).mean()) * TRAIN / (TRAIN - 1)
    expected = spread / (float(mean.square().sum()) - spread / TRAIN)
    assert statistics.median(e for e in estimates if e) == pytest.approx(expected, rel=0.25)


def test_a_command_writes_a_picture_and_json(tmp_path: Path) -> None:
    place = tmp_path / "rate.svg"
    told = typed(
        "find-rate", "breast-cancer", "--rates", "4", "--steps", "12", "--picture", str(place), "--json"
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["optimizer"] == "adamw"
    root = ElementTree.parse(place).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "learning rate of adamw" in place.read_text()


def test_what_was_found_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    ok, bad = RateTried(0.1, 0.5, 0.01, 0), RateTried(1.0, None, None, 2)
    show_found.rates(RangeTest((ok, bad), 0.1, 0.1, 1.0, 2.0, 60, 2, "sgd", ("mind this",)))
    scored = RateScored(0.1, 0.9, (0.8, 1.0), 0.0, (0.0, 0.0), 0, 5)
    other = RateScored(0.2, 0.7, (0.5, 0.9), 0.2, (0.1, 0.3), 1, 5)
    show_found.rates(RateScores((scored, other), 0.1, 0.1, "accuracy", "maximize", 5, 9, "sgd"))
    show_found.batch_sizes(judged(tried(1.0, 1.5), 40.0, 64, 100))
    told = " ".join(capsys.readouterr().out.split())
    for text in (
        "0.1 0.5 ± 0.01 suggested", "1 diverged", "sgd: learning rate 0.1", "note mind this",
        "0.9 (0.8 to 1) suggested", "0.2 (0.1 to 0.3) 1 of 5 failed", "batch size 32", "40 rows",
        "64 rows did not fit", "1.04x",
    ):  # fmt: skip
        assert text in told, text


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"lowest": 0.1, "highest": 0.01}, "give a lower and a higher one"),
        ({"highest": 900.0}, "sgd takes rates from"),
        ({"folds": 1}, "got folds=1; give a whole number from 2 to 20"),
        ({"rates": "many"}, "got rates='many'; give a whole number from 3 to 200"),
        ({"picture": "rate.png"}, "give a file that ends in .svg"),
        ({"picture": "/not/there/rate.svg"}, "is not there"),
        ({"recipe": 3}, "give a Recipe or a file"),
        ({"recipe": Recipe.of(linear={})}, "in one go and without steps"),
        ({"recipe": "missing.toml"}, "cannot read the recipe"),
        ({"lowest": 0.9, "highest": 1.0}, "lowers the loss within 12 steps"),
    ],
)
def test_wrong_input_is_one_line(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(PawlError) as caught:
        pawl.find_rate(PLANE, **({"recipe": DESCENT, "steps": 12, "seeds": 1} | given))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sizes_beyond_the_rows_are_refused() -> None:
    with pytest.raises(PawlError, match="give sizes in order, of at most the"):
        pawl.find_batch_size(PLANE, recipe=DESCENT, largest=4096)


class Wide(nn.Module):
    """A user's model that cannot take large batches."""

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(spec.num_features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) > 32:
            raise torch.OutOfMemoryError("out of memory")
        return self.linear(x)


def test_the_size_that_does_not_fit_ends_the_list() -> None:
    found = pawl.find_batch_size(
        Task(data=lines(), model=Wide), recipe=DESCENT, smallest=8, largest=64, steps=10
    )
    assert [each.size for each in found.sizes] == [8, 16, 32]
    assert found.out_of_memory == 64
