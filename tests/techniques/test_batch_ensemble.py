"""Members of rank one, against networks whose weights are multiplied out."""

from __future__ import annotations

import copy

import pytest
import torch
from problems import plain, problem
from torch import nn

from pawl.kinds import KINDS
from pawl.models import Pooled, RankOne, predicts_several_times


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(3, 5), nn.Conv2d(3, 5, 3, padding=1), nn.Linear(3, 5, bias=False)],
    ids=["linear", "convolution", "bare"],
)
def test_each_member_is_the_layer_with_weights_times_a_matrix_of_rank_one(
    layer: nn.Linear | nn.Conv2d,
) -> None:
    places = () if isinstance(layer, nn.Linear) else (4, 4)
    one = RankOne(copy.deepcopy(layer), 2, first=True)
    assert set(one.taken.abs().flatten().tolist()) == {1.0}
    with torch.no_grad():
        for parameter in (one.taken, one.made, one.bias):
            parameter.normal_()
    x = torch.randn(6, 3, *places)
    found = one(x)
    assert found.shape == (12, 5, *places)
    for member in range(2):
        own = copy.deepcopy(layer)
        if own.bias is None:
            own = nn.Linear(3, 5)
        with torch.no_grad():
            rank_one = torch.outer(one.made[member].flatten(), one.taken[member].flatten())
            own.weight.copy_(layer.weight * rank_one.view(5, 3, *(1,) * len(places)))
            own.bias.copy_(one.bias[member].flatten())  # type: ignore[union-attr]
        torch.testing.assert_close(found[6 * member : 6 * member + 6], own(x), rtol=1e-4, atol=1e-5)
    # Behind it rows have members already.
    again = RankOne(nn.Linear(5, 2), 2, first=False)
    if not places:
        assert again(found).shape == (12, 2)


@pytest.mark.parametrize("kind", ["table", "regression", "images"])
def test_a_network_predicts_several_times_and_deployed_once(kind: str) -> None:
    one, rows = problem(kind), torch.arange(96)
    recipe = plain(batch_ensemble={"members": 4})
    front, body, _ = one.build(recipe, 0, rows)
    inputs = front(one.examples.take(rows[:7]).inputs)
    assert predicts_several_times(body)
    each = body.train()(inputs)
    assert each.shape == (4, 7, one.schema.num_outputs)
    assert bool(each.std(0).mean() > 0.01)  # they start unlike
    together = body.eval()(inputs)
    predicted = KINDS[one.schema.kind].predictions
    torch.testing.assert_close(predicted(together), predicted(each).mean(0))


def test_what_was_started_from_stays_but_for_signs() -> None:
    one, rows = problem("table"), torch.arange(96)
    bodies = [one.build(recipe, 5, rows)[1] for recipe in (plain(), plain(batch_ensemble={}))]
    plain_stem, stem = (body.get_submodule("stem.layer") for body in bodies)
    assert isinstance(stem, RankOne)
    torch.testing.assert_close(stem.layer.weight, plain_stem.weight)
    torch.testing.assert_close(stem.bias[2, 0], plain_stem.bias)
    assert isinstance(bodies[1].get_submodule("out"), Pooled)


def test_other_layers_have_members_too() -> None:
    one, rows = problem("images"), torch.arange(96)
    recipe = plain(batch_ensemble={"members": 2}, separable={}, global_pooling={})
    front, body, _ = one.build(recipe, 0, rows)
    ranks = [each for each in body.modules() if isinstance(each, RankOne)]
    linear = [each for each in body.modules() if isinstance(each, nn.Linear | nn.Conv2d)]
    assert len(ranks) == len(linear) > 4
    assert any(getattr(each, "groups", 1) > 1 for each in linear)
    inputs = front(one.examples.take(rows[:7]).inputs)
    assert body.train()(inputs).shape == (2, 7, one.schema.num_outputs)
    assert body.eval()(inputs).shape == (7, one.schema.num_outputs)
