"""Layers that are scaled by what comes in, and start where the data is."""

from __future__ import annotations

import torch
from problems import plain, problem
from torch import nn

from pawl.models import Scaled


def test_a_layer_by_hand() -> None:
    layer = Scaled(2, 1)
    layer.weight.data, layer.bias.data = torch.tensor([[1.0, 3.0]]), torch.tensor([5.0])
    torch.testing.assert_close(layer(torch.tensor([[1.0, 2.0]])), torch.tensor([[7.0 * 8.0 + 5.0]]))


def test_a_step_moves_what_layers_say_by_as_much_whatever_they_take() -> None:
    moved = []
    for inputs in (4, 400):
        layer = Scaled(inputs, 1)
        x = torch.randn(2000, inputs, generator=torch.Generator().manual_seed(0))
        before = layer(x)
        with torch.no_grad():
            layer.weight += 0.01 * torch.randn(1, inputs).sign()
        moved.append((layer(x) - before).std(0))
    torch.testing.assert_close(*moved, rtol=0.2, atol=0)


def test_units_start_with_a_deviation_of_one_and_each_is_zero_among_the_rows() -> None:
    one, rows = problem("table"), torch.arange(96)
    front, body, fitted = one.build(plain(ntk={}, depth={"layers": 3}), 4, rows)
    seen: dict[str, torch.Tensor] = {}
    for name, each in body.named_modules():
        assert not isinstance(each, nn.Linear)
        if isinstance(each, Scaled):
            each.register_forward_hook(lambda _, __, said, name=name: seen.update({name: said}))
    with torch.no_grad():
        body(front(fitted.take(one.examples, rows).inputs))
    assert len(seen) == 4
    for name, said in seen.items():
        torch.testing.assert_close(
            said.std(0, correction=0), torch.ones(said.shape[1]), rtol=1e-3, atol=1e-3
        )
        if name != "out":
            assert bool(((said.min(0).values <= 0) & (said.max(0).values >= 0)).all())
    assert not body.get_submodule("out").bias.any()  # type: ignore[union-attr, operator]


def test_other_seeds_start_elsewhere_and_the_same_seed_again_there() -> None:
    one, rows = problem("table"), torch.arange(96)
    first, other, again = (one.build(plain(ntk={}), seed, rows)[1] for seed in (1, 2, 1))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(first.get_parameter("out.weight"), other.get_parameter("out.weight"))
