"""Planted faults for `diagnosis.py`: what is wrong, where it is planted, and which rules should tell.

Data and networks are in `diagnosis_settings.py`. Each fault is planted in two of a set's settings, the
next two that can have it in turn, so that none of them was picked for a rule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from diagnosis_near import eights, narrowed, quarters
from diagnosis_settings import Random, Setting, Suite
from torch import nn
from torch.nn import functional as F

import pawl
from pawl.techniques import DataTechnique, GradientTechnique, ScheduleTechnique, Settings
from pawl.techniques.record import number


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


def _codes(values: pd.Series) -> Any:
    """Returns values as they are, classes as numbers."""
    return values.to_numpy() if values.dtype.kind in "fi" else pd.factorize(values)[0]


def _leak(rows: pd.DataFrame, target: str, random: Random) -> pd.DataFrame:
    codes = _codes(rows[target])
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
    key = pd.Series(_codes(rows[target])).astype(float)
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


def _constant(at: Setting, random: Random) -> Setting:
    """Numbers as an array (constant columns of tables are left out as they are read)."""
    target = at.data[at.options["target"]]
    values = at.data.drop(columns=target.name).select_dtypes("number").to_numpy(np.float32)
    values[:, 2] = 3.0
    codes = _codes(target)
    codes = codes.astype(np.float32) if target.dtype.kind in "fi" else codes
    return replace(at, data=(values, codes), options={})


def _few(at: Setting, random: Random) -> Setting:
    at = at.with_(early_stopping=None)
    return replace(at, data=at.data.iloc[:130], epochs=150)


def _plain(**more: Any) -> Callable[[Setting, Random], Setting]:
    return lambda at, random: replace(at, model=functools.partial(at.nets.plain, **more))


def _cut(at: Setting, random: Random) -> Setting:
    return replace(at, model=functools.partial(at.nets.cut, cut=True))


def _slow_statistics(at: Setting, random: Random) -> Setting:
    return replace(at, model=functools.partial(at.nets.normed, momentum=0.0003))


def _short(at: Setting, random: Random) -> Setting:
    return replace(at.with_(early_stopping=None, adamw={"learning_rate": 3e-4}), epochs=2)


def _full(at: Setting, random: Random) -> Setting:
    return replace(at.with_(planted_full_batch={}, early_stopping=None), epochs=12)


@dataclass(frozen=True)
class Fault:
    """A fault: how it is planted, which rules may tell of it (the first names it best), and where.

    Attributes:
        where: `all` settings of a set, `tables`, those with classes (`labeled` of tables, or `classes`),
            or `normed`.
        flatters: Whether its effect is a score that is too good; of the others it is harm.
        told: Whether it is a fact of the rows, that is there whatever a training does.
        near: Whether it only gives cause to suspect a fault, and is meant to cost nothing.
    """

    plant: Callable[[Setting, Random], Setting]
    rules: tuple[str, ...]
    where: str = "all"
    flatters: bool = False
    told: bool = False
    near: bool = False

    def bases(self, suite: Suite) -> tuple[str, ...]:
        """Returns the settings that can have it."""
        return {
            "all": tuple(suite.bases),
            "tables": suite.tables,
            "labeled": suite.labeled,
            "classes": (
                *suite.labeled,
                *(name for name in suite.bases if name not in suite.tables),
            ),
            "normed": suite.normed,
        }[self.where]


def _kicked(at: Setting, random: Random) -> Setting:
    return at.with_(planted_kicks={}, adamw=None, sgd={"learning_rate": 0.02})


def _far_too_fast(at: Setting, random: Random) -> Setting:
    return at.with_(planted_rate={"factor": 1e5}, adamw=None, sgd={"learning_rate": 0.02})


def _slow(at: Setting, random: Random) -> Setting:
    return at.with_(adamw={"learning_rate": 1e-5}, planted_rate={"factor": 0.2})


def _pairs(at: Setting, random: Random) -> Setting:
    return replace(at.with_(planted_batch={}), epochs=4)


def _wrong_labels(at: Setting, random: Random) -> Setting:
    return _noisy_images(at, random) if isinstance(at.data, tuple) else _table(_noisy)(at, random)


def _both(
    first: Callable[[Setting, Random], Setting], second: Callable[[Setting, Random], Setting]
) -> Callable[[Setting, Random], Setting]:
    return lambda at, random: second(first(at, random), random)


_HIGH, _LOW = "learning_rate_too_high", "learning_rate_too_low"
FAULTS: dict[str, Fault] = {
    "rate x100": Fault(_rate(100.0), (_HIGH, "non_finite")),
    "rate / 1000": Fault(_slow, (_LOW, "not_converged")),
    "unscaled inputs": Fault(_unscaled, ("unscaled_inputs",)),
    "deep sigmoid net": Fault(
        _plain(depth=8, act=torch.sigmoid), ("vanishing_gradients", "plateau"), "tables"
    ),
    "20 layers, no normalization": Fault(
        _plain(depth=20, act=F.relu), ("vanishing_gradients", "poor_initialization"), "tables"
    ),
    "dead units": Fault(_both(_plain(act=F.relu), _wrapped(_dead)), ("dead_units",), "tables"),
    "saturated units": Fault(
        _both(_plain(act=torch.tanh), _wrapped(_saturated)), ("saturated_units",), "tables"
    ),
    "frozen layer": Fault(_wrapped(_frozen), ("layer_never_learns",)),
    "layer cut off": Fault(_cut, ("layer_never_learns",), "tables"),
    "first weights x10": Fault(_wrapped(_larger), ("poor_initialization", "exploding_gradients")),
    "units that start alike": Fault(
        _both(_plain(act=F.gelu), _wrapped(_alike)), ("poor_initialization",), "tables"
    ),
    "batch of 2": Fault(_pairs, ("batch_too_small",)),
    "batch of all rows": Fault(_full, ("batch_too_large", "not_converged", _LOW)),
    "2 epochs": Fault(_short, ("not_converged", _LOW), "tables"),
    "130 rows, trained long": Fault(_few, ("overfitting", "trained_too_long"), "labeled"),
    "one hidden unit": Fault(
        _plain(width=1, depth=1, act=torch.tanh), ("model_too_small", "underfitting"), "tables"
    ),
    "batch statistics kept too slowly": Fault(
        _slow_statistics, ("normalization_disagrees",), "normed"
    ),
    "kicked gradients": Fault(_kicked, ("loss_spikes", "non_finite", _HIGH), "tables"),
    "rate x1e5 without Adam": Fault(_far_too_fast, ("non_finite", _HIGH)),
    "outliers": Fault(_table(_outliers), ("outliers",), "tables"),
    "leak": Fault(_table(_leak), ("target_leakage",), "tables", flatters=True),
    "30% wrong labels": Fault(_wrong_labels, ("label_errors", "weak_signal"), "classes"),
    "conflicting labels": Fault(_table(_conflicting), ("conflicting_labels",), "labeled"),
    "25 rows of a class": Fault(_table(_rare), ("class_imbalance",), "labeled"),
    "repeated rows": Fault(_table(_repeated), ("duplicate_rows",), "tables", flatters=True),
    "identifier": Fault(_table(_identifier), ("identifier_columns",), "tables", told=True),
    "copied column": Fault(_table(_copied), ("duplicate_columns",), "tables", told=True),
    "constant column": Fault(_constant, ("constant_columns",), "tables", told=True),
    "test rows seen": Fault(_seen, ("rows_in_train_and_test",), "tables", told=True),
    "rows in order": Fault(_table(_in_order), ("rows_in_order",), "tables", told=True),
    "drifted test rows": Fault(_drifted, ("train_test_drift",), "tables", told=True),
    "batch of 8, half the rate": Fault(eights, ("batch_too_small",), near=True),
    "3 or 4 steps in each of many passes": Fault(quarters, ("batch_too_large",), near=True),
    "6 units in front of the outputs": Fault(narrowed, ("model_too_small",), near=True),
}


def planted(suite: Suite, name: str, seeds: int) -> list[tuple[str, int]]:
    """Returns where a fault is planted: settings and seeds of each, half of the seeds in each of two.

    Args:
        suite: The settings.
        name: The fault's.
        seeds: How many trainings have the fault in all.
    """
    bases, turn = FAULTS[name].bases(suite), list(FAULTS).index(name)
    chosen = [bases[(turn + i) % len(bases)] for i in range(min(2, len(bases)))]
    return [(chosen[i % len(chosen)], i // len(chosen)) for i in range(seeds)]
