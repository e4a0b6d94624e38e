"""What limits, disturbs or leaves out gradients and weights, by its rule."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from problems import member, problem
from techniques.rules import LAYOUT, SHAPES, SIZE, amended, context_of, settings_of
from torch import Tensor, nn

from pawl.models import KeyedDropConnect, freeze
from pawl.recipe import Recipe
from pawl.techniques import GradientTechnique, WeightsTechnique, technique
from pawl.training.fused import FusedStepper
from pawl.training.population import Population


def changed(
    name: str, gradients: Tensor, weights: Tensor, *each: dict[str, float], step: float = 1.0
) -> Tensor:
    found = technique(name)
    assert isinstance(found, GradientTechnique)
    rate = torch.full((len(weights),), 0.1)
    return found.apply(gradients, weights, context_of(step, rate), settings_of(each))


def limited(name: str, weights: Tensor, *each: dict[str, float], rate: float = 0.1) -> Tensor:
    """Returns weights behind one step that left them where they are."""
    found = technique(name)
    assert isinstance(found, WeightsTechnique)
    return amended(found, [weights, torch.zeros_like(weights)], each, rate)


def drawn(members: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(members, SIZE, generator=torch.Generator().manual_seed(seed))


def test_clipping_by_value_is_that_of_pytorch() -> None:
    gradients = drawn()
    found = changed("value_clipping", gradients, drawn(seed=1), {"limit": 0.1}, {"limit": 0.7})
    for i, limit in enumerate((0.1, 0.7)):
        leaf = nn.Parameter(torch.zeros(SIZE))
        leaf.grad = gradients[i].clone()
        nn.utils.clip_grad_value_([leaf], limit)
        assert torch.equal(found[i], leaf.grad)


def test_adaptive_clipping_goes_unit_by_unit() -> None:
    gradients, weights = drawn(), drawn(seed=1)
    weights[0, :3] = 0.0  # a unit of zeros counts as one of 0.001
    gradients[1, 3:6] = 0.0
    found = changed("adaptive_clipping", gradients, weights, {"ratio": 0.02}, {"ratio": 0.9})
    for i, ratio in enumerate((0.02, 0.9)):
        mine, w, g = (LAYOUT.views(x[i]) for x in (found, weights, gradients))
        for name, shape in SHAPES.items():
            rows = range(shape[0]) if len(shape) > 1 else [slice(None)]
            for row in rows:
                most = ratio * max(float(w[name][row].norm()), 1e-3)
                norm = max(float(g[name][row].norm()), 1e-6)
                expected = g[name][row] * min(1.0, most / norm)
                torch.testing.assert_close(mine[name][row], expected)
    torch.testing.assert_close(found[0, :3].norm(), torch.tensor(2e-5))


def test_noise_has_its_deviation_and_fades() -> None:
    nothing = torch.zeros(400, SIZE)
    own = [{"deviation": 0.5}] * 400
    first = changed("gradient_noise", nothing, nothing, *own)
    assert float(first.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(first.std()) == pytest.approx(0.5, rel=0.03)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, changed("gradient_noise", nothing, nothing, *own))
    later = changed("gradient_noise", nothing, nothing, *own, step=1000.0)
    assert float(later.std()) == pytest.approx(0.5 * 1000**-0.275, rel=0.03)


def test_centralized_gradients_have_no_mean_over_inputs() -> None:
    gradients = drawn()
    found = LAYOUT.views(changed("gradient_centralization", gradients, gradients, {}))
    before = LAYOUT.views(gradients)
    for name, shape in SHAPES.items():
        if len(shape) == 1:
            assert torch.equal(found[name], before[name])
        else:
            expected = before[name] - before[name].mean(2, keepdim=True)
            torch.testing.assert_close(found[name], expected)


def test_max_norm_is_a_limit_for_rows_of_matrices() -> None:
    weights = drawn() * torch.tensor([[1.0], [5.0]])
    weights[0, :3] = 0.0
    found = LAYOUT.views(limited("max_norm", weights, {"norm": 1.5}, {"norm": 0.4}))
    before = LAYOUT.views(weights)
    for i, norm in enumerate((1.5, 0.4)):
        for name, shape in SHAPES.items():
            expected = before[name][i]
            if len(shape) > 1:
                expected = torch.renorm(expected, 2, 0, norm)
            torch.testing.assert_close(found[name][i], expected)


def test_proximal_steps_end_at_zero() -> None:
    weights = drawn()
    found = LAYOUT.views(limited("proximal_l1", weights, {"strength": 2.0}, {"strength": 8.0}))
    before = LAYOUT.views(weights)
    for i, threshold in enumerate((0.2, 0.8)):
        for name, shape in SHAPES.items():
            expected = before[name][i]
            if len(shape) > 1:
                expected = nn.functional.softshrink(expected, threshold)
                assert (expected == 0).any()
            torch.testing.assert_close(found[name][i], expected)
            assert torch.equal(found[name][i] == 0, expected == 0)


def test_proximal_l1_makes_zeros_where_l1_makes_none() -> None:
    shares = []
    for name, strength in (("proximal_l1", 0.5), ("l1", 1e-3)):
        recipe = Recipe.of(standardize={}, batch_size={"size": 32}, adamw={"learning_rate": 0.01})
        recipe = recipe.with_(name, strength=strength)
        population = Population(problem("table"), [member(recipe, 1)], FusedStepper())
        population.advance(20)
        matrix = population.layout.views(population.state.weights)["stem.layer.weight"]
        shares.append(float((matrix == 0).float().mean()))
    assert shares[0] > 0.02
    assert shares[1] == 0.0


def test_drop_connect_leaves_out_weights_in_training_alone() -> None:
    stock = nn.Linear(40, 30)
    layer = KeyedDropConnect.of(stock, 0.25)
    assert layer.weight is stock.weight
    x = torch.randn(5, 40)
    layer.eval()
    assert torch.equal(layer(x), stock(x))
    layer.train()
    used = []
    for key in (1, 2):
        layer.key = torch.tensor(key, dtype=torch.int32)
        used.append(layer(torch.eye(40)).T - stock.bias.unsqueeze(1))
    for matrix in used:
        kept = matrix.abs() > 1e-6
        assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.05)
        torch.testing.assert_close(matrix[kept], stock.weight[kept] / 0.75, rtol=1e-3, atol=1e-6)
    assert not torch.equal(used[0] == 0, used[1] == 0)
    assert "rate=0.25" in repr(layer)


def test_drop_connect_leaves_frozen_layers_and_others_alone() -> None:
    class Attended(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.free = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
            self.attention = nn.MultiheadAttention(4, 2)
            self.frozen.requires_grad_(False)

    module = freeze(Attended())
    settings: Any = settings_of([{"rate": 0.2}])
    technique("drop_connect").apply(module, settings, {})
    found = [name for name, m in module.named_modules() if isinstance(m, KeyedDropConnect)]
    assert found == ["free"]
    assert module.free.bias is None
    nothing = dataclasses.replace(problem("table").facts(), module=nn.ReLU())
    assert "no linear layer" in str(technique("drop_connect").fits(nothing))
