"""What makes a vector of the steps of a row: tokens of a text, or numbers over time.

A reader maps steps `[B, T, D]` and what is there of them, 1 or 0, `[B, T, 1]`, to a vector `[B, E]`.
Steps that are not there change nothing. Long rows are made shorter first, by layers that see several
steps at once, so that what a step costs is bounded. Activations see channels first, `[B, C, L]`, as
those of images do, so that what techniques put around them is in place.

Shape legend: `B` rows, `T` steps, `L` steps after shortening, `D` numbers of a step, `C` channels, `E`
numbers of the vector, `H` heads.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.models.unit import Block

EncoderKind = Literal["bag", "convolution", "recurrent", "attention"]
TOKEN_WIDTH = 32
_DEVIATION = 0.03
"""Of first embeddings: what tokens say is learned soonest where steps are large beside them."""
_HEADS = 4
_FAR = -1e4
_LONGEST = {"convolution": 256, "recurrent": 128, "attention": 128}


class Steps(nn.Module):
    """Makes steps of an input, and says which are there: `[B, T, D]` and `[B, T, 1]`.

    Args:
        tokens: How many token ids there are; 0 for numbers, `[B, T, D]` or `[B, T]`.
        channels: `D` of numbers.
    """

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.embedding: nn.Embedding | None = None
        self.width = TOKEN_WIDTH if tokens else channels
        if tokens:
            self.embedding = nn.Embedding(tokens, TOKEN_WIDTH)
            nn.init.normal_(self.embedding.weight, std=_DEVIATION)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Embeds tokens; what is not there may have any values."""
        if self.embedding is not None:
            return self.embedding(x), (x > 0).to(torch.float32).unsqueeze(-1)
        x = x.to(torch.float32)
        x = x.unsqueeze(-1) if x.dim() == 2 else x
        there = torch.ones_like(x[..., :1]) if mask is None else mask.to(x.dtype).unsqueeze(-1)
        return x, there


def pooled(x: Tensor, there: Tensor) -> Tensor:
    """Returns mean and maximum over the steps that are there, `[B, 2 D]`; 0 where there are none."""
    some = there.amax(1)
    mean = (there.transpose(1, 2) @ x).squeeze(1) / there.sum(1).clamp_min(1.0)
    return torch.cat([mean, (x + _FAR * (1.0 - there)).amax(1) * some], dim=1)


