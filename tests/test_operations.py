"""What is seen of a module: every operation, its address, and what flows between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.models.operations import forget_paths, listen, traced

X = torch.ones(3, 4)
SEQUENCE = torch.ones(2, 3, 4)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.layer(x), inplace=True)
        out += x
        return out


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Twice()
        self.empty = nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        x = self.empty(self.block(self.block(x)))
        assert x.shape[1] == 4
        return F.dropout(x, 0.5, self.training) if self.training else x.sum(1)


def test_operations_have_addresses_and_are_joined_by_tensors() -> None:
    trace, copied = traced(Net(), lambda m: m(X))
    assert [op.address for op in trace.operations] == [
        "block.layer", "block:relu0", "block:add_0", "block.layer#1", "block:relu0", "block:add_0",
        ":sum0",
    ]  # fmt: skip
    linear, relu, add, again, *_, last = trace.operations
    assert linear.layer is copied.get_submodule("block.layer")
    assert relu.inputs == linear.outputs
    assert relu.outputs != relu.inputs  # changed in place, it is another value
    assert add.inputs == (*relu.outputs, *linear.inputs)
    assert again.inputs == add.outputs
    assert last.outputs == trace.results
    assert trace.shapes[trace.results[0]] == (3,)
    first, second = trace.calls_of("block")
    assert (first.first, first.behind, second.first) == (0, 3, 3)
    assert second.inputs == first.outputs == add.outputs


def test_what_returns_its_argument_is_no_operation() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.float().contiguous() + x.mul(2)

    trace, _ = traced(Same(), lambda m: m(X))
    assert [op.name for op in trace.operations] == ["mul", "add"]
    twice, both = trace.operations
    assert both.inputs == (twice.inputs[0], twice.outputs[0])


def test_training_is_another_forward() -> None:
    trace, _ = traced(Net(), lambda m: m(X), training=True)
    assert trace.operations[-1].address == ":dropout0"


def test_layers_are_one_operation_whatever_they_call() -> None:
    module = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    trace, _ = traced(module.self_attn, lambda m: m(SEQUENCE, SEQUENCE, SEQUENCE)[0])
    assert [op.name for op in trace.operations] == ["MultiheadAttention"]


def test_listening_ends() -> None:
    net = Net()
    listen(net)
    forget_paths(net)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert net(X).shape == (3, 4)
