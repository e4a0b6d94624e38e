"""Optimizers by their rules: against PyTorch's where it has them, else against the paper's, in loops.

Those that have a counterpart for one flat tensor are held against it by the conformance suite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from problems import ALL_ROWS, member, plain, problem
from techniques.rules import (
    LAYOUT,
    SHAPES,
    SIZE,
    amended,
    context_of,
    layout_of,
    settings_of,
    taken,
)
from torch import Tensor

from pawl.errors import RecipeError
from pawl.techniques import (
    GradientTechnique,
    UpdateTechnique,
    WeightsTechnique,
    excludes,
    technique,
)
from pawl.techniques.optimization.muon import hidden, orthogonalized
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.run import Run
from pawl.training.serial import SerialStepper


def drawn(steps: int, members: int = 2, seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    """Returns first weights and the gradients of some steps, of unlike sizes."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(members, SIZE, generator=generator)
    gradients = [torch.randn(members, SIZE, generator=generator) * 0.5**i for i in range(steps)]
    return weights, gradients


def update(name: str) -> UpdateTechnique:
    found = technique(name)
    assert isinstance(found, UpdateTechnique)
    return found


def by_torch(
    make: Callable[[list[Tensor]], torch.optim.Optimizer],
    names: tuple[str, ...],
    weights: Tensor,
    gradients: list[Tensor],
) -> dict[str, Tensor]:
    """Returns one member's tensors after PyTorch's steps."""
    tensors = {name: LAYOUT.views(weights)[name].clone() for name in names}
    leaves = [torch.nn.Parameter(x) for x in tensors.values()]
    optimizer = make(leaves)
    for gradient in gradients:
        for name, leaf in zip(tensors, leaves, strict=True):
            leaf.grad = LAYOUT.views(gradient)[name].clone()
        optimizer.step()
    return {name: leaf.detach() for name, leaf in zip(tensors, leaves, strict=True)}


ADAFACTOR = (
    {"learning_rate": 0.05, "weight_decay": 0.1},
    {"learning_rate": 0.9, "weight_decay": 0.0},
)


def test_adafactor_is_that_of_pytorch() -> None:
    weights, gradients = drawn(5)
    weights[:, LAYOUT.sizes[0] :] *= 1e-4  # smaller than the least size that counts
    found, state = taken(update("adafactor"), weights, gradients, ADAFACTOR)
    assert sum(x.shape[1] for x in state.values()) == (5 + 3) + (2 + 5) + 5 + 2
    for i, own in enumerate(ADAFACTOR):
        theirs = by_torch(
            lambda leaves, own=own: torch.optim.Adafactor(
                leaves, lr=own["learning_rate"], weight_decay=own["weight_decay"]
            ),
            tuple(SHAPES),
            weights[i],
            [g[i] for g in gradients],
        )
        for name, tensor in theirs.items():
            torch.testing.assert_close(LAYOUT.views(found[i])[name], tensor, rtol=1e-4, atol=1e-6)


def test_adafactor_takes_a_convolution_as_a_matrix_and_unused_weights_as_they_are() -> None:
    layout = layout_of({"conv.weight": (4, 3, 3, 3)})
    flat = layout_of({"conv.weight": (4, 27)})
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(2, 108, generator=generator)
    gradients = [torch.randn(2, 108, generator=generator) for _ in range(3)]
    for gradient in gradients:
        gradient.view(2, 4, 27)[:, 1] = 0.0  # a dead unit
    own = [ADAFACTOR[1]] * 2
    found, _ = taken(update("adafactor"), weights, gradients, own, layout)
    assert torch.equal(found, taken(update("adafactor"), weights, gradients, own, flat)[0])
    assert torch.equal(found.view(2, 4, 27)[:, 1], weights.view(2, 4, 27)[:, 1])


MUON = (
    {"learning_rate": 0.02, "momentum": 0.95, "weight_decay": 0.1},
    {"learning_rate": 0.1, "momentum": 0.8, "weight_decay": 0.01},
)


def test_muon_is_that_of_pytorch_for_hidden_matrices_and_adamw_for_the_rest() -> None:
    weights, gradients = drawn(4)
    assert hidden(LAYOUT) == ("first.weight",)
    found, state = taken(update("muon"), weights, gradients, MUON)
    assert state["exp_avg_sq"].shape == (2, SIZE - 15)
    rest = tuple(name for name in SHAPES if name != "first.weight")
    for i, own in enumerate(MUON):
        mine, theirs = LAYOUT.views(found[i]), [g[i] for g in gradients]
        rate, decay = own["learning_rate"], own["weight_decay"]
        (matrix,) = by_torch(
            lambda leaves, own=own: torch.optim.Muon(
                leaves, lr=own["learning_rate"], momentum=own["momentum"],
                weight_decay=own["weight_decay"], adjust_lr_fn="match_rms_adamw",
            ),
            ("first.weight",), weights[i], theirs,
        ).values()  # fmt: skip
        # PyTorch's iterates in bfloat16.
        torch.testing.assert_close(mine["first.weight"], matrix, rtol=0, atol=0.05 * rate)
        others = by_torch(
            lambda leaves, rate=rate, decay=decay: torch.optim.AdamW(
                leaves, lr=rate, weight_decay=decay
            ),
            rest, weights[i], theirs,
        )  # fmt: skip
        for name, tensor in others.items():
            torch.testing.assert_close(mine[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6)])
