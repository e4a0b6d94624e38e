"""What the frozen part of a model makes of rows, computed once, where its last layer alone trains.

A probe of a large network costs a pass through the network for each row and step; with what reaches the
last layer kept, it costs as much as a linear model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pawl.data.types import Examples, Inputs
from pawl.models import Front
from pawl.training.fitting import FittedSplit, extended
from pawl.training.program import Program

_NAME = "features"
_MOST = 1 << 26
"""Numbers that are kept for a population, at most."""
_CHUNK = 256
_FEW = 4
Built = tuple[Front, nn.Module, FittedSplit]
"""As `Problem.build` returns them."""


class Head(nn.Module):
    """A model's last layer, under the name that it has in the model; takes features.

    Args:
        name: Its name.
        layer: It.
    """

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self._name = name
        *ahead, own = name.split(".")
        home: nn.Module = self
        for part in ahead:
            home.add_module(part, nn.Module())
            home = home.get_submodule(part)
        home.add_module(own, layer)

    def forward(self, inputs: Inputs) -> Tensor:
        """Maps `[B, F]` to the model's outputs."""
        return self.get_submodule(self._name)(inputs[_NAME])  # type: ignore[no-any-return]


@dataclass(eq=False)
class Features:
    """Features of a population's rows.

    Attributes:
        name: Of the last layer.
        source: Rows whose features are kept, the development rows.
        bodies: Models that differ in what does not train; mostly one.
    """

    name: str
    source: Examples
    bodies: list[nn.Module] = field(default_factory=list)
    _blocks: dict[tuple[int, int], tuple[Front, FittedSplit]] = field(default_factory=dict)
    _kept: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Examples, program: Program, built: Sequence[Built]) -> Features | None:
        """Returns where to keep features; `None` where they are not the same in each step, or too many.

        Args:
            source: The development rows.
            program: What happens in a step.
            built: The first members.
        """
        front, body, _ = built[0]
        name = _head(body)
        if name is None or program.batch:
            return None
        if any(fit.added is not None or fit.known or fit.more for _, _, fit in built):
            return None
        width = _width(front, body, name, source)
        if width is None or width * len(source) * len(built) > _MOST:
            return None
        return cls(name, source)

    def taken(self, built: Sequence[Built]) -> tuple[list[Built], list[tuple[int, int]]]:
        """Returns last layers in the place of models, and by what features of each member go."""
        heads: list[Built] = []
        blocks = []
        for front, body, fit in built:
            block = id(fit), self._alike(body)
            self._blocks[block] = front, fit  # which keeps its id from being used again
            heads.append((Front(()), Head(self.name, body.get_submodule(self.name)), fit))
            blocks.append(block)
        return heads, blocks

    def _alike(self, body: nn.Module) -> int:
        """Returns which of the bodies does the same, but for what trains."""
        mine = dict(body.named_buffers())
        for number, each in enumerate(self.bodies):
            theirs = dict(each.named_buffers())
            if mine.keys() == theirs.keys() and all(torch.equal(mine[n], theirs[n]) for n in mine):
                return number
        self.bodies.append(body)
        return len(self.bodies) - 1

    def whole(self, block: tuple[int, int]) -> tuple[Front, nn.Module]:
        """Returns front and model of a member."""
        return self._blocks[block][0], self.bodies[block[1]]

    def pooled(
        self, fits: Sequence[FittedSplit], blocks: Sequence[tuple[int, int]], places: int
    ) -> tuple[Examples, list[Tensor]]:
        """Returns features of all that the members train on, and where each one's rows are there.

        Args:
            fits: The members' splits.
            blocks: What their features go by.
            places: Members of a compiled step, which wants as many rows each time; 0 without.
        """
        self._kept = {block: x for block, x in self._kept.items() if block in blocks}
        examples, start = self._joined(self.source, blocks)
        missing = (places - len(start)) * len(self.source)
        if missing > 0:
            inputs = {n: extended(x, missing) for n, x in examples.inputs.items()}
            targets = None if examples.targets is None else extended(examples.targets, missing)
            examples = Examples(inputs, targets)
        return examples, [fit.rows + start[block] for fit, block in zip(fits, blocks, strict=True)]

    def placed(
        self, examples: Examples, rows: Tensor, blocks: Sequence[tuple[int, int]]
    ) -> tuple[Examples, Tensor]:
        """Returns features in the place of rows, `[R]` or `[N, R]`, and where these are there."""
        found, start = self._joined(examples, blocks)
        if len(start) == 1:
            return found, rows
        ahead = torch.tensor([start[block] for block in blocks], device=rows.device)
        return found, rows + ahead.unsqueeze(1)

    def _joined(
        self, examples: Examples, blocks: Sequence[tuple[int, int]]
    ) -> tuple[Examples, dict[tuple[int, int], int]]:
        distinct = list(dict.fromkeys(blocks))
        each = [self._features(examples, block) for block in distinct]
        targets = examples.targets
        inputs = {_NAME: each[0] if len(each) == 1 else torch.cat(each)}
        if targets is not None and len(each) > 1:
            targets = torch.cat([targets] * len(each))
        return Examples(inputs, targets), {b: i * len(examples) for i, b in enumerate(distinct)}

    def _features(self, examples: Examples, block: tuple[int, int]) -> Tensor:
        if examples is not self.source:
            return self._computed(examples, block)
        if block not in self._kept:
            self._kept[block] = self._computed(examples, block)
        return self._kept[block]

    def _computed(self, examples: Examples, block: tuple[int, int]) -> Tensor:
        front, body = self.whole(block)
        found = []
        with torch.no_grad():
            for start in range(0, len(examples), _CHUNK):
                part = {n: x[start : start + _CHUNK] for n, x in examples.inputs.items()}
                ((got, _),) = _reaching(front, body, self.name, part)[0]
                found.append(got)
        return torch.cat(found)


def _head(body: nn.Module) -> str | None:
    """Returns the layer that alone trains, where all that is around it is held in evaluation."""
    owners = {name.rpartition(".")[0] for name, _ in body.named_parameters()}
    if len(owners) != 1 or "" in owners:
        return None
    (name,) = owners
    layer, was = body.get_submodule(name), body.training
    body.train()
    still = not any(each.training for each in body.modules() if each is not layer)
    body.train(was)
    plain = next(layer.children(), None) is None and next(layer.buffers(), None) is None
    return name if still and plain else None


def _width(front: Front, body: nn.Module, name: str, source: Examples) -> int | None:
    """Returns how many numbers of a row reach the last layer, where the model returns what it makes."""
    rows = {n: x[:_FEW] for n, x in source.inputs.items()}
    with torch.no_grad():
        calls, raw = _reaching(front, body, name, rows)
    if len(calls) != 1 or not isinstance(raw, Tensor):
        return None
    got, gave = calls[0]
    if gave is not raw or got.dim() < 2 or len(got) != len(next(iter(rows.values()))):
        return None
    return math.prod(got.shape[1:])


def _reaching(
    front: Front, body: nn.Module, name: str, inputs: Inputs
) -> tuple[list[tuple[Tensor, Tensor]], Any]:
    """Returns what a layer got and gave, call by call, and what the model returned."""
    calls: list[tuple[Tensor, Tensor]] = []
    hook = body.get_submodule(name).register_forward_hook(
        lambda _, args, output: calls.append((args[0], output))
    )
    was = body.training
    body.eval()
    try:
        raw = body(front(inputs))
    finally:
        hook.remove()
        body.train(was)
    return calls, raw
