"""Settings for `diagnosis.py` that nobody had looked at when rules were changed last.

What the set `fresh` told of the rules of decision 79 said what they miss, and decision 81 is about that.
So it judges no more, and this set does: other data, other architectures. It was written down, and its
recipes were chosen by learning curves of a plain loop (`--curves`), before a rule was run on it. Columns
that say what others say were left out by their names.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from diagnosis_fresh import curves, drawn, rows_of, with_rate
from diagnosis_settings import Nets, Random, Setting, Suite
from torch import Tensor, nn
from torch.nn import functional as F


class Named(nn.Module):
    """A perceptron whose layers are looked up by name, each a third narrower than the one before."""

    def __init__(self, spec: Any, width: int = 72, depth: int = 3, act: Any = F.silu) -> None:
        super().__init__()
        sizes = [spec.num_features, width]
        while len(sizes) <= depth:
            sizes.append(max(min(20, width), sizes[-1] * 2 // 3))
        names = [f"level {k}" for k in range(depth)]
        self.parts = nn.ModuleDict(
            {
                name: nn.Linear(a, b)
                for name, (a, b) in zip(names, itertools.pairwise(sizes), strict=True)
            }
        )
        self.act, self.head = act, nn.Linear(sizes[-1], spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        for name in self.parts:
            x = self.act(self.parts[name](x))
        return self.head(x)


class Gated(nn.Module):
    """Gated linear units with skip connections and layer normalization; its front could be cut off."""

    def __init__(self, spec: Any, width: int = 40, cut: bool = False) -> None:
        super().__init__()
        self.entry, self.cut = nn.Linear(spec.num_features, width), cut
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.both = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(2))
        self.back = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.out = nn.Linear(width, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        x = self.entry(x)
        if self.cut:
            x = x.detach()
        for norm, both, back in zip(self.norms, self.both, self.back, strict=True):
            value, gate = both(norm(x)).chunk(2, dim=-1)
            x = x + back(value * torch.sigmoid(gate))
        return self.out(x)


class Columns(nn.Module):
    """Each column a token, attention between them, the mean of what comes out."""

    def __init__(self, spec: Any, width: int = 24) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(spec.num_features, width) / width**0.5)
        self.shift = nn.Parameter(torch.zeros(spec.num_features, width))
        self.mixed = nn.TransformerEncoderLayer(
            width, 3, dim_feedforward=48, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.out = nn.Linear(width, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        return self.out(self.mixed(x[:, :, None] * self.scale + self.shift).mean(1))


class Hourglass(nn.Module):
    """Wide, narrow, wide; batch normalization in front of LeakyReLU."""

    def __init__(self, spec: Any, momentum: float = 0.1) -> None:
        super().__init__()
        sizes = (spec.num_features, 56, 28, 56)
        self.steps = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Linear(a, b), nn.BatchNorm1d(b, momentum=momentum), nn.LeakyReLU(0.1)
                )
                for a, b in itertools.pairwise(sizes)
            )
        )
        self.out = nn.Linear(sizes[-1], spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        return self.out(self.steps(x))


class Depthwise(nn.Module):
    """Convolutions of each channel, then of each pixel, skip connections, group normalization."""

    def __init__(self, spec: Any, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 2, stride=2)
        self.apart = nn.ModuleList(
            nn.Conv2d(width, width, 5, padding=2, groups=width) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for _ in range(2))
        self.up = nn.ModuleList(nn.Conv2d(width, 3 * width, 1) for _ in range(2))
        self.down = nn.ModuleList(nn.Conv2d(3 * width, width, 1) for _ in range(2))
        self.out = nn.Linear(width, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        x = self.stem(x.float())
        for apart, norm, up, down in zip(self.apart, self.norms, self.up, self.down, strict=True):
            x = x + down(F.gelu(up(norm(apart(x)))))
        return self.out(x.mean((2, 3)))


NETS = Nets(plain=Named, cut=Gated, normed=Hourglass)


def computers(random: Random) -> Setting:
    """What a personal computer cost by what is in it; gated units."""
    rows = rows_of("Ecdat", "Computers", "price", random).astype({"price": float})
    return Setting(rows, Gated, with_rate(3e-3), NETS, {"target": "price"}, epochs=24)


def juice(random: Random) -> Setting:
    """Which of two juices was bought, by prices and habits; columns as tokens."""
    rows = rows_of("ISLR", "OJ", "Purchase", random).drop(columns=["STORE", "Store7"])
    return Setting(rows, Columns, with_rate(1e-3), NETS, {"target": "Purchase"}, epochs=10)


def jobs(random: Random) -> Setting:
    """Whether a job of a computing cluster was very fast; batch normalization."""
    rows = rows_of("modeldata", "hpc_data", "class", random)
    rows["class"] = rows["class"].eq("VF").map({True: "fast", False: "slow"})
    return Setting(rows, Hourglass, with_rate(1e-3), NETS, {"target": "class"}, epochs=12)


def photographs(random: Random) -> Setting:
    """Airplanes, frogs and trucks; convolutions of each channel by itself."""
    data = drawn(random, "airplane", "frog", "truck")
    return Setting(data, Depthwise, with_rate(3e-3), NETS, epochs=14)


ANEW = Suite(
    bases={"computers": computers, "juice": juice, "jobs": jobs, "photographs": photographs},
    tables=("computers", "juice", "jobs"),
    labeled=("juice", "jobs"),
    normed=("jobs",),
)


if __name__ == "__main__":
    curves(ANEW)
