"""What each stage hands a technique is enough for those to come: made-up ones, fused as one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from problems import ALL_ROWS, member, plain, problem
from torch import Tensor
from torch.nn import functional as F

from pawl import rng
from pawl.errors import TrialError
from pawl.models.layout import Layout
from pawl.recipe import Recipe
from pawl.techniques import (
    AverageTechnique,
    Batch,
    BatchTechnique,
    DataTechnique,
    GradientContext,
    GradientTechnique,
    Settings,
    Split,
    StepContext,
    Targets,
    Technique,
    UpdateTechnique,
    number,
    register,
    unregister,
)
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.program import Program
from pawl.training.serial import SerialStepper
from pawl.training.steps import batch_loss

STEPPERS: tuple[Callable[[], Any], ...] = (
    FusedStepper,
    SerialStepper,
    lambda: FusedStepper(backend="eager", width=3),
)
Join = Callable[[Technique], None]
TEXT = {"summary": "For the test.", "reference": "none"}


class RateSettings(Settings):
    """Settings of the optimizers here."""

    learning_rate: float = number(0.02, 1e-4, 1.0, "step size", log=True)


@pytest.fixture
def join() -> Iterator[Join]:
    names: list[str] = []

    def add(technique: Technique) -> None:
        register(technique)
        names.append(technique.name)

    yield add
    for name in names:
        unregister(name)


def trained(recipe: Recipe, kind: str = "table", steps: int = 6) -> list[Population]:
    """Trains three members by each stepper; they must agree."""
    found = []
    for make in STEPPERS:
        one = Population(problem(kind), [member(recipe, seed) for seed in (1, 2, 3)], make())
        losses = one.advance(2)
        assert losses.isfinite().all()
        one.advance(steps - 2)
        found.append(one)
    for other in found[1:]:
        torch.testing.assert_close(
            other.state.weights, found[0].state.weights, rtol=1e-4, atol=5e-5
        )
        for name, slot in other.state.slots.items():
            torch.testing.assert_close(slot, found[0].state.slots[name], rtol=1e-3, atol=1e-4)
    return found


def orthogonal(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Muon's step for matrices, by five Newton-Schulz iterations; plain descent for the others."""
    state["momentum"].mul_(0.9).add_(gradients)
    layout, members = context.layout, len(weights)
    steps = dict(layout.views(state["momentum"]))
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        if len(shape) == 2:
            x = steps[name] / (steps[name].flatten(1).norm(dim=1).view(-1, 1, 1) + 1e-7)
            for _ in range(5):
                square = x @ x.transpose(1, 2)
                x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
            steps[name] = x
    weights.sub_(context.rate.unsqueeze(1) * layout.flat(steps, members))