def test_orthogonalizing_keeps_directions_and_evens_out_sizes(shape: tuple[int, int]) -> None:
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(2))
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    sizes = u.transpose(1, 2) @ orthogonalized(x) @ v.transpose(1, 2)
    diagonal = sizes.diagonal(dim1=1, dim2=2)
    assert ((diagonal > 0.6) & (diagonal < 1.25)).all()
    torch.testing.assert_close(sizes, torch.diag_embed(diagonal), rtol=0, atol=1e-4)


def test_muon_refuses_a_model_without_a_hidden_matrix() -> None:
    assert "no matrix but the output's" in str(technique("muon").fits(problem("bare").facts()))
    names = layout_of(
        {"w.weight": (3, 3), "scale": (4, 4), "v.weight": (2, 3, 3), "v.bias": (1, 2)}
    )
    assert hidden(names) == ("w.weight",)


LION = (
    {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1},
    {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.95, "weight_decay": 1.0},
)


def test_lion_steps_by_the_sign() -> None:
    weights, gradients = drawn(4)
    found, _ = taken(update("lion"), weights, gradients, LION)
    for i, own in enumerate(LION):
        w, m = weights[i].clone(), torch.zeros(SIZE)
        for gradient in gradients:
            g = gradient[i]
            c = own["beta1"] * m + (1 - own["beta1"]) * g
            w = w - own["learning_rate"] * (c.sign() + own["weight_decay"] * w)
            m = own["beta2"] * m + (1 - own["beta2"]) * g
        torch.testing.assert_close(found[i], w)


LARS = (
    {"learning_rate": 0.1, "momentum": 0.9, "trust": 0.05, "weight_decay": 1e-2},
    {"learning_rate": 0.5, "momentum": 0.5, "trust": 0.01, "weight_decay": 1e-4},
)


def test_lars_goes_by_the_norms_of_matrices() -> None:
    weights, gradients = drawn(4)
    found, _ = taken(update("lars"), weights, gradients, LARS)
    for i, own in enumerate(LARS):
        for name, shape in SHAPES.items():
            w = LAYOUT.views(weights[i])[name].clone()
            v = torch.zeros(shape)
            for gradient in gradients:
                g = LAYOUT.views(gradient[i])[name]
                rate = own["learning_rate"]
                if len(shape) > 1:
                    decay = own["weight_decay"]
                    rate *= own["trust"] * w.norm() / (g.norm() + decay * w.norm())
                    g = g + decay * w
                v = own["momentum"] * v + rate * g
                w = w - v
            torch.testing.assert_close(LAYOUT.views(found[i])[name], w)


LAMB = (
    {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.1},
    {"learning_rate": 0.01, "beta1": 0.8, "beta2": 0.99, "weight_decay": 0.01},
)


def test_lamb_goes_by_the_norms_of_matrices() -> None:
    weights, gradients = drawn(4)
    weights[1, :15] *= 50.0  # the ratio of sizes is limited
    found, _ = taken(update("lamb"), weights, gradients, LAMB)
    for i, own in enumerate(LAMB):
        for name, shape in SHAPES.items():
            w = LAYOUT.views(weights[i])[name].clone()
            m, v = torch.zeros(shape), torch.zeros(shape)
            for t, gradient in enumerate(gradients, start=1):
                g = LAYOUT.views(gradient[i])[name]
                m = own["beta1"] * m + (1 - own["beta1"]) * g
                v = own["beta2"] * v + (1 - own["beta2"]) * g**2
                u = m / (1 - own["beta1"] ** t)
                u = u / ((v / (1 - own["beta2"] ** t)).sqrt() + 1e-6)
                ratio = 1.0
                if len(shape) > 1:
                    u = u + own["weight_decay"] * w
                    ratio = min(float(w.norm() / u.norm()), 10.0)
                w = w - own["learning_rate"] * ratio * u
            torch.testing.assert_close(LAYOUT.views(found[i])[name], w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "each"), [("lars", LARS), ("lamb", LAMB)])
def test_layers_of_zeros_or_without_a_gradient_stay_finite(
    name: str, each: tuple[dict[str, float], ...]
) -> None:
    weights, gradients = drawn(2)
    weights[:, :15] = 0.0
    gradients[0][:, 20:30] = 0.0
    found, _ = taken(update(name), weights, gradients, each)
    assert found.isfinite().all()
    assert not torch.equal(found[:, :15], weights[:, :15])


