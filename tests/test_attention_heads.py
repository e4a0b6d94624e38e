"""Other numbers of heads: as the network would be if it had been written with them, or refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from problems import ALL_ROWS, frame, images, plain, problem_of, words
from torch import Tensor, nn
from torch.nn import functional as F
from user_nets import NETS, EncoderBlock, StockAttention
from user_nets import Attention as FunctionAttention
from user_nets_of_sequences import (
    GPTBlock,
    Llama,
    MultiHeadedAttention,
)

from pawl.errors import TrialError
from pawl.models.heads import Attention, attentions, exchange, nearest
from pawl.models.readers import Attention as PawlAttention
from pawl.task import Task
from pawl.techniques import refusal, technique

STEPS, WIDTH = 5, 16


class Scaled(nn.Module):
    """Keeps what follows from the width of a head."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, WIDTH // heads
        self.scale = self.head_dim**-0.5
        self.layers = 2  # of something else
        self.q, self.kv = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.attn_drop = nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        rows, steps, _ = x.shape
        q = self.q(x).view(rows, steps, self.num_heads, self.head_dim).transpose(1, 2)
        kv = self.kv(x).view(rows, steps, 2, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        scores = (q @ kv[0].transpose(-2, -1)) * self.scale
        seen = self.attn_drop(scores) @ kv[1]
        return seen.transpose(1, 2).flatten(2) / self.layers


class Product(nn.Module):
    """What another module counts the heads of."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.softmax(torch.matmul(q / self.temperature, k.transpose(2, 3)), dim=-1) @ v


class Helped(nn.Module):
    """Attends in a helper, which knows no heads."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.n_head, self.d_k = heads, WIDTH // heads
        self.w = nn.Linear(WIDTH, WIDTH)
        self.product = Product(self.d_k**0.5)

    def forward(self, x: Tensor) -> Tensor:
        q = self.w(x).view(len(x), -1, self.n_head, self.d_k).transpose(1, 2)
        return self.product(q, q, q).transpose(1, 2).flatten(2)


class ByEinsum(nn.Module):
    """Heads stay behind steps."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1).unbind(2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        mask = torch.ones(STEPS, STEPS).tril().bool()
        scores = torch.where(mask, scores, torch.full((), -1e4))
        return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).flatten(2)


class Constant(nn.Module):
    """Has no attribute that says it."""

    def forward(self, x: Tensor) -> Tensor:
        q = x.view(*x.shape[:2], 2, 8).transpose(1, 2)
        return F.scaled_dot_product_attention(q, q, q).transpose(1, 2).flatten(2)


class Annotated(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.inner = MultiHeadedAttention(heads, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x)


class Pawls(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.inner = PawlAttention(WIDTH)
        self.inner.heads, self.inner.width = heads, WIDTH // heads

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, torch.ones_like(x[..., :1]))


class Whole(nn.Module):
    def __init__(self, attends: nn.Module) -> None:
        super().__init__()
        self.attends = attends

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.attends(inputs["x"]).mean(1)


STYLES: dict[str, Callable[[int], nn.Module]] = {
    "function": lambda heads: FunctionAttention(WIDTH, heads),
    "module": lambda heads: StockAttention(WIDTH, heads),
    "block": lambda heads: EncoderBlock(StockAttention(WIDTH, heads), WIDTH),
    "layer": lambda heads: nn.TransformerEncoderLayer(WIDTH, heads, 32, batch_first=True),
    "written": lambda heads: GPTBlock(WIDTH, heads, STEPS),
    "annotated": Annotated,
    "pawl's": Pawls,
    "scaled": Scaled,
    "helped": Helped,
    "einsum": ByEinsum,
}


def sample() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {"x": torch.randn(3, STEPS, WIDTH)}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("heads", "factor", "then"), [(2, 2.0, 4), (4, 0.5, 2), (1, 2.0, 2)])
def test_it_is_as_if_written_with_so_many(style: str, heads: int, factor: float, then: int) -> None:
    """Also where a head is as wide as there are heads."""
    module, wanted = (Whole(STYLES[style](each)).eval() for each in (heads, then))
    wanted.load_state_dict(module.state_dict())
    before = {name: x.clone() for name, x in module.state_dict().items()}
    with torch.no_grad():
        was = module(sample())
        plan = exchange(module, sample(), lambda found: nearest(found, factor))
        assert len(plan.ways) == 1
        assert plan.reasons == ()
        torch.testing.assert_close(module(sample()), wanted(sample()), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(module(sample()), was)
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())
    assert [each.heads for each in attentions(module, sample())] == [then]


def test_what_says_no_number_is_refused_with_its_address() -> None:
    plan = exchange(Whole(Constant()), sample(), lambda found: nearest(found, 2.0))
    assert plan.ways == {}
    assert plan.reasons == ("'attends' has no attribute that says its number of heads, 2",)


def test_one_that_cannot_does_not_keep_others_from_it() -> None:
    both = Whole(nn.Sequential(Constant(), FunctionAttention(WIDTH, 2)))
    plan = exchange(both, sample(), lambda found: nearest(found, 2.0))
    assert list(plan.ways) == ["attends.1"]
    assert "'attends.0'" in plan.reasons[0]
    assert [each.heads for each in attentions(both, sample())] == [2, 4]


@pytest.mark.parametrize(
    ("heads", "width", "factor", "then"),
    [
        (2, 8, 2.0, 4), (2, 8, 0.5, 1), (2, 8, 4.0, 8), (3, 8, 0.5, 2), (12, 64, 0.25, 3),
        (1, 8, 0.5, None), (1, 7, 2.0, None), (2, 8, 0.25, None), (6, 1, 2.0, None),
    ],
)  # fmt: skip
def test_the_nearest_number_that_divides(
    heads: int, width: int, factor: float, then: int | None
) -> None:
    assert nearest(Attention("", heads, width), factor) == then


def why(data: Any, model: Any) -> str | None:
    return refusal(technique("attention_heads"), problem_of(Task(data=data, model=model)).facts())


def test_what_has_a_table_of_one_heads_size_is_refused() -> None:
    reason = why(words(), Llama)
    assert reason is not None
    assert "'layers.0.attention' the model does not run (" in reason


def test_without_attention_it_is_refused() -> None:
    assert "nothing in the model attends" in str(why(frame(), None))
    assert "nothing in the model attends" in str(why(images(), NETS["resnet"]))
    problem = problem_of(Task(data=images(), model=NETS["resnet"]))
    with pytest.raises(TrialError, match="nothing in the model attends"):
        problem.build(plain().with_("attention_heads"), 0, ALL_ROWS)


class Dropping(nn.Module):
    """Attends by PyTorch's function, and drops weights in training."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.qkv, self.head = nn.Linear(8, 48), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.qkv(x.float().flatten(1).unfold(1, 8, 8))
        q, k, v = steps.unflatten(-1, (3, self.heads, -1)).transpose(1, 3).unbind(2)
        rate = 0.1 if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        head: Tensor = self.head(attended.transpose(1, 2).flatten(2).mean(1))
        return head


@pytest.mark.parametrize("others", [(), ("dropout",), ("activation",)])
def test_attention_that_draws_is_seen_where_the_call_is_a_layer(others: tuple[str, ...]) -> None:
    problem = problem_of(Task(data=images(), model=Dropping))
    assert refusal(technique("attention_heads"), problem.facts()) is None
    recipe = plain().with_("attention_heads")
    for name in others:
        recipe = recipe.with_(name)
    body = problem.build(recipe, 0, ALL_ROWS)[1]
    (net,) = (each for each in body.modules() if isinstance(each, Dropping))
    assert net.heads == 8


def test_too_few_heads_are_said() -> None:
    problem = problem_of(Task(data=images(), model=NETS["vit"]))
    recipe = plain().without("standardize").with_("attention_heads", factor=0.25)
    with pytest.raises(TrialError, match=r"divides the 16 numbers of 'blocks\.0\.attn'"):
        problem.build(recipe, 0, ALL_ROWS)