def by_norms(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """LARS: each tensor's rate goes by the norms of its weights and gradients; biases do not decay."""
    layout = context.layout
    decay = 1e-2 * layout.mask(lambda _, shape: len(shape) > 1, weights.device)
    gradients = gradients + decay * weights

    def norms(flat: Tensor) -> Tensor:
        return torch.stack([x.flatten(1).norm(dim=1) for x in layout.views(flat).values()], dim=1)

    ratio = (norms(weights) + 1e-3) / (norms(gradients) + 1e-3)
    weights.sub_(context.rate.unsqueeze(1) * layout.spread(ratio) * gradients)


def factored_state(weights: Tensor, layout: Layout) -> dict[str, Tensor]:
    rows = sum(shape[0] for shape in layout.shapes if len(shape) == 2)
    columns = sum(shape[1] for shape in layout.shapes if len(shape) == 2)
    sizes = {"rows": rows, "columns": columns}
    return {name: weights.new_zeros(len(weights), size) for name, size in sizes.items()}


def factored(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Adafactor: the second moment of a matrix as the product of its rows' and columns' means."""
    layout, row, column = context.layout, 0, 0
    pieces = dict(layout.views(gradients))
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        if len(shape) != 2:
            continue
        square = pieces[name] ** 2 + 1e-12
        mine = state["rows"][:, row : row + shape[0]]
        theirs = state["columns"][:, column : column + shape[1]]
        mine.mul_(0.9).add_(0.1 * square.mean(2))
        theirs.mul_(0.9).add_(0.1 * square.mean(1))
        second = mine.unsqueeze(2) * theirs.unsqueeze(1) / mine.mean(1).view(-1, 1, 1)
        pieces[name] = pieces[name] / second.sqrt()
        row, column = row + shape[0], column + shape[1]
    weights.sub_(context.rate.unsqueeze(1) * 0.1 * layout.flat(pieces, len(weights)))


OPTIMIZERS = (
    UpdateTechnique(name="test_muon", apply=orthogonal, settings=RateSettings,
                    memberwise=frozenset({"learning_rate"}),
                    init=lambda weights, _: {"momentum": torch.zeros_like(weights)}, **TEXT),
    UpdateTechnique(name="test_lars", apply=by_norms, settings=RateSettings,
                    memberwise=frozenset({"learning_rate"}), **TEXT),
    UpdateTechnique(name="test_adafactor", apply=factored, settings=RateSettings,
                    memberwise=frozenset({"learning_rate"}), init=factored_state, **TEXT),
)  # fmt: skip


@pytest.mark.parametrize("technique", OPTIMIZERS, ids=lambda t: t.name)
def test_an_optimizer_may_go_by_tensors_and_needs_no_counterpart_in_torch(
    join: Join, technique: UpdateTechnique
) -> None:
    join(technique)
    recipe = plain().with_(technique.name, learning_rate=0.01)
    (fused, *_) = trained(recipe)
    before = fused.advance(1).mean()
    fused.advance(40)
    assert fused.advance(1).mean() < before
    fused.keep([2, 0])
    fused.clone(0, 1)
    for slot in fused.state.slots.values():
        torch.testing.assert_close(slot[0], slot[1])


def sharpness(
    gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any
) -> Tensor:
    """The gradient where the loss is worst near by."""
    norm = gradients.norm(dim=1, keepdim=True) + 1e-12
    return context.gradients_at(weights + 0.05 * gradients / norm)


@pytest.mark.parametrize("extra", [{}, {"dropout": {"rate": 0.3}}, {"batch_norm": {}}])
def test_a_gradient_technique_may_ask_for_gradients_elsewhere(
    join: Join, extra: dict[str, dict[str, float]]
) -> None:
    join(GradientTechnique(name="test_sharpness", apply=sharpness, **TEXT))
    recipe = plain(**extra).without("adamw").with_("sgd", learning_rate=0.1)
    with_it = trained(recipe.with_("test_sharpness"), steps=4)[0]
    without = trained(recipe, steps=4)[0]
    assert not torch.equal(with_it.state.weights, without.state.weights)
    # The statistics of batches are those of as many batches as without.
    for name, buffer in without.state.buffers.items():
        if "num_batches" in name:
            assert torch.equal(buffer, with_it.state.buffers[name])


def test_gradients_elsewhere_are_those_of_the_same_batch(join: Join) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def same(gradients: Tensor, weights: Tensor, context: GradientContext, _: Any) -> Tensor:
        seen.append((gradients.clone(), context.gradients_at(weights)))
        return gradients

    join(GradientTechnique(name="test_same", apply=same, **TEXT))
    recipe = plain(dropout={"rate": 0.3}).with_("test_same")
    for make in STEPPERS[:2]:
        Population(problem("table"), [member(recipe, 1), member(recipe, 2)], make()).advance(3)
    assert len(seen) == 3 + 2 * 3
    for first, second in seen:
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)


def test_a_gradient_technique_may_ask_for_each_rows_own(join: Join) -> None:
    means: list[tuple[Tensor, Tensor]] = []

    def clipped(gradients: Tensor, weights: Tensor, context: GradientContext, _: Any) -> Tensor:
        """Clips each row's gradient."""
        each = context.gradients_by_row()
        means.append((gradients.detach().clone(), each.detach().mean(1)))
        return (each * (0.5 / each.norm(dim=2, keepdim=True)).clamp_max(1.0)).mean(1)

    join(GradientTechnique(name="test_by_row", apply=clipped, **TEXT))
    for start in (plain(), plain(mixup={"alpha": 0.5})):
        means.clear()
        recipe = start.without("adamw").with_("sgd", learning_rate=0.1).with_("test_by_row")
        for make in STEPPERS[:2]:
            members = [member(recipe, 1), member(recipe, 2)]
            Population(problem("table"), members, make()).advance(2)
        for batch, rows in means:
            torch.testing.assert_close(batch, rows, rtol=1e-4, atol=1e-6)
    trained(recipe, steps=3)


def test_a_gradient_technique_draws_by_a_key_of_its_own(join: Join) -> None:
    def noise(gradients: Tensor, weights: Tensor, context: GradientContext, _: Any) -> Tensor:
        return gradients + rng.normal(context.key, gradients.shape[1:])

    join(GradientTechnique(name="test_noise_a", apply=noise, **TEXT))
    join(GradientTechnique(name="test_noise_b", apply=noise, **TEXT))
    recipe = plain().without("adamw").with_("sgd", learning_rate=0.01)
    first, second = (trained(recipe.with_(f"test_noise_{x}"))[0].state.weights for x in "ab")
    assert not torch.allclose(first, second, atol=1e-3)


def test_an_average_knows_how_long_the_training_is(join: Join) -> None:
    def second_half(
        average: Tensor, weights: Tensor, step: Tensor, total: Tensor, _: Any
    ) -> Tensor:
        """The mean of the weights over the second half, as in stochastic weight averaging."""
        seen = ((step - total / 2) / 4).floor().clamp_min(0.0).unsqueeze(1)
        return torch.where(seen > 0, average + (weights - average) / seen.clamp_min(1.0), weights)

    join(AverageTechnique(name="test_second_half", apply=second_half, **TEXT))
    recipe = plain().with_("test_second_half")
    found = trained(recipe, steps=12)
    averages = [one.evaluated()[0] for one in found]
    torch.testing.assert_close(averages[0], averages[1], rtol=1e-4, atol=5e-5)


def test_a_batch_technique_may_act_before_scaling(join: Join) -> None:
    largest: list[float] = []

    def seen(batch: Batch, settings: Any, key: Tensor) -> Batch:
        largest.append(max(float(x.abs().max()) for x in batch.inputs.values()))
        return batch

    def shifted(batch: Batch, settings: Any, key: Tensor) -> Batch:
        inputs = {n: x + 5.0 if x.is_floating_point() else x for n, x in batch.inputs.items()}
        return replace(batch, inputs=inputs)

    join(BatchTechnique(name="test_shifted", apply=shifted, raw=True, **TEXT))
    recipe = plain(noise={"deviation": 0.1})
    with_it = trained(recipe.with_("test_shifted"))[0]
    assert not torch.equal(with_it.state.weights, trained(recipe)[0].state.weights)
    join(BatchTechnique(name="test_seen", apply=seen, raw=True, **TEXT))
    join(BatchTechnique(name="test_seen_scaled", apply=seen, **TEXT))
    found = []
    for name in ("test_seen", "test_seen_scaled"):
        largest.clear()
        members = [member(plain().with_(name), 1)]
        Population(problem("images"), members, SerialStepper()).advance(1)
        found.append(largest[0])
    raw = problem("images").examples
    assert found[0] <= max(float(x.abs().max()) for x in raw.inputs.values())
    assert found[0] != found[1]


def soft_labels(split: Split, settings: Any) -> Split:
    """The targets themselves as probabilities, moved a little towards the uniform ones."""
    assert split.examples.targets is not None
    exact = F.one_hot(split.examples.targets, 2).float()
    return replace(split, soft=(1 - settings.amount) * exact + settings.amount / 2)


class AmountSettings(Settings):
    """Settings of `soft_labels`."""

    amount: float = number(0.1, 0.0, 0.9, "share that is spread over the classes")


def test_soft_labels_are_learned_in_place_of_the_targets(join: Join) -> None:
    join(DataTechnique(name="test_soft", apply=soft_labels, settings=AmountSettings, **TEXT))
    # Label smoothing is the same by another way.
    soft = trained(plain().with_("test_soft", amount=0.2))
    smooth = trained(plain().with_("label_smoothing", amount=0.2))
    torch.testing.assert_close(soft[0].state.weights, smooth[0].state.weights, rtol=1e-4, atol=5e-5)
    mixed = trained(plain(mixup={"alpha": 0.4}).with_("test_soft", amount=0.2))
    assert not torch.allclose(mixed[0].state.weights, soft[0].state.weights, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("regression", lambda s: s, "only a built-in loss of classes"),
        ("own_loss", lambda s: s, "only a built-in loss of classes"),
        ("table", lambda s: s[:, :1], "they must be"),
        ("table", lambda s: 3 * s, "no probabilities"),
        ("table", lambda s: 0.5 * s, "do not add up to 1"),
    ],
)
def test_soft_labels_that_cannot_be_learned_are_refused(
    join: Join, kind: str, change: Callable[[Tensor], Tensor], message: str
) -> None:
    def wrong(split: Split, settings: Any) -> Split:
        return replace(split, soft=change(torch.full((len(split.examples), 2), 0.5)))

    join(DataTechnique(name="test_wrong", apply=wrong, **TEXT))
    with pytest.raises(TrialError, match=f"'test_wrong' gave soft labels.*{message}"):
        Population(problem(kind), [member(plain().with_("test_wrong"), 1)], SerialStepper())


def test_a_loss_of_ones_own_may_give_a_value_for_each_row() -> None:
    one = problem("own_loss")
    own = one.loss
    assert own is not None

    def by_row(out: Any, targets: Tensor) -> Tensor:
        return torch.stack([own(out[i : i + 1], targets[i : i + 1]) for i in range(len(targets))])

    found = []
    for loss in (own, by_row):
        task = replace(one, loss=loss)
        population = Population(task, [member(plain(), 1)], SerialStepper())
        population.advance(4)
        found.append(population.predict(task.examples, ALL_ROWS))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_rows_weights_leave_a_penalty_on_the_models_weights_alone() -> None:
    one, program = problem("table"), Program.of(plain(l1={"strength": 0.01}))
    term = program.loss_term(one.base_loss(), {"l1": {"strength": torch.tensor(0.01)}})
    raw = torch.randn(8, 2, requires_grad=True)
    weights = {"layer": torch.tensor([1.0, -2.0], requires_grad=True)}
    targets = Targets(torch.zeros(8, dtype=torch.int64), weights=torch.zeros(8))
    loss = batch_loss(one, term, raw, targets, weights, several=False)
    by_outputs, by_weights = torch.autograd.grad(loss, [raw, weights["layer"]])
    assert torch.equal(by_outputs, torch.zeros(8, 2))
    torch.testing.assert_close(by_weights, torch.tensor([0.01, -0.01]))
