"""Offsets of outputs: how they come into the loss, and logit adjustment, which makes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from problems import ALL_ROWS, member, plain, problem, problem_of
from torch import Tensor

from pawl.data.types import Examples
from pawl.errors import RecipeError, TrialError
from pawl.kinds import NOTHING
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import (
    DataTechnique,
    Phase,
    Split,
    Targets,
    register,
    technique,
    unregister,
)
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.serial import SerialStepper
from pawl.training.steps import batch_loss

TEXT = {"summary": "For the test.", "reference": "none"}


def split_of(targets: Tensor) -> Split:
    """Returns a split that trains all but the last row."""
    examples = Examples({"x": torch.zeros(len(targets), 1)}, targets)
    return Split(examples, torch.arange(len(targets) - 1), ())


def adjusted(targets: Tensor, strength: float) -> Tensor:
    found = technique("logit_adjustment").apply(
        split_of(targets), SimpleNamespace(strength=strength)
    )
    assert found.offset is not None
    assert len(found.offset) == len(targets)
    assert (found.offset == found.offset[0]).all()
    return found.offset[0]


def test_offsets_are_the_shares_of_the_training_rows() -> None:
    classes = torch.tensor([0] * 6 + [1] * 3 + [2])  # the last row, of class 2, does not train
    shares = torch.tensor([6.5, 3.5, 0.5])
    torch.testing.assert_close(adjusted(classes, 1.0), (shares / shares.sum()).log())
    torch.testing.assert_close(adjusted(classes, 0.5), 0.5 * (shares / shares.sum()).log())
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    expected = torch.tensor([2.5 / 1.5, 0.5 / 3.5]).log()
    torch.testing.assert_close(adjusted(labels, 1.0), expected)
    steps = torch.tensor([[0, 0, NOTHING], [0, 1, NOTHING], [1, 1, 1]])
    torch.testing.assert_close(adjusted(steps, 1.0), (torch.tensor([3.5, 1.5]) / 5).log())


@pytest.mark.parametrize("places", [(), (5,)])
def test_an_offset_is_added_before_the_loss(places: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(6, *places, 3, generator=generator)
    offset = torch.randn(6, 3, generator=generator)
    values = torch.randint(3, (6, *places), generator=generator)
    targets = Targets(values, offset=offset)
    moved = out + offset.view(6, *([1] * len(places)), 3)
    one = dataclasses.replace(problem("images"), loss=None)
    seen: list[Tensor] = []

    def term(outputs: Any, targets: Targets, weights: Any) -> Tensor:
        seen.append(outputs)
        return outputs.flatten(1).sum(1)

    if not places:
        batch_loss(one, term, out, targets, {}, several=False)
        batch_loss(one, term, torch.stack([out, out]), targets, {}, several=True)
        torch.testing.assert_close(seen[0], moved)
        torch.testing.assert_close(seen[1], torch.cat([moved, moved]))
        return
    schema = one.schema.model_copy(update={"kind": "sequence"})
    wide = torch.cat([out, torch.zeros(6, *places, 1)], dim=-1)  # a model may know more classes
    for raw in (out, wide):
        batch_loss(dataclasses.replace(one, schema=schema), term, raw, targets, {}, several=False)
        torch.testing.assert_close(seen[-1][..., :3], moved)


@pytest.mark.parametrize("extra", [{}, {"mixup": {"alpha": 0.5}}, {"tabm": {"members": 8}}])
def test_steppers_agree_about_offsets(extra: dict[str, dict[str, Any]]) -> None:
    found = []
    for make in (FusedStepper, SerialStepper, lambda: FusedStepper(backend="eager", width=2)):
        members = [
            member(plain(**extra).with_("logit_adjustment", strength=s), seed)
            for seed, s in ((1, 0.5), (2, 1.5))
        ]
        population = Population(problem("table"), members, make())
        population.advance(4)
        found.append(population.state.weights)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=5e-5)


def test_rare_classes_are_found_more_often() -> None:
    generator = np.random.default_rng(0)
    targets = (generator.random(600) < 0.08).astype(np.int64)
    inputs = (generator.normal(size=(600, 4)) + 0.8 * targets[:, None]).astype(np.float32)
    task = problem_of(Task(data=(inputs, targets)))
    recalls = []
    for recipe in (plain(), plain().with_("logit_adjustment")):
        one = member(recipe, 1, epochs=20, train=300, valid=150)
        population = Population(task, [one], FusedStepper())
        population.advance(180)
        rows = one.valid
        found = population.predict(task.examples, rows)[0].argmax(-1)
        truth = task.targets[rows]
        recalls.append([float((found[truth == c] == c).float().mean()) for c in (0, 1)])
    assert recalls[1][1] > recalls[0][1] + 0.2
    assert sum(recalls[1]) > sum(recalls[0]) + 0.1


@pytest.fixture
def joined() -> Iterator[Callable[[DataTechnique], None]]:
    yield lambda each: (register(each), None)[1]
    unregister("test_offset")


@pytest.mark.parametrize(
    ("kind", "offset", "message"),
    [
        ("regression", torch.zeros(1), "only a built-in loss of classes can add"),
        ("own_loss", torch.zeros(2), "only a built-in loss of classes can add"),
        ("table", torch.zeros(3), r"they must be \[\d+, 2\]"),
        ("table", torch.tensor([0.0, torch.inf]), "are not finite"),
    ],
)
def test_offsets_that_cannot_be_added_are_refused(
    joined: Callable[[DataTechnique], None], kind: str, offset: Tensor, message: str
) -> None:
    def wrong(split: Split, settings: Any) -> Split:
        return dataclasses.replace(split, offset=offset.expand(len(split.examples), -1))

    joined(DataTechnique(name="test_offset", apply=wrong, in_loss=True, **TEXT))
    with pytest.raises(TrialError, match=f"'test_offset' gave offsets.*{message}"):
        Population(problem(kind), [member(plain().with_("test_offset"), 1)], SerialStepper())


def test_added_rows_have_the_mean_offset(joined: Callable[[DataTechnique], None]) -> None:
    def moved(split: Split, settings: Any) -> Split:
        offset = torch.zeros(len(split.examples), 2)
        offset[split.rows, 1] = torch.arange(len(split.rows)).float()
        changed = dataclasses.replace(split, offset=offset)
        more = split.examples.take(split.rows[:5])
        more = Examples({n: x.clone() for n, x in more.inputs.items()}, more.targets)
        found = changed.add(more)
        assert found.offset is not None
        assert found.offset[-5:, 1].tolist() == [(len(split.rows) - 1) / 2] * 5
        return found

    joined(DataTechnique(name="test_offset", apply=moved, phase=Phase.ROWS, in_loss=True, **TEXT))
    population = Population(
        problem("table"), [member(plain().with_("test_offset"), 1)], FusedStepper()
    )
    assert population.advance(2).isfinite().all()
    assert population.predict(population.problem.examples, ALL_ROWS).isfinite().all()


def test_what_fits_in_one_go_has_no_loss_to_add_to() -> None:
    with pytest.raises(RecipeError, match="'linear' and 'logit_adjustment' exclude each other"):
        Recipe.of(linear={}, logit_adjustment={})
