"""What reads texts and sequences: by hand, by libraries, and whatever is padded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from problems import problem
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from torch import Tensor, nn

from pawl.data.types import InputSpec, ModelSpec
from pawl.models import EncoderKind, SequenceNet, Shape, TokenBag
from pawl.models.readers import Attention, Reader, Recurrence, Shortened, pooled

KINDS: tuple[EncoderKind, ...] = ("bag", "convolution", "recurrent", "attention")
TOKENS, STEPS = 50, 21


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def reader(kind: EncoderKind, *, tokens: int = TOKENS, steps: int = STEPS) -> Reader:
    made = Reader(
        kind, steps=steps, tokens=tokens, channels=3, units=16, depth=3, residual=True
    ).eval()
    with torch.no_grad():
        for weights in made.parameters():  # first embeddings are too small to see differences by
            weights.copy_(0.3 * torch.randn_like(weights))
    return made


def texts(lengths: tuple[int, ...] = (21, 13, 1, 0), steps: int = STEPS) -> Tensor:
    ids = torch.randint(2, TOKENS, (len(lengths), steps))
    return torch.where(torch.arange(steps) < torch.tensor(lengths)[:, None], ids, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_says_how_wide_it_is_also_of_nothing(kind: EncoderKind) -> None:
    made = reader(kind)
    found = made(texts(), None)
    assert found.shape == (4, made.features)
    assert found.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_bag_does_not_care_for_the_order_of_steps(kind: EncoderKind) -> None:
    made, ids = reader(kind), texts((21, 21))
    same = torch.allclose(made(ids, None), made(ids.flip(1), None), atol=1e-5)
    assert same == (kind == "bag")


@pytest.mark.parametrize("kind", KINDS)
def test_steps_that_are_not_there_change_nothing(kind: EncoderKind) -> None:
    made, numbers = reader(kind, tokens=0), torch.randn(2, STEPS, 3)
    mask = torch.ones(2, STEPS, dtype=torch.int64)
    mask[1, 13:] = 0
    other = torch.where(mask.unsqueeze(-1) > 0, numbers, 7.0)
    torch.testing.assert_close(made(numbers, mask), made(other, mask))
    assert not torch.allclose(made(numbers, mask)[1], made(numbers, None)[1], atol=1e-3)


def test_mean_and_maximum_are_of_what_is_there() -> None:
    x = torch.tensor([[[1.0], [-3.0], [9.0]], [[-2.0], [0.0], [0.0]], [[5.0], [5.0], [5.0]]])
    there = torch.tensor([[[1.0], [1.0], [0.0]], [[1.0], [0.0], [0.0]], [[0.0], [0.0], [0.0]]])
    assert pooled(x * there, there).tolist() == [[-1.0, 1.0], [-2.0, -2.0], [0.0, 0.0]]


@pytest.mark.parametrize("steps", [1, 2, 5, 8, 13])
def test_a_recurrence_is_what_a_loop_over_the_steps_computes(steps: int) -> None:
    layer, x = Recurrence(steps, 8), torch.randn(3, steps, 8)
    there = torch.ones(3, steps, 1)
    there[1, max(1, steps - 2) :] = 0
    found = layer(x, there)
    for way in (0, 1):
        inputs, some = (x, there) if way == 0 else (x.flip(1), there.flip(1))
        state, states = torch.zeros(3, 4), []
        for step in range(steps):
            gate = torch.sigmoid(layer.gates[way](inputs[:, step])) * some[:, step]
            state = (1 - gate) * state + gate * layer.values[way](inputs[:, step])
            states.append(state)
        wanted = torch.stack(states, 1) if way == 0 else torch.stack(states, 1).flip(1)
        torch.testing.assert_close(found[..., 4 * way : 4 * way + 4], wanted)


def test_attention_is_that_of_torch() -> None:
    layer, theirs = Attention(16), nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(layer.query_key_value.weight)
        theirs.in_proj_bias.copy_(layer.query_key_value.bias)
        theirs.out_proj.load_state_dict(layer.out.state_dict())
    x, there = torch.randn(2, 9, 16), torch.ones(2, 9, 1)
    there[1, 5:] = 0
    wanted, _ = theirs(x, x, x, key_padding_mask=there.squeeze(-1) == 0, need_weights=False)
    torch.testing.assert_close(layer(x, there), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("steps", "stride", "left"), [(20, 1, 20), (256, 1, 256), (257, 2, 129), (1024, 4, 256)]
)
def test_long_rows_are_made_shorter(steps: int, stride: int, left: int) -> None:
    layer = Shortened(steps, 3, 8, 256)
    x, there = torch.randn(2, steps, 3), torch.ones(2, steps, 1)
    found, some = layer(x, there)
    assert (layer.stride, layer.steps) == (stride, left)
    assert (found.shape, some.shape) == ((2, 8, left), (2, 1, left))
    # No step is passed over.
    x.requires_grad_()
    layer(x, there)[0].square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax((0, 2)) > 0).all()


def test_a_text_beside_numbers_and_categories_makes_one_vector() -> None:
    inputs = (
        InputSpec(name="numeric", shape=(2,), dtype="float32", features=("a", "b"),
                  missing=(False, True)),
        InputSpec(name="categorical", shape=(1,), dtype="int64", features=("c",), cardinalities=(4,)),
        InputSpec(name="text", shape=(STEPS,), dtype="int64", features=("t",), tokens=TOKENS),
    )  # fmt: skip
    net = SequenceNet(ModelSpec(inputs, 2, "binary"), Shape(width=32)).eval()
    rows = {
        "numeric": torch.randn(4, 3), "categorical": torch.randint(4, (4, 1)), "text": texts(),
    }  # fmt: skip
    before = net(rows)
    assert before.shape == (4, 2)
    for name, x in rows.items():
        changed = {**rows, name: x + 1 if x.is_floating_point() else x.clamp_min(1) - 1}
        assert not torch.equal(net(changed), before), name


def test_counted_tokens_are_those_of_scikit_learn() -> None:
    ids = problem("tokens").examples.inputs["text"]
    tokens = int(ids.max()) + 1
    counts = np.stack([np.bincount(row, minlength=tokens) for row in ids.numpy()])
    counts[:, :2] = 0
    wanted = TfidfTransformer(sublinear_tf=True).fit(counts).transform(counts)
    bag = TokenBag(tokens, latent=False)
    bag.fit(ids)
    np.testing.assert_allclose(bag.weighed(ids).toarray(), wanted.toarray(), atol=1e-6)
    np.testing.assert_allclose(bag(ids).numpy(), wanted.toarray(), atol=1e-6)
    latent = TokenBag(tokens, latent=True)
    latent.fit(ids)
    theirs = TruncatedSVD(32, random_state=0).fit(bag.weighed(ids)).transform(wanted)
    np.testing.assert_allclose(latent(ids).numpy(), theirs, atol=1e-5)
    empty = torch.zeros(2, ids.shape[1], dtype=torch.int64)
    assert not bag(empty).any()
    assert not latent(empty).any()


def test_few_rows_have_few_components() -> None:
    ids = problem("tokens").examples.inputs["text"][:12]
    bag = TokenBag(600, latent=True)
    bag.fit(ids)
    assert bag.basis.shape == (600, 3)