class Bag(nn.Module):
    """Mean and maximum of the steps, in any order; numbers go through a layer first.

    Joulin et al., Bag of Tricks for Efficient Text Classification, 2017; the maximum is ours.
    """

    def __init__(self, width: int, channels: int, *, layered: bool) -> None:
        super().__init__()
        self.layer = Block(nn.Conv1d(width, channels, 1), residual=False) if layered else None
        self.features = 2 * (channels if layered else width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Pools."""
        if self.layer is not None:
            x = self.layer(x.transpose(1, 2)).transpose(1, 2)
        return pooled(x, there)


class Shortened(nn.Module):
    """A convolution over a few steps that leaves at most so many: `[B, T, D]` to `[B, C, L]`."""

    def __init__(self, steps: int, width: int, channels: int, longest: int) -> None:
        super().__init__()
        self.stride = 1
        while -(-steps // self.stride) > longest:
            self.stride *= 2
        self.steps = -(-steps // self.stride)
        reach = max(2, self.stride)
        self.convolution = nn.Conv1d(
            width, channels, 2 * reach + 1, stride=self.stride, padding=reach
        )

    def forward(self, x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Shortens; returns what is there as `[B, 1, L]`."""
        left = there[:, :: self.stride].transpose(1, 2)
        return self.convolution((x * there).transpose(1, 2)) * left, left


class Convolutions(nn.Module):
    """Dilated convolutions, their mean and maximum over time.

    Bai, Kolter and Koltun, An Empirical Evaluation of Generic Convolutional and Recurrent Networks for
    Sequence Modeling, 2018 (dilation 2 for each layer); Kim, Convolutional Neural Networks for Sentence
    Classification, 2014 (the maximum over time).
    """

    def __init__(
        self, steps: int, width: int, channels: int, depth: int, *, residual: bool
    ) -> None:
        super().__init__()
        self.first = Shortened(steps, width, channels, _LONGEST["convolution"])
        self.activation = nn.ReLU()
        self.blocks = nn.ModuleList(
            Block(
                nn.Conv1d(channels, channels, 3, padding=2**at, dilation=2**at), residual=residual
            )
            for at in range(1, depth)
        )
        self.features = 2 * channels

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Convolves and pools."""
        x, left = self.first(x, there)
        x = self.activation(x)
        for block in self.blocks:
            x = block(x * left)
        return pooled(x.transpose(1, 2), left.transpose(1, 2))


class Recurrence(nn.Module):
    """A gated recurrent layer whose gates see the present step alone, one half of it backwards.

    `h_t = (1 - z_t) h_{t-1} + z_t v_t` with `z = sigmoid(W x + b)` and `v = V x + c`, `[B, L, C]` to
    `[B, L, C]`. As gates do not depend on `h`, all steps are taken at once, by doubling: `ceil(log2 L)`
    operations on whole rows in place of `L` small ones. Where a step is not there, `h` stays.

    Feng et al., Were RNNs All We Needed?, 2024 (the minimal GRU), for GRUs by Cho et al., 2014.
    """

    def __init__(self, steps: int, channels: int) -> None:
        super().__init__()
        self.reaches = tuple(2**at for at in range((steps - 1).bit_length()))
        self.units = channels // 2
        self.gates = nn.ModuleList(nn.Linear(channels, self.units) for _ in range(2))
        self.values = nn.ModuleList(nn.Linear(channels, self.units) for _ in range(2))

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Runs over the steps, first to last and last to first."""
        ways = ((x, there), (x.flip(1), there.flip(1)))
        new = [
            torch.sigmoid(gate(y)) * some for gate, (y, some) in zip(self.gates, ways, strict=True)
        ]
        value = [layer(y) for layer, (y, _) in zip(self.values, ways, strict=True)]
        both = torch.cat(new, dim=-1)
        kept, state = 1.0 - both, both * torch.cat(value, dim=-1)
        for reach in self.reaches:
            # What was seen up to so many steps before is carried on.
            state = state + kept * F.pad(state[:, :-reach], (0, 0, reach, 0))
            if reach != self.reaches[-1]:
                kept = kept * F.pad(kept[:, :-reach], (0, 0, reach, 0))
        return torch.cat([state[..., : self.units], state[..., self.units :].flip(1)], dim=-1)


class Recurrent(nn.Module):
    """Recurrent layers in both directions, their mean and maximum over time."""

    def __init__(self, steps: int, width: int, channels: int, depth: int) -> None:
        super().__init__()
        self.first = Shortened(steps, width, channels, _LONGEST["recurrent"])
        layers = max(1, depth - 1)
        self.layers = nn.ModuleList(Recurrence(self.first.steps, channels) for _ in range(layers))
        self.mixers = nn.ModuleList(
            Block(nn.Conv1d(channels, channels, 1), residual=True) for _ in range(layers)
        )
        self.features = 2 * channels

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Runs both ways and pools."""
        x, left = self.first(x, there)
        there = left.transpose(1, 2)
        for layer, mixer in zip(self.layers, self.mixers, strict=True):
            x = mixer(layer(x.transpose(1, 2), there).transpose(1, 2))
        return pooled(x.transpose(1, 2), there)


class Attention(nn.Module):
    """Heads that each look at all steps: `[B, L, C]` to `[B, L, C]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = math.gcd(channels, _HEADS)
        self.width = channels // self.heads
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Attends; steps that are not there are not looked at.

        `there` may be told for each step that looks, `[1, L, L]`: what is seen, then who sees it.
        """
        rows, steps = x.shape[0], x.shape[1]
        parts = self.query_key_value(x).view(rows, steps, 3, self.heads, self.width)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, L, C / H]
        hidden = _FAR * (1.0 - there.transpose(1, 2).unsqueeze(1))  # [B, 1, 1 or L, L]
        likeness = query @ key.transpose(-1, -2) / math.sqrt(self.width) + hidden
        seen = (likeness.softmax(-1) @ value).transpose(1, 2)
        out: Tensor = self.out(seen.reshape(rows, steps, self.heads * self.width))
        return out


class AttentionBlock(nn.Module):
    """Attention and a layer for each step, each behind a normalization and added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = Attention(channels)
        self.wide, self.activation = nn.Linear(channels, 2 * channels), nn.ReLU()
        self.narrow = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Maps `[B, L, C]` to `[B, L, C]`."""
        x = x + self.attention(self.before(x), there)
        out: Tensor = x + self.narrow(self.activation(self.wide(self.between(x))))
        return out


class Attentive(nn.Module):
    """A small encoder of attention, its mean and maximum over time.

    Vaswani et al., Attention Is All You Need, 2017; normalized before, as Xiong et al., On Layer
    Normalization in the Transformer Architecture, 2020, with learned places.
    """

    def __init__(self, steps: int, width: int, channels: int, depth: int) -> None:
        super().__init__()
        self.first = Shortened(steps, width, channels, _LONGEST["attention"])
        self.places = nn.Parameter(0.02 * torch.randn(self.first.steps, channels))
        self.blocks = nn.ModuleList(AttentionBlock(channels) for _ in range(max(1, depth - 1)))
        self.features = 2 * channels

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Attends and pools."""
        x, left = self.first(x, there)
        x, there = x.transpose(1, 2) + self.places, left.transpose(1, 2)
        for block in self.blocks:
            x = block(x, there)
        return pooled(x, there)


class Reader(nn.Module):
    """Steps of an input, and what makes a vector of them.

    Args:
        kind: What.
        steps: `T`.
        tokens: As `Steps` has it.
        channels: `D` of numbers.
        units: `C`; a multiple of 8.
        depth: Layers, what shortens rows among them.
        residual: Whether convolutions add their input.
        last: Whether the last step is told beside, as it is: of a series it says most, and what is
            pooled over time hardly tells it.

    Attributes:
        features: `E`.
    """

    def __init__(
        self,
        kind: EncoderKind,
        *,
        steps: int,
        tokens: int,
        channels: int,
        units: int,
        depth: int,
        residual: bool,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.steps = Steps(tokens, channels)
        width = self.steps.width
        if kind == "bag":
            self.core: nn.Module = Bag(width, units, layered=not tokens)
        elif kind == "convolution":
            self.core = Convolutions(steps, width, units, depth, residual=residual)
        elif kind == "recurrent":
            self.core = Recurrent(steps, width, units, depth)
        else:
            self.core = Attentive(steps, width, units, depth)
        self.features = int(self.core.features)
        # Of a text what else is seen comes beside the bag, which is hard to beat on few texts.
        self.beside = bool(tokens) and kind != "bag"
        if self.beside:
            self.features += 2 * width
        self.last = last
        if last:
            self.features += width

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Maps an input to `[B, E]`."""
        steps, there = self.steps(x, mask)
        parts = [self.core(steps, there)]
        if self.beside:
            parts.insert(0, pooled(steps, there))
        if self.last:
            parts.append(steps[:, -1])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
