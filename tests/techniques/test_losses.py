"""Losses by their formulas, on outputs of their own."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from problems import member, plain, problem
from torch import Tensor
from torch.nn import functional as F

from pawl.errors import RecipeError
from pawl.kinds import KINDS, NOTHING
from pawl.recipe import Recipe
from pawl.techniques import LossTechnique, LossTerm, Targets, register, technique, unregister
from pawl.training.population import Population
from pawl.training.program import Program
from pawl.training.serial import SerialStepper

OUTPUTS = torch.randn(7, 4, generator=torch.Generator().manual_seed(3)) * 2
CLASSES = torch.tensor([0, 3, 1, 1, 2, 0, 3])
LABELS = (torch.rand(7, 4, generator=torch.Generator().manual_seed(4)) > 0.5).float()
ERRORS = torch.tensor([0.0, 0.3, -0.9, 1.1, -5.0, 40.0])


def never(outputs: Any, targets: Targets, weights: Any) -> Tensor:
    raise AssertionError("another loss takes its place")


def value(
    name: str, outputs: Tensor, targets: Targets, base: LossTerm = never, **settings: float
) -> Tensor:
    found = technique(name)
    assert isinstance(found, LossTechnique)
    given = SimpleNamespace(**{k: torch.tensor(v) for k, v in settings.items()})
    return found.apply(base, given)(outputs, targets, {})


def base_of(kind: str) -> LossTerm:
    one = KINDS[kind]  # type: ignore[index]
    return lambda out, targets, _: one.loss(out, targets.values, targets.soft)


def chances() -> Tensor:
    return OUTPUTS.softmax(-1)[torch.arange(7), CLASSES]


@pytest.mark.parametrize("focus", [0.0, 0.5, 2.0])
def test_focal_loss_of_classes_and_of_labels(focus: float) -> None:
    p = chances()
    found = value("focal_loss", OUTPUTS, Targets(CLASSES), focus=focus)
    torch.testing.assert_close(found, -((1 - p) ** focus) * p.log())
    p = torch.where(LABELS == 1, OUTPUTS.sigmoid(), 1 - OUTPUTS.sigmoid())
    found = value("focal_loss", OUTPUTS, Targets(LABELS), focus=focus)
    torch.testing.assert_close(found, (-((1 - p) ** focus) * p.log()).mean(1))
    if focus == 0.0:
        torch.testing.assert_close(found, KINDS["multilabel"].loss(OUTPUTS, LABELS))


def test_focal_loss_has_a_slope_where_it_is_certain() -> None:
    sure = torch.tensor([[200.0, -200.0], [-200.0, 200.0], [0.0, 0.0]], requires_grad=True)
    for targets in (torch.tensor([0, 0, 0]), torch.eye(3)[:, :2]):
        loss = value("focal_loss", sure, Targets(targets), focus=0.2)
        (slope,) = torch.autograd.grad(loss.sum(), sure)
        assert loss.isfinite().all()
        assert slope.isfinite().all()


def test_generalized_cross_entropy_lies_between_two_losses() -> None:
    p = chances()
    found = value("generalized_cross_entropy", OUTPUTS, Targets(CLASSES), power=1.0)
    torch.testing.assert_close(found, 1 - p)
    found = value("generalized_cross_entropy", OUTPUTS, Targets(CLASSES), power=0.4)
    torch.testing.assert_close(found, (1 - p**0.4) / 0.4)
    found = value("generalized_cross_entropy", OUTPUTS, Targets(CLASSES), power=1e-3)
    torch.testing.assert_close(
        found, F.cross_entropy(OUTPUTS, CLASSES, reduction="none"), rtol=0.01, atol=0.01
    )
    p = torch.where(LABELS == 1, OUTPUTS.sigmoid(), 1 - OUTPUTS.sigmoid())
    found = value("generalized_cross_entropy", OUTPUTS, Targets(LABELS), power=0.4)
    torch.testing.assert_close(found, ((1 - p**0.4) / 0.4).mean(1))


def test_poly_loss_adds_to_the_loss_that_is_there() -> None:
    p, plain_loss = chances(), F.cross_entropy(OUTPUTS, CLASSES, reduction="none")
    found = value("poly_loss", OUTPUTS, Targets(CLASSES), base_of("multiclass"), amount=2.0)
    torch.testing.assert_close(found, plain_loss + 2.0 * (1 - p))
    p = torch.where(LABELS == 1, OUTPUTS.sigmoid(), 1 - OUTPUTS.sigmoid())
    found = value("poly_loss", OUTPUTS, Targets(LABELS), base_of("multilabel"), amount=-1.0)
    torch.testing.assert_close(found, (-p.log() - (1 - p)).mean(1))


def test_confidence_penalty_rewards_entropy() -> None:
    entropy = torch.distributions.Categorical(logits=OUTPUTS).entropy()
    expected = F.cross_entropy(OUTPUTS, CLASSES, reduction="none") - 0.3 * entropy
    base = base_of("multiclass")
    found = value("confidence_penalty", OUTPUTS, Targets(CLASSES), base, strength=0.3)
    torch.testing.assert_close(found, expected)
    entropy = torch.distributions.Bernoulli(logits=OUTPUTS).entropy().mean(1)
    expected = KINDS["multilabel"].loss(OUTPUTS, LABELS) - 0.3 * entropy
    base = base_of("multilabel")
    found = value("confidence_penalty", OUTPUTS, Targets(LABELS), base, strength=0.3)
    torch.testing.assert_close(found, expected)


OF_CLASSES = {
    "focal_loss": {"focus": 1.5},
    "generalized_cross_entropy": {"power": 0.5},
    "poly_loss": {"amount": 1.0},
    "confidence_penalty": {"strength": 0.2},
}


@pytest.mark.parametrize("name", OF_CLASSES)
def test_soft_labels_that_are_certain_are_classes(name: str) -> None:
    settings, base = OF_CLASSES[name], base_of("multiclass")
    exact = value(name, OUTPUTS, Targets(CLASSES), base, **settings)
    soft = Targets(CLASSES.roll(1), soft=F.one_hot(CLASSES, 4).float())
    torch.testing.assert_close(value(name, OUTPUTS, soft, base, **settings), exact)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_places_without_a_class_do_not_count(name: str) -> None:
    outputs = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(5))
    targets = torch.tensor([[0, 1, 2, 3, 0], [1, 1, NOTHING, NOTHING, NOTHING], [NOTHING] * 5])
    settings = OF_CLASSES[name]
    found = value(name, outputs, Targets(targets), base_of("sequence"), **settings)
    there = targets != NOTHING
    flat = value(name, outputs[there], Targets(targets[there]), base_of("multiclass"), **settings)
    assert found.shape == (3,)
    torch.testing.assert_close(found.mean(), flat.mean())


def test_robust_losses_of_values() -> None:
    targets = Targets(torch.zeros(6))
    found = value("huber", ERRORS, targets, limit=1.0)
    expected = 2 * F.huber_loss(ERRORS, targets.values, reduction="none", delta=1.0)
    torch.testing.assert_close(found, expected)
    found = value("log_cosh", ERRORS, targets, scale=0.5)
    exact = 2 * 0.25 * torch.log(torch.cosh(ERRORS.double() / 0.5))
    torch.testing.assert_close(found, exact.float(), rtol=1e-5, atol=1e-6)
    assert torch.equal(value("absolute_error", ERRORS, targets), ERRORS.abs())
    small = 0.01 * ERRORS[:4]
    for name, settings in (("huber", {"limit": 1.0}), ("log_cosh", {"scale": 1.0})):
        near = value(name, small, Targets(torch.zeros(4)), **settings)
        torch.testing.assert_close(near, small**2, rtol=1e-3, atol=1e-6)
    several = ERRORS.view(3, 2)
    found = value("huber", several, Targets(torch.zeros(3, 2)), limit=1.0)
    torch.testing.assert_close(found, expected.view(3, 2).mean(1))


def test_rows_are_chosen_by_their_losses() -> None:
    losses = torch.tensor([0.5, 3.0, 0.1, 2.0, 1.0, 0.7, 0.7, 9.0, 0.2, 0.3])
    base: LossTerm = lambda out, targets, _: out  # noqa: E731
    targets = Targets(torch.zeros(10))
    hard = value("hard_examples", losses, targets, base, share=0.35)
    torch.testing.assert_close(hard.mean(), losses.topk(4).values.mean())
    assert int((hard > 0).sum()) == 4
    kept = value("trimmed_loss", losses, targets, base, share=0.25)
    torch.testing.assert_close(kept.mean(), losses.topk(8, largest=False).values.mean())
    assert (kept[[1, 7]] == 0).all()
    assert torch.equal(value("trimmed_loss", losses[:1], targets, base, share=0.5), losses[:1])
    assert torch.equal(value("hard_examples", losses[:1], targets, base, share=0.2), losses[:1])


def test_a_curriculum_grows_to_all_rows() -> None:
    losses = torch.tensor([0.5, 3.0, 0.1, 2.0, 1.0, 0.7, 0.7, 9.0, 0.2, 0.3])
    base: LossTerm = lambda out, targets, _: out  # noqa: E731
    for behind, kept in ((0.0, 4), (0.25, 7), (0.5, 10), (0.9, 10)):
        targets = Targets(torch.zeros(10), progress=torch.full((10,), behind))
        found = value("curriculum", losses, targets, base, start=0.4, until=0.5)
        expected = losses.topk(kept, largest=False).values.mean()
        torch.testing.assert_close(found.mean(), expected)


def test_a_loss_knows_how_far_the_training_is() -> None:
    seen: list[float] = []

    def watched(loss: LossTerm, settings: Any) -> LossTerm:
        def term(outputs: Any, targets: Targets, weights: Any) -> Tensor:
            assert targets.progress is not None
            assert targets.progress.shape == targets.values.shape
            seen.append(float(targets.progress.mean()))
            return loss(outputs, targets, weights)

        return term

    register(LossTechnique(name="test_seen", summary="-.", reference="-", apply=watched))
    try:
        one = member(plain().with_("test_seen"), 1, epochs=4)
        population = Population(problem("table"), [one], SerialStepper())
        for steps in (5, 7):
            population.advance(steps)
    finally:
        unregister("test_seen")
    assert seen == pytest.approx([step / 12 for step in range(12)])


def test_what_takes_the_losses_place_comes_before_what_adds_to_it() -> None:
    recipe = plain(
        l1={"strength": 0.01}, label_smoothing={"amount": 0.2}, poly_loss={"amount": 1.0}
    )
    recipe = recipe.with_("focal_loss", focus=2.0).with_("hard_examples", share=0.5)
    program = Program.of(recipe)
    names = [call.name for call in program.loss]
    assert names == ["focal_loss", "label_smoothing", "poly_loss", "hard_examples", "l1"]
    values = {t.name: settings.model_dump() for t, settings in recipe if t.name in names}
    tensors = {n: {k: torch.tensor(v) for k, v in own.items()} for n, own in values.items()}
    term = program.loss_term(never, tensors)
    p = chances()
    smoothed = 0.8 * -((1 - p) ** 2) * p.log() - 0.2 * OUTPUTS.log_softmax(-1).mean(1)
    each = smoothed + (1 - p)
    expected = each.topk(4).values.mean() + 0.01 * 3.0
    found = term(OUTPUTS, Targets(CLASSES), {"w": torch.tensor([1.0, -2.0])})
    torch.testing.assert_close(found.mean(), expected)


def test_only_one_loss_takes_the_place() -> None:
    with pytest.raises(RecipeError, match="a recipe has at most one loss"):
        Recipe.of(sgd={}, focal_loss={}, generalized_cross_entropy={})
    assert "focal_loss" not in plain(focal_loss={}).with_("huber")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("focal_loss", "table"), ("huber", "regression"), ("trimmed_loss", "table")],
)
def test_a_loss_of_ones_own_is_left_alone(name: str, kind: str) -> None:
    facts = problem(kind).facts()
    assert technique(name).fits(facts) is None
    reason = technique(name).fits(dataclasses.replace(facts, own_loss=True))
    assert "your own loss" in str(reason)
