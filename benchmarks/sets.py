"""Data sets for `techniques.py` beside tables and plain images: texts, sequences, nets of a user's own.

Networks of a user's own start from weights that were learned here before, on classes of the same images
that are not among those of the task: what is measured of fine-tuning is so of real, if small, transfer.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import running
import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS, BATCH, RATE = 600, 64, 3e-3
"""Of the first learning."""
_FEW, _MORE = 40, 150
"""Images of each class that a task has, of digits and of CIFAR-10."""
_LENGTH, _ROWS = 12, 2500
_HOURS, _WINDOWS, _HOURLY = 24, 1500, 2500
_REVIEWS = 800
_DOCS, _DOC_START, _DOC_WORDS = 250, 10, 20
"""Functions of each package, where in their documentation a text starts, and its words."""
DOCUMENTED = (
    "numpy", "numpy.linalg", "numpy.ma", "numpy.random", "scipy.linalg", "scipy.ndimage", "scipy.signal",
    "scipy.special", "scipy.stats", "sklearn.cluster", "sklearn.ensemble", "sklearn.linear_model",
    "sklearn.metrics", "sklearn.preprocessing", "torch", "torch.linalg", "torch.nn",
)  # fmt: skip


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Adds what the convolutions make."""
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Pooled(nn.Module):
    """Residual blocks with maximum pooling between, and the mean over the map at the end."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 12, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(12)
        self.pool1 = nn.MaxPool2d(2)
        self.narrow = nn.Sequential(Block(12), Block(12))
        self.widen = nn.Conv2d(12, 24, 1, bias=False)
        self.pool2 = nn.MaxPool2d(2)
        self.wide = nn.Sequential(Block(24), Block(24))
        self.fc = nn.Linear(24, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images to logits."""
        x = self.narrow(self.pool1(F.relu(self.bn(self.stem(x)))))
        return self.fc(self.wide(self.pool2(self.widen(x))).mean((2, 3)))


class Next(nn.Module):
    """Which symbol comes next, by a table of symbols and a layer over the last of them."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.table = nn.Embedding(symbols, 32)
        self.hidden = nn.Linear(_LENGTH * 32, 32)
        self.last = nn.Linear(32, symbols)

    def forward(self, x: Tensor) -> Tensor:
        """Maps codes to logits."""
        return self.last(F.gelu(self.hidden(self.table(x).flatten(1))))


class Steps(nn.Module):
    """What an LSTM says of the last step of a row."""

    def __init__(self, numbers: int, outputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(numbers, 32, batch_first=True)
        self.fc = nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps steps to logits or values."""
        return self.fc(self.lstm(x)[0][:, -1])


