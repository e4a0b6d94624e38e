"""What strong networks for tables are made of: scales, embeddings, activations."""

from __future__ import annotations

import pytest
import torch
from problems import plain, problem
from torch import nn

from pawl.data.types import Examples
from pawl.models import InputScale, Parametric, TabularNet
from pawl.models.surgery import activations
from pawl.techniques import Settings, Split
from pawl.techniques.data.robust_scale import robust_scale


def body(**tables: dict) -> TabularNet:
    _, found, _ = problem("table").build(plain(**tables), 0, torch.arange(96))
    assert isinstance(found, TabularNet)
    return found


def test_robust_scale_by_hand() -> None:
    one = problem("table")
    rows = torch.arange(96)
    recipe = plain(robust_scale={}).without("standardize")
    front, _, _ = one.build(recipe, 0, rows)
    noise = one.examples.inputs["numeric"][:, -1]  # a column without gaps
    train = noise[rows].double()
    spread = train.quantile(0.75) - train.quantile(0.25)
    names = [name for spec in one.schema.inputs for name in spec.features if spec.name == "numeric"]
    found = front(one.examples.inputs)["numeric"][:, names.index("noise")]
    middle = float(train.quantile(0.5))
    z = (noise - middle) / float(spread)
    torch.testing.assert_close(found, z / (1 + (z / 3) ** 2).sqrt(), rtol=1e-4, atol=1e-5)
    assert front(one.examples.inputs)["numeric"].abs().max() <= 3.0


def test_a_column_whose_quartiles_are_equal_is_scaled_by_its_range() -> None:
    x = torch.zeros(100, 2)
    x[0, 0] = 8.0
    split = Split(Examples({"x": x}, torch.zeros(100)), torch.arange(100), ())
    layers = robust_scale(split, Settings()).layers
    out = {"x": x}
    for layer in layers:
        out = layer(out)
    assert float(out["x"][0, 0]) == pytest.approx(2.0 / (1 + 4 / 9) ** 0.5)
    assert (out["x"][:, 1] == 0).all()


def test_a_network_starts_as_it_was_with_learned_scales_and_activations() -> None:
    one, rows = problem("table"), torch.arange(96)
    outputs = []
    for tables in ({}, {"input_scale": {}, "parametric_activation": {}}):
        front, found, _ = one.build(plain(**tables), 3, rows)
        found.eval()
        outputs.append(found(front(one.examples.inputs)))
    torch.testing.assert_close(*outputs)


def test_units_have_activations_of_their_own() -> None:
    found = body(parametric_activation={}, activation={"function": "mish"}, layer_norm={})
    mine = [m for m in found.modules() if isinstance(m, Parametric)]
    assert [m.change.shape for m in mine] == [torch.Size([128])] * 2
    assert not any(isinstance(m, nn.Mish) for m in found.modules())
    # Normalization goes in front of the whole, not between it and what it mixes in.
    names = activations(found)
    assert all(isinstance(found.get_submodule(name), Parametric) for name in names)


def test_the_learned_scale_is_of_what_the_first_layer_gets() -> None:
    found = body(input_scale={}, piecewise_linear={"bins": 8}, tabm={"members": 8})
    assert isinstance(found.scale, InputScale)
    assert isinstance(found.stem.layer, nn.Linear)
    assert found.scale.change.shape == (found.stem.layer.in_features,)


def test_embeddings_are_one_of_a_group() -> None:
    found = body(periodic={"frequencies": 8})
    numbers = 5 - 2 + 1  # two numbers, one of them flagged, and noise
    assert found.encoders["numeric"].weight.shape == (numbers, 8, 3)
    recipe = plain(periodic={}).with_("piecewise_linear")
    assert "periodic" not in recipe
