"""The networks pawl builds when none is given: plain by default, residual by a technique.

Both keep their `Shape` and rebuild from a changed one, which is how techniques such as depth and
width work: before training, when a rebuilt network is as good as a changed one.

Shape legend: `B` batch, `F` numeric features, `K` categorical columns, `W` width, `O` outputs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pawl.data.ragged import MASK
from pawl.data.types import Inputs, InputSpec, ModelSpec
from pawl.models.layers import flat
from pawl.models.memory import Memory
from pawl.models.readers import EncoderKind, Reader
from pawl.models.unit import Block

EMBEDDING_WIDTH = 8
_SMALLEST_MAP = 4


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What techniques may change of a network that pawl builds.

    Attributes:
        depth: Hidden layers of a table's network; convolutions per stage of an image's.
        width: Units per hidden layer; channels of the first stage (doubled at each halving).
        residual: Add each hidden layer's input to its output.
        encoder: What makes a vector of a text or of another sequence, where there is one.
    """

    depth: int = 2
    width: int
    residual: bool = False
    encoder: EncoderKind = "bag"


class Net(nn.Module):
    """A network that pawl built and can rebuild.

    Attributes:
        spec: Sizes of inputs and outputs.
        shape: What it is built by.
        memory: See `remembered`; who builds it gives the same to all.
    """

    def __init__(self, spec: ModelSpec, shape: Shape) -> None:
        super().__init__()
        self.spec = spec
        self.shape = shape
        self.memory: Memory | None = None

    def rebuilt(self, **changes: Any) -> Net:
        """Returns a fresh network of the same kind with a changed shape."""
        fresh = type(self)(self.spec, dataclasses.replace(self.shape, **changes))
        fresh.memory = self.memory
        return fresh


class TabularNet(Net):
    """A multilayer perceptron over numbers and embedded categories.

    One embedding table serves all columns: codes are shifted into it, so that a batch costs one
    gather however many columns there are.
    """

    offsets: Tensor

    def __init__(self, spec: ModelSpec, shape: Shape | None = None) -> None:
        super().__init__(spec, shape or Shape(width=128))
        width = self.shape.width
        given = [item for item in spec.inputs if not item.is_mask]
        self.names = tuple(item.name for item in given)
        num_features = 0
        self.readers = nn.ModuleDict()
        self.embedding: nn.Embedding | None = None
        for place, item in enumerate(given):
            reader = self.reader(item)
            if reader is not None:
                self.readers[str(place)] = reader
                num_features += reader.features
            elif item.name == "categorical":
                cardinalities = torch.tensor(item.cardinalities)
                self.register_buffer("offsets", cardinalities.cumsum(0) - cardinalities)
                self.embedding = nn.Embedding(int(cardinalities.sum()), EMBEDDING_WIDTH)
                num_features += EMBEDDING_WIDTH * len(item.cardinalities)
            else:
                size = 1
                for length in item.shape:
                    size *= length
                num_features += size + sum(item.missing)
        self.encoders = nn.ModuleDict()
        self.stem = Block(nn.Linear(num_features, width), residual=False)
        self.blocks = nn.Sequential(
            *(
                Block(nn.Linear(width, width), residual=self.shape.residual)
                for _ in range(self.shape.depth - 1)
            )
        )
        self.scale: nn.Module = nn.Identity()
        self.spread: nn.Module = nn.Identity()
        self.out: nn.Module = nn.Linear(width, spec.num_outputs)

    def forward(self, inputs: Inputs) -> Tensor:
        """Maps the table's inputs to `[B, O]`."""
        parts: list[Tensor] = []
        for place, name in enumerate(self.names):
            if (key := str(place)) in self.readers:
                parts.append(self.readers[key](inputs[name], inputs.get(f"{name}{MASK}")))
            elif name == "categorical" and self.embedding is not None:
                parts.append(self.embedding(inputs[name] + self.offsets).flatten(1))
            else:
                parts.append(flat(inputs[name]).to(torch.float32))
            if name in self.encoders:
                parts.append(self.encoders[name](parts[-1]))
        x_BF = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return self.out(self.blocks(self.stem(self.spread(self.scale(x_BF)))))  # type: ignore[no-any-return]

    def reader(self, item: InputSpec) -> Reader | None:
        """Returns what makes a vector of an input, where it is no vector itself."""
        del item
        return None

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the inputs that are numbers, which no reader makes vectors of."""
        kinds = {item.name: item.dtype for item in self.spec.inputs}
        return tuple(
            name for place, name in enumerate(self.names)
            if kinds[name] != "int64" and str(place) not in self.readers
        )  # fmt: skip

    def encode(self, name: str, encoder: nn.Module, num_features: int) -> None:
        """Feeds the first layer, which is made anew, with what `encoder` makes of an input, too.

        Args:
            name: The input, numbers.
            encoder: Maps it, flat, from `[B, F]` to `[B, num_features]`.
            num_features: See `encoder`.
        """
        self.encoders[name] = encoder
        present = self.stem.layer
        assert isinstance(present, nn.Linear)
        self.stem.layer = nn.Linear(present.in_features + num_features, present.out_features)


class SequenceNet(TabularNet):
    """The same over what readers make of texts and other sequences, beside numbers and categories."""

    def reader(self, item: InputSpec) -> Reader | None:
        """Returns what reads a text, or numbers over time."""
        masked = any(other.name == f"{item.name}{MASK}" for other in self.spec.inputs)
        if not item.tokens and len(item.shape) != 2 and not masked:
            return None
        return Reader(
            self.shape.encoder,
            steps=item.shape[0],
            tokens=item.tokens,
            channels=(item.shape[1] if len(item.shape) > 1 else 1) + sum(item.missing),
            units=max(8, self.shape.width // 2),
            depth=self.shape.depth,
            residual=self.shape.residual,
            last=len(item.shape) > 1 and bool(item.features),  # a window of a table
        )


class ImageNet(Net):
    """A small convolutional network: stages at halving resolution down to 4 by 4, then one layer."""

    def __init__(self, spec: ModelSpec, shape: Shape | None = None) -> None:
        super().__init__(spec, shape or Shape(width=16))
        (item,) = spec.inputs
        self.name = item.name
        channels, height, width = item.shape
        size, current, target = min(height, width), channels, self.shape.width
        layers: list[nn.Module] = [Block(_conv(current, target, stride=1), residual=False)]
        current = target
        first = True
        while size > _SMALLEST_MAP:
            target = current if first else 2 * current
            layers.append(Block(_conv(current, target, stride=2), residual=False))
            layers += [
                Block(_conv(target, target, stride=1), residual=self.shape.residual)
                for _ in range(self.shape.depth - 1)
            ]
            current, size, first = target, (size + 1) // 2, False
            height, width = (height + 1) // 2, (width + 1) // 2
        self.blocks = nn.Sequential(*layers)
        self.out = nn.Linear(current * height * width, spec.num_outputs)

    def forward(self, inputs: Inputs) -> Tensor:
        """Maps images to `[B, O]`."""
        return self.out(self.blocks(inputs[self.name]).flatten(1))  # type: ignore[no-any-return]


def _conv(channels_in: int, channels_out: int, *, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)
