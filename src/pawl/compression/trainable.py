"""An ONNX graph whose weights can be trained, and its training on what the original predicts.

What needs no training (all that lies in front of the first trained weight) is run by ONNX Runtime; the
rest by PyTorch, operator by operator. So any graph will do that has known operators behind its first
layer, whatever made it: a user's own network, a pruned one, the mean of several.

Shape legend: `B` rows of a batch, `P` one row's prediction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR

from pawl.compression.lessons import lessons
from pawl.compression.operations import OPERATIONS, UntrainableError, attributes
from pawl.compression.work import Work
from pawl.data.types import Examples
from pawl.deployment.export import session
from pawl.errors import BundleError, first_line
from pawl.kinds import KINDS
from pawl.models import OUTPUT

_STEPS, _BATCH, _WARM = 200, 64, 3
_TIME_SHARE = 0.1
"""Of the seconds left, where these are limited, those that one training may take."""
_LEAST = 1e-7


def _same(value: Tensor) -> Tensor:
    return value


@dataclass(frozen=True, eq=False)
class Leaf:
    """A tensor of a graph that is trained.

    Attributes:
        start: Its value at first.
        seen: Returns what the graph computes with, such as rounded values; with gradients.
    """

    start: Tensor
    seen: Callable[[Tensor], Tensor] = _same


class Trainable(nn.Module):
    """A graph as a module.

    Args:
        model: The graph.
        leaves: What is trained, by names of tensors: constants, or what a node makes of constants.

    Raises:
        BundleError: It has an operator behind a trained tensor that is not known here.

    Attributes:
        leaves: The trained values, in the order of `names`.
        names: Of the trained tensors.
    """

    def __init__(self, model: onnx.ModelProto, leaves: Mapping[str, Leaf]) -> None:
        super().__init__()
        self.names = tuple(leaves)
        self.leaves = nn.ParameterList(
            [nn.Parameter(leaf.start.clone()) for leaf in leaves.values()]
        )
        self._seen = [leaf.seen for leaf in leaves.values()]
        moved, self._nodes, front = set(leaves), list[onnx.NodeProto](), list[onnx.NodeProto]()
        for node in model.graph.node:
            if moved & set(node.input) and not moved & set(node.output):
                self._nodes.append(node)
                moved |= set(node.output)
            elif not set(node.output) <= set(leaves):
                front.append(node)
        for node in self._nodes:
            if node.op_type not in OPERATIONS or node.domain not in ("", "ai.onnx"):
                raise BundleError(
                    f"the graph has an operator that cannot be trained ({node.op_type})"
                )
        self._attributes = [attributes(node) for node in self._nodes]
        held = {each.name: each for each in model.graph.initializer}
        wanted = {name for node in self._nodes for name in node.input if name} - moved
        self._constants = {
            name: torch.from_numpy(numpy_helper.to_array(held[name]).copy())
            for name in wanted & set(held)
        }
        given = {item.name for item in model.graph.input}
        self._given = sorted(wanted & given)
        self._front = _Front(model, front, sorted(wanted - given - set(held)))

    def forward(self, inputs: Mapping[str, np.ndarray]) -> Tensor:
        """Returns predictions, `[B, *P]`."""
        known: dict[str, Any] = {**self._constants, **self._front(inputs)}
        known |= {name: torch.from_numpy(inputs[name]) for name in self._given}
        known |= {
            name: seen(value)
            for name, seen, value in zip(self.names, self._seen, self.leaves, strict=True)
        }
        for node, own in zip(self._nodes, self._attributes, strict=True):
            taken = [known[name] if name else None for name in node.input]
            made = OPERATIONS[node.op_type](own, taken)
            known |= zip(node.output, made if isinstance(made, list) else [made], strict=False)
        out: Tensor = known[OUTPUT]
        return out

    def values(self) -> dict[str, Tensor]:
        """Returns the trained values by name."""
        return {n: v.detach().clone() for n, v in zip(self.names, self.leaves, strict=True)}

    def write_to(self, model: onnx.ModelProto) -> None:
        """Puts the trained values in the place of a graph's constants of these names."""
        values = self.values()
        for each in model.graph.initializer:
            if each.name in values:
                each.CopyFrom(numpy_helper.from_array(values[each.name].numpy(), each.name))


class _Front:
    """What lies in front of all that is trained, by ONNX Runtime."""

    def __init__(
        self, model: onnx.ModelProto, nodes: list[onnx.NodeProto], wanted: list[str]
    ) -> None:
        self._wanted, self._session = wanted, None
        if not wanted:
            return
        part = onnx.ModelProto()
        part.CopyFrom(model)
        del part.graph.node[:], part.graph.output[:]
        part.graph.node.extend(nodes)
        part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
        self._session = session(part.SerializeToString())

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        if self._session is None:
            return {}
        feed = {item.name: inputs[item.name] for item in self._session.get_inputs()}
        made = self._session.run(self._wanted, feed)
        return {n: torch.from_numpy(np.array(v)) for n, v in zip(self._wanted, made, strict=True)}


def trained(work: Work, graph: Trainable, rate: float, steps: int | None = None) -> int:
    """Trains a graph in place to predict what the original does, of the rows to learn from.

    Adam with a rate that falls to 0; gradients of norm 1 at most. The loss is the cross-entropy of the
    predicted probabilities, or the squared error in units of the predictions' variance.

    Args:
        work: Rows and what the original predicts of them.
        graph: What is trained.
        rate: The rate at first.
        steps: Batches of 64 rows; fewer are taken where time is short.

    Returns:
        The steps taken.

    Raises:
        BundleError: It cannot be computed or trained.
    """
    taught = lessons(work)
    rows, wanted = taught.rows, torch.from_numpy(np.ascontiguousarray(taught.said)).float()
    variance, size = float(wanted.var().clamp_min(1e-12)), min(_BATCH, len(rows))
    kind, left = KINDS[work.schema.kind], work.left()
    total = steps or _STEPS
    generator = torch.Generator().manual_seed(work.seed)
    optimizer = torch.optim.Adam(graph.parameters(), lr=rate)
    schedule = CosineAnnealingLR(optimizer, total)
    order, at, began = torch.empty(0, dtype=torch.int64), 0, time.monotonic()
    try:
        while at < total:
            if len(order) < size:
                order = torch.randperm(len(rows), generator=generator)
            batch, order = order[:size], order[size:]
            said = graph(arrays(rows, batch))
            if kind.has_classes:
                loss = _of_classes(said, wanted[batch], exclusive=kind.exclusive)
            else:
                loss = (said - wanted[batch]).square().mean() / variance
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(graph.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            at += 1
            if at == _WARM and left is not None:
                each = (time.monotonic() - began) / _WARM
                total = min(total, max(_WARM, int(_TIME_SHARE * max(0.0, left) / each)))
                schedule = CosineAnnealingLR(optimizer, total)
    except (UntrainableError, RuntimeError, ValueError, LookupError, TypeError) as error:
        raise BundleError(f"the graph cannot be trained ({first_line(error)})") from error
    return at


def arrays(rows: Examples, batch: Tensor | None = None) -> dict[str, np.ndarray]:
    """Returns the inputs of some rows, or of all."""
    return {n: (x if batch is None else x[batch]).numpy() for n, x in rows.inputs.items()}


def _of_classes(said: Tensor, wanted: Tensor, *, exclusive: bool) -> Tensor:
    likely = said.clamp(_LEAST, 1.0)
    if exclusive:
        return -(wanted * likely.log()).sum() / len(said)
    return F.binary_cross_entropy(likely.clamp_max(1.0 - _LEAST), wanted)