class Attending(nn.Module):
    """What a small encoder of attention says of a row of steps, on the mean."""

    def __init__(self, steps: int, numbers: int, outputs: int) -> None:
        super().__init__()
        self.embed = nn.Linear(numbers, 32)
        self.places = nn.Parameter(0.02 * torch.randn(1, steps, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.fc = nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps steps to logits or values."""
        return self.fc(self.encoder(self.embed(x) + self.places).mean(1))


@dataclass(frozen=True)
class Own:
    """What `Task` takes, and how many passes a training has."""

    task: dict[str, Any]
    epochs: int


def reviews(_: Path) -> Own:
    """Whether a review is good, by its first words."""
    frame = pd.read_csv(running.FILES / "movie-reviews.csv")
    frame = frame.sample(_REVIEWS, random_state=0).reset_index(drop=True)
    frame["text"] = [" ".join(text.split()[:120]) for text in frame["text"]]
    return Own({"data": frame[["text", "label"]], "target": "label"}, 15)


def docstrings(_: Path) -> Own:
    """Which package a documented function is from, by twenty words from the middle of what it says."""
    found: dict[str, str] = {}
    for name in DOCUMENTED:
        module = importlib.import_module(name)
        for each in (getattr(module, key) for key in sorted(dir(module)) if key[0] != "_"):
            told = getattr(each, "__doc__", None)
            words = re.findall(r"[a-z]{2,}", told.lower()) if isinstance(told, str) else []
            words = [word for word in words if word not in name and word != "array"]
            if callable(each) and len(words) > _DOC_START + _DOC_WORDS:
                text = " ".join(words[_DOC_START : _DOC_START + _DOC_WORDS])
                found.setdefault(text, name.partition(".")[0])
    frame = pd.DataFrame({"text": list(found), "package": list(found.values())})
    frame = frame.groupby("package").head(_DOCS).sample(frac=1.0, random_state=0)
    return Own({"data": frame.reset_index(drop=True), "target": "package"}, 15)


def air(_: Path) -> Own:
    """The air of the next hour, by a day's measurements."""
    frame = pd.read_csv(running.FILES / "beijing-pm25.csv").select_dtypes("number")
    frame = frame.drop(columns=["No", "year", "month", "day"])
    frame["pm2.5"] = np.log1p(frame["pm2.5"])
    values = frame.interpolate().bfill().to_numpy(np.float32)
    starts = np.random.default_rng(0).permutation(len(values) - _HOURS - 1)[:_WINDOWS]
    windows = np.stack([values[i : i + _HOURS] for i in starts])
    aims = values[starts + _HOURS, list(frame.columns).index("pm2.5")]
    return Own({"data": (windows, aims.astype(np.float32)), "kind": "regression"}, 20)


def air_by_hour(_: Path) -> Own:
    """The air of an hour by its weather, the wind's direction among it: a table with categories."""
    frame = pd.read_csv(running.FILES / "beijing-pm25.csv").dropna(subset=["pm2.5"])
    frame = frame.drop(columns=["No", "year"]).sample(_HOURLY, random_state=0)
    frame["pm2.5"] = np.log1p(frame["pm2.5"])
    return Own({"data": frame.reset_index(drop=True), "target": "pm2.5"}, 20)


def rows_of_digits(_: Path) -> Own:
    """Handwritten digits row by row: eight steps of eight numbers."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return Own({"data": (digits.images.astype(np.float32), digits.target)}, 20)


def letters(_: Path) -> Own:
    """The next letter of a review."""
    return _next(list(_text()), 24)


def words(_: Path) -> Own:
    """The next word of a review, if it is a frequent one."""
    return _next(_text().split(), 20)


def _text() -> str:
    frame = pd.read_csv(running.FILES / "movie-reviews.csv")
    return " ".join(frame["text"][:400]).lower()


def _next(found: list[str], count: int) -> Own:
    """Returns what follows runs of symbols: the most frequent ones, all others being one."""
    known = {name: i for i, (name, _) in enumerate(Counter(found).most_common(count - 1))}
    codes = np.array([known.get(name, count - 1) for name in found])
    starts = np.random.default_rng(0).permutation(len(codes) - _LENGTH)[:_ROWS]
    before = np.stack([codes[i : i + _LENGTH] for i in starts])
    task = {"data": (before, codes[starts + _LENGTH]), "model": partial(_of_symbols, count)}
    return Own(task, 12)


def _of_symbols(count: int, _: Any) -> nn.Module:
    return Next(count)


def air_by_lstm(images: Path) -> Own:
    """The same air, by a network of one's own."""
    return _by_lstm(air(images))


def digits_by_lstm(images: Path) -> Own:
    """The same rows of digits, by a network of one's own."""
    return _by_lstm(rows_of_digits(images))


def _by_lstm(own: Own) -> Own:
    numbers = own.task["data"][0].shape[-1]
    return Own({**own.task, "model": partial(_steps, numbers)}, own.epochs)


def _steps(numbers: int, spec: Any) -> nn.Module:
    return Steps(numbers, spec.num_outputs)


def air_by_attention(images: Path) -> Own:
    """The same air, by an encoder of one's own."""
    return _by_attention(air(images))


def digits_by_attention(images: Path) -> Own:
    """The same rows of digits, by such an encoder."""
    return _by_attention(rows_of_digits(images))


def _by_attention(own: Own) -> Own:
    steps, numbers = own.task["data"][0].shape[1:]
    return Own({**own.task, "model": partial(_attending, steps, numbers)}, own.epochs)


def _attending(steps: int, numbers: int, spec: Any) -> nn.Module:
    return Attending(steps, numbers, spec.num_outputs)


def digits_by_blocks(_: Path) -> Own:
    """All ten digits, by a residual network of one's own that has learned nothing yet."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[:, None] * 15).astype(np.uint8)
    return Own({"data": (images, digits.target), "model": partial(_pooled, 1)}, 15)


def cifar10_by_blocks(images: Path) -> Own:
    """1,500 images of CIFAR-10, by such a network."""
    held = np.load(images)
    rows = np.random.default_rng(0).permutation(len(held["targets"]))[: 10 * _MORE]
    data = held["inputs"][rows], held["targets"][rows]
    return Own({"data": data, "model": partial(_pooled, data[0].shape[1])}, 8)


def digits_anew(_: Path) -> Own:
    """The digits 5 to 9, from weights that know 0 to 4."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[:, None] * 15).astype(np.uint8)
    return _anew(images, digits.target, _FEW, 20)


def cifar10_anew(images: Path) -> Own:
    """Five classes of CIFAR-10, from weights that know the other five."""
    held = np.load(images)
    return _anew(held["inputs"], held["targets"], _MORE, 8)


def _anew(images: Any, targets: Any, count: int, epochs: int) -> Own:
    """Returns the upper five of ten classes, so many images of each, from weights of the lower five."""
    tensors = learned(images[targets < 5], targets[targets < 5])
    order = np.random.default_rng(0).permutation(len(targets))
    chosen = np.concatenate([order[targets[order] == c][:count] for c in range(5, 10)])
    task = {"data": (images[chosen], targets[chosen] - 5), "weights": tensors}
    return Own({**task, "model": partial(_pooled, images.shape[1])}, epochs)


def _pooled(channels: int, spec: Any) -> nn.Module:
    return Pooled(channels, spec.num_outputs)


def learned(images: Any, targets: Any) -> dict[str, Tensor]:
    """Returns the weights of a network that was trained on these."""
    torch.manual_seed(0)
    net = Pooled(images.shape[1], int(targets.max()) + 1)
    x = torch.from_numpy(images).float()
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    x, y = (x - mean) / std, torch.from_numpy(targets).long()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(x), (BATCH,))
        optimizer.zero_grad()
        F.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


OWN = {
    "reviews": reviews,
    "air by hour": air_by_hour,
    "air": air,
    "rows of digits": rows_of_digits,
    "digits anew": digits_anew,
    "cifar10 anew": cifar10_anew,
    "letters": letters,
    "words": words,
    "digits by blocks": digits_by_blocks,
    "cifar10 by blocks": cifar10_by_blocks,
    "air by lstm": air_by_lstm,
    "digits by lstm": digits_by_lstm,
    "air by attention": air_by_attention,
    "digits by attention": digits_by_attention,
    "docstrings": docstrings,
}
