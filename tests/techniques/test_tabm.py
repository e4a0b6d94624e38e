"""Many predictors in one network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from problems import plain, problem
from torch import Tensor
from torch.nn import functional as F

from pawl.kinds import KINDS, KindName
from pawl.models import MemberHeads, Spread
from pawl.techniques import Targets, technique
from pawl.training.steps import batch_loss

MEMBERS = 8


def test_each_member_sees_the_rows_in_its_own_scale() -> None:
    scale, x = torch.randn(3, 4), torch.randn(5, 4)
    spread = Spread(scale)(x).view(3, 5, 4)
    for member in range(3):
        torch.testing.assert_close(spread[member], x * scale[member])


@pytest.mark.parametrize("name", ["binary", "multilabel", "multitarget"])
def test_deployed_members_predict_their_mean(name: KindName) -> None:
    kind = KINDS[name]
    heads = MemberHeads(3, 6, 2, kind)
    x = torch.randn(3 * 5, 6)
    each = heads.train()(x)
    assert each.shape == (3, 5, 2)
    torch.testing.assert_close(each[1], x[5:10] @ heads.weight[1] + heads.bias[1])
    together = heads.eval()(x)
    torch.testing.assert_close(kind.predictions(together), kind.predictions(each).mean(0))


def test_the_loss_is_the_mean_of_the_members_losses() -> None:
    one = problem("table")
    raw, targets = torch.randn(MEMBERS, 12, 2), torch.randint(0, 2, (12,))
    weights, partners = torch.rand(12), torch.randint(0, 2, (12,))

    def loss(**more: Any) -> Tensor:
        return batch_loss(one, one.base_loss(), raw, Targets(targets, **more), {}, several=True)

    each = torch.stack([F.cross_entropy(out, targets) for out in raw])
    torch.testing.assert_close(loss(), each.mean())
    mixed = torch.stack([F.cross_entropy(out, partners) for out in raw])
    torch.testing.assert_close(
        loss(partner=Targets(partners), share=torch.full((12,), 0.7)),
        0.7 * each.mean() + 0.3 * mixed.mean(),
    )
    # Rows' weights reach the gradient, each member's alike.
    leaf = raw.requires_grad_()
    (found,) = torch.autograd.grad(loss(weights=weights), leaf)
    losses = torch.stack([F.cross_entropy(out, targets, reduction="none") for out in leaf])
    (wanted,) = torch.autograd.grad((losses * weights).mean(), leaf)
    torch.testing.assert_close(found, wanted)


def test_it_makes_several_predictions_of_a_row_only_in_training() -> None:
    one = problem("table")
    recipe = plain(tabm={"members": MEMBERS}, piecewise_linear={"bins": 8}, layer_norm={})
    front, body, _ = one.build(recipe, 0, torch.arange(96))
    inputs = front(one.examples.inputs)
    count = len(one.examples)
    assert body.train()(inputs).shape == (MEMBERS, count, one.schema.num_outputs)
    assert body.eval()(inputs).shape == (count, one.schema.num_outputs)


def test_it_is_for_networks_that_pawl_builds_for_tables() -> None:
    assert technique("tabm").fits(problem("table").facts()) is None
    assert "builds for tables" in str(technique("tabm").fits(problem("images").facts()))
