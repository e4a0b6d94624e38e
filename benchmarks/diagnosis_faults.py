"""Planted faults for `diagnosis.py`: what is wrong, on which data and nets, and which rules should tell.

Limits of the rules were chosen by looking at breast cancer, red wine, diabetes and horse colic with the
networks that pawl builds. What is here is judged on: other data (census income, housing, air of Beijing,
digits), with networks of a user's own.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from running import FILES
from torch import Tensor, nn
from torch.nn import functional as F

import pawl
from pawl.techniques import DataTechnique, GradientTechnique, ScheduleTechnique, Settings
from pawl.techniques.record import number

ROWS = 1500
Random = np.random.Generator


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


class Plain(nn.Module):
    """The same without normalization."""

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.out = nn.Linear(24 * 4 * 4, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        x = F.max_pool2d(F.relu(self.second(F.relu(self.first(x.float())))), 2)
        return self.out(x.flatten(1))


@dataclass(frozen=True)
class Setting:
    """What is diagnosed: data, model and recipe."""

    data: Any
    model: Callable[..., nn.Module]
    recipe: dict[str, dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    epochs: int = 15

    def with_(self, **tables: dict[str, Any] | None) -> Setting:
        """Returns it with techniques added, changed, or left out (`None`)."""
        recipe = {k: v for k, v in {**self.recipe, **tables}.items() if v is not None}
        return replace(self, recipe=recipe)  # type: ignore[arg-type]


@functools.cache
def _frame(name: str) -> pd.DataFrame:
    if name == "adult":
        return pd.read_csv(FILES / "adult-train.csv").dropna()
    if name == "boston":
        return pd.read_csv(FILES / "boston-housing.csv")
    air = pd.read_csv(FILES / "beijing-pm25.csv").drop(columns="No").dropna()
    air["target"] = np.where(air.pop("pm2.5") > 75, "bad", "good")
    return air


RECIPE: dict[str, dict[str, Any]] = {
    "standardize": {}, "batch_size": {"size": 64}, "adamw": {"learning_rate": 2e-3},
    "early_stopping": {},
}  # fmt: skip


def adult(random: Random) -> Setting:
    """Census income, classes; a perceptron with GELU as a function."""
    rows = _frame("adult").sample(ROWS, random_state=int(random.integers(1 << 30)))
    return Setting(rows.reset_index(drop=True), Mlp, RECIPE, {"target": "income"})


def boston(random: Random) -> Setting:
    """Housing, a value, 506 rows in another order; a net with skip connections."""
    rows = _frame("boston").sample(frac=1.0, random_state=int(random.integers(1 << 30)))
    recipe = {**RECIPE, "batch_size": {"size": 32}}
    return Setting(rows.reset_index(drop=True), Skips, recipe, {"target": "medv"}, epochs=40)


def air(random: Random) -> Setting:
    """Air of Beijing, good or bad by weather and season; a perceptron with ReLU."""
    rows = _frame("air").sample(ROWS, random_state=int(random.integers(1 << 30)))
    model = functools.partial(Mlp, depth=2, act=F.relu)
    return Setting(rows.reset_index(drop=True), model, RECIPE, {"target": "target"}, epochs=25)


def digits(random: Random) -> Setting:
    """Digits as images; convolutions with batch normalization."""
    from sklearn.datasets import load_digits

    known = load_digits()
    order = random.permutation(len(known.target))[:ROWS]
    data = known.images[order, None].astype(np.float32), known.target[order]
    return Setting(data, Cnn, {**RECIPE, "adamw": {"learning_rate": 1e-3}}, epochs=8)


BASES = {"adult": adult, "boston": boston, "air": air, "digits": digits}


class Factor(Settings):
    """A factor."""

    factor: float = number(1.0, 1e-6, 1e6, "what rates are multiplied by")


PLANTED = (
    ScheduleTechnique(
        name="planted_rate", summary="Another rate.", reference="none", settings=Factor, group=None,
        apply=lambda step, total, s: (step * 0.0 + 1.0) * s.factor, memberwise=frozenset({"factor"}),
    ),
    DataTechnique(
        name="planted_batch", summary="Two rows.", reference="none",
        apply=lambda split, s: replace(split, batch_size=2),
    ),
    DataTechnique(
        name="planted_full_batch", summary="All rows.", reference="none",
        apply=lambda split, s: replace(split, batch_size=len(split.rows)),
    ),
    GradientTechnique(
        name="planted_kicks", summary="A huge gradient now and then.", reference="none",
        apply=lambda g, w, c, s: g * torch.where(c.step % 40 == 39, 3000.0, 1.0).reshape(-1, 1),
    ),
)  # fmt: skip


def register() -> None:
    """Registers what plants faults."""
    for each in PLANTED:
        pawl.register(each)


def _rate(factor: float) -> Callable[[Setting, Random], Setting]:
    return lambda at, random: at.with_(planted_rate={"factor": factor})


def _wrapped(change: Callable[[nn.Module], None]) -> Callable[[Setting, Random], Setting]:
    """Changes the first weights."""

    def plant(at: Setting, random: Random) -> Setting:
        def make(spec: Any) -> nn.Module:
            net = at.model(spec)
            with torch.no_grad():
                change(net)
            return net

        return replace(at, model=make)

    return plant


def _larger(net: nn.Module) -> None:
    for parameter in net.parameters():
        parameter.mul_(10.0)


def _dead(net: nn.Module) -> None:
    for layer in [m for m in net.modules() if isinstance(m, nn.Linear)][:2]:
        layer.bias.fill_(-10.0)


def _saturated(net: nn.Module) -> None:
    next(m for m in net.modules() if isinstance(m, nn.Linear)).weight.mul_(100.0)


def _frozen(net: nn.Module) -> None:
    [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)][1].requires_grad_(False)


def _alike(net: nn.Module) -> None:
    for layer in [m for m in net.modules() if isinstance(m, nn.Linear)]:
        layer.weight.fill_(0.05)
        layer.bias.fill_(0.0)


def _table(change: Callable[[pd.DataFrame, str, Random], pd.DataFrame]) -> Any:
    def plant(at: Setting, random: Random) -> Setting:
        data = change(at.data.copy(), at.options["target"], random)
        return replace(at, data=data.reset_index(drop=True))

    return plant


def _leak(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    codes = rows[target] if rows[target].dtype.kind == "f" else pd.factorize(rows[target])[0]
    rows["leak"] = codes + 0.02 * np.std(codes) * random.normal(size=len(rows))
    return rows


def _number(rows: pd.DataFrame, target: str) -> str:
    return next(
        n
        for n in rows.columns
        if n != target and rows[n].dtype.kind in "fi" and rows[n].nunique() > 20
    )


def _outliers(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    name = _number(rows, target)
    rows[name] = rows[name].astype(float)
    rows.loc[random.choice(len(rows), 3, replace=False), name] = rows[name].std() * 300
    return rows


def _copied(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    rows["again"] = 3.0 * rows[_number(rows, target)] - 7.0
    return rows


def _identifier(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    rows["number"] = 10_000 + random.permutation(len(rows))
    return rows


def _repeated(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    return pd.concat([rows, rows.sample(frac=0.2, random_state=1)]).sample(frac=1.0, random_state=2)


def _conflicting(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    more = rows.sample(frac=0.15, random_state=1)
    names = sorted(set(rows[target]))
    other = dict(zip(names, names[::-1], strict=True))
    more[target] = more[target].map(other)
    return pd.concat([rows, more]).sample(frac=1.0, random_state=2)


def _rare(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    rare = rows[target].value_counts().index[-1]
    mine = rows[rows[target] == rare]
    return pd.concat([rows[rows[target] != rare], mine.sample(25, random_state=1)]).sample(
        frac=1.0, random_state=2
    )


def _noisy(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    wrong = random.random(len(rows)) < 0.3
    names = sorted(set(rows[target]))
    rows.loc[wrong, target] = rows.loc[wrong, target].map(
        dict(zip(names, names[::-1], strict=True))
    )
    return rows


def _in_order(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    """Stretches of rows of like targets, as of one place or day."""
    key = (
        rows[target] if rows[target].dtype.kind == "f" else pd.Series(pd.factorize(rows[target])[0])
    ).astype(float)
    key = key + key.std() * random.normal(size=len(rows)) * 0.5
    order = np.argsort(key.to_numpy())
    blocks = np.array_split(order, max(4, len(rows) // 15))
    return rows.iloc[np.concatenate([blocks[i] for i in random.permutation(len(blocks))])]


def _noisy_images(at: Setting, random: Random) -> Setting:
    images, targets = at.data
    wrong = random.random(len(targets)) < 0.3
    return replace(
        at, data=(images, np.where(wrong, random.integers(0, 10, len(targets)), targets))
    )


def _drifted(at: Setting, random: Random) -> Setting:
    rows, target = at.data, at.options["target"]
    test, rest = rows.iloc[:300].copy(), rows.iloc[300:]
    name = _number(rows, target)
    test[name] = test[name].astype(float) + rows[name].std()
    return replace(at, data=rest.astype({name: float}), options={**at.options, "test": test})


def _seen(at: Setting, random: Random) -> Setting:
    rows = at.data
    test, rest = rows.iloc[: len(rows) // 5], rows.iloc[len(rows) // 5 :]
    test = pd.concat([test, rest.sample(len(test) // 3, random_state=1)])
    return replace(at, data=rest, options={**at.options, "test": test})


def _unscaled(at: Setting, random: Random) -> Setting:
    at = at.with_(standardize=None)
    if isinstance(at.data, tuple):
        return replace(at, data=(at.data[0] * 1000.0, at.data[1]))
    return replace(at, data=_scaled_up(at.data.copy(), at.options["target"]))


def _scaled_up(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    name = _number(rows, target)
    rows[name] = rows[name] * 1000.0
    return rows


def _constant_inputs(at: Setting, random: Random) -> Setting:
    images, targets = at.data
    flat = images.reshape(len(images), -1)[:, 8:40]
    flat = flat[:, flat.std(0) > 0.5]
    flat[:, 5] = 3.0
    model = functools.partial(Mlp, depth=2, act=F.relu)
    return replace(at, data=(flat, targets), model=model)


def _few(at: Setting, random: Random) -> Setting:
    at = at.with_(early_stopping=None)
    return replace(at, data=at.data.iloc[:130], epochs=150)


def _model(make: Any, **more: Any) -> Callable[[Setting, Random], Setting]:
    return lambda at, random: replace(at, model=functools.partial(make, **more))


def _short(at: Setting, random: Random) -> Setting:
    return replace(at.with_(early_stopping=None, adamw={"learning_rate": 3e-4}), epochs=2)


def _full(at: Setting, random: Random) -> Setting:
    return replace(at.with_(planted_full_batch={}, early_stopping=None), epochs=12)


@dataclass(frozen=True)
class Fault:
    """A fault: where it is planted, and which rules may tell of it (the first names it best)."""

    plant: Callable[[Setting, Random], Setting]
    rules: tuple[str, ...]
    bases: tuple[str, ...] = ("adult", "boston", "air", "digits")
    trains: bool = True


TABLES = ("adult", "boston", "air")
LABELED = ("adult", "air")
FAULTS: dict[str, Fault] = {
    "rate x100": Fault(_rate(100.0), ("learning_rate_too_high", "non_finite")),
    "rate / 1000": Fault(
        lambda at, r: at.with_(adamw={"learning_rate": 1e-5}, planted_rate={"factor": 0.2}),
        ("learning_rate_too_low", "not_converged"),
    ),
    "unscaled inputs": Fault(_unscaled, ("unscaled_inputs",)),
    "deep sigmoid net": Fault(
        _model(Mlp, depth=8, act=torch.sigmoid), ("vanishing_gradients", "plateau"), TABLES
    ),
    "20 layers, no normalization": Fault(
        _model(Mlp, depth=20, act=F.relu), ("vanishing_gradients", "poor_initialization"), TABLES
    ),
    "dead units": Fault(
        lambda at, r: _wrapped(_dead)(_model(Mlp, act=F.relu)(at, r), r), ("dead_units",), TABLES
    ),
    "saturated units": Fault(
        lambda at, r: _wrapped(_saturated)(_model(Mlp, act=torch.tanh)(at, r), r),
        ("saturated_units",), TABLES,
    ),
    "frozen layer": Fault(_wrapped(_frozen), ("layer_never_learns",)),
    "layer cut off": Fault(_model(Skips, cut=True), ("layer_never_learns",), TABLES),
    "first weights x10": Fault(
        _wrapped(_larger), ("poor_initialization", "exploding_gradients"),
    ),
    "units that start alike": Fault(_wrapped(_alike), ("poor_initialization",), LABELED),
    "batch of 2": Fault(
        lambda at, r: replace(at.with_(planted_batch={}), epochs=4), ("batch_too_small",)
    ),
    "batch of all rows": Fault(_full, ("batch_too_large", "not_converged", "learning_rate_too_low")),
    "2 epochs": Fault(_short, ("not_converged", "learning_rate_too_low"), TABLES),
    "130 rows, trained long": Fault(_few, ("overfitting", "trained_too_long"), LABELED),
    "one hidden unit": Fault(
        _model(Mlp, width=1, depth=1, act=torch.tanh), ("underfitting",), ("air",)
    ),
    "batch statistics kept too slowly": Fault(
        _model(Cnn, momentum=0.0003), ("normalization_disagrees",), ("digits",)
    ),
    "kicked gradients": Fault(
        lambda at, r: at.with_(planted_kicks={}, adamw=None, sgd={"learning_rate": 0.02}),
        ("loss_spikes", "non_finite", "learning_rate_too_high"), TABLES,
    ),
    "rate x1e5 without Adam": Fault(
        lambda at, r: at.with_(planted_rate={"factor": 1e5}, adamw=None, sgd={"learning_rate": 0.02}),
        ("non_finite", "learning_rate_too_high"),
    ),
    "leak": Fault(_table(_leak), ("target_leakage",), TABLES, trains=False),
    "identifier": Fault(_table(_identifier), ("identifier_columns",), TABLES, trains=False),
    "copied column": Fault(_table(_copied), ("duplicate_columns",), TABLES, trains=False),
    "constant column": Fault(_constant_inputs, ("constant_columns",), ("digits",), trains=False),
    "outliers": Fault(_table(_outliers), ("outliers",), TABLES, trains=False),
    "repeated rows": Fault(_table(_repeated), ("duplicate_rows",), TABLES, trains=False),
    "test rows seen": Fault(_seen, ("rows_in_train_and_test",), TABLES, trains=False),
    "conflicting labels": Fault(_table(_conflicting), ("conflicting_labels",), LABELED, trains=False),
    "25 rows of a class": Fault(_table(_rare), ("class_imbalance",), LABELED, trains=False),
    "30% wrong labels": Fault(
        lambda at, r: _noisy_images(at, r) if isinstance(at.data, tuple) else _table(_noisy)(at, r),
        ("label_errors",), ("adult", "air", "digits"), trains=False,
    ),
    "rows in order": Fault(_table(_in_order), ("rows_in_order",), TABLES, trains=False),
    "drifted test rows": Fault(_drifted, ("train_test_drift",), TABLES, trains=False),
}  # fmt: skip
