"""Dropout inside of PyTorch's attention: the same as PyTorch's but for what draws it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from problems import ALL_ROWS, images, member, plain, problem_of
from torch import nn
from user_nets_of_sequences import StockEncoder

from pawl.models import KeyedAttention, dropouts
from pawl.task import Task
from pawl.techniques import refusal, technique
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.serial import SerialStepper


@pytest.mark.parametrize(
    "options",
    [
        {"batch_first": True},
        {"add_bias_kv": True, "batch_first": True},
        {"add_zero_attn": True},
        {"kdim": 6, "vdim": 5},
        {"bias": False},
    ],
)
def test_at_a_rate_of_zero_it_is_pytorchs(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    given = nn.MultiheadAttention(8, 2, dropout=0.3, **options)
    for weight in given.parameters():
        nn.init.normal_(weight)
    keyed = KeyedAttention.of(given)
    assert float(keyed.rate) == pytest.approx(0.3)
    query, key, value = (torch.randn(4, 4, options.get(n, 8)) for n in ("", "kdim", "vdim"))
    mask = torch.ones(4, 4, dtype=torch.bool).triu(1)
    expected = given.eval()(query, key, value, attn_mask=mask)
    torch.testing.assert_close(keyed.eval()(query, key, value, attn_mask=mask), expected)
    keyed.train().rate.zero_()
    torch.testing.assert_close(keyed(query, key, value, attn_mask=mask), expected)
    alone = keyed(query, key, value, attn_mask=mask, need_weights=False)
    torch.testing.assert_close(alone[0], expected[0])
    assert alone[1] is None


def test_weights_are_dropped_at_the_rate_by_the_key() -> None:
    keyed = KeyedAttention.of(nn.MultiheadAttention(8, 2, dropout=0.25, batch_first=True))
    x = torch.randn(50, 6, 8)
    one = keyed(x, x, x, average_attn_weights=False)[1]
    assert abs(float((one == 0).float().mean()) - 0.25) < 0.03
    torch.testing.assert_close(keyed(x, x, x, average_attn_weights=False)[1], one)
    keyed.key.fill_(1)
    assert not torch.equal(keyed(x, x, x, average_attn_weights=False)[1], one)


def test_members_draw_in_a_population_as_alone() -> None:
    problem = problem_of(Task(data=images(), model=StockEncoder))
    assert "attention that is there" in str(refusal(technique("self_attention"), problem.facts()))
    recipe = plain().without("standardize").with_("dropout", rate=0.3)
    assert [float(each.rate) for each in dropouts(problem.build(recipe, 0, ALL_ROWS)[1])] == [
        pytest.approx(0.3)
    ] * 8
    members = [member(recipe, seed) for seed in (0, 1)]
    fused = Population(problem, members, FusedStepper()).advance(3)
    serial = Population(problem, members, SerialStepper()).advance(3)
    torch.testing.assert_close(fused, serial, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        Population(problem, members[1:], FusedStepper()).advance(3), fused[1:]
    )