SCHEDULE_FREE = (
    {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.1},
    {"learning_rate": 0.02, "beta1": 0.95, "beta2": 0.99, "weight_decay": 1e-3},
)


def test_schedule_free_is_the_papers_algorithm() -> None:
    weights, gradients = drawn(5)
    found, state = taken(update("schedule_free"), weights, gradients, SCHEDULE_FREE)
    for i, own in enumerate(SCHEDULE_FREE):
        beta1, beta2, rate = own["beta1"], own["beta2"], own["learning_rate"]
        x = z = y = weights[i].double()
        v, total = torch.zeros(SIZE, dtype=torch.float64), 0.0
        for t, gradient in enumerate(gradients, start=1):
            g = gradient[i].double()
            v = beta2 * v + (1 - beta2) * g**2
            size = rate * math.sqrt(1 - beta2**t)
            z = z - size * g / (v.sqrt() + 1e-8) - size * own["weight_decay"] * y
            total += size**2
            c = size**2 / total
            x = (1 - c) * x + c * z
            y = (1 - beta1) * z + beta1 * x
        torch.testing.assert_close(found[i], y.float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(state["average"][i], x.float(), rtol=1e-4, atol=1e-5)


def test_the_average_of_schedule_free_predicts_and_is_kept() -> None:
    recipe = plain().with_("schedule_free", learning_rate=0.01).with_("early_stopping")
    for stepper in (FusedStepper(), SerialStepper()):
        population = Population(problem("table"), [member(recipe, s) for s in (1, 2)], stepper)
        run = Run(population)
        run.segment()
        weights = population.evaluated()[0]
        assert torch.equal(weights, population.state.slots["average"])
        assert not torch.allclose(weights, population.state.weights, atol=1e-4)
        examples = population.problem.examples
        trained = population.predict(
            examples, ALL_ROWS, (population.state.weights, population.state.buffers)
        )
        assert not torch.equal(population.predict(examples, ALL_ROWS), trained)
        assert torch.equal(run.kept()[0], weights)


@pytest.mark.parametrize("other", ["ema", "lookahead", "batch_norm", "weight_decay"])
def test_schedule_free_excludes_what_its_average_would_not_see(other: str) -> None:
    assert excludes(technique("schedule_free"), technique(other))
    with pytest.raises(RecipeError, match="exclude each other"):
        plain().with_("schedule_free").with_(other)


def test_schedule_free_refuses_a_model_with_batch_normalization() -> None:
    facts = problem("images").facts()
    assert technique("schedule_free").fits(facts) is None
    facts.module.add_module("norm", torch.nn.BatchNorm1d(2))
    assert "batch normalization" in str(technique("schedule_free").fits(facts))


def test_lookahead_draws_weights_back() -> None:
    found = technique("lookahead")
    assert isinstance(found, WeightsTechnique)
    weights, gradients = drawn(7)
    each = ({"interval": 3.0, "share": 0.5}, {"interval": 2.4, "share": 0.25})
    mine = amended(found, [weights, *gradients], each)
    for i, (interval, share) in enumerate([(3, 0.5), (2, 0.25)]):
        fast = slow = weights[i]
        for t, gradient in enumerate(gradients, start=1):
            fast = fast + gradient[i]
            if t % interval == 0:
                fast = slow = slow + share * (fast - slow)
        torch.testing.assert_close(mine[i], fast)


def test_state_behind_the_update_comes_and_goes_with_its_member() -> None:
    recipe = plain().with_("adamw").with_("lookahead", interval=4.0)
    for stepper in (FusedStepper(), SerialStepper()):
        members = [member(recipe, s) for s in (1, 2, 3)]
        population = Population(problem("table"), members, stepper)
        assert set(population.state.slots) == {"exp_avg", "exp_avg_sq", "lookahead.slow"}
        first = population.state.slots["lookahead.slow"].clone()
        population.advance(3)
        assert torch.equal(population.state.slots["lookahead.slow"], first)
        population.advance(1)
        slow = population.state.slots["lookahead.slow"].clone()
        assert torch.equal(slow, population.state.weights)
        population.keep([2, 0])
        assert torch.equal(population.state.slots["lookahead.slow"], slow[[2, 0]])


def test_sharpness_aware_goes_by_the_gradient_at_the_worst_place_near_by() -> None:
    found = technique("sharpness_aware")
    assert isinstance(found, GradientTechnique)
    curvature = torch.tensor([[1.0, 4.0], [2.0, 0.5]])
    weights = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    context = context_of(1.0, torch.ones(2), gradients_at=lambda w: curvature * w)
    settings: Any = settings_of([{"radius": 0.1}, {"radius": 0.2}])
    gradients = found.apply(curvature * weights, weights, context, settings)
    # Of the first, the gradient is [3, 4]: a step of 0.1 along [0.6, 0.8]. The second has none.
    expected = torch.tensor([[3.06, 4.0 * 1.08], [0.0, 0.0]])
    torch.testing.assert_close(gradients, expected)
